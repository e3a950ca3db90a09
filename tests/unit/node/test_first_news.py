"""The first clients of a member that has just started wait until it knows who is primary of what, and no longer."""

from tests.unit.node.drive import PlainTurn

from kubegrid.node.first_news import FirstNews


def held() -> tuple[PlainTurn, FirstNews]:
    turn = PlainTurn()
    news = FirstNews(turn.loop, turn)
    news.hold()
    assert turn.paused_until_ms > 0
    return turn, news


def worked(turn: PlainTurn) -> int:
    """How often a turn was asked for, whose end wakes those who were held."""
    return len(turn.loop.soon)


def test_requests_are_executed_when_the_first_news_came() -> None:
    turn, news = held()
    news.came()
    assert turn.paused_until_ms == 0 and worked(turn) == 1
    assert [timer.cancelled for timer in turn.loop.timers] == [True]


def test_requests_are_executed_without_news_when_the_wait_is_over() -> None:
    turn, _ = held()
    (timer,) = turn.loop.timers
    assert timer.delay_s == 1.0
    timer.call()
    assert turn.paused_until_ms == 0 and worked(turn) == 1


def test_later_news_leave_a_pause_that_a_client_asked_for_alone() -> None:
    turn, news = held()
    news.came()
    turn.paused_until_ms = 5
    news.came()
    assert turn.paused_until_ms == 5 and worked(turn) == 1
