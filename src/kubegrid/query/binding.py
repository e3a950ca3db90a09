"""Names and types, as DuckDB has them: statements are bound in an empty DuckDB that has the catalog's tables.

What a statement's columns are called and which types they have, and what is wrong with it, is so said by DuckDB itself,
before a partition is asked anything. A catalog may have a thousand tables and making one costs half a millisecond, so
only the tables that a statement names are made, and all of them when it asks for the catalog itself.

`Binding.seen` has what users see, and runs what they ask about the catalog (`information_schema`); `Binding.hidden` has
what fragments see: `__version`, and `t__all` for all rows of a broadcast table.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.columns.database import open_database, quoted
from kubegrid.query.duck_errors import sql_error
from kubegrid.query.plain_types import without_dictionaries
from kubegrid.query.running import Running
from kubegrid.query.watch import Watch
from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, Unavailable

Columns = tuple[tuple[str, str], ...]
"""Names and DuckDB types, in order."""

VERSION_COLUMN = "__version"
ALL_ROWS = "__all"
MEMORY_BYTES = 64 * 2**20
"""Of each of the two databases: tables without rows, and what a statement without tables computes."""
ARROW_TYPES_MAX = 1000
MADE_AT_ONCE = 50
"""Tables; some 25 ms."""
_WORD = re.compile(r'(?<![\w"\'])[A-Za-z_]\w*(?![\w"\'])')
WAIT_S = 0.05
"""How often one that waits for its turn looks whether it may go on."""


class EmptyTables:
    """A DuckDB with tables of a catalog and no rows in them. One thread at a time: its owner has a lock.

    It is opened when it is needed: that takes as long as planning a dozen statements, and a pod's first one waits for it.
    """

    def __init__(self, definition: Callable[[TableDefinition], str], opened: Callable[[], Any]) -> None:
        self._opened = opened
        self._connection: Any = None
        self._definition = definition
        self._made: dict[str, TableDefinition] = {}
        self._version = -1
        self._names: dict[str, TableDefinition] = {}

    @property
    def connection(self) -> Any:
        if self._connection is None:
            self._connection = self._opened()
        return self._connection

    def close(self) -> None:
        """It is not opened after that."""
        self._opened = _closed
        if self._connection is not None:
            self._connection.close()

    def have(self, catalog: Catalog, tables: Iterable[str] | None) -> None:
        """Make these tables as the catalog has them; None: all. Names are as a statement spells them."""
        if catalog.version != self._version:
            self._names = {table.name.lower(): table for table in catalog.tables}
            for name in [name for name, made in self._made.items() if not _same(made, self._names.get(name))]:
                self._drop(name)
            self._version = catalog.version
        wanted = self._names if tables is None else {name.lower() for name in tables} & self._names.keys()
        missing = [self._names[name] for name in wanted if name not in self._made]
        if missing:
            self.connection.execute("; ".join(self._definition(table) for table in missing))
            self._made |= {table.name.lower(): table for table in missing}

    def _drop(self, name: str) -> None:
        table = self._made.pop(name).name
        for each in (table, table + ALL_ROWS):
            self.connection.execute(f"DROP TABLE IF EXISTS {quoted(each)}")


def _closed() -> Any:
    raise Unavailable("this member is stopping")


class Binding:
    """Thread-safe; one statement at a time is bound, which takes half a millisecond.

    It may take much longer: DuckDB computes what is constant in a statement while it binds it. So whoever waits for its
    turn, and whoever has it, ends with its statement's time.
    """

    def __init__(self, spill_folder: str, spill_bytes_max: int) -> None:
        self._lock = threading.Lock()
        self._watch = Watch()
        opened = partial(open_database, MEMORY_BYTES, spill_folder, spill_bytes_max)
        self._seen = EmptyTables(_seen, partial(opened, lossless=False))
        self._hidden = EmptyTables(_hidden, opened)
        self._bare = EmptyTables(_seen, opened)
        self._arrow_types: dict[str, Any] = {}

    def columns(
        self, text: str, catalog: Catalog, tables: Iterable[str] | None, running: Running | None = None
    ) -> Columns:
        """Of what a user wrote, or would see. Raises SqlError with its place in the text."""
        if tables is None:
            self._make_all(catalog, running)
        with self._turn(self._seen, running, lambda seen: seen.have(catalog, tables)) as cursor:
            try:
                return columns_of(cursor.sql(text))
            except Exception as error:
                if running is not None:
                    running.check()
                raise self._told(cursor, text, catalog, error) from None

    def names(
        self, text: str, values: Sequence[Any], catalog: Catalog, tables: Iterable[str], running: Running | None = None
    ) -> tuple[str, ...] | None:
        """Of the columns of what a user wrote with parameters; None: DuckDB takes none where they stand."""
        with self._turn(self._seen, running, lambda seen: seen.have(catalog, tables)) as cursor:
            try:
                described = cursor.execute("DESCRIBE\n" + text, list(values)).fetchall()
            except Exception:
                if running is not None:
                    running.check()
                return None
            return tuple(str(name) for name, *_ in described)

    def placed(self, error: SqlError, text: str, catalog: Catalog, running: Running | None = None) -> SqlError:
        """An error in a SELECT of our own, with its place in the statement that this was made of, if DuckDB tells it
        there too. `text`: that statement; empty: it is none of DuckDB's."""
        if not error.where:
            return error
        with self._turn(self._seen, running) as cursor:
            try:
                cursor.execute("EXPLAIN\n" + text)
            except Exception as found:
                told = sql_error(found, text, catalog.by_name, lines_before=1)
                if told.message == error.message:
                    return told
        return type(error)(error.message, remedy=error.advice)

    def check_reads_none(self, text: str, catalog: Catalog, running: Running | None = None) -> None:
        """That a statement which is run here reads no table of the grid after all, in words that the planner does not
        know: here they have no rows, and the answer would be wrong. Raises NotSupported."""
        read = self._read(text, running)
        if read is None:
            self._check_binds_alone(text, running)
        for table in catalog.tables:
            if table.name.lower() in (read or ()):
                raise NotSupported(f"table {table.name} cannot be read in this way", remedy="Write a SELECT … FROM it.")

    def _read(self, text: str, running: Running | None) -> set[str] | None:
        """The tables that a statement reads; None: DuckDB cannot tell, as of an ASOF join or of quantiles in a list."""
        with self._turn(self._seen, running) as cursor:
            try:
                return {name.lower() for name in cursor.get_table_names(text)}
            except Exception:
                if running is not None:
                    running.check()
                return None

    def _check_binds_alone(self, text: str, running: Running | None) -> None:
        """In a database that never has a table."""
        with self._turn(self._bare, running) as cursor:
            try:
                cursor.sql(text)
            except Exception as error:
                if running is not None:
                    running.check()
                raise sql_error(error) from error

    def hidden_columns(
        self, sql: str, catalog: Catalog, tables: Iterable[str], running: Running | None = None
    ) -> Columns:
        """Of what only runs inside: fragments, and the questions of statements that write."""
        with self._turn(self._hidden, running, lambda hidden: hidden.have(catalog, tables)) as cursor:
            try:
                return columns_of(cursor.sql(sql))
            except Exception as error:
                if running is not None:
                    running.check()
                raise sql_error(error) from error

    def catalog_cursor(self, catalog: Catalog, running: Running | None = None) -> Any:
        """A connection to the tables as users see them, to run a question about the catalog in."""
        self._make_all(catalog, running)
        with self._locked(running):
            self._seen.have(catalog, None)
            return self._seen.connection.cursor()

    def schema(self, columns: Sequence[tuple[str, str]], running: Running | None = None) -> Any:
        """The `pyarrow.Schema` of an answer with these columns."""
        import pyarrow as pa

        with self._locked(running):
            missing = {kind for _, kind in columns} - self._arrow_types.keys()
            if missing:
                self._learn(sorted(missing))
            return pa.schema([pa.field(name, self._arrow_types[kind]) for name, kind in columns])

    def close(self) -> None:
        self._watch.close()
        with self._lock, contextlib.suppress(Exception):  # busy with a result that nobody reads: it closes with that
            self._seen.close()
            self._hidden.close()
            self._bare.close()

    @contextlib.contextmanager
    def _locked(self, running: Running | None) -> Iterator[None]:
        """One at a time; who waits waits as long as its statement may go on. Raises TimedOut, Cancelled."""
        while not self._lock.acquire(timeout=WAIT_S):
            if running is not None:
                running.check()
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _turn(
        self, tables: EmptyTables, running: Running | None, make: Callable[[EmptyTables], None] | None = None
    ) -> Iterator[Any]:
        """A cursor, which is interrupted when the statement is over."""
        with self._locked(running):
            if make is not None:
                make(tables)
            cursor = tables.connection.cursor()
            try:
                if running is None:
                    yield cursor
                else:
                    with self._watch.over(running, cursor.interrupt):
                        yield cursor
            finally:
                cursor.close()

    def _make_all(self, catalog: Catalog, running: Running | None) -> None:
        """In pieces, between which other statements are bound."""
        names = list(catalog.by_name)
        for start in range(0, len(names), MADE_AT_ONCE):
            with self._locked(running):
                self._seen.have(catalog, names[start : start + MADE_AT_ONCE])

    def _told(self, cursor: Any, text: str, catalog: Catalog, error: Exception) -> SqlError:
        """DuckDB tells the place only of a statement that it is to run; EXPLAIN, on a line of its own, runs nothing."""
        try:
            cursor.execute("EXPLAIN\n" + text)
        except Exception as placed:
            told = sql_error(placed, text, catalog.by_name, lines_before=1)
        else:
            told = sql_error(error, tables=catalog.by_name)
        hint = _unquoted(cursor, text, catalog) if isinstance(told, SyntaxProblem) else ""
        if not hint:
            return told
        return SyntaxProblem(told.message, line=told.line, column=told.column, where=told.where, remedy=hint)

    def _learn(self, kinds: Sequence[str]) -> None:
        if len(self._arrow_types) > ARROW_TYPES_MAX:
            self._arrow_types.clear()
        cursor = self._seen.connection.cursor()
        try:
            nulls = ", ".join(f"NULL::{kind} AS c{place}" for place, kind in enumerate(kinds))
            schema = cursor.sql(f"SELECT {nulls} LIMIT 0").to_arrow_table().schema
        except Exception as error:
            raise NotSupported(f"an answer cannot have a column of one of these types: {', '.join(kinds)}") from error
        finally:
            cursor.close()
        self._arrow_types |= dict(zip(kinds, map(without_dictionaries, schema.types), strict=True))


