"""When the serving loop looks for what comes next, and when it sleeps. Time passes as the test says."""

from collections.abc import Callable
from typing import Any

import pytest

from kubegrid.base import spinning
from kubegrid.base.spinning import REST_MAX
from kubegrid.node import looking
from kubegrid.node.looking import LOOK_S, Looking

ROUND_S = LOOK_S / 10


class Loop:
    """Runs what is to be called soon when the test says; a round takes ROUND_S, of which `others` have the processor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.ran = 0.0
        self.others = False
        self.soon: list[Callable[[], None]] = []
        monkeypatch.setattr(looking, "perf_counter", lambda: self.now)
        monkeypatch.setattr(looking, "thread_time", lambda: self.ran)
        monkeypatch.setattr(spinning, "processors", lambda: 2.0)
        self.looking = Looking(self)  # type: ignore[arg-type]

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def rounds(self, limit: int = 1000) -> int:
        """Rounds until the loop would sleep."""
        count = 0
        while self.soon and count < limit:
            calls, self.soon = self.soon, []
            for call in calls:
                call()
            self.now += ROUND_S
            self.ran += 0 if self.others else ROUND_S
            count += 1
        return count


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop(monkeypatch)
    made.looking.begin()
    return made


def test_it_looks_for_a_moment_and_then_sleeps(loop: Loop) -> None:
    loop.looking.expect()
    assert 10 <= loop.rounds() <= 12


def test_it_goes_on_as_long_as_something_comes(loop: Loop) -> None:
    loop.looking.expect()
    for _ in range(20):
        assert loop.rounds(5) == 5
        loop.looking.expect()
    assert loop.rounds() <= 12


def test_what_was_looked_for_prolongs_it_and_begins_nothing(loop: Loop) -> None:
    loop.looking.go_on()
    assert not loop.soon
    loop.looking.expect()
    assert loop.rounds(5) == 5
    loop.looking.go_on()
    assert 10 <= loop.rounds() <= 12


def test_what_comes_too_late_is_looked_for_less_and_less_often(loop: Loop) -> None:
    looked = []
    for _ in range(3 * REST_MAX):
        loop.looking.expect()
        looked.append(loop.rounds() > 0)
        loop.now += 1
    assert [index for index, did in enumerate(looked) if did][:6] == [0, 2, 5, 10, 19, 36]
    assert sum(looked) < 14


def test_where_others_want_the_processor_it_sleeps(loop: Loop) -> None:
    loop.others = True
    loop.looking.expect()
    assert loop.rounds(3) == 3
    loop.looking.expect()  # it came, but others had the processor meanwhile
    assert loop.rounds() == 1
    loop.looking.expect()
    assert not loop.soon
    loop.looking.expect()
    assert loop.soon


def test_nobody_looks_who_was_not_told_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Loop(monkeypatch)
    made.looking.expect()
    assert not made.soon


def test_with_one_processor_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = Loop(monkeypatch)
    monkeypatch.setattr(spinning, "processors", lambda: 1.0)
    made.looking.begin()
    made.looking.expect()
    assert not made.soon


def test_where_much_comes_at_a_time_it_looks_no_more_and_nothing_follows_from_it(loop: Loop) -> None:
    loop.looking.expect()
    assert loop.rounds(3) == 3
    loop.looking.leave()
    assert not loop.looking.active
    assert loop.looking.spent_s > 0
    assert loop.rounds() == 1
    loop.looking.expect()
    assert loop.looking.active
