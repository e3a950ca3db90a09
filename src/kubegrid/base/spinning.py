"""Looking for what is awaited, for a moment, before sleeping until it comes (adaptive spinning, as mutexes do it).

To wake a processor that has nothing to do costs tens of microseconds, and a write has four such moments on its way. Who
looks instead takes a processor from others, so nobody looks where that is of no use: where what is awaited does not come in
time, and where others want the processors (`Looks`).
"""

import os
from collections.abc import Callable

PROCESSORS_MIN = 2
REST_MAX = 1024
"""Occasions in a row that are let pass, at most: then it is tried again whether looking is of use."""
TAKEN_MAX = 0.6
"""Part of a look's time that others had the processor, above which they have more use for it."""
CPU_MAX = "/sys/fs/cgroup/cpu.max"
"""Of a container (cgroup v2): microseconds of processor time that it may use, and in how many."""


def _stay() -> None:
    """Where the system has no such call."""


give_way: Callable[[], None] = getattr(os, "sched_yield", _stay)
"""Let another thread have this processor, if there is one that wants it."""


def processors() -> float:
    """How many this process may use at a time: those that it may run on, or the container's limit."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        with open(CPU_MAX) as file:
            quota, period = file.read().split()
        return min(allowed, int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return allowed


def bounded(seconds: float) -> float:
    """For how long who would look for so long may: not at all where there are less than two processors."""
    return seconds if processors() >= PROCESSORS_MIN else 0.0


class Looks:
    """When to look, and when not: after a look of no use the next occasion is let pass, then two, four, and so on.

    A look of use ends that. Of use is one in which the awaited came, while others had the processor for no more than TAKEN_MAX.
    """

    __slots__ = ("_began", "_left", "_next", "_ran", "spent_s")

    def __init__(self) -> None:
        self._left = 0
        self._next = 1
        self._began = 0.0
        self._ran = 0.0
        self.spent_s = 0.0
        """Seconds of all looks so far."""

    def due(self) -> bool:
        """Asked at each occasion: whether to look this time."""
        if self._left:
            self._left -= 1
            return False
        return True

    def begin(self, now: float, ran: float) -> None:
        """It is `now`, and this thread has had a processor for `ran` so far, both in seconds."""
        self._began = now
        self._ran = ran

    def came(self, now: float, ran: float) -> bool:
        """The awaited is here: whether looking was of use, and may go on."""
        if ran - self._ran < (1 - TAKEN_MAX) * (now - self._began):
            self.in_vain(now)
            return False
        self.spent_s += now - self._began
        self._began = now
        self._ran = ran
        self._next = 1
        return True

    def leave(self, now: float) -> None:
        """Looking is over, and nothing follows from it."""
        self.spent_s += now - self._began

    def in_vain(self, now: float) -> None:
        """The time is over, or looking was of no use for another reason."""
        self.leave(now)
        self._left = self._next
        self._next = min(2 * self._next, REST_MAX)
