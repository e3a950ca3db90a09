"""What a data pod does beside serving: expiry, freeing, watching memory, and cutting off what was never confirmed.

All of it runs in the serving loop, in slices small enough not to be noticed (`pace`). Expiry is decided by the primary alone and
replicated as deletions: its slices run inside a turn, so that their effects are part of that turn's entry.

So are the deletions of records whose table was dropped. What may be stored is `memory_watch`'s to say. Next on the path
of the data: `store.keyspace`.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kubegrid.base.settings import MIB, StoreSettings
from kubegrid.node.client_memory import close_those_that_hold_most
from kubegrid.node.memory_watch import MemoryWatch
from kubegrid.node.pace import Pace
from kubegrid.node.turn import Turn, nothing
from kubegrid.store import Compaction, Keyspace

if TYPE_CHECKING:
    from kubegrid.node.connection import Connection

log = logging.getLogger("kubegrid.node.housekeeping")

INTERVAL_MS = 100
LOOK_EVERY_BYTES = MIB
"""Counted growth after which memory is looked at without waiting for the interval, in which 10 MB and more can come."""
SLICES_IN_A_ROW_PAUSE_MS = 2
"""Between two slices of the same chore when there is more to do: the clients' turns lie between them."""
INTERVAL_OF_LONGEST_S = 10.0
FREEZE_INTERVAL_S = 5.0
"""Often, so that little is young: a primary makes some ten thousand log entries in this time."""


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


class _Chore:
    """Work cut into slices: one at each interval, and soon another one as long as `slice` says that there is more."""

    def __init__(self, slice_of_work: Callable[[], bool]) -> None:
        self._slice = slice_of_work
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self) -> None:
        if self._timer is None:
            self._run()

    def _run(self) -> None:
        more = self._slice()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SLICES_IN_A_ROW_PAUSE_MS / 1000, self._run) if more else None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Housekeeping:
    """The chores and their timers."""

    def __init__(
        self,
        keyspace: Keyspace,
        turn: Turn,
        settings: StoreSettings,
        memory: MemoryWatch,
        request_timeout_ms: int,
        sessions: Callable[[], Iterable["Connection"]] = tuple,
        *,
        tidies_collector: bool = True,
    ) -> None:
        self.keyspace = keyspace
        self.turn = turn
        self.memory = memory
        self.loop_watch = LoopWatch()
        self.expired = 0
        self.timed_out = 0
        self.crowded_out = 0
        """Connections closed because the member had no memory for what they held."""
        self.listeners: list[Callable[[], None]] = []
        """Called at each interval."""
        self._paces = {chore: Pace(settings.slice_units) for chore in ("expire", "sweep", "build", "free", "compact")}
        self._request_timeout_ms = request_timeout_ms
        self._sessions = sessions
        self._tidies_collector = tidies_collector
        self._timer: asyncio.TimerHandle | None = None
        self._chores = [_Chore(work) for work in (self._expire, self._sweep, self._build, self._free, self._compact)]
        self._compaction = Compaction(keyspace)
        memory.when_sparse = self._compaction.begin
        self._due = 0.0
        self._frozen_at = time.monotonic()

    def start(self) -> None:
        self.turn.when_grown = self._look_at_memory
        self._look_at_memory()
        self._due = asyncio.get_running_loop().time() + INTERVAL_MS / 1000
        self._timer = asyncio.get_running_loop().call_at(self._due, self._interval)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for chore in self._chores:
            chore.stop()
        self._timer = None
        self.turn.when_grown = nothing

    def _interval(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.loop_watch.note(max((now - self._due) * 1000, self.turn.longest_ms))
        self.turn.longest_ms = 0.0
        self._look_at_memory()
        closed = self.turn.expire(self._request_timeout_ms)
        if closed:
            self.timed_out += closed
            log.warning("requests timed out connections=%d timeout_ms=%d", closed, self._request_timeout_ms)
        for chore in self._chores:
            chore.go_on()
        for listener in self.listeners:
            listener()
        if self._tidies_collector and time.monotonic() - self._frozen_at > FREEZE_INTERVAL_S:
            self._tidy_collector()
        # Not from `now`: after a long stop there is nothing to catch up with.
        self._due = max(self._due + INTERVAL_MS / 1000, now)
        self._timer = loop.call_at(self._due, self._interval)

    def _look_at_memory(self) -> None:
        keyspace = self.keyspace
        keyspace.set_limit(self.memory.look(keyspace.used_bytes), keyspace.chosen_limit_bytes)
        self.turn.grown_at_bytes = keyspace.used_bytes + LOOK_EVERY_BYTES
        self.turn.passing_bytes = 0
        if self.memory.nearly_full:
            self.crowded_out += close_those_that_hold_most(self._sessions(), self.memory.clients_bytes)

    # -- chores; each does one slice and says whether to go on soon ----------------------------------------------------

    def _expire(self) -> bool:
        before = self.keyspace.expired
        looked = self._as_primary(self._paces["expire"], self.keyspace.expire_slice)
        found = self.keyspace.expired - before
        self.expired += found
        return found * 4 > looked

    def _sweep(self) -> bool:
        """Records of dropped tables go as ordinary deletions."""
        return self._as_primary(self._paces["sweep"], self.keyspace.sweep_slice) > 0

    def _build(self) -> bool:
        """Indexes over records that were there before them."""
        return self._paces["build"].slice(self.keyspace.build_slice) > 0

    def _free(self) -> bool:
        """What was thrown away."""
        if self.keyspace.garbage:
            self._paces["free"].slice(self.keyspace.free_slice)
            if not self.keyspace.garbage:
                self.memory.freed()
        return bool(self.keyspace.garbage)

    def _compact(self) -> bool:
        """What is left of records that were deleted here and there."""
        if self._compaction.under_way:
            self._paces["compact"].slice(self._compaction.slice)
            if not self._compaction.under_way:
                self.memory.compacted()
        return self._compaction.under_way

    def _as_primary(self, pace: Pace, slice_of_work: Callable[[int], int]) -> int:
        """Work that changes data: inside a turn, by a primary that may write."""
        done = 0

        def work() -> None:
            nonlocal done
            if self.turn.open_gate and self.turn.member.writable:
                done = pace.slice(slice_of_work)

        self.turn.work(work)
        return done

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
    gc.collect(1)  # a full one would forget about the slots' dictionaries, which are empty yet
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000_000)
