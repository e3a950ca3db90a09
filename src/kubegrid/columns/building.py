"""A table's first copy: every record there is, slice by slice, then in the order of versions, then compressed.

In the order of versions, because that is how rows come later, too: the rows that a few changes replace are then found by
the bounds that DuckDB keeps for each group of rows, and need no look at the others.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import quoted
from kubegrid.columns.delta import INCOMING, flattened, insert
from kubegrid.store.records import Record

HIDDEN = "hidden"
"""The DuckDB schema of what no statement names: rows on their way into a table, and rows that other partitions own."""
INSERT_BYTES = 8 * 2**20
"""Of Arrow that one INSERT takes: DuckDB has a group of rows in about as much."""


def build(cursor: Any, conversion: Conversion, slices: Iterable[list[Record]]) -> int:
    """Make the table anew with these records; how many it were. Raises what DuckDB raises, and leaves no table then."""
    table = quoted(conversion.definition.name)
    staging = f"{HIDDEN}.build_{conversion.definition.id}"
    rows = 0
    try:
        cursor.execute(f"CREATE OR REPLACE TABLE {staging} ({conversion.declared})").fetchall()
        for incoming in _gathered(conversion, flattened(slices)):
            rows += incoming.num_rows
            insert(cursor, incoming, f"INSERT INTO {staging} SELECT {conversion.selected} FROM {INCOMING}")
        cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {staging} ORDER BY {VERSION}").fetchall()
        cursor.execute(f"DROP TABLE {staging}").fetchall()
        compact(cursor)
    except BaseException:
        for name in (staging, table):
            with contextlib.suppress(Exception):
                cursor.execute(f"DROP TABLE IF EXISTS {name}").fetchall()
        raise
    return rows


def compact(cursor: Any) -> None:
    """Also compresses, which makes scans faster. Refused while others write: then the next one does it."""
    try:
        cursor.execute("CHECKPOINT").fetchall()
    except Exception as error:
        if type(error).__name__ != "TransactionException":
            raise


def _gathered(conversion: Conversion, records: Iterator[Record]) -> Iterator[Any]:
    """Slices put together to Arrow tables of a size that is worth an INSERT."""
    batches: list[Any] = []
    size = 0
    for batch in conversion.slices(records):
        batches.append(batch)
        size += batch.nbytes
        if size >= INSERT_BYTES:
            yield pa.Table.from_batches(batches)
            batches, size = [], 0
    if batches:
        yield pa.Table.from_batches(batches)
