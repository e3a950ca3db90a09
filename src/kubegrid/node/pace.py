"""How much one slice of a chore may do: as much as takes a few milliseconds of the loop, learnt from the slices before.

A key that expires costs a microsecond or fifteen, depending on what it held and which indexes its table has, so a number
of keys says little of the time. What counts is the work itself (`thread_time`): a machine that is busy with other things
makes every slice last longer, and smaller ones would not help. Next: `housekeeping`.
"""

import time
from collections.abc import Callable
from typing import Final

SLICE_MS: Final = 5.0
"""Of work in one slice. The clients' turns lie between two, so this is what a chore adds to the time of a reply."""
UNITS_MIN: Final = 100
"""Keys or fields that a slice may touch however long they take; where every chore begins."""


class Pace:
    """Invariant: `units` is between `UNITS_MIN` and the most that the settings allow (or that, if it is less)."""

    def __init__(self, units_max: int, clock: Callable[[], float] = time.thread_time) -> None:
        self.units_max = units_max
        self.units = min(UNITS_MIN, units_max)
        """That the next slice may touch."""
        self._clock = clock

    def slice(self, work: Callable[[int], int]) -> int:
        """Let `work` touch `units`, and learn from it; its answer, which is how many it touched (0: nothing to do)."""
        began = self._clock()
        done = work(self.units)
        took_ms = (self._clock() - began) * 1000
        if took_ms > SLICE_MS:
            self.units = max(min(UNITS_MIN, self.units_max), int(self.units * SLICE_MS / took_ms))
        elif took_ms < SLICE_MS / 2 and done >= self.units // 2:
            self.units = min(self.units_max, 2 * self.units)
        return done
