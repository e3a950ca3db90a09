"""The columnar replica of one member: its own rows of the tables that somebody asks, as tables of an in-memory DuckDB.

It is derived and disposable: any table of it, or all of it, can be dropped at any moment and is built again when the next
statement needs it. The row store stays the truth, and says what came and went since the last time (`store.changes`). A
row is found again by its record's version, in a hidden column without an index: rows lie in the order of their versions,
so a few are found by the row groups' bounds, and many by one pass, which takes less time than keeping an index would.

Invariant: under `lock`, a table of `copies` holds exactly the rows that the store had when its changes were last taken.
Whoever applies what was taken and fails on the way gives up the copy (`give_up`), because what was taken is not given
twice. A statement reads in a transaction that begins under the lock (`pin`), so it sees every table at that one moment.

DuckDB would compact a table now and then in the middle of a commit, which takes a third of a second for a million rows.
Here that is done between statements (`compact`). Next on the path of the data: `node/sql_fragments`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import TableDefinition
from kubegrid.columns.conversion import VERSION, Conversion, versions
from kubegrid.columns.database import SpillFolder, open_database, quoted
from kubegrid.store.changes import Captured
from kubegrid.store.records import Record

INSERT_BYTES = 8 * 2**20
"""Of Arrow that one INSERT takes while a table is built: DuckDB has a row group in about as much."""
DEAD_ROWS_MIN = 50_000
DEAD_PART = 4
"""A table is compacted when more than a quarter of its rows are dead, and at least so many."""
HIDDEN = "hidden"
"""The DuckDB schema of what no statement names: rows on their way into a table, and rows that other partitions own."""
POP_ROWS = 1000
"""Of a set of records are taken out in one go: freeing a large one at once would hold the GIL for too long."""


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


class ColumnarReplica:
    def __init__(self, settings: SqlSettings, memory_bytes: int, state_dir: str) -> None:
        """`memory_bytes`: of the member. Nothing is opened before the first table is built."""
        self.settings = settings
        self.memory_bytes = settings.replica_bytes(memory_bytes)
        self.lock = threading.Lock()
        """Held while changes are taken and applied, and while a statement's transaction begins."""
        self.copies: dict[int, Copy] = {}
        """By the table's number."""
        self.closed = False
        self._folder = settings.spill_folder or state_dir
        self._spill: SpillFolder | None = None
        self._database: Any = None
        self._writer: Any = None
        self._opening = threading.Lock()
        self._opened = 0
        """Databases so far."""
        self._building = 0
        """Copies that are being built now."""
        self._built = 0
        self.applied = 0
        """Records that came or went and were applied, since the start."""
        self.used_bytes = 0
        """Of DuckDB's memory, when it was last looked at."""

    # -- the database ---------------------------------------------------------------------------------------------

    def cursor(self) -> Any:
        """A connection of its own to the replica. Raises what DuckDB raises when it cannot be opened."""
        with self._opening:
            if self.closed:
                raise ValueError("the replica is closed")
            if self._database is None:
                self._spill = self._spill or SpillFolder(self._folder, "replica")
                settings = self.settings
                self._database = open_database(
                    self.memory_bytes, self._spill.path, settings.spill_bytes_max, settings.threads
                )
                self._database.execute(f"CREATE SCHEMA {HIDDEN}").fetchall()
                self._writer = self._database.cursor()
                self._opened += 1
            return self._database.cursor()

    def idle(self) -> bool:
        """Under `lock`: there is nothing in it, nor about to be."""
        return not self.copies and not self._building

    def enter(self, copy: Copy) -> None:
        """Under `lock`: this copy was built. Nothing happens if the database that it was built in was dropped."""
        if copy.database == self._opened and self._database is not None:
            self.copies[copy.definition.id] = copy

    def drop_all(self) -> None:
        """Under `lock`: forget every copy. Statements that run keep what they read until they end."""
        self.copies.clear()
        with self._opening:
            # Not closed: that would close the connections of statements that run. The last of them frees its memory.
            self._database = self._writer = None

    def close(self) -> None:
        """Forget everything, for good. May be called twice."""
        with self.lock:
            self.closed = True
            self.drop_all()
            if self._spill is not None:
                self._spill.remove()

    # -- tables ---------------------------------------------------------------------------------------------------

    def build(self, definition: TableDefinition, generation: int, slices: Iterable[list[Record]]) -> Copy:
        """A copy with these records, to be entered. The caller makes sure that nobody else builds this table.

        Not under `lock`: statements on other tables go on meanwhile.
        """
        with self._opening:
            self._building += 1
        try:
            return self._build(definition, generation, slices)
        finally:
            with self._opening:
                self._building -= 1

    def _build(self, definition: TableDefinition, generation: int, slices: Iterable[list[Record]]) -> Copy:
        conversion = Conversion(definition)
        table = quoted(definition.name)
        staging = f"{HIDDEN}.build_{definition.id}"
        rows = 0
        cursor = self.cursor()
        database = self._opened
        try:
            cursor.execute(f"CREATE OR REPLACE TABLE {staging} ({conversion.declared})").fetchall()
            records = _counted(slices)
            for incoming in _gathered(conversion, records):
                rows += incoming.num_rows
                insert(cursor, incoming, f"INSERT INTO {staging} SELECT {conversion.selected} FROM incoming")
            cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {staging} ORDER BY {VERSION}").fetchall()
            cursor.execute(f"DROP TABLE {staging}").fetchall()
            _compact(cursor)
        except BaseException:
            with contextlib.suppress(Exception):
                cursor.execute(f"DROP TABLE IF EXISTS {staging}").fetchall()
            raise
        finally:
            cursor.close()
        self._built += 1
        return Copy(definition, generation, rows, self._built, database)

    def give_up(self, number: int) -> None:
        """Under `lock`: forget a table's copy, if there is one."""
        copy = self.copies.pop(number, None)
        writer = self._writer
        if copy is not None and writer is not None:
            with contextlib.suppress(Exception):  # whatever is left of it is replaced by the next build
                writer.execute(f"DROP TABLE IF EXISTS {quoted(copy.definition.name)} CASCADE").fetchall()

    def evolve(self, definition: TableDefinition) -> None:
        """Under `lock`: the table has more columns than its copy; give the copy's rows their defaults."""
        copy = self.copies[definition.id]
        conversion = Conversion(definition)
        table = quoted(definition.name)
        writer = self._writer
        for place in range(len(copy.definition.columns), len(definition.columns)):
            column = definition.columns[place]
            name = quoted(column.name)
            writer.execute(f"ALTER TABLE {table} ADD COLUMN {name} {column.type.name}").fetchall()
            if column.default is not None and copy.rows:
                default = pa.table({f"c{place}": conversion.default(place)})
                value = conversion.selected_of(place)
                insert(writer, default, f"UPDATE {table} SET {name} = (SELECT {value} FROM incoming)")
        copy.definition = definition
        copy.conversion = conversion

    def change(self, number: int, captured: Captured) -> Change:
        """Under `lock`: what was taken of the changes of a table that has a copy."""
        return Change(self.copies[number], captured)

    def work(self, step: Callable[[Any], None]) -> None:
        """Under `lock`: do something with the connection that writes."""
        step(self._writer)

    def apply(self, changes: Sequence[Change], more: Sequence[Callable[[Any], None]] = ()) -> None:
        """Under `lock`: bring these copies up to date, all or none. Raises what DuckDB raises; then give them up.

        `more` is done in the same transaction.
        """
        changes = [change for change in changes if change]
        if not changes and not more:
            return
        # Converted before the transaction, slice by slice.
        prepared = [(change, _versions_of(change.gone), _rows_of(change)) for change in changes]
        writer = self._writer
        writer.execute("BEGIN").fetchall()
        try:
            for change, gone, added in prepared:
                copy = change.copy
                table = quoted(copy.definition.name)
                if change.anew:
                    writer.execute(f"DELETE FROM {table}").fetchall()
                elif gone is not None:
                    insert(writer, gone, f"DELETE FROM {table} WHERE {VERSION} IN (SELECT v FROM incoming)")
                if added is not None:
                    selected = copy.conversion.selected
                    into = f"{table} ({copy.conversion.names}, {VERSION})"
                    insert(writer, added, f"INSERT INTO {into} SELECT {selected} FROM incoming ORDER BY {VERSION}")
            for step in more:
                step(writer)
            writer.execute("COMMIT").fetchall()
        except BaseException:
            with contextlib.suppress(Exception):
                writer.execute("ROLLBACK").fetchall()
            raise
        for change, gone, added in prepared:
            copy = change.copy
            went = copy.rows if change.anew else gone.num_rows if gone is not None else 0
            copy.rows += (added.num_rows if added is not None else 0) - went
            copy.dead += went
            copy.changes += 1
            self.applied += went + (added.num_rows if added is not None else 0)
            copy.generation = change.generation

    def pin(self, copies: Iterable[Copy]) -> Any:
        """Under `lock`: a connection in a transaction that sees these tables as they are now, and may only read."""
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY").fetchall()
            # A transaction's view begins with the first table that it touches, not with BEGIN.
            for copy in copies:
                cursor.execute(f"SELECT 1 FROM {quoted(copy.definition.name)} LIMIT 0").fetchall()
                break
        except BaseException:
            cursor.close()
            raise
        return cursor

    def measure(self) -> None:
        """Look how much memory DuckDB uses."""
        if self._database is None:
            self.used_bytes = 0
            return
        cursor = self.cursor()
        try:
            [(used,)] = cursor.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchall()
            self.used_bytes = int(used or 0)
        finally:
            cursor.close()

    @property
    def builds(self) -> int:
        """Copies built since the start."""
        return self._built

    def compact(self) -> bool:
        """Free what deleted rows take, if there are many; whether it was tried. Not under `lock`: reading goes on."""
        worn = [copy for copy in self.copies.values() if copy.dead > max(DEAD_ROWS_MIN, copy.rows // DEAD_PART)]
        if not worn:
            return False
        for copy in worn:
            copy.dead = 0
        cursor = self.cursor()
        try:
            _compact(cursor)
        finally:
            cursor.close()
        return True


def insert(cursor: Any, incoming: Any, statement: str) -> None:
    """Run a statement that reads the Arrow table `incoming`."""
    cursor.register("incoming", incoming)
    try:
        cursor.execute(statement).fetchall()
    finally:
        cursor.unregister("incoming")


def _compact(cursor: Any) -> None:
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


def _counted(slices: Iterable[list[Record]]) -> Iterator[Record]:
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
    return pa.Table.from_batches(list(change.copy.conversion.slices(_counted(_popped(change.added)))))
