"""A table's first copy: every row there is, slice by slice, in the order of versions.

In the order of versions, because that is how rows come later, too: the rows that a few changes replace are then found by
the bounds that DuckDB keeps for each group of rows, and need no look at the others. Rows of blocks are met in that order
and go straight into the table. Records are met in the order of their slots; if they are many, they are put aside first.

DuckDB compresses rows when it is told to (`compact`), which takes longer than bringing them in. The first answer does not
wait for that: the keeper does it (`node/sql_keeper`).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import pyarrow as pa

from kubegrid.columns import block_columns
from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import quoted
from kubegrid.columns.delta import INCOMING, insert
from kubegrid.store.changes import Cold, Met
from kubegrid.store.records import Record

HIDDEN = "hidden"
"""The DuckDB schema of what no statement names: rows on their way into a table, and rows that other partitions own."""
INSERT_BYTES = 8 * 2**20
"""Of Arrow that one INSERT takes: DuckDB has a group of rows in about as much."""


def build(cursor: Any, conversion: Conversion, slices: Iterable[Met]) -> int:
    """Make the table anew with what was met; how many rows it has. Raises what DuckDB raises, and leaves no table then."""
    table = quoted(conversion.definition.name)
    staging = f"{HIDDEN}.build_{conversion.definition.id}"
    rows = 0

    def put(into: str, incoming: Any, selected: str, order: str = "") -> None:
        nonlocal rows
        rows += incoming.num_rows
        insert(cursor, incoming, f"INSERT INTO {into} SELECT {selected} FROM {INCOMING} {order}")

    def put_blocks(cold: list[Cold]) -> None:
        for selected, incoming in block_columns.incoming(conversion, cold):
            put(table, incoming, selected)

    try:
        cursor.execute(f"CREATE OR REPLACE TABLE {table} ({conversion.declared})").fetchall()
        records = _gathered(conversion, _records(slices, put_blocks))
        first, second = next(records, None), next(records, None)
        if second is not None:
            cursor.execute(f"CREATE OR REPLACE TABLE {staging} ({conversion.declared})").fetchall()
            for incoming in chain([first, second], records):
                put(staging, incoming, conversion.selected)
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {staging} ORDER BY {VERSION}").fetchall()
            cursor.execute(f"DROP TABLE {staging}").fetchall()
        elif first is not None:
            put(table, first, conversion.selected, f"ORDER BY {VERSION}")
    except BaseException:
        for name in (staging, table):
            with contextlib.suppress(Exception):
                cursor.execute(f"DROP TABLE IF EXISTS {name}").fetchall()
        raise
    return rows


def _records(slices: Iterable[Met], put_blocks: Callable[[list[Cold]], None]) -> Iterator[Record]:
    """The records that were met; what was met of blocks is put where it belongs on the way."""
    for met in slices:
        put_blocks(met.blocks)
        yield from met.records


def compact(cursor: Any) -> bool:
    """Free what deleted rows take, and compress, which makes scans faster; whether it was done: not while others write."""
    try:
        cursor.execute("CHECKPOINT").fetchall()
    except Exception as error:
        if type(error).__name__ != "TransactionException":
            raise
        return False
    return True


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
