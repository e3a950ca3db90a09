"""Carry batches to the partitions: one thread for each, a queue before it.

How a batch travels is its carrier's business: over Arrow Flight (`flight_carrier`), or, where members do not have it, as
KG.WRITE (`command_carrier`). Both find the primary, ask again through a failover, mark each batch with a request id so that it
is applied once, and keep the order.

Invariant: a block counts as confirmed when every batch of it, and of all blocks before it, has been answered.

When one partition refuses something the others send nothing more, but take the answers to what they have sent: so what was
written is known exactly, unless a stream broke meanwhile (`in_doubt`).
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from kubegrid.client.bulk.batches import Batch, BlockState
from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.client.caller import Caller

QUEUED_BYTES_MAX = 8 * 2**20
"""Of batches that wait for their partitions when those of another block come to them. Members have work while the next block is
read and converted, and a program that is killed has little in doubt."""
LOOK_S = 0.2
"""How often who waits for a queue looks whether the others have failed meanwhile."""


class Carrier(Protocol):
    def run(self, batches: "BatchQueue", sending: "Sending") -> None:
        """Carry until the queue has ended and everything is answered, or the write has failed. Raises what ends it."""


class BatchQueue:
    """The batches for one partition, and the thread that carries them there. None in the queue is its end."""

    def __init__(self, sending: "Sending", slot: int, carrier: Carrier) -> None:
        self.slot = slot
        self.ended = False
        self.batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._sending = sending
        self._carrier = carrier
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"kubegrid-bulk-{slot}")

    def next(self, *, wait: bool) -> Batch | None:
        """The next batch; None when none came yet, or, with `ended`, none will come."""
        if self.ended:
            return None
        try:
            batch = self.batches.get(timeout=LOOK_S) if wait else self.batches.get_nowait()
        except queue.Empty:
            return None
        if batch is None:
            self.ended = True
        else:
            self._sending.left_queue(batch)
        return batch

    def _run(self) -> None:
        try:
            self._carrier.run(self, self._sending)
        except BaseException as error:
            if not getattr(error, "outcome_known", False):
                self._sending.doubt()
            self._sending.fail(error)


class Sending:
    """All threads of one bulk write. `advance(rows, share)` is called by them: rows acknowledged, part of the source's size."""

    def __init__(
        self, caller: Caller, carrier: Callable[[int], Carrier], advance: Callable[[int, float], None]
    ) -> None:
        """`carrier(slot)` is asked once for each partition."""
        self.failure: BaseException | None = None
        self.in_doubt = False
        """Whether a batch was sent and, when the write failed, nobody knows what became of it."""
        self.abandoned = False
        """Nobody waits any more, not even for answers."""
        self._advance = advance
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._queued_bytes = 0
        self._blocks: deque[BlockState] = deque()
        self._confirmed = Counts()
        self._position: Position | None = None
        routes = list(caller.routes.all)
        numbers = {id(route): number for number, route in enumerate(routes)}
        self.queue_of_slot = list(map(numbers.__getitem__, map(id, caller.of_slot)))
        self._queues = [BatchQueue(self, route.first_slot, carrier(route.first_slot)) for route in routes]
        for one in self._queues:
            one.thread.start()

    @property
    def partitions(self) -> int:
        return len(self._queues)

    # -- the reader's side -------------------------------------------------------------------------------------------

    def begin_block(self, state: BlockState) -> None:
        """Waits while enough batches are queued. Raises what ended the write."""
        with self._room:
            while self.failure is None and self._queued_bytes > QUEUED_BYTES_MAX:
                self._room.wait(LOOK_S)
            self._blocks.append(state)
        self.check()

    def put(self, number: int, batch: Batch) -> None:
        """Queue a batch. Raises what ended the write."""
        with self._lock:
            batch.block.waiting += 1
            self._queued_bytes += batch.rows.nbytes
        self._queues[number].batches.put(batch)
        self.check()

    def end_block(self, state: BlockState) -> None:
        """All of its batches are queued."""
        with self._lock:
            state.waiting -= 1
            self._confirm()

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def finish(self, look: Callable[[], None]) -> None:
        """Wait until everything queued has been answered; `look` is called now and then. Raises what ended the write.

        If the waiting itself is ended, by Ctrl-C or by `look`, nothing more is sent.
        """
        try:
            for one in self._queues:
                one.batches.put(None)
            for one in self._queues:
                while one.thread.is_alive():
                    one.thread.join(LOOK_S)
                    look()
        except BaseException as error:
            self.abandoned = self.in_doubt = True
            self.fail(error)
            raise
        finally:
            self._queues.clear()  # what was not sent goes with them
        self.check()

    def confirmed(self) -> tuple[Position | None, Counts]:
        """Up to where everything is in the table (None: nothing yet), and what the rows until there came to."""
        with self._lock:
            return self._position, self._confirmed.copied()

    # -- the carriers' side ------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """What happened first is what ended the write."""
        with self._lock:
            if self.failure is None:
                self.failure = error

    def doubt(self) -> None:
        """Something was sent that will have no answer."""
        self.in_doubt = True

    def left_queue(self, batch: Batch) -> None:
        """Its carrier has taken it."""
        with self._room:
            self._queued_bytes -= batch.rows.nbytes
            if self._queued_bytes <= QUEUED_BYTES_MAX:
                self._room.notify()

    def divided(self, batch: Batch, parts: int) -> None:
        """A batch goes on as so many parts, each of which will be answered."""
        with self._lock:
            batch.block.waiting += parts - 1

    def answered(self, batch: Batch, written: int, kept: int) -> None:
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
