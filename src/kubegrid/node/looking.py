"""The serving loop looks for what comes next, for a moment, before it sleeps (`base.spinning` says why, and when not).

A client that waits for each of its replies has one request under way: its primary sleeps until the backup has
acknowledged, the backup until the next write, the primary until the next request. Each of them is told here when what it
waits for is likely to come soon, and then goes round its loop, in which everything else has its turn as well, and gives
way to whoever wants this processor. Where many requests come at a time nobody looks: there is always something to do.

**Hot path**. Next on the path of the data: `turn`.
"""

import asyncio
from time import perf_counter, thread_time

from kubegrid.base.spinning import Looks, bounded, give_way

LOOK_S = 0.0004
"""For how long. A write of one client, all around, takes half of it."""


class Looking:
    """Of one member."""

    __slots__ = ("_looks", "_loop", "_until", "active", "seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = 0.0
        """For how long the loop looks at most; 0: never."""
        self._loop = loop
        self._looks = Looks()
        self.active = False
        """Whether the loop looks now."""
        self._until = 0.0

    def begin(self) -> None:
        """From now on: this process is the member's own."""
        self.seconds = bounded(LOOK_S)

    @property
    def spent_s(self) -> float:
        """Seconds that the loop has looked so far."""
        return self._looks.spent_s

    def expect(self) -> None:
        """Something came, and more is likely to come soon."""
        if self.active:
            self.go_on()
        elif self.seconds and self._looks.due():
            now = perf_counter()
            self._looks.begin(now, thread_time())
            self.active = True
            self._until = now + self.seconds
            self._loop.call_soon(self._look)

    def go_on(self) -> None:
        """If this was looked for: it came, and more is likely to come soon."""
        if self.active:
            now = perf_counter()
            self.active = self._looks.came(now, thread_time())
            self._until = now + self.seconds

    def leave(self) -> None:
        """So much comes at a time that there is nothing to be looked for."""
        if self.active:
            self.active = False
            self._looks.leave(perf_counter())

    def _look(self) -> None:
        """Once in each round of the loop: whatever came was seen in between."""
        if not self.active:
            return
        now = perf_counter()
        if now < self._until:
            give_way()
            self._loop.call_soon(self._look)
        else:
            self.active = False
            self._looks.in_vain(now)
