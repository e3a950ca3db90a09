"""Carry encoded rows to the partitions: one thread for each, a bounded queue before it, a few batches in flight.

A batch is one KG.WRITE, which the partition writes as one log entry. What waits in a queue is sent together and answered
together; the client package finds the primary, asks again through a failover, and marks each batch with a request id so
that it is applied once.

Order: within a partition batches are sent in the order of the file, so that of two rows with one key the later one wins.
Batches that are under way together may change places in a failover; therefore those that share a key are not sent together.

Invariant: a block counts as confirmed when every batch of it, and of all blocks before it, has been answered.
Next on the path of the data: `kubegrid.client.batch`.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubegrid.client import clock
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, RecordExistsError
from kubegrid.load.blocks import Position
from kubegrid.load.checkpoint import Counts
from kubegrid.load.errors import DuplicateError, LoadStopped

BATCH_ROWS = 1000
BATCH_BYTES = 256 * 1024
"""A batch is closed at the first of both: the member's loop is busy with one for a few milliseconds."""
QUEUE_BATCHES = 8
"""Batches that wait for one partition: some MiB at most, and work enough while the next block is converted."""
TOGETHER_MAX = 3
"""Batches of one partition that are under way together."""
PATIENCE_S = 60.0
"""How long a batch is tried: a failover takes a second, a restart some; longer is not the load's to wait for."""
LOOK_S = 0.2
"""How often who waits for a queue looks whether the load has failed meanwhile."""
HEADER_BYTES = 12
"""Before the row in what KG.READ answers: the table's id and the record's version."""


@dataclass(slots=True)
class BlockState:
    """A block on its way. `waiting` counts batches without an answer, and one more until all are queued."""

    end: Position
    counts: Counts
    maybe_there: bool
    """An earlier run may have sent it already."""
    waiting: int = 1


@dataclass(slots=True)
class Batch:
    block: BlockState
    rows: list[bytes]
    keys: list[bytes]
    share: float
    """Its part of the source's size, for the progress."""


class _Queue:
    """The batches for one partition, and the thread that carries them there. None in the queue is its end."""

    def __init__(self, sending: "Sending", slot: int) -> None:
        self.slot = slot
        self.batches: queue.Queue[Batch | None] = queue.Queue(QUEUE_BATCHES)
        self._sending = sending
        self._held: list[Batch | None] = []
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"load-{slot}")

    def _run(self) -> None:
        while self._sending.failure is None:
            together = self._together()
            if together is None:
                return
            try:
                if together:
                    self._sending.send(together, self.slot)
            except BaseException as error:
                self._sending.fail(error)

    def _together(self) -> list[Batch] | None:
        """The next batches that may be under way at the same time; empty when none came yet, None at the end."""
        try:
            first = self._held.pop() if self._held else self.batches.get(timeout=LOOK_S)
        except queue.Empty:
            return []
        if first is None:
            return None
        found = [first]
        seen = set(first.keys)
        while len(found) < TOGETHER_MAX:
            try:
                following = self.batches.get_nowait()
            except queue.Empty:
                break
            if following is None or not seen.isdisjoint(following.keys):
                self._held.append(following)
                break
            seen.update(following.keys)
            found.append(following)
        return found


class Sending:
    """All threads of one load. `advance(rows, share)` is called by them: rows acknowledged, part of the source's size."""

    def __init__(self, caller: Caller, head: tuple[Any, ...], advance: Callable[[int, float], None]) -> None:
        """`head`: KG.WRITE, the table, its schema's number, the mode."""
        self.failure: BaseException | None = None
        self._caller = caller
        self._head = head
        self._advance = advance
        self._lock = threading.Lock()
        self._blocks: deque[BlockState] = deque()
        self._confirmed = Counts()
        self._position: Position | None = None
        routes = list(caller.routes.all)
        numbers = {id(route): number for number, route in enumerate(routes)}
        self.queue_of_slot = [numbers[id(route)] for route in caller.of_slot]
        self._queues = [_Queue(self, route.first_slot) for route in routes]
        for one in self._queues:
            one.thread.start()

    @property
    def partitions(self) -> int:
        return len(self._queues)

    # -- the reader's side -------------------------------------------------------------------------------------------

    def begin_block(self, state: BlockState) -> None:
        with self._lock:
            self._blocks.append(state)

    def put(self, number: int, batch: Batch) -> None:
        """Queue a batch; waits while its partition has enough. Raises what ended the load."""
        with self._lock:
            batch.block.waiting += 1
        self._put(number, batch)
        self.check()

    def _put(self, number: int, batch: Batch | None) -> None:
        while self.failure is None:
            try:
                self._queues[number].batches.put(batch, timeout=LOOK_S)
                return
            except queue.Full:
                continue

    def end_block(self, state: BlockState) -> None:
        """All of its batches are queued."""
        with self._lock:
            state.waiting -= 1
            self._confirm()

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def finish(self) -> None:
        """Wait until everything queued has been answered. Raises what ended the load."""
        for number in range(len(self._queues)):
            self._put(number, None)
        for one in self._queues:
            one.thread.join()
        self.check()

    def confirmed(self) -> tuple[Position | None, Counts]:
        """Up to where everything is in the table (None: nothing yet), and what the rows until there came to."""
        with self._lock:
            return self._position, self._confirmed.copied()

    # -- the threads' side -------------------------------------------------------------------------------------------

    def send(self, batches: list[Batch], slot: int) -> None:
        requests = [Request((*self._head, *batch.rows), slot, True) for batch in batches]
        replies = run_batch(self._caller, requests, clock.now() + PATIENCE_S)
        for batch, reply in zip(batches, replies, strict=True):
            if isinstance(reply, RecordExistsError) and batch.block.maybe_there:
                reply = self._written_by_us(batch, slot, reply)
            if isinstance(reply, ClientError):
                self.fail(_stopped(reply))
            else:
                self._answered(batch, written=reply[1], kept=reply[2])

    def _written_by_us(self, batch: Batch, slot: int, error: RecordExistsError) -> Any:
        """Mode FAIL met existing records in a block that an interrupted run may have sent: equal ones are its own."""
        deadline = clock.now() + PATIENCE_S
        (found,) = run_batch(self._caller, [Request((b"KG.READ", self._head[1], *batch.keys), slot, False)], deadline)
        if isinstance(found, ClientError):
            return found
        pairs = list(zip(found, batch.rows, strict=True))
        if any(record is not None and record[HEADER_BYTES:] != row for record, row in pairs):
            return error
        rest = [row for record, row in pairs if record is None]
        if rest:
            (reply,) = run_batch(self._caller, [Request((*self._head, *rest), slot, True)], deadline)
            if isinstance(reply, ClientError):
                return reply
        return [0, len(batch.rows), 0]

    def fail(self, error: BaseException) -> None:
        with self._lock:
            if self.failure is None:
                self.failure = error

    def _answered(self, batch: Batch, written: int, kept: int) -> None:
        with self._lock:
            block = batch.block
            block.counts.written += written
            block.counts.kept += kept
            block.waiting -= 1
            self._confirm()
        self._advance(len(batch.rows), batch.share)

    def _confirm(self) -> None:
        while self._blocks and not self._blocks[0].waiting:
            block = self._blocks.popleft()
            self._position = block.end
            self._confirmed.add(block.counts)


def _stopped(error: ClientError) -> Exception:
    if isinstance(error, RecordExistsError):
        return DuplicateError(error.message, "--on-duplicate replace or keep says which of the two shall stay.")
    stopped = LoadStopped(error.message, error.remedy)
    stopped.outcome_known = error.outcome_known
    return stopped
