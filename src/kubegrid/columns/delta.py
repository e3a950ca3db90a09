"""One table's copy, and what came and went of it since it was last brought up to date, ready for DuckDB.

Next on the path of the data: `replica`.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kubegrid.base.tables import TableDefinition
from kubegrid.columns import block_columns
from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import quoted
from kubegrid.store.changes import Captured, Cold
from kubegrid.store.records import Record

if TYPE_CHECKING:
    from kubegrid.store.blocks import Block

POP_ROWS = 1000
"""Of what came or went are taken out in one go: freeing much at once would hold the GIL for too long."""
_INCOMING = "incoming rows"
INCOMING = quoted(_INCOMING)
"""What a statement calls the Arrow table that it reads; with a blank, so that no table of a user is called so."""
WORN_ROWS_MIN = 50_000
WORN_PART = 4
"""A table is compacted when more than a quarter of its rows are dead or came since the last time, and at least so many."""
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
        self.loose = rows
        """Rows that came since then, and are not compressed."""
        self.number = number
        """Of this copy among all that the member ever built."""
        self.database = database
        """Number of the database that it is in."""
        self.changes = 0
        """How often it changed."""

    @property
    def worn(self) -> bool:
        """Whether it is to be compacted."""
        return max(self.dead, self.loose) > max(WORN_ROWS_MIN, self.rows // WORN_PART)


class Change:
    """What was taken of one table's changes: `gone` first, then `blocks`, then `added`. All are emptied on the way."""

    __slots__ = ("added", "anew", "blocks", "copy", "dead", "generation", "gone")

    def __init__(self, copy: Copy, captured: Captured) -> None:
        self.copy = copy
        self.added = captured.added
        self.gone = captured.gone
        self.blocks = captured.blocks
        self.dead = captured.dead
        self.generation = captured.generation
        self.anew = captured.generation != copy.generation

    def __bool__(self) -> bool:
        return bool(self.added or self.gone or self.blocks or self.anew)

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
        self.blocks = list(block_columns.incoming(change.copy.conversion, _cold(change.blocks, change.dead)))
        self.added = _rows_of(change)
        self.went = 0
        """Rows that were deleted; of those that are gone some may never have been here."""

    def carry_out(self, cursor: Any) -> None:
        """In a transaction."""
        copy = self.copy
        table = quoted(copy.definition.name)
        went: list[tuple[int]] = []
        if self.anew:
            went = cursor.execute(f"DELETE FROM {table}").fetchall()
        elif self.gone is not None and self.gone.num_rows <= NAMED_ROWS_MAX:
            named = ", ".join(map(str, self.gone.column(0).to_pylist()))
            went = cursor.execute(f"DELETE FROM {table} WHERE {VERSION} IN ({named})").fetchall()
        elif self.gone is not None:
            went = insert(cursor, self.gone, f"DELETE FROM {table} WHERE {VERSION} IN (SELECT v FROM {INCOMING})")
        self.went = sum([count for (count,) in went])
        conversion = copy.conversion
        into = f"{table} ({conversion.names}, {VERSION})"
        for selected, rows in self.blocks:
            insert(cursor, rows, f"INSERT INTO {into} SELECT {selected} FROM {INCOMING}")
        if self.added is not None:
            insert(
                cursor,
                self.added,
                f"INSERT INTO {into} SELECT {conversion.selected} FROM {INCOMING} ORDER BY {VERSION}",
            )

    def done(self) -> int:
        """It was committed: enter it in the copy's books; how many rows it was."""
        copy = self.copy
        came: int = sum([rows.num_rows for _, rows in self.blocks])
        came += 0 if self.added is None else self.added.num_rows
        copy.rows += came - self.went
        copy.dead += self.went
        copy.loose += came
        copy.changes += 1
        copy.generation = self.generation
        return self.went + came


def insert(cursor: Any, incoming: Any, statement: str) -> list[Any]:
    """Run a statement that reads an Arrow table as `INCOMING`; what DuckDB answers: how many rows it was."""
    cursor.register(_INCOMING, incoming)
    try:
        answer: list[Any] = cursor.execute(statement).fetchall()
    finally:
        cursor.unregister(_INCOMING)
    return answer


def _popped(versions: set[int]) -> Iterator[list[int]]:
    """All of a set, which is empty afterwards."""
    while versions:
        yield [versions.pop() for _ in range(min(POP_ROWS, len(versions)))]


def _records_of(added: dict[int, Record]) -> Iterator[Record]:
    """All of a dictionary, which is empty afterwards."""
    while added:
        yield added.popitem()[1]


def _cold(blocks: list["Block"], dead: set[int]) -> list[Cold]:
    """Blocks, in the order of versions, without the rows of these versions."""
    firsts = [block.first for block in blocks]
    taken: list[set[int]] = [set() for _ in blocks]
    for some in _popped(dead):
        for version in some:
            place = bisect_right(firsts, version) - 1
            taken[place].add(version - firsts[place])
    return [Cold(block, places) for block, places in zip(blocks, taken, strict=True) if len(places) < block.size]


def _versions_of(gone: set[int]) -> Any:
    if not gone:
        return None
    return pa.table({"v": pa.chunked_array([pa.array(some, pa.uint64()) for some in _popped(gone)])})


def _rows_of(change: Change) -> Any:
    if not change.added:
        return None
    return pa.Table.from_batches(list(change.copy.conversion.slices(_records_of(change.added))))
