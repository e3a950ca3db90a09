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
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import TableDefinition
from kubegrid.columns.building import HIDDEN, Build, compact
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import SpillFolder, open_database, quoted
from kubegrid.columns.delta import INCOMING, Change, Copy, insert
from kubegrid.columns.room import Room
from kubegrid.sql.errors import Unavailable
from kubegrid.store.changes import Captured

COMPACT_AFTER_S = 1.0
"""So long after a copy was built: its first statements have changes to apply, which would wait for the compaction."""


class Copies:
    """Copies in the making, all in one database."""

    def __init__(self, replica: "ColumnarReplica", cursor: Any, database: int) -> None:
        self._replica = replica
        self._cursor = cursor
        self._database = database

    def begin(self, definition: TableDefinition) -> Build:
        """Make a table anew. Raises what DuckDB raises."""
        return Build(self._cursor, Conversion(definition))

    def finish(self, definition: TableDefinition, generation: int, build: Build, *, compacting: bool = False) -> Copy:
        """The copy, to be entered; compacted already, if that is wanted and the copy is large."""
        build.finish()
        replica = self._replica
        replica.builds += 1
        replica.built_s = time.monotonic()
        copy = Copy(definition, generation, build.rows, replica.builds, self._database)
        if compacting and copy.worn and compact(self._cursor):
            copy.loose = 0
        return copy


class ColumnarReplica:
    def __init__(self, settings: SqlSettings, memory_bytes: int, state_dir: str, room: Room | None) -> None:
        """`memory_bytes`: of the member. Nothing is opened before the first table is built. `room`: what DuckDB may have
        of the process's memory; None: it is somebody else's process, whose size says nothing."""
        self.settings = settings
        self.memory_bytes = settings.replica_bytes(memory_bytes)
        self.room = room
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
        self.builds = 0
        """Copies built since the start."""
        self.built_s = 0.0
        """When the last of them was."""
        self.applied = 0
        """Records that came or went and were applied, since the start."""
        self.used_bytes = 0
        """Of DuckDB's memory, when it was last looked at."""

    # -- the database ---------------------------------------------------------------------------------------------

    def cursor(self) -> Any:
        """A connection of its own to the replica. Raises TooMuch, Unavailable, and what DuckDB raises."""
        with self._opening:
            if self.closed:
                raise Unavailable("this member is stopping")
            if self._database is None:
                self._spill = self._spill or SpillFolder(self._folder, "replica")
                settings = self.settings
                memory_bytes = self.memory_bytes if self.room is None else self.room.granted(self.memory_bytes)
                self._database = open_database(
                    memory_bytes, self._spill.path, settings.spill_bytes_max, settings.threads
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

    @contextlib.contextmanager
    def building(self) -> Iterator["Copies"]:
        """Tables may be built, on a connection of its own. The caller makes sure that nobody else builds the same ones.

        Not under `lock`: statements on other tables go on meanwhile.
        """
        with self._opening:
            self._building += 1
        try:
            cursor = self.cursor()
            try:
                yield Copies(self, cursor, self._opened)
            finally:
                cursor.close()
        finally:
            with self._opening:
                self._building -= 1

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
                default = conversion.default(place)
                value = conversion.selected_of(place)
                insert(writer, default, f"UPDATE {table} SET {name} = (SELECT {value} FROM {INCOMING})")
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
        writer = self._writer
        writer.execute("BEGIN").fetchall()
        try:
            for change in changes:
                change.carry_out(writer)
            for step in more:
                step(writer)
            writer.execute("COMMIT").fetchall()
        except BaseException:
            with contextlib.suppress(Exception):
                writer.execute("ROLLBACK").fetchall()
            raise
        self.applied += sum([change.done() for change in changes])

    def pin(self) -> Any:
        """Under `lock`: a connection in a transaction that sees all tables as they are now, and may only read."""
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY").fetchall()
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

    def compact(self) -> bool:
        """Free what deleted rows take and compress what came, if it is much; whether it was done. Not under `lock`: reading
        goes on, and changes wait."""
        if time.monotonic() - self.built_s < COMPACT_AFTER_S:
            return False
        worn = [(copy, copy.dead, copy.loose) for copy in list(self.copies.values()) if copy.worn]
        if not worn:
            return False
        cursor = self.cursor()
        try:
            if not compact(cursor):
                return False
        finally:
            cursor.close()
        for copy, dead, loose in worn:
            copy.dead -= dead
            copy.loose -= loose
        return True
