"""The serving loop's side of bulk writes: prepared rows become entries of the log, one batch a turn.

Rows were read, checked and keyed in a thread (`sql_ingest`); what is left is asking whether this member may write now, which
it is asked as KG.WRITE would be, and entering them. A batch is one entry, and one turn has one batch: it keeps the loop for
some milliseconds (`ingest_batch`), and between two turns everybody else is served.

A batch carries a request id, as a write within KG.ONCE does: sent again, it is answered with what it was answered first.
Its answer leaves when its entry is confirmed, and waits for that as a reply does, in the turn's `pending`. While requests are
held (a hand-over, backups that have to catch up, CLIENT PAUSE) batches wait, too. Next: `store.row_blocks`.
"""

import asyncio
import logging
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import cast

from kubegrid.base.table_errors import SchemaChanged, TableError, UnknownTable
from kubegrid.node import routing
from kubegrid.node.context import NodeContext, Session
from kubegrid.node.ingest_batch import Batch, Prepared, TooLarge
from kubegrid.node.turn import Turn
from kubegrid.replication import Gate
from kubegrid.store import row_blocks
from kubegrid.store.record_changes import refusal
from kubegrid.store.requests import NEW, Refusal
from kubegrid.wire import resp

HELD_PAUSE_S = 0.002
"""How soon to look again while requests are held."""
LOOP_S = 2.0
"""A loop that does not answer a question for so long serves nobody."""
WAITING_MAX = 256
"""Batches that wait for the loop; whoever has more waits for room before it prepares them."""

BEHIND = resp.error("TRYAGAIN a batch before this one was refused")
CLEARING = resp.error(
    "TRYAGAIN this member is full, and is still deleting records of a table that was dropped or emptied"
)
log = logging.getLogger("kubegrid.node.ingest")


@dataclass(frozen=True, slots=True)
class _Asking:
    """As much of a client's session as `routing` looks at."""

    node: NodeContext
    turn: Turn
    readonly: bool = False


class IngestTurns:
    """Invariant: every batch that was handed in is waiting, in `turn.pending`, or `done`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: Turn, node: NodeContext) -> None:
        self._loop = loop
        self._turn = turn
        self._node = node
        self._asking = cast(Session, _Asking(node, turn))
        self._waiting: deque[Batch] = deque()
        self._scheduled = False
        self._closed = False
        self.room = threading.Semaphore(WAITING_MAX)
        self.batches = 0
        self.rows = 0
        """Written since the start."""

    def hand_in(self, batch: Batch) -> None:
        """From any thread. Those of one thread are executed in the order in which it hands them in."""
        self.room.acquire()
        try:
            self._loop.call_soon_threadsafe(self._accept, batch)
        except RuntimeError:  # the loop is closed
            self.room.release()
            batch.send(resp.ERR_CLUSTERDOWN)

    def may_write(self) -> bool:
        """From any other thread than the loop's: whether this member is the primary, and sure of it."""
        member = self._turn.member
        told: Future[bool] = Future()
        try:
            self._loop.call_soon_threadsafe(lambda: told.set_result(member.gate(member.now_ms()) is Gate.OPEN))
            return told.result(LOOP_S)
        except (RuntimeError, TimeoutError):  # the loop is closed, or stands still
            return False

    def close(self) -> None:
        """In the loop: nothing is executed any more."""
        self._closed = True
        while self._waiting:
            self.room.release()
            self._waiting.popleft().send(resp.ERR_CLUSTERDOWN)

    def _accept(self, batch: Batch) -> None:
        if self._closed:
            self.room.release()
            batch.send(resp.ERR_CLUSTERDOWN)
            return
        self._waiting.append(batch)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """One batch; the next one has a turn of its own."""
        self._scheduled = False
        if not self._waiting:
            return
        held = False

        def work() -> None:
            nonlocal held
            held = self._turn.stopped or self._node.writes_paused_until_ms > 0
            if not held:
                batch = self._waiting.popleft()
                self.room.release()
                try:
                    self._answer(batch)
                except Exception:
                    log.exception("a batch of rows could not be written")
                    batch.abort("the member made a mistake; its log has the details")

        self._turn.work(work)
        if self._waiting:
            self._scheduled = True
            if held:
                self._loop.call_later(HELD_PAUSE_S, self._next)
            else:
                self._loop.call_soon(self._next)

    def _answer(self, batch: Batch) -> None:
        """Execute it inside of the turn, or say why not."""
        turn = self._turn
        if batch.lane.over:
            batch.send(BEHIND)
            return
        if turn.gate is not Gate.OPEN:
            batch.send(routing.refuse_partition(self._asking, [], False) or resp.ERR_CLUSTERDOWN)
            return
        keyspace = self._node.keyspace
        known = keyspace.requests.begin(*batch.identity, keyspace.now_ms)
        if isinstance(known, Refusal):
            batch.send(known)
            return
        if known is not NEW:
            self._confirm(batch, cast(bytes, known), wrote=False)
            return
        prepared, batch.prepared = batch.prepared, None
        assert prepared is not None
        refusal_now = self._not_now(prepared.nbytes)
        if refusal_now is not None:
            batch.send(refusal_now)
            return
        try:
            reply = self._write(batch, prepared)
        except TooLarge as error:
            batch.split(error)
            return
        except SchemaChanged as error:  # not remembered: it comes again, under its id, with the table's new number
            batch.send(refusal(error))
            return
        if reply.startswith(b"-MOVED "):
            batch.send(routing.with_address(self._asking, reply))
            return
        keyspace.requests.finish(*batch.identity, keyspace.now_ms, reply)
        if self._node.waiters:
            self._node.takers.look()
        self.batches += 1
        self.rows += len(prepared.keys)
        batch.lane.rows_wanted = prepared.asked
        self._confirm(batch, reply, wrote=True)

    def _not_now(self, size: int) -> bytes | None:
        """Why so many bytes may not be written at this moment: no execution, and not remembered as one."""
        keyspace = self._node.keyspace
        if not self._turn.member.writable:
            return resp.ERR_NOREPLICAS
        if keyspace.has_room(size):
            return None
        return CLEARING if keyspace.tables.strays else resp.ERR_OOM

    def _write(self, batch: Batch, prepared: Prepared) -> bytes:
        """Raises TooLarge, SchemaChanged; then nothing was written."""
        keyspace = self._node.keyspace
        try:
            table = keyspace.tables.by_id.get(batch.definition.id)
            if table is None:
                raise UnknownTable(batch.definition.name, keyspace.catalog.by_name)
            if table.schema != batch.definition.schema:
                raise SchemaChanged(table.name, table.schema, batch.definition.schema)
            return row_blocks.write(keyspace, table, batch.mode, prepared)
        except SchemaChanged:
            raise
        except TableError as error:
            return refusal(error)

    def _confirm(self, batch: Batch, reply: bytes, *, wrote: bool) -> None:
        """Let the reply leave when everything that was executed until now is confirmed."""
        if reply[:1] == b"-":
            batch.lane.over = True
        self._turn.confirm(self._turn.cut(), batch, wrote, reply)
