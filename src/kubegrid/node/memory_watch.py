"""How much a member may store: the limit of counted bytes, derived from the size of the process that was really seen.

Counted bytes are not the process's: there is the process itself, the log, unread output, and an allocator that does not
give back everything. A member whose size passes the hard mark refuses to grow whatever the count says; reads go on. A grid
that is embedded in a process with other things to do (`MemoryBudget`) can go by the count alone.

The size is the resident size, without libraries that were mapped since SQL was first at work. While it is, what it has
for copies and statements is no cost of records: nothing is concluded about those, and the size is what the system could not
take back. If that comes near the limit, the copies go (`when_short`), for records come first.

After many records were deleted here and there, the allocator has room that it cannot give back. Then what is left is moved
together (`when_sparse`), and until that has helped, records come back a step at a time, as long as the process does not grow.

Next on the path of the data: `housekeeping`, which looks now and then, and `store.keyspace`, which keeps the limit.
"""

import logging
import time
from collections.abc import Callable

from kubegrid.base.process_memory import ProcessMemory, give_back, process_memory
from kubegrid.base.settings import MIB
from kubegrid.node.turn import nothing

log = logging.getLogger("kubegrid.node.housekeeping")

FULL_MARK = 0.90
"""Part of `memory_bytes` that the process is planned to fill: what is above is for what nobody counts."""
HARD_MARK = 0.95
"""Part of `memory_bytes` in size at which nothing may grow any more."""
FULL_BYTES_MIN = 24 * MIB
HARD_BYTES_MIN = 16 * MIB
"""Left above the two marks at least: as much can be under way when the mark is seen, however small the member is."""
RATIO_FROM_BYTES = 8 * MIB
"""Counted bytes below which the ratio of size to counted bytes says nothing."""
NEAR_PEAK_PART = 0.9
"""Of the peak: with so many counted bytes, a smaller ratio than at the peak is true again."""
SQL_BYTES = 48 * MIB
"""What SQL takes before it has any data: Python's share of DuckDB, Arrow and the parser, which stays."""
RECORDS_PART_MIN = 0.1
"""Records get at least this part of `memory_bytes`, however small that is: a grid that refuses its first key is of no use."""
LAST_PART = 0.01
"""Of `memory_bytes`: what may be stored even past the last mark, so that an emptied member is never shut for good."""
STEP_BYTES = MIB
"""By which counted bytes may grow from one look to the next while the process is between the hard mark and the last."""
CLIENTS_PART = 4
"""Of the reserve: what clients may hold however full the member is."""
FREED_PART = 0.05
"""Of `memory_bytes`: so much must have been freed since the peak before the allocator is asked to give back."""
FREED_PART_OF_PEAK = 0.25
"""Enough, too, and all that can be freed of a small member, in which the libraries take more than the records."""
GIVE_BACK_PAUSE_S = 1.0
GIVE_BACK_PAUSE_MAX_S = 60.0
"""The pause doubles while it is of no use: walking a large heap takes milliseconds."""


def _never() -> bool:
    return False


