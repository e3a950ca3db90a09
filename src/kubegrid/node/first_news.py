"""A member that has just started lets its first clients wait for a moment, until it knows who is primary of what.

Clients that lost a primary try its address again and again, with their requests ready, and are there the moment that it
listens. What it could say then is `-LOADING`, which many of them hand to the application; some milliseconds later it can say
`-MOVED`, which all of them follow. Where no manager answers the wait is over after `WAIT_MS`, and `-LOADING` is the truth.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

WAIT_MS = 1000


class Holding(Protocol):
    """What this needs of the turn: requests wait while `paused_until_ms` is not 0."""

    paused_until_ms: int

    def work(self, function: Callable[[], None]) -> None: ...


class FirstNews:
    """Invariant: requests are held from `hold` to the first `came` or the end of the wait, and never by this again."""

    def __init__(self, loop: Any, turn: Holding) -> None:
        self._loop = loop
        self._turn = turn
        self._timer: Any = None

    def hold(self) -> None:
        self._turn.paused_until_ms = time.time_ns() // 1_000_000 + WAIT_MS
        self._timer = self._loop.call_later(WAIT_MS / 1000, self.came)

    def came(self) -> None:
        """There are news, or none in time."""
        if self._timer is not None:
            self.stop()
            self._turn.paused_until_ms = 0
            self._loop.call_soon(self._turn.work, _nothing)  # not in the turn that may be ending

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nothing() -> None:
    """What is done in the turn whose end wakes those who were held."""
