"""When a thread looks for its reply, and when it sleeps at once."""

import itertools
from typing import Any

import pytest

from kubegrid.base import spinning as base
from kubegrid.base.spinning import REST_MAX
from kubegrid.client import spinning
from kubegrid.client.spinning import Spinning

NEVER = 10_000
"""More looks than there is time for."""


@pytest.fixture(autouse=True)
def processors_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "processors", lambda: 8.0)


class Socket:
    """Has a reply after so many looks."""

    def __init__(self, made: Spinning) -> None:
        self.made = made
        self.looks = 0
        self.meanwhile: Any = None

    def call(self, after: int) -> int:
        """How often it was looked at in one call."""
        self.looks = 0

        def ready(timeout: int) -> list[Any]:
            assert timeout == 0
            self.looks += 1
            if self.meanwhile is not None:
                self.meanwhile()
            return [1] if self.looks > after else []

        assert self.made.receive(lambda size: b"+OK\r\n", ready) == b"+OK\r\n"
        return self.looks


def test_a_reply_is_looked_for_until_it_is_there() -> None:
    assert Socket(Spinning(60.0)).call(5) == 6


def test_who_looked_in_vain_sleeps_at_once_more_and_more_often_until_a_reply_comes_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instants = itertools.count(0, 1e-7)  # the thread always has its processor
    for clock in ("perf_counter", "thread_time"):
        monkeypatch.setattr(spinning, clock, lambda: next(instants))
    socket = Socket(Spinning(0.000001))

    def slept() -> int:
        """Calls until the next that looks, which does so in vain."""
        for count in range(2 * REST_MAX):
            if socket.call(NEVER):
                return count
        raise AssertionError("it never looks again")

    assert [slept() for _ in range(5)] == [0, 1, 2, 4, 8]
    for _ in range(16):
        assert socket.call(0) == 0
    assert socket.call(0) == 1
    assert [slept() for _ in range(3)] == [0, 1, 2]
    assert [slept() for _ in range(12)][-2:] == [REST_MAX, REST_MAX]


def test_nobody_looks_while_another_thread_waits() -> None:
    made = Spinning(60.0)
    inner, outer = Socket(made), Socket(made)
    seen: list[int] = []
    outer.meanwhile = lambda: seen.append(inner.call(3))  # as another thread would, in the middle of it
    outer.call(0)
    assert seen == [0]


def test_who_looks_stops_when_another_thread_begins_to_wait() -> None:
    made = Spinning(60.0)
    socket = Socket(made)
    socket.meanwhile = lambda: made._under_way.append(None) if socket.looks == 4 else None
    assert socket.call(NEVER) == 4


def test_writes_are_looked_for_only_where_client_primary_and_backup_have_a_processor_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for count, expected in ((2.0, False), (3.0, True)):
        monkeypatch.setattr(spinning, "processors", lambda count=count: count)
        assert Spinning(0.0005).for_writes is expected
