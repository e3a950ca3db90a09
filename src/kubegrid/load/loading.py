"""A file into a table: read, convert, route, send, and know at every moment how far it came.

    source → blocks → sift (convert and encode) → batches by partition → `sending`
                            └ bad rows → their file, or the end of the load

The reader works in the calling thread and is at most a block and a few batches ahead of the partitions: memory does not depend
on the file's size. Whatever ends a load early (Ctrl-C, a bad row, the grid), what was sent before is waited for, and the
checkpoint says from where `--resume` goes on.
"""

import time
from dataclasses import dataclass

import pyarrow as pa

from kubegrid.base.table_errors import BadValue
from kubegrid.base.tables import TableDefinition
from kubegrid.client.bulk.batches import BlockState
from kubegrid.client.bulk.flight_streams import FlightStreams
from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.client.bulk.sending import Sending
from kubegrid.client.bulk.writing import Advance, BulkWrite, Prepared, nothing
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, RecordExistsError
from kubegrid.load import checkpoint
from kubegrid.load.allocator import keeping_memory
from kubegrid.load.bad_rows import BAD_ROWS_MAX, BadRow, BadRows
from kubegrid.load.blocks import Block, Source
from kubegrid.load.checkpoint import Checkpoint, CheckpointFile
from kubegrid.load.errors import BadRowError, DuplicateError, LoadStopped
from kubegrid.load.sifting import sift
from kubegrid.wire.arrow_rows import FAULTS, ArrowRows