def _unquoted(cursor: Any, text: str, catalog: Catalog) -> str:
    """What to say of a column's name that stands in a statement as it is, and is a word of SQL's own."""
    names = {name.lower() for table in catalog.tables for name in table.names}
    words = [word for word in dict.fromkeys(_WORD.findall(text)) if word.lower() in names]
    known = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
    reserved = {word for (word,) in cursor.execute(known).fetchall()} if words else set()
    found = next((word for word in words if word.lower() in reserved), None)
    return f'{found} is a word of SQL; as the name of a column it is written "{found}".' if found else ""


def _same(one: TableDefinition, other: TableDefinition | None) -> bool:
    return other is not None and (one.id, one.schema) == (other.id, other.schema)


def columns_of(relation: Any) -> Columns:
    """Of a DuckDB relation. What is only ever NULL has a type that nothing can be cast to; it goes as INTEGER."""
    kinds = ["INTEGER" if str(kind) in ('"NULL"', "NULL") else str(kind) for kind in relation.types]
    return tuple(zip(relation.columns, kinds, strict=True))


def _seen(table: TableDefinition) -> str:
    columns = [f"{quoted(column.name)} {column.type.name}{_rule(column)}" for column in table.columns]
    key = ", ".join(quoted(name) for name in table.key)
    return f"CREATE TABLE {quoted(table.name)} ({', '.join(columns)}, PRIMARY KEY ({key}))"


def _rule(column: Any) -> str:
    rule = "" if column.nullable else " NOT NULL"
    if column.default is None:
        return rule
    text = column.type.to_text(column.default).decode(errors="replace").replace("'", "''")
    return f"{rule} DEFAULT '{text}'::{column.type.name}"


def _hidden(table: TableDefinition) -> str:
    columns = ", ".join(f"{quoted(column.name)} {column.type.name}" for column in table.columns)
    columns += f", {VERSION_COLUMN} UBIGINT"
    made = f"CREATE TABLE {quoted(table.name)} ({columns})"
    return f"{made}; CREATE TABLE {quoted(table.name + ALL_ROWS)} ({columns})" if table.broadcast else made
