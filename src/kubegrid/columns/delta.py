"""One table's copy, and what came and went of it since it was last brought up to date, ready for DuckDB.

Next on the path of the data: `replica`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from kubegrid.base.tables import TableDefinition
from kubegrid.columns.conversion import VERSION, Conversion, versions
from kubegrid.columns.database import quoted
from kubegrid.store.changes import Captured
from kubegrid.store.records import Record

POP_ROWS = 1000
"""Of a set of records are taken out in one go: freeing a large one at once would hold the GIL for too long."""
_INCOMING = "incoming rows"
INCOMING = quoted(_INCOMING)
"""What a statement calls the Arrow table that it reads; with a blank, so that no table of a user is called so."""
NAMED_ROWS_MAX = 16
"""So few rows are deleted by naming them, which takes a third of the time of a join."""


class Copy:
    """One table's rows, at the moment when its changes were last taken."""

    def __init__(self, definition: TableDefinition, generation: int, rows: int, number: int, database: int) -> None:
        self.definition = definition
        self.conversion = Conversion(definition)
        self.generation = generation
        """Of the store's changes: another one means that all rows went."""
        self.rows = rows
        self.dead = 0
        """Rows deleted since the last compaction."""
        self.number = number
        """Of this copy among all that the member ever built."""
        self.database = database
        """Number of the database that it is in."""
        self.changes = 0
        """How often it changed."""


class Change:
    """What was taken of one table's changes: `gone` first, then `added`. The sets are emptied on the way."""

    __slots__ = ("added", "anew", "copy", "generation", "gone")

    def __init__(self, copy: Copy, captured: Captured) -> None:
        self.copy = copy
        self.added = captured.added
        self.gone = captured.gone
        self.generation = captured.generation
        self.anew = captured.generation != copy.generation

    def __bool__(self) -> bool:
        return bool(self.added or self.gone or self.anew)

    def prepare(self) -> "PreparedChange":
        """Convert it, slice by slice. Once."""
        return PreparedChange(self)


class PreparedChange:
    """A change as Arrow. `carry_out` needs no GIL to speak of."""

    def __init__(self, change: Change) -> None:
        self.copy = change.copy
        self.generation = change.generation
        self.anew = change.anew
        self.gone = None if change.anew else _versions_of(change.gone)
        self.added = _rows_of(change)

    def carry_out(self, cursor: Any) -> None:
        """In a transaction."""
        copy = self.copy
        table = quoted(copy.definition.name)
        if self.anew:
            cursor.execute(f"DELETE FROM {table}").fetchall()
        elif self.gone is not None and self.gone.num_rows <= NAMED_ROWS_MAX:
            named = ", ".join(map(str, self.gone.column(0).to_pylist()))
            cursor.execute(f"DELETE FROM {table} WHERE {VERSION} IN ({named})").fetchall()
        elif self.gone is not None:
            insert(cursor, self.gone, f"DELETE FROM {table} WHERE {VERSION} IN (SELECT v FROM {INCOMING})")
        if self.added is not None:
            conversion = copy.conversion
            into = f"{table} ({conversion.names}, {VERSION})"
            insert(
                cursor,
                self.added,
                f"INSERT INTO {into} SELECT {conversion.selected} FROM {INCOMING} ORDER BY {VERSION}",
            )

    def done(self) -> int:
        """It was committed: enter it in the copy's books; how many records it was."""
        copy = self.copy
        went = copy.rows if self.anew else 0 if self.gone is None else self.gone.num_rows
        came = 0 if self.added is None else self.added.num_rows
        copy.rows += came - went
        copy.dead += went
        copy.changes += 1
        copy.generation = self.generation
        return went + came


def insert(cursor: Any, incoming: Any, statement: str) -> None:
    """Run a statement that reads an Arrow table as `INCOMING`."""
    cursor.register(_INCOMING, incoming)
    try:
        cursor.execute(statement).fetchall()
    finally:
        cursor.unregister(_INCOMING)


def flattened(slices: Iterable[list[Record]]) -> Iterator[Record]:
    for records in slices:
        yield from records


def _popped(records: set[Record]) -> Iterator[list[Record]]:
    """All of a set, which is empty afterwards."""
    while records:
        yield [records.pop() for _ in range(min(POP_ROWS, len(records)))]


def _versions_of(gone: set[Record]) -> Any:
    if not gone:
        return None
    return pa.table({"v": pa.chunked_array([versions(records) for records in _popped(gone)])})


def _rows_of(change: Change) -> Any:
    if not change.added:
        return None
    return pa.Table.from_batches(list(change.copy.conversion.slices(flattened(_popped(change.added)))))
