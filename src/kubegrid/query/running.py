"""One statement on its way: how much time it has, whether somebody still wants its answer, and what stops it.

A statement ends early for three reasons: its time is over, its client is gone, or one of its parts failed and the others
need not go on. All who work for it ask `over` between any two steps and every few milliseconds while they wait.
"""

import threading
import time

from kubegrid.query.partitions import Cancelled as Gone
from kubegrid.sql.errors import Cancelled, TimedOut


class Running:
    """Thread-safe. Never begins again once it is over."""

    def __init__(self, timeout_ms: int, cancelled: Gone) -> None:
        self.timeout_ms = timeout_ms
        self.deadline = time.monotonic() + timeout_ms / 1000
        """A `time.monotonic()`."""
        self._cancelled = cancelled
        self._stopped = threading.Event()

    def part(self) -> "Running":
        """Ends with this one, at the latest; it can be stopped alone."""
        part = Running(self.timeout_ms, self.over)
        part.deadline = self.deadline
        return part

    def over(self) -> bool:
        return self._stopped.is_set() or self.late() or self._cancelled()

    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self.deadline

    def check(self) -> None:
        """Raises TimedOut or Cancelled if it is over."""
        if self.late():
            raise TimedOut(
                f"the statement took longer than the {self.timeout_ms} ms it had",
                remedy="Ask for less, or give it more time, up to the pod's limit (statement_timeout_ms).",
            )
        if self._stopped.is_set() or self._cancelled():
            raise Cancelled("the statement was cancelled")

    def left_ms(self) -> int:
        """At least 1, so that whoever is sent it can say himself that it is over."""
        return max(1, int((self.deadline - time.monotonic()) * 1000))

    def pause(self, seconds: float) -> None:
        """Wait for this long, or until it is stopped; then `check`."""
        self._stopped.wait(max(0.0, min(seconds, self.deadline - time.monotonic())))
        self.check()

    def stop(self) -> None:
        """Nobody needs the rest."""
        self._stopped.set()
