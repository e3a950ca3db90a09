"""Streams the store to a joining member: slice by slice, between the clients' work, as fast as the joiner acknowledges.

A slice is cut after the turn's effects became a log entry (the turn's step 2), so that the log's end at that moment
covers everything the slice can hold: the joiner's copy is exact once the log has passed the place at which the last
slice was cut (R18). One slice per joiner and loop turn; the window that the state machine grants bounds what is on its
way. Next on the path of the data: `peers`, and `applying` on the other side.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

from kubegrid.base.ids import Member
from kubegrid.node.applying import Applying
from kubegrid.node.turn import Turn
from kubegrid.replication import Replica
from kubegrid.store import Keyspace

log = logging.getLogger("kubegrid.node.snapshots")


class _Stream:
    __slots__ = ("bytes", "iterator", "slices", "snapshot")

    def __init__(self, snapshot: int, iterator: Iterator[bytes]) -> None:
        self.snapshot = snapshot
        self.iterator = iterator
        self.slices = 0
        self.bytes = 0


class SnapshotStreams:
    """The snapshots being streamed: at most one per joiner."""

    def __init__(
        self, keyspace: Keyspace, replica: Replica, turn: Turn, applying: Applying, now_ms: Callable[[], int]
    ) -> None:
        self.keyspace = keyspace
        self.replica = replica
        self.turn = turn
        self.applying = applying
        self.now_ms = now_ms
        self.streams: dict[Member, _Stream] = {}
        self._scheduled = False

    def start(self, to: Member, snapshot: int) -> None:
        """Begin streaming to `to`; a stream to it that was under way is given up."""
        self.stop(to)
        self.streams[to] = _Stream(snapshot, self.keyspace.snapshot())
        log.info("snapshot begun to=%s keys=%d bytes=%d", to, self.keyspace.key_count, self.keyspace.used_bytes)

    def stop(self, to: Member, snapshot: int | None = None) -> None:
        """Give up the stream to `to` (any, or the one named)."""
        stream = self.streams.get(to)
        if stream is not None and snapshot in (None, stream.snapshot):
            del self.streams[to]
            close = getattr(stream.iterator, "close", None)
            if close is not None:
                close()
            log.info("snapshot given up to=%s slices=%d", to, stream.slices)

    def schedule(self) -> None:
        """Cut slices in the next loop turn if the state machine has room for any."""
        if self._scheduled or not self.streams or self.applying.busy:
            return
        if any(self.replica.snapshot_window(to) > 0 for to in self.streams):
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.turn.input, self._cut)

    def _cut(self) -> None:
        """One slice for every joiner that may get one."""
        self._scheduled = False
        if self.applying.busy:
            return
        now = self.now_ms()
        for to, stream in list(self.streams.items()):
            if self.replica.snapshot_window(to) <= 0:
                continue
            payload = next(stream.iterator, None)
            if payload is None:
                del self.streams[to]
                log.info("snapshot sent to=%s slices=%d bytes=%d", to, stream.slices, stream.bytes)
                self.replica.snapshot_slice(now, to, stream.snapshot, b"", True)
            else:
                stream.slices += 1
                stream.bytes += len(payload)
                self.replica.snapshot_slice(now, to, stream.snapshot, payload, False)
