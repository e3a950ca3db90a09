"""One bulk write: rows in, prepared as columns, dealt out and cut, on their way while the next ones are prepared.

Next on the path of the data: `sending`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest

import pyarrow as pa

from kubegrid.client.batch import Request, run_batch
from kubegrid.client.bulk import batches
from kubegrid.client.bulk.batches import Batch, BlockState, Dealer
from kubegrid.client.bulk.command_carrier import CommandCarrier
from kubegrid.client.bulk.flight_carrier import FlightCarrier
from kubegrid.client.bulk.flight_streams import FlightStreams
from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.client.bulk.sending import Carrier, Sending
from kubegrid.client.bulk.target import Target
from kubegrid.client.caller import Caller
from kubegrid.client.deadline import CURRENT
from kubegrid.client.errors import ClientError
from kubegrid.wire.arrow_rows import ArrowRows, Rows

FEW_ROWS = 1000
"""So few rows are written faster by KG.WRITE than over streams that are opened for them."""
COMMAND_BYTES = 256 * 1024
"""Of one KG.WRITE."""

Prepared = tuple[pa.RecordBatch, pa.Array]
"""Rows that can be sent, and their slots: what `ArrowRows.prepare` gives."""
Advance = Callable[[int, float], None]


def nothing(rows: int, share: float) -> None:
    """For who does not show how far it is."""


def no_look() -> None:
    """For who only waits."""


class BulkWrite:
    """Into one table. `finish` it, whatever happened; what `sending` was given up to a failure stays written.

    Rows of one key are written in the order in which they were put.
    """

    def __init__(
        self,
        caller: Caller,
        encoder: ArrowRows,
        mode: str,
        streams: FlightStreams | None,
        advance: Advance = nothing,
    ) -> None:
        """`mode`: REPLACE, KEEP or FAIL. Without `streams` rows go as KG.WRITE: where members have no Flight."""
        table = encoder.definition
        until = CURRENT.get()

        def carrier(slot: int) -> Carrier:
            target = Target(caller, encoder, mode, slot)
            if streams is None:
                return CommandCarrier(caller, target, until)
            return FlightCarrier(caller, target, streams, until)

        self.sending = Sending(caller, carrier, advance)
        self._columnar = table.columnar
        self._dealer = Dealer(self.sending.queue_of_slot, self.sending.partitions, in_order=bool(table.indexes))

    def put(self, parts: list[Prepared], state: BlockState, size: float = 0) -> None:
        """Queue the rows of a block; waits while enough are on their way. `size`: theirs, for `advance`.

        Raises what ended the write.
        """
        self.sending.begin_block(state)
        total = sum(len(part) for part, _ in parts) or 1
        for part, slots in parts:
            of_partitions = self._dealer.dealt(part, slots)
            pieces = [
                batches.pieces(rows, as_columns=self._columnar) if rows is not None else iter(())
                for rows in of_partitions
            ]
            for some in zip_longest(*pieces):
                for number, rows in enumerate(some):
                    if rows is not None:
                        self.sending.put(number, Batch(state, rows, size * len(rows) / total))
        self.sending.end_block(state)

    def finish(self, look: Callable[[], None] = no_look) -> None:
        """Wait until everything was answered; `look` is called now and then. Raises what ended the write."""
        self.sending.finish(look)

    def run(self, feed: Callable[[], None], look: Callable[[], None] = no_look) -> BaseException | None:
        """`feed` puts all rows; then `finish`. What went wrong first, if something did."""
        failure: BaseException | None = None
        try:
            feed()
        except BaseException as error:
            failure = error
        try:
            self.finish(look)
        except BaseException as error:
            failure = failure or error
        return failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a write. `counts` are of rows whose fate is certain; unless `known`, more may have been written."""

    counts: Counts
    failure: BaseException | None
    known: bool

    @property
    def done(self) -> int:
        """Rows written, or that kept others."""
        return self.counts.written + self.counts.kept


def write(
    caller: Caller, encoder: ArrowRows, mode: str, streams: FlightStreams | None, some: Iterable[list[Prepared]]
) -> Outcome:
    """Write rows as `some` yields them."""
    bulk = BulkWrite(caller, encoder, mode, streams)
    states: list[BlockState] = []

    def feed() -> None:
        for parts in some:
            states.append(BlockState(Position(0, 0), Counts(), maybe_there=False))
            bulk.put(parts, states[-1])

    failure = bulk.run(feed)
    counts = Counts()
    for state in states:
        counts.add(state.counts)
    return Outcome(counts, failure, not bulk.sending.in_doubt)


def write_few(caller: Caller, encoder: ArrowRows, mode: str, rows: Rows) -> Outcome:
    """Write rows by KG.WRITE, all partitions at once, on connections that are there."""
    table = encoder.definition
    head = (b"KG.WRITE", table.name, table.schema, mode)
    of_partition: dict[int, list[int]] = {}
    for place, slot in enumerate(rows.slots):
        of_partition.setdefault(caller.of_slot[slot].first_slot, []).append(place)
    requests = []
    for places in of_partition.values():
        mean = sum([len(rows.rows[place]) for place in places]) // len(places) + 1
        step = max(1, COMMAND_BYTES // mean)
        for start in range(0, len(places), step):
            some = [rows.rows[place] for place in places[start : start + step]]
            requests.append(Request((*head, *some), rows.slots[places[start]], True))
    counts = Counts()
    failures: list[ClientError] = []
    for reply in run_batch(caller, requests) if requests else []:
        if isinstance(reply, ClientError):
            failures.append(reply)
        else:
            counts.add(Counts(written=int(reply[1]), kept=int(reply[2])))
    return Outcome(counts, failures[0] if failures else None, all(error.outcome_known for error in failures))