class MemoryWatch:
    """Derives the limit of counted bytes from the size of the process.

    Invariant: `limit_bytes` times the worst ratio seen, plus the baseline and the reserve, stays under the full mark.
    Past the hard mark it is no more than what was counted then, or, when much was freed since, than that and a step; past
    the last mark, which is half-way from there to the whole memory, it is never more than that.
    """

    def __init__(self, memory_bytes: int, reserve_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.reserve_bytes = reserve_bytes
        """For the log, frames on their way and replies nobody has read."""
        self.full_bytes = min(int(memory_bytes * FULL_MARK), memory_bytes - FULL_BYTES_MIN)
        self.hard_bytes = min(int(memory_bytes * HARD_MARK), memory_bytes - HARD_BYTES_MIN)
        self.last_bytes = (self.hard_bytes + memory_bytes) // 2
        self.sql_at_work: Callable[[], bool] = _never
        """Whether SQL has memory of this process that it will give back."""
        self.when_short: Callable[[], None] = nothing
        """Done at each look at which the process is past the full mark while SQL is at work."""
        self.when_sparse: Callable[[], None] = nothing
        """Done when the process is past the full mark with much freed, and the allocator could not give it back."""
        self._beside_sql = False
        """At the last look."""
        self._sql_came = False
        self._file_bytes = 0
        """Mapped from files before SQL was first at work."""
        self.rss_bytes = 0
        self.size_bytes = self.baseline_bytes = self._start_bytes = self._size()
        """Of the process without records."""
        self.ratio = 1.0
        self._ceiling_bytes = memory_bytes
        self._ceiling_size_bytes = 0
        """Of the process when the ceiling was lowered last; 0: there is none, or the process is below the full mark again."""
        self._peak_used_bytes = RATIO_FROM_BYTES
        self._high_used_bytes = 0
        """Most that was counted since free pages were last given back with success."""
        self._give_back_pause_s = GIVE_BACK_PAUSE_S
        self._give_back_at = 0.0
        self._asked_used_bytes = 0
        """Counted when the allocator was last asked."""
        self._give_back_due = False
        """Something has become free that the allocator was not asked for."""
        self.limit_bytes = self._derive()

    @property
    def nearly_full(self) -> bool:
        """Whether at the last look less than the reserve was left below the hard mark."""
        return self.left_bytes < self.reserve_bytes

    @property
    def left_bytes(self) -> int:
        """Below the hard mark at the last look; negative when there is too much already."""
        return self.hard_bytes - self.size_bytes

    @property
    def clients_bytes(self) -> int:
        """What clients may hold now: it may be needed once more when it is executed, so no more than what is left. A part
        of the reserve they always have, or a member that is too large for other reasons would close them all."""
        return max(self.left_bytes, self.reserve_bytes // CLIENTS_PART)

    def _seen(self) -> ProcessMemory:
        return process_memory()

    def _size(self) -> int:
        seen = self._seen()
        self.rss_bytes = seen.resident_bytes
        if self._beside_sql:
            return seen.own_bytes
        if not self._sql_came:
            self._file_bytes = seen.file_bytes
        return seen.own_bytes + min(seen.file_bytes, self._file_bytes)

    def _derive(self) -> int:
        room = self.full_bytes - self.baseline_bytes - self.reserve_bytes
        return int(min(max(room / self.ratio, self.memory_bytes * RECORDS_PART_MIN), self._ceiling_bytes))

    def look(self, used_bytes: int) -> int:
        """Read the size of the process and answer the limit of counted bytes."""
        self._beside_sql = self.sql_at_work()
        self._sql_came = self._sql_came or self._beside_sql
        size = self.size_bytes = self._size_after_giving_back(used_bytes)
        if not self._beside_sql:
            self._conclude(size, used_bytes)
        else:
            self.baseline_bytes = max(self.baseline_bytes, self._start_bytes + SQL_BYTES)
            if size > self.full_bytes:
                self.when_short()
        if size > self.last_bytes or (size > self.hard_bytes and size > self._ceiling_size_bytes + MIB):
            if self._ceiling_size_bytes == 0:
                log.warning("memory full bytes=%d memory_bytes=%d used_bytes=%d", size, self.memory_bytes, used_bytes)
            self._ceiling_size_bytes = size
            self._ceiling_bytes = min(self._ceiling_bytes, max(used_bytes, int(self.memory_bytes * LAST_PART)))
        elif self._ceiling_size_bytes and size < self.full_bytes:
            self._ceiling_size_bytes = 0
            self._ceiling_bytes = self.memory_bytes
        if self._ceiling_size_bytes and self._freed(used_bytes):
            self._ceiling_bytes = max(self._ceiling_bytes, used_bytes + self._step(size))
        self.limit_bytes = self._derive()
        return self.limit_bytes

    def _freed(self, used_bytes: int) -> bool:
        """Whether the allocator has room that was records' before."""
        enough = max(STEP_BYTES, self._high_used_bytes * FREED_PART_OF_PEAK)
        return self._high_used_bytes - used_bytes >= min(enough, self.memory_bytes * FREED_PART)

    def _step(self, size: int) -> int:
        """By how much records may grow until the next look, though the process is past its mark.

        They find room where others were deleted. Should they not, twice what they take leaves it below the last mark.
        """
        return min(STEP_BYTES, max(0, (self.last_bytes - size) // 2))

    def _conclude(self, size: int, used_bytes: int) -> None:
        """What the process needs without records, and what a counted byte of records costs."""
        beside = size - used_bytes
        if beside < self.baseline_bytes or used_bytes < RATIO_FROM_BYTES == self._peak_used_bytes:
            # Until much was stored, what the process grows by is what came after the start.
            self.baseline_bytes = max(self._start_bytes, beside)
        if used_bytes < self._peak_used_bytes * NEAR_PEAK_PART:
            return  # memory freed below a peak is kept by the allocator for the next records, not lost
        ratio = max(1.0, (size - self.baseline_bytes - self.reserve_bytes) / max(used_bytes, 1))
        # Just below the peak it may only fall: what made the process large was given back meanwhile.
        self.ratio = ratio if used_bytes >= self._peak_used_bytes else min(ratio, self.ratio)
        self._peak_used_bytes = max(self._peak_used_bytes, used_bytes)

    def _size_after_giving_back(self, used_bytes: int) -> int:
        """The size; near the limit, and with much freed since, after the allocator gave free pages back.

        It keeps them for the next records of the same size, which is of no help when the next are of another size.
        """
        size = self._size()
        self._high_used_bytes = max(self._high_used_bytes, used_bytes)
        now = time.monotonic()
        freed = self._freed(used_bytes)
        if size < self.full_bytes:
            self._give_back_pause_s = GIVE_BACK_PAUSE_S
            if not freed or not self._give_back_due:
                self._give_back_due = False
                return size
        # Beyond the hard mark it may be requests and replies that are gone by now, or a statement's memory.
        if not freed and size < self.hard_bytes:
            return size
        freed_since = self._asked_used_bytes - used_bytes >= self.memory_bytes * FREED_PART
        if now < self._give_back_at and not freed_since:
            return size
        self._give_back_at = now + self._give_back_pause_s
        self._give_back_pause_s = min(2 * self._give_back_pause_s, GIVE_BACK_PAUSE_MAX_S)
        size = self._ask(used_bytes)
        if freed and size >= self.full_bytes:
            self.when_sparse()
        return size

    def _ask(self, used_bytes: int) -> int:
        """The size after the allocator was asked. Below the full mark, what is freed counts from now on."""
        self._give_back_due = False
        self._asked_used_bytes = used_bytes
        self._give_back()
        size = self._size()
        if size < self.full_bytes:
            self._high_used_bytes = used_bytes
        return size

    def freed(self) -> None:
        """What was thrown away is free only now. If it was much, the allocator is asked however small the process is: what
        was there before is no room that it has kept."""
        self._give_back_due = True

    def compacted(self) -> None:
        """What `when_sparse` began is done."""
        self._give_back_due = True
        self._give_back_at = 0.0

    def _give_back(self) -> None:
        give_back()


class MemoryBudget(MemoryWatch):
    """A fixed limit of counted bytes, for a process whose size says nothing about the grid in it."""

    nearly_full = False

    def _derive(self) -> int:
        return self.memory_bytes - self.reserve_bytes

    def look(self, used_bytes: int) -> int:
        self.rss_bytes = self._seen().resident_bytes
        return self.limit_bytes
