"""A table's first copy: every row there is, slice by slice, in the order of versions.

In the order of versions, because that is how rows come later, too: the rows that a few changes replace are then found by
the bounds that DuckDB keeps for each group of rows, and need no look at the others. Rows of blocks are met in that order
and go straight into the table. Records are met in the order of their slots; if they are many, they are put aside first.

DuckDB compresses rows when it is told to (`compact`), which takes longer than bringing them in. The first answer does not
wait for that, unless the table is being changed: the keeper does it (`node/sql_keeper`).
"""

import contextlib
from typing import Any

import pyarrow as pa

from kubegrid.columns import block_columns
from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import quoted
from kubegrid.columns.delta import INCOMING, INSERT_BYTES, insert
from kubegrid.store.changes import Met
from kubegrid.store.records import Record

HIDDEN = "hidden"
"""The DuckDB schema of what no statement names: rows on their way into a table, and rows that other partitions own."""
_ORDER = f"ORDER BY {VERSION}"


class Build:
    """One table on its way: made anew with what is `put`, there after `finish`. Whatever fails, `abandon` it then."""

    def __init__(self, cursor: Any, conversion: Conversion) -> None:
        """Raises what DuckDB raises, as all methods do."""
        self._cursor = cursor
        self._conversion = conversion
        self._table = quoted(conversion.definition.name)
        self._staging = f"{HIDDEN}.build_{conversion.definition.id}"
        self._staged = False
        self._records: list[Record] = []
        self._record_bytes = 0
        self._batches: list[Any] = []
        self._bytes = 0
        self.rows = 0
        cursor.execute(f"CREATE OR REPLACE TABLE {self._table} ({conversion.declared})").fetchall()

    def put(self, met: Met) -> None:
        """Rows of blocks go into the table at once, records when there are enough of them."""
        for selected, incoming in block_columns.incoming(self._conversion, met.blocks):
            self._insert(self._table, incoming, selected)
        self._records += met.records
        self._record_bytes += sum(map(len, met.records))
        if len(self._records) >= self._conversion.slice_rows or self._record_bytes >= INSERT_BYTES:
            self._convert()

    def finish(self) -> None:
        """Everything was put."""
        self._convert()
        if self._staged:
            self._stage()
            self._cursor.execute(f"INSERT INTO {self._table} SELECT * FROM {self._staging} {_ORDER}").fetchall()
            self._cursor.execute(f"DROP TABLE {self._staging}").fetchall()
        elif self._batches:
            self._insert(self._table, pa.Table.from_batches(self._batches), self._conversion.selected, _ORDER)

    def abandon(self) -> None:
        """Leave no table."""
        for name in (self._staging, self._table):
            with contextlib.suppress(Exception):
                self._cursor.execute(f"DROP TABLE IF EXISTS {name}").fetchall()

    def _convert(self) -> None:
        records, self._records, self._record_bytes = self._records, [], 0
        for batch in self._conversion.slices(iter(records)):
            self._batches.append(batch)
            self._bytes += batch.nbytes
            if self._bytes >= INSERT_BYTES:
                self._stage()

    def _stage(self) -> None:
        """Put records aside."""
        if not self._staged:
            self._cursor.execute(f"CREATE OR REPLACE TABLE {self._staging} ({self._conversion.declared})").fetchall()
            self._staged = True
        if self._batches:
            self._insert(self._staging, pa.Table.from_batches(self._batches), self._conversion.selected)
        self._batches, self._bytes = [], 0

    def _insert(self, into: str, incoming: Any, selected: str, order: str = "") -> None:
        self.rows += incoming.num_rows
        insert(self._cursor, incoming, f"INSERT INTO {into} SELECT {selected} FROM {INCOMING} {order}")


def compact(cursor: Any) -> bool:
    """Free what deleted rows take, and compress, which makes scans faster; whether it was done: not while others write."""
    try:
        cursor.execute("CHECKPOINT").fetchall()
    except Exception as error:
        if type(error).__name__ != "TransactionException":
            raise
        return False
    return True
