"""`table.write_arrow(…)`: what a program has as Arrow, or as anything that gives Arrow, into a table.

Next on the path of the data: `writing`.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import pyarrow as pa

from kubegrid.base.table_errors import TableError
from kubegrid.base.tables import TableDefinition
from kubegrid.client.bulk.flight_streams import FlightStreams
from kubegrid.client.bulk.writing import FEW_ROWS, Outcome, Prepared, write, write_few
from kubegrid.client.caller import Caller
from kubegrid.client.errors import BadValueError, ClientError, OutcomeUnknownError, PartlyDoneError
from kubegrid.client.options import ClientOptions
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.arrow_types import PANDAS_INDEX

SLICE_ROWS = 262_144
"""Rows that are prepared at once: the more, the more of them go into each slot, and are written together."""
SLICE_BYTES = 64 * 2**20
"""About so many bytes of rows are prepared at once: beside what was given they are in memory as they travel."""
GATHERED_ROWS = 65_536
"""Batches smaller than this are put together: each partition gets its part of what is prepared at once."""


def write_arrow(caller: Caller, definition: TableDefinition, rows: Any, mode: str) -> int:
    """How many rows were written. Raises ClientError; see `Table.write_arrow`."""
    encoder = ArrowRows(definition)
    slices = _slices(rows)
    first = next(slices, None)
    if first is None:
        return 0
    second = next(slices, None)
    if second is None and len(first) <= FEW_ROWS:
        return _written(_few(caller, encoder, mode, first))
    given = chain([first], [] if second is None else [second], slices)
    streams = FlightStreams(caller)
    try:
        over = streams if streams.there() else None
        return _written(write(caller, encoder, mode, over, _prepared(encoder, given)))
    finally:
        streams.close()


def write_apart(seeds: list[str], options: ClientOptions, definition: TableDefinition, rows: Any, mode: str) -> int:
    """The same on connections of its own, for a client that does not block."""
    caller = Caller(seeds, options)
    try:
        return write_arrow(caller, definition, rows, mode)
    finally:
        caller.close()


# -- what was given ----------------------------------------------------------------------------------------------------


def _slices(rows: Any) -> Iterator[pa.Table | pa.RecordBatch]:
    """The rows in order, as much at once as is prepared at once; none is empty. Raises BadValueError."""
    if isinstance(rows, pa.RecordBatch | pa.Table):
        yield from _cut(rows)
    else:
        yield from _gathered(_reader(rows))


def _reader(rows: Any) -> pa.RecordBatchReader:
    if isinstance(rows, pa.RecordBatchReader):
        return rows
    if not hasattr(rows, "__arrow_c_stream__"):
        raise BadValueError(
            f"a {type(rows).__name__} is no Arrow data",
            "Give a pyarrow Table, RecordBatch or RecordBatchReader (`from_batches` makes one of batches), or a data frame; "
            "write_many takes records.",
        )
    try:
        return pa.RecordBatchReader.from_stream(rows)
    except (pa.ArrowException, TypeError, ValueError) as error:
        # A column of pandas may hold values of several kinds, and one alone is no table.
        reason = ". ".join(map(str, error.args))
        raise BadValueError(f"Arrow cannot take this {type(rows).__name__}: {reason}") from error


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table | pa.RecordBatch]:
    """Small batches put together, large ones cut."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        if not len(batch):
            continue
        held.append(batch)
        count += len(batch)
        size += batch.nbytes
        if count >= GATHERED_ROWS or size >= SLICE_BYTES:
            yield from _cut(pa.Table.from_batches(held))
            held, count, size = [], 0, 0
    if held:
        yield from _cut(pa.Table.from_batches(held))


def _cut(rows: pa.Table | pa.RecordBatch) -> Iterator[pa.Table | pa.RecordBatch]:
    unnamed = [name for name in rows.schema.names if name.startswith(PANDAS_INDEX)]
    if unnamed:
        rows = rows.drop_columns(unnamed)
    step = min(SLICE_ROWS, max(1, len(rows) * SLICE_BYTES // max(1, rows.nbytes)))
    for start in range(0, len(rows), step):
        yield rows.slice(start, step)


def _prepared(encoder: ArrowRows, slices: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[list[Prepared]]:
    before = 0
    for rows in slices:
        try:
            yield [encoder.admit_prepared(rows)]
        except TableError as error:
            place = f"; {before} rows were given before this batch" if before else ""
            raise BadValueError(error.message + place) from error
        before += len(rows)


# -- what became of it -------------------------------------------------------------------------------------------------


def _few(caller: Caller, encoder: ArrowRows, mode: str, some: pa.Table | pa.RecordBatch) -> Outcome:
    try:
        rows = encoder.admit(some)
    except TableError as error:
        raise BadValueError(error.message) from error
    return write_few(caller, encoder, mode, rows)


def _written(outcome: Outcome) -> int:
    """How many rows it were. Raises what went wrong; PartlyDoneError where that is not all there is to say."""
    failure, done = outcome.failure, outcome.done
    if failure is None:
        return outcome.counts.written
    if not isinstance(failure, ClientError) or (outcome.known and not done):
        raise failure
    left = failure
    rest = "the rest were not"
    if not outcome.known:
        # Nobody knows which: batches of all partitions were on their way together.
        left = OutcomeUnknownError(failure.message, failure.remedy)
        rest = "the rest were not, or may not have been"
    told = f"{done} rows were written or kept others; {rest}: {failure.message}"
    raise PartlyDoneError(told, done, [(done, left)]) from failure
