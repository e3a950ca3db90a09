"""What waits in `Turn.pending` in the place of a client's connection, for an answer that leaves by another way.

A thread waits for it; the loop tells it. Next on the path of the data: `turn`.
"""

import threading
from collections.abc import Callable
from itertools import count

from kubegrid.sql.errors import Unavailable

WAIT_S = 0.02
"""How often a thread that waits for the loop looks whether it still should."""

Check = Callable[[], None]
"""Raises when nobody wants the answer any more."""
_numbers = count(1 << 40)
"""Above those of connections."""


class Confirmation:
    """Of one answer. Invariant: once it is told something, it stays at that."""

    __slots__ = ("_done", "_refusal", "id", "pending_groups")

    def __init__(self) -> None:
        self.id = next(_numbers)
        self.pending_groups = 0
        self._done = threading.Event()
        self._refusal = ""

    def send(self, data: bytes) -> None:
        """For the turn: the position is confirmed, under a valid lease."""
        self._done.set()

    def abort(self, reason: str) -> None:
        """For the turn: it never will be, as far as this member knows."""
        self._refusal = reason
        self._done.set()

    def wait(self, check: Check) -> None:
        """Until it is confirmed. Raises Unavailable if it will not be, and what `check` raises."""
        while not self._done.wait(WAIT_S):
            check()
        if self._refusal:
            raise Unavailable(f"what the statement read was not confirmed: {self._refusal}")
