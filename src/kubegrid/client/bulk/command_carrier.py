"""Batches as KG.WRITE: for members without Arrow Flight, and to look again at what an interrupted load may have written.

One batch is under way at a time: two could change places in a failover. Next on the path of the data: `client.batch`.
"""

from typing import TYPE_CHECKING, Any

from kubegrid.client import clock
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.bulk.batches import Batch, pieces
from kubegrid.client.bulk.target import Target
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, RecordExistsError, SchemaChangedError, UnavailableError

if TYPE_CHECKING:
    from kubegrid.client.bulk.sending import BatchQueue, Sending

PATIENCE_S = 60.0
"""How long a batch is tried, unless a `deadline` is nearer: a failover takes a second, a restart some."""
HEADER_BYTES = 12
"""Before the row in what KG.READ answers: the table's id and the record's version."""


class CommandCarrier:
    """For one partition."""

    def __init__(self, caller: Caller, target: Target, until: float | None) -> None:
        """`until`: by `clock.now`, when all of it has to be done; None: whenever."""
        self._caller = caller
        self._target = target
        self._until = until

    def run(self, batches: "BatchQueue", sending: "Sending") -> None:
        """Raises ClientError."""
        while sending.failure is None:
            batch = batches.next(wait=True)
            if batch is not None:
                parts = batch.parts(list(pieces(batch.rows, as_columns=False)))
                sending.divided(batch, len(parts))
                for part in parts:
                    if sending.failure is not None:
                        return
                    sending.answered(part, *self.write(part))
            elif batches.ended:
                return

    def write(self, batch: Batch) -> tuple[int, int]:
        """Rows written and rows kept as they were. Raises ClientError."""
        while True:
            rows = self._target.encoder.encode(batch.rows).rows
            try:
                reply = self._ask((*self._target.head, *rows), True)
            except SchemaChangedError as error:
                if not self._target.renew(error):
                    raise
            except RecordExistsError as error:
                if not batch.block.maybe_there:
                    raise
                return self.write_rest(batch, error)
            else:
                return reply[1], reply[2]

    def write_rest(self, batch: Batch, error: RecordExistsError) -> tuple[int, int]:
        """Mode FAIL met existing records in a block that an interrupted run may have sent: equal ones are its own.

        The others are written. Raises ClientError, `error` when a record is another one.
        """
        encoded = self._target.encoder.encode(batch.rows)
        found = self._ask((b"KG.READ", self._target.name, *encoded.keys), False)
        pairs = list(zip(found, encoded.rows, strict=True))
        if any(record is not None and record[HEADER_BYTES:] != row for record, row in pairs):
            raise error
        rest = [row for record, row in pairs if record is None]
        if rest:
            self._ask((*self._target.head, *rest), True)
        return len(batch.rows), 0

    def _ask(self, words: tuple[Any, ...], write: bool) -> Any:
        deadline = deadline_of_batch(self._until)
        (reply,) = run_batch(self._caller, [Request(words, self._target.slot, write)], deadline)
        if isinstance(reply, ClientError):
            raise reply
        return reply


def deadline_of_batch(until: float | None) -> float:
    """Of one that begins now. Raises UnavailableError when there is no time left to begin it."""
    now = clock.now()
    if until is not None and now >= until:
        raise UnavailableError("the deadline has passed before all rows were sent")
    return now + PATIENCE_S if until is None else min(now + PATIENCE_S, until)
