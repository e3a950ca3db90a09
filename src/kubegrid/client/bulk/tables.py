"""`table.write_arrow(…)`: what a program has as Arrow, or as anything that gives Arrow, into a table.

Next on the path of the data: `writing`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from kubegrid.base.table_errors import TableError
from kubegrid.base.tables import TableDefinition
from kubegrid.client.bulk.batches import BlockState
from kubegrid.client.bulk.flight_streams import FlightStreams
from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.client.bulk.writing import FEW_ROWS, BulkWrite, Prepared, write_few
from kubegrid.client.caller import Caller
from kubegrid.client.errors import BadValueError, ClientError, OutcomeUnknownError, PartlyDoneError
from kubegrid.client.options import ClientOptions
from kubegrid.wire.arrow_rows import ArrowRows

SLICE_ROWS = 262_144
"""Rows that are prepared at once: the more, the more of them go into each slot, and are written together."""


def write_arrow(caller: Caller, definition: TableDefinition, rows: Any, mode: str) -> int:
    """How many rows were written. Raises ClientError; see `Table.write_arrow`."""
    encoder = ArrowRows(definition)
    batches = _batches(rows)
    first = next(batches, None)
    if first is None:
        return 0
    second = next(batches, None)
    if second is None and len(first) <= FEW_ROWS:
        return _few(caller, encoder, mode, first)
    return _many(caller, encoder, mode, _chained(first, second, batches))


def write_apart(seeds: list[str], options: ClientOptions, definition: TableDefinition, rows: Any, mode: str) -> int:
    """The same on connections of its own, for a client that does not block."""
    caller = Caller(seeds, options)
    try:
        return write_arrow(caller, definition, rows, mode)
    finally:
        caller.close()


def _batches(rows: Any) -> Iterator[pa.RecordBatch]:
    """None of them larger than `SLICE_ROWS`, nor empty. Raises BadValueError."""
    if isinstance(rows, pa.RecordBatch):
        given: Iterable[pa.RecordBatch] = [rows]
    elif isinstance(rows, pa.Table):
        given = rows.combine_chunks().to_batches()
    elif isinstance(rows, pa.RecordBatchReader):
        given = rows
    elif hasattr(rows, "__arrow_c_stream__"):
        given = pa.RecordBatchReader.from_stream(rows)
    else:
        raise BadValueError(
            f"a {type(rows).__name__} is no Arrow data",
            "Give a pyarrow Table, RecordBatch or RecordBatchReader, or a data frame; write_many takes records.",
        )
    for batch in given:
        for start in range(0, len(batch), SLICE_ROWS):
            yield batch.slice(start, SLICE_ROWS)


def _chained(first: Any, second: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    if second is not None:
        yield second
    yield from others


def _few(caller: Caller, encoder: ArrowRows, mode: str, batch: pa.RecordBatch) -> int:
    try:
        rows = encoder.admit(batch)
    except TableError as error:
        raise BadValueError(error.message) from error
    counts, failures = write_few(caller, encoder, mode, rows)
    if not failures:
        return counts.written
    if not counts.written + counts.kept and all(error.outcome_known for error in failures):
        raise failures[0]
    raise _partly(counts, failures[0])


def _many(caller: Caller, encoder: ArrowRows, mode: str, batches: Iterator[pa.RecordBatch]) -> int:
    streams = FlightStreams(caller)
    bulk = BulkWrite(caller, encoder, mode, streams if streams.there() else None)
    states: list[BlockState] = []
    failure: BaseException | None = None
    try:
        before = 0
        for batch in batches:
            prepared = _prepared(encoder, batch, before)
            before += len(batch)
            states.append(BlockState(Position(0, 0), Counts(), maybe_there=False))
            bulk.put([prepared], states[-1])
    except BaseException as error:
        failure = error
    try:
        bulk.finish()
    except BaseException as error:
        failure = failure or error
    streams.close()
    counts = Counts()
    for state in states:
        counts.add(state.counts)
    if isinstance(failure, ClientError) and states:
        raise _partly(counts, failure) from failure
    if failure is not None:
        raise failure
    return counts.written


def _prepared(encoder: ArrowRows, batch: pa.RecordBatch, before: int) -> Prepared:
    try:
        return encoder.admit_prepared(batch)
    except TableError as error:
        place = f"; {before} rows were given before this batch" if before else ""
        raise BadValueError(error.message + place) from error


def _partly(counts: Counts, error: ClientError) -> PartlyDoneError:
    """Which rows were not written nobody knows: batches of all partitions are on their way together."""
    done = counts.written + counts.kept
    told = f"{done} rows were written or kept others; the rest were not, or may not have been: {error.message}"
    return PartlyDoneError(told, done, [(done, OutcomeUnknownError(error.message, error.remedy))])
