"""How many statements run at once, who waits, and who is refused."""

import threading

import pytest

from kubegrid.query.admission import Places
from kubegrid.query.running import Running
from kubegrid.sql.errors import Cancelled, TimedOut, TooMuch


def running(timeout_ms: int = 60_000, cancelled: threading.Event | None = None) -> Running:
    return Running(timeout_ms, cancelled.is_set if cancelled else lambda: False)


def test_a_statement_beyond_the_limit_waits_until_a_place_is_left() -> None:
    places = Places(1, 4)
    places.enter(running())
    entered = threading.Event()
    waiter = threading.Thread(target=lambda: (places.enter(running()), entered.set()))
    waiter.start()
    while not places.waiting:
        assert not entered.is_set()
    places.leave()
    waiter.join(60)
    assert entered.is_set()
    assert (places.taken, places.waiting) == (1, 0)


def test_places_go_to_those_who_wait_in_the_order_they_came() -> None:
    places = Places(1, 10)
    places.enter(running())
    order: list[int] = []
    waiters = []
    for number in range(3):
        waiter = threading.Thread(
            target=lambda number=number: (places.enter(running()), order.append(number), places.leave())
        )
        waiter.start()
        while places.waiting <= number:
            pass
        waiters.append(waiter)
    places.leave()
    for waiter in waiters:
        waiter.join(60)
    assert order == [0, 1, 2]
    assert places.taken == 0


def test_a_full_queue_refuses_with_the_limit_in_the_message() -> None:
    places = Places(1, 0)
    places.enter(running())
    with pytest.raises(TooMuch, match="1 statements are running here and 0 are waiting"):
        places.enter(running())
    places.leave()
    places.enter(running())


def test_one_whose_time_is_over_while_it_waits_leaves_the_queue() -> None:
    places = Places(1, 4)
    places.enter(running())
    with pytest.raises(TimedOut, match="longer than the 30 ms"):
        places.enter(running(timeout_ms=30))
    assert (places.taken, places.waiting) == (1, 0)


def test_one_whose_client_goes_away_while_it_waits_leaves_the_queue() -> None:
    places = Places(1, 4)
    places.enter(running())
    gone = threading.Event()
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            places.enter(running(cancelled=gone))
        except Cancelled as error:
            failures.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    gone.set()
    waiter.join(60)
    assert len(failures) == 1
    assert (places.taken, places.waiting) == (1, 0)
