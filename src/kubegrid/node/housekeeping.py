"""What a data pod does beside serving: expiry, freeing, watching memory, and cutting off what was never confirmed.

All of it runs in the serving loop, in slices small enough not to be noticed. Expiry is decided by the primary alone and
replicated as deletions: its slices run inside a turn, so that their effects are part of that turn's entry.

Memory: records may take what keeps the process inside `memory_bytes`. Counted bytes are not resident bytes: there is
the process itself, the log, unread output, and an allocator that does not give back everything. So the limit of counted
bytes is derived from the resident size that was really seen, and a member whose resident size passes the hard mark
refuses to grow whatever the count says. Reads go on. Next on the path of the data: `store.keyspace`.
"""

import asyncio
import ctypes
import gc
import logging
import os
import time

from kubegrid.base.settings import MIB, StoreSettings
from kubegrid.node.turn import Turn
from kubegrid.store import Keyspace

log = logging.getLogger("kubegrid.node.housekeeping")

INTERVAL_MS = 100
SLICES_IN_A_ROW_PAUSE_MS = 2
"""Between two slices of the same chore when there is more to do: the clients' turns lie between them."""
FULL_MARK = 0.90
"""Part of `memory_bytes` that the process is planned to fill: what is above is for what nobody counts."""
HARD_MARK = 0.95
"""Part of `memory_bytes` in resident size at which nothing may grow any more."""
FULL_BYTES_MIN = 24 * MIB
HARD_BYTES_MIN = 16 * MIB
"""Left above the two marks at least: as much can arrive between two looks, however small the member is."""
RATIO_FROM_BYTES = 8 * MIB
"""Counted bytes below which the ratio of resident to counted bytes says nothing."""
RECORDS_PART_MIN = 0.1
"""Records get at least this part of `memory_bytes`, however small that is: a grid that refuses its first key is of no use."""
LAST_PART = 0.01
"""Of `memory_bytes`: what may be stored even past the hard mark, so that an emptied member is never shut for good."""
GIVE_BACK_FROM_PART = 0.05
"""Of `memory_bytes`: so much must have been freed since the peak before the allocator is asked to give back."""
GIVE_BACK_PAUSE_S = 1.0
GIVE_BACK_PAUSE_MAX_S = 60.0
"""The pause doubles while it is of no use: walking a large heap takes milliseconds."""
INTERVAL_OF_LONGEST_S = 10.0
FREEZE_INTERVAL_S = 5.0
"""Often, so that little is young: a primary makes some ten thousand log entries in this time."""
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
        self.baseline_bytes = self.rss_bytes
        self.ratio = 1.0
        self._ceiling_bytes = memory_bytes
        self._ceiling_rss_bytes = 0
        self._peak_used_bytes = RATIO_FROM_BYTES
        self._high_used_bytes = 0
        """Most that was counted since the resident size was last under the full mark."""
        self._give_back_pause_s = GIVE_BACK_PAUSE_S
        self._give_back_at = 0.0
        self.limit_bytes = self._derive()

    def _resident(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    def _derive(self) -> int:
        room = self.full_bytes - self.baseline_bytes - self.reserve_bytes
        return int(min(max(room / self.ratio, self.memory_bytes * RECORDS_PART_MIN), self._ceiling_bytes))

    def look(self, used_bytes: int) -> int:
        """Read the resident size and answer the limit of counted bytes."""
        rss = self.rss_bytes = self._resident_after_giving_back(used_bytes)
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
        if rss < self.full_bytes:
            self._high_used_bytes = used_bytes
            self._give_back_pause_s = GIVE_BACK_PAUSE_S
            return rss
        self._high_used_bytes = max(self._high_used_bytes, used_bytes)
        now = time.monotonic()
        if self._high_used_bytes - used_bytes < self.memory_bytes * GIVE_BACK_FROM_PART or now < self._give_back_at:
            return rss
        self._give_back_at = now + self._give_back_pause_s
        self._give_back_pause_s = min(2 * self._give_back_pause_s, GIVE_BACK_PAUSE_MAX_S)
        self._give_back()
        return self._resident()

    def _give_back(self) -> None:
        if _malloc_trim is not None:
            _malloc_trim(0)

    def close(self) -> None:
        os.close(self._statm)


class LoopWatch:
    """The longest turn of the loop in the last `INTERVAL_OF_LONGEST_S` to twice that, and since the start."""

    def __init__(self) -> None:
        self.longest_ever_ms = 0.0
        self._current_ms = 0.0
        self._last_ms = 0.0
        self._since = time.monotonic()

    def note(self, turn_ms: float) -> None:
        now = time.monotonic()
        if now - self._since > INTERVAL_OF_LONGEST_S:
            self._last_ms, self._current_ms, self._since = self._current_ms, 0.0, now
        if turn_ms > self._current_ms:
            self._current_ms = turn_ms
            self.longest_ever_ms = max(self.longest_ever_ms, turn_ms)

    @property
    def longest_ms(self) -> float:
        return max(self._current_ms, self._last_ms)


class Housekeeping:
    """The chores and their timers."""

    def __init__(
        self,
        keyspace: Keyspace,
        turn: Turn,
        settings: StoreSettings,
        memory: MemoryWatch,
        request_timeout_ms: int,
    ) -> None:
        self.keyspace = keyspace
        self.turn = turn
        self.memory = memory
        self.loop_watch = LoopWatch()
        self.expired = 0
        self.timed_out = 0
        self._settings = settings
        self._request_timeout_ms = request_timeout_ms
        self._timer: asyncio.TimerHandle | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._garbage_timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._frozen_at = time.monotonic()

    def start(self) -> None:
        self.keyspace.set_limit(self.memory.limit_bytes, self.keyspace.chosen_limit_bytes)
        self._due = asyncio.get_running_loop().time() + INTERVAL_MS / 1000
        self._timer = asyncio.get_running_loop().call_at(self._due, self._interval)

    def stop(self) -> None:
        for timer in (self._timer, self._expiry_timer, self._garbage_timer):
            if timer is not None:
                timer.cancel()
        self._timer = None
        self.memory.close()

    def _interval(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.loop_watch.note(max((now - self._due) * 1000, self.turn.longest_ms))
        self.turn.longest_ms = 0.0
        keyspace = self.keyspace
        keyspace.set_limit(self.memory.look(keyspace.used_bytes), keyspace.chosen_limit_bytes)
        closed = self.turn.expire(self._request_timeout_ms)
        if closed:
            self.timed_out += closed
            log.warning("requests timed out connections=%d timeout_ms=%d", closed, self._request_timeout_ms)
        if self._expiry_timer is None:
            self._expire()
        if self._garbage_timer is None:
            self._free()
        if time.monotonic() - self._frozen_at > FREEZE_INTERVAL_S:
            self._tidy_collector()
        # Not from `now`: after a long stop there is nothing to catch up with.
        self._due = max(self._due + INTERVAL_MS / 1000, now)
        self._timer = loop.call_at(self._due, self._interval)

    def _expire(self) -> None:
        """One slice of active expiry, and soon another one while they find a lot."""
        self._expiry_timer = None
        found = 0

        def work() -> None:
            nonlocal found
            if self.turn.open_gate and self.turn.member.writable:
                found = self.keyspace.expire_slice(self._settings.slice_units)

        self.turn.work(work)
        self.expired += found
        if found * 4 > self._settings.slice_units and self._timer is not None:
            loop = asyncio.get_running_loop()
            self._expiry_timer = loop.call_later(SLICES_IN_A_ROW_PAUSE_MS / 1000, self._expire)

    def _free(self) -> None:
        """One slice of freeing what was thrown away, and soon another one while there is any."""
        self._garbage_timer = None
        if self.keyspace.garbage:
            self.keyspace.free_slice(self._settings.slice_units)
            if self.keyspace.garbage and self._timer is not None:
                loop = asyncio.get_running_loop()
                self._garbage_timer = loop.call_later(SLICES_IN_A_ROW_PAUSE_MS / 1000, self._free)

    def _tidy_collector(self) -> None:
        """Collect what is young, and take what survives out of the collector's sight.

        A full collection would visit every entry of the log: tens of milliseconds, for cycles that records and entries
        never form. What is frozen is still freed by its reference count. The idea is Instagram's (2017).
        """
        gc.collect(1)
        gc.freeze()
        self._frozen_at = time.monotonic()


def tune_collector() -> None:
    """Called once, when everything is built: see `_tidy_collector`."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000_000)
