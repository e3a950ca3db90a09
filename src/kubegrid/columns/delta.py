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
INSERT_BYTES = 8 * 2**20
"""Of Arrow made of records that one INSERT takes: DuckDB has a group of rows in about as much."""
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
    """What was taken of one table's changes: `gone` first, then `blocks`, then `added`. All are emptied on the way.

    It becomes Arrow piece by piece: all of it at once could be several times what the process has left.
    """

    __slots__ = ("added", "anew", "blocks", "came", "copy", "dead", "generation", "gone", "went")

    def __init__(self, copy: Copy, captured: Captured) -> None:
        self.copy = copy
        self.added = captured.added
        self.gone = captured.gone
        self.blocks = captured.blocks
        self.dead = captured.dead
        self.generation = captured.generation
        self.anew = captured.generation != copy.generation
        self.came = 0
        self.went = 0
        """Rows that were deleted; of those that are gone some may never have been here."""

    def __bool__(self) -> bool:
        return bool(self.added or self.gone or self.blocks or self.anew)

    def carry_out(self, cursor: Any) -> None:
        """In a transaction. Once."""
        table = quoted(self.copy.definition.name)
        self.went = sum([count for (count,) in self._delete(cursor, table)])
        conversion = self.copy.conversion
        into = f"{table} ({conversion.names}, {VERSION})"
        for selected, rows in block_columns.incoming(conversion, _cold(self.blocks, self.dead)):
            self.came += rows.num_rows
            insert(cursor, rows, f"INSERT INTO {into} SELECT {selected} FROM {INCOMING}")
        for rows in _pieces(conversion.slices(_records_of(self.added))):
            self.came += rows.num_rows
            statement = f"INSERT INTO {into} SELECT {conversion.selected} FROM {INCOMING} ORDER BY {VERSION}"
            insert(cursor, rows, statement)

    def _delete(self, cursor: Any, table: str) -> list[tuple[int]]:
        if self.anew:
            return cursor.execute(f"DELETE FROM {table}").fetchall()  # type: ignore[no-any-return]
        gone = _versions_of(self.gone)
        if gone is None:
            return []
        if gone.num_rows <= NAMED_ROWS_MAX:
            named = ", ".join(map(str, gone.column(0).to_pylist()))
            return cursor.execute(f"DELETE FROM {table} WHERE {VERSION} IN ({named})").fetchall()  # type: ignore[no-any-return]
        return insert(cursor, gone, f"DELETE FROM {table} WHERE {VERSION} IN (SELECT v FROM {INCOMING})")

    def done(self) -> int:
        """It was committed: enter it in the copy's books; how many rows it was."""
        copy = self.copy
        copy.rows += self.came - self.went
        copy.dead += self.went
        copy.loose += self.came
        copy.changes += 1
        copy.generation = self.generation
        return self.went + self.came


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
    """All of a dictionary, in its order, which is mostly that of versions; it is empty afterwards."""
    records = []
    while added:
        records.append(added.popitem()[1])
    while records:
        yield records.pop()


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


def _pieces(slices: Iterator[Any]) -> Iterator[Any]:
    """Arrow tables of about `INSERT_BYTES`, of slices that are made one after the other."""
    batches: list[Any] = []
    size = 0
    for batch in slices:
        batches.append(batch)
        size += batch.nbytes
        if size >= INSERT_BYTES:
            yield pa.Table.from_batches(batches)
            batches, size = [], 0
    if batches:
        yield pa.Table.from_batches(batches)
