"""What INFO tells of the time just past: the most memory that was in use, and commands a second.

Both are looked at once in an interval of `housekeeping`, as Redis does in its own.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

SAMPLES: Final = 16
"""Intervals that a rate is the mean of: as many as in Redis."""


class Rates:
    """Invariant: `_seen` has the last samples, (monotonic seconds, commands), oldest first, none above the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.peak_bytes = 0
        """The most bytes of the store, as counted, that were seen."""
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=SAMPLES + 1)

    def look(self, used_bytes: int, commands: int) -> None:
        """`commands`: executed so far."""
        self.peak_bytes = max(self.peak_bytes, used_bytes)
        if self._seen and commands < self._seen[-1][1]:  # the counters began anew
            self._seen.clear()
        self._seen.append((self._clock(), commands))

    @property
    def commands_per_second(self) -> int:
        if len(self._seen) < 2:
            return 0
        (begun, before), (ended, after) = self._seen[0], self._seen[-1]
        return round((after - before) / (ended - begun)) if ended > begun else 0
