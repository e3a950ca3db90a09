"""How much a member may store: the limit of counted bytes, derived from the resident size that was really seen.

Counted bytes are not resident bytes: there is the process itself, the log, unread output, and an allocator that does not
give back everything. A member whose resident size passes the hard mark refuses to grow whatever the count says; reads go
on. A grid that is embedded in a process with other things to do (`MemoryBudget`) can go by the count alone.

Next on the path of the data: `housekeeping`, which looks now and then, and `store.keyspace`, which keeps the limit.
"""

import ctypes
import logging
import os
import time

from kubegrid.base.settings import MIB

log = logging.getLogger("kubegrid.node.housekeeping")

FULL_MARK = 0.90
"""Part of `memory_bytes` that the process is planned to fill: what is above is for what nobody counts."""
HARD_MARK = 0.95
"""Part of `memory_bytes` in resident size at which nothing may grow any more."""
FULL_BYTES_MIN = 24 * MIB
HARD_BYTES_MIN = 16 * MIB
"""Left above the two marks at least: as much can be under way when the mark is seen, however small the member is."""
RATIO_FROM_BYTES = 8 * MIB
"""Counted bytes below which the ratio of resident to counted bytes says nothing."""
RECORDS_PART_MIN = 0.1
"""Records get at least this part of `memory_bytes`, however small that is: a grid that refuses its first key is of no use."""
LAST_PART = 0.01
"""Of `memory_bytes`: what may be stored even past the hard mark, so that an emptied member is never shut for good."""
CLIENTS_PART = 4
"""Of the reserve: what clients may hold however full the member is."""
GIVE_BACK_FROM_PART = 0.05
"""Of `memory_bytes`: so much must have been freed since the peak before the allocator is asked to give back."""
GIVE_BACK_PAUSE_S = 1.0
GIVE_BACK_PAUSE_MAX_S = 60.0
"""The pause doubles while it is of no use: walking a large heap takes milliseconds."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of the GNU C library; others have none."""


class MemoryWatch:
    """Derives the limit of counted bytes from the resident size.

    Invariant: `limit_bytes` times the worst ratio seen, plus the baseline and the reserve, stays under the full mark;
    after the hard mark was passed, it is no more than what was counted then.
    """

    def __init__(self, memory_bytes: int, reserve_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.reserve_bytes = reserve_bytes
        """For the log, frames on their way and replies nobody has read."""
        self.full_bytes = memory_bytes - max(memory_bytes * (1 - FULL_MARK), FULL_BYTES_MIN)
        self.hard_bytes = memory_bytes - max(memory_bytes * (1 - HARD_MARK), HARD_BYTES_MIN)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self.rss_bytes = self._resident()
        self._start_bytes = self.rss_bytes
        self.baseline_bytes = self.rss_bytes
        """Of the process without records."""
        self.ratio = 1.0
        self._ceiling_bytes = memory_bytes
        self._ceiling_rss_bytes = 0
        self._peak_used_bytes = RATIO_FROM_BYTES
        self._high_used_bytes = 0
        """Most that was counted since free pages were last given back with success."""
        self._give_back_pause_s = GIVE_BACK_PAUSE_S
        self._give_back_at = 0.0
        self.limit_bytes = self._derive()

    @property
    def nearly_full(self) -> bool:
        """Whether at the last look less than the reserve was left below the hard mark."""
        return self.left_bytes < self.reserve_bytes

    @property
    def left_bytes(self) -> int:
        """Below the hard mark at the last look; negative when there is too much already."""
        return int(self.hard_bytes) - self.rss_bytes

    @property
    def clients_bytes(self) -> int:
        """What clients may hold now: it may be needed once more when it is executed, so no more than what is left. A part
        of the reserve they always have, or a member that is too large for other reasons would close them all."""
        return max(self.left_bytes, self.reserve_bytes // CLIENTS_PART)

    def _resident(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    def _derive(self) -> int:
        room = self.full_bytes - self.baseline_bytes - self.reserve_bytes
        return int(min(max(room / self.ratio, self.memory_bytes * RECORDS_PART_MIN), self._ceiling_bytes))

    def look(self, used_bytes: int) -> int:
        """Read the resident size and answer the limit of counted bytes."""
        rss = self.rss_bytes = self._resident_after_giving_back(used_bytes)
        beside = rss - used_bytes
        if beside < self.baseline_bytes or used_bytes < RATIO_FROM_BYTES == self._peak_used_bytes:
            # Until much was stored, what the process grows by are libraries that come after the start, or a statement's
            # memory, which goes again.
            self.baseline_bytes = max(self._start_bytes, beside)
        if used_bytes >= self._peak_used_bytes:
            # Only at a peak: memory freed below one is kept by the allocator for the next records, not lost.
            self._peak_used_bytes = used_bytes
            self.ratio = max(1.0, (rss - self.baseline_bytes - self.reserve_bytes) / used_bytes)
        if rss > self.hard_bytes and rss > self._ceiling_rss_bytes + MIB:
            if self._ceiling_rss_bytes == 0:
                log.warning(
                    "memory full rss_bytes=%d memory_bytes=%d used_bytes=%d", rss, self.memory_bytes, used_bytes
                )
            # The first time it is the records that fill it. Later, with fewer of them, it is what the allocator keeps.
            part = LAST_PART if self._ceiling_rss_bytes == 0 else RECORDS_PART_MIN
            self._ceiling_rss_bytes = rss
            self._ceiling_bytes = min(self._ceiling_bytes, max(used_bytes, int(self.memory_bytes * part)))
        elif self._ceiling_rss_bytes and rss < self.full_bytes:
            self._ceiling_rss_bytes = 0
            self._ceiling_bytes = self.memory_bytes
        self.limit_bytes = self._derive()
        return self.limit_bytes

    def _resident_after_giving_back(self, used_bytes: int) -> int:
        """The resident size; near the limit, and with much freed since, after the allocator gave free pages back.

        It keeps them for the next records of the same size, which is of no help when the next are of another size.
        """
        rss = self._resident()
        self._high_used_bytes = max(self._high_used_bytes, used_bytes)
        if rss < self.full_bytes:
            self._give_back_pause_s = GIVE_BACK_PAUSE_S
            return rss
        now = time.monotonic()
        freed = self._high_used_bytes - used_bytes >= self.memory_bytes * GIVE_BACK_FROM_PART
        # Beyond the hard mark it may be requests and replies that are gone by now, or a statement's memory.
        if (not freed and rss < self.hard_bytes) or now < self._give_back_at:
            return rss
        self._give_back_at = now + self._give_back_pause_s
        self._give_back_pause_s = min(2 * self._give_back_pause_s, GIVE_BACK_PAUSE_MAX_S)
        self._give_back()
        rss = self._resident()
        if rss < self.full_bytes:
            self._high_used_bytes = used_bytes
        return rss

    def _give_back(self) -> None:
        if _malloc_trim is not None:
            _malloc_trim(0)

    def close(self) -> None:
        os.close(self._statm)


class MemoryBudget(MemoryWatch):
    """A fixed limit of counted bytes, for a process whose resident size says nothing about the grid in it."""

    nearly_full = False

    def _derive(self) -> int:
        return self.memory_bytes - self.reserve_bytes

    def look(self, used_bytes: int) -> int:
        self.rss_bytes = self._resident()
        return self.limit_bytes