REPLACE, KEEP, FAIL = "replace", "keep", "fail"
SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to load, into what, and how."""

    source: Source
    table: TableDefinition
    grid_id: str
    on_duplicate: str = REPLACE
    on_error: str = FAIL
    resume: bool = False


@dataclass(slots=True)
class Outcome:
    """How far a load came. `counts` are of rows whose fate is certain; `failure` is what ended it early."""

    counts: Counts
    line: int
    """The line (row, in Parquet) before which everything is in the table."""
    seconds: float
    resumed_at: int | None
    bad_rows_file: str | None
    failure: BaseException | None = None
    read_before: int = 0
    """Of `counts.read`, the rows of the runs that this one went on with."""

    @property
    def rate(self) -> float:
        """Rows a second of this run."""
        return (self.counts.read - self.read_before) / self.seconds if self.seconds else 0.0


class Load:
    """One run. Make it, look at `resumed_at` and `interrupted_before`, then `run` it."""

    def __init__(self, caller: Caller, plan: Plan) -> None:
        """Raises ResumeConflict when `plan` goes on with a load of something else. Nothing is sent here."""
        self.caller = caller
        self.plan = plan
        source = plan.source
        self.file = CheckpointFile(source.path, plan.table.name)
        self.state = checkpoint.begin(
            source.path, plan.grid_id, plan.table.name, plan.table.id, plan.on_duplicate, source.beginning()
        )
        found = self.file.read()
        self.interrupted_before: Checkpoint | None = None
        """A load that could have been gone on with, and is not."""
        self.resumed_at: int | None = None
        if found is not None and plan.resume:
            checkpoint.refuse_another(found, self.state)
            self.state = found
            self.resumed_at = found.position.line
        elif found is not None and found.confirmed > self.state.confirmed and checkpoint.is_same(found, self.state):
            self.interrupted_before = found
        self._sent_before = self.state.sent[0]
        self._before = self.state.counts.copied()
        self._encoder = ArrowRows(plan.table)
        self._bad_rows = BadRows(source.path, source.where, self.resumed_at)

    @property
    def read_before(self) -> int:
        """Rows that earlier runs read, and this one does not."""
        return self._before.read

    def run(self, advance: Advance = nothing) -> Outcome:
        """Load; never raises for what a load can meet: that is in the outcome's `failure`."""
        plan = self.plan
        mode = plan.on_duplicate.upper()
        started = time.monotonic()
        streams = FlightStreams(self.caller)
        bulk = BulkWrite(self.caller, self._encoder, mode, streams if streams.there() else None, advance)
        # A first Ctrl-C ends the reading; what is under way is waited for, until a second one.
        with keeping_memory():
            failure = bulk.run(lambda: self._read(bulk), lambda: self._remember(bulk.sending))
        if isinstance(failure, ClientError):
            failure = _stopped(failure, known=not bulk.sending.in_doubt)
        streams.close()
        self._remember(bulk.sending)
        self._bad_rows.close()
        if failure is None:
            self.file.remove()
        bad = str(self._bad_rows.path) if self._bad_rows.path.exists() else None
        return Outcome(
            self.state.counts,
            self.state.position.line,
            time.monotonic() - started,
            self.resumed_at,
            bad,
            failure,
            self.read_before,
        )

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(self, bulk: BulkWrite) -> None:
        source = self.plan.source
        names = set(source.schema.names)
        wanted = pa.schema([field for field in self._encoder.schema if source.may_leave_out or field.name in names])
        begin = self.state.position
        done = begin.offset if source.unit == "rows" else 0
        for block in source.blocks(wanted, begin):
            self._send_block(bulk, block, begin, max(0, block.done - done))
            begin, done = block.end, block.done

    def _send_block(self, bulk: BulkWrite, block: Block, begin: Position, size: int) -> None:
        maybe_there = self.resumed_at is not None and begin.offset < self._sent_before
        self.state.sent = max(self.state.sent, (block.end.offset, block.end.line))
        self._remember(bulk.sending)
        parts, bad = self._convert(block)
        end, failure = block.end, None
        if bad and self.plan.on_error == SKIP:
            self._keep_bad_rows(block, bad)
        elif bad:
            failure = self._bad_row_error(block, bad)
            parts = _before(parts, bad[0][0])
            end, bad = block.position(bad[0][0]), []
        counts = Counts(read=sum(len(part) for part, _ in parts) + len(bad), bad=len(bad))
        bulk.put(parts, BlockState(end, counts, maybe_there), size)
        if failure is not None:
            raise failure

    def _convert(self, block: Block) -> tuple[list[Prepared], list[tuple[int, Exception]]]:
        """The whole block at once, or, when a row of it does not fit, its good rows and its bad ones."""
        prepare = self._encoder.prepare
        try:
            return [prepare(block.table())], []
        except FAULTS:
            return sift(len(block), lambda start, stop: prepare(block.table(start, stop)))

    # -- bad rows ----------------------------------------------------------------------------------------------------

    def _keep_bad_rows(self, block: Block, bad: list[tuple[int, Exception]]) -> None:
        for row, error in bad:
            self._bad_rows.add(BadRow(block.line(row), reason_of(error), block.text(row)))
        self._bad_rows.flush()
        if self.state.counts.bad + len(bad) > BAD_ROWS_MAX:
            raise BadRowError(
                f"more than {BAD_ROWS_MAX:,} rows of {self.plan.source.path} do not fit table {self.plan.table.name}",
                f"They are in {self._bad_rows.path}.",
            )

    def _bad_row_error(self, block: Block, bad: list[tuple[int, Exception]]) -> BadRowError:
        source = self.plan.source
        row, error = bad[0]
        more = f" (and {len(bad) - 1:,} more soon after it)" if len(bad) > 1 else ""
        return BadRowError(
            f"{source.path}, {source.where} {block.line(row):,}: {reason_of(error)}{more}",
            "Mend the file and load it anew, or say --on-error skip to load the other rows and keep these in a file.",
        )

    # -- remembering ---------------------------------------------------------------------------------------------------

    def _remember(self, sending: Sending) -> None:
        position, counts = sending.confirmed()
        if position is not None:
            self.state.confirmed = (position.offset, position.line)
            self.state.counts = self._before.copied()
            self.state.counts.add(counts)
        self.file.write(self.state)


def _before(parts: list[Prepared], row: int) -> list[Prepared]:
    """The parts that end before the first bad row: parts are in order, and none holds a bad one."""
    before: list[Prepared] = []
    count = 0
    for part in parts:
        count += len(part[0])
        if count > row:
            break
        before.append(part)
    return before


def reason_of(error: Exception) -> str:
    """What is wrong with a row, in one line."""
    if isinstance(error, BadValue):
        place = f"column {error.column}: " if error.column else ""
        return f"{place}{error.reason}"
    return str(error).split("\n")[0]


def _stopped(error: ClientError, *, known: bool) -> Exception:
    """What ended the load, in its own words."""
    if isinstance(error, RecordExistsError):
        return DuplicateError(
            error.message,
            "Load the file anew with --on-duplicate replace or keep, which says which of the two shall stay.",
        )
    stopped = LoadStopped(error.message, error.remedy)
    stopped.outcome_known = known
    return stopped
