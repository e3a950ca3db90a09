"""A grid's partitions without a grid: a DuckDB for each, and the rows of a table where their keys would put them.

Fragments run in them as in members: own rows as `t` with `__version`, all rows of a broadcast table as `t__all`, Arrow
in DuckDB's lossless form. What a network and dying members do to a fragment is what a test says in `before` and `during`.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from kubegrid.base.record_keys import RecordKeys
from kubegrid.base.settings import SqlSettings
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.client.slots import slot_of
from kubegrid.columns.broadcast import MARKS
from kubegrid.columns.database import open_database, quoted
from kubegrid.columns.errors import as_sql_error
from kubegrid.columns.requests import FragmentRequest
from kubegrid.query.engine import Engine
from kubegrid.query.fragments import NO_ROWS
from kubegrid.query.writer import Written
from kubegrid.sql.errors import SchemaMoved
from kubegrid.sql.routing import partition_of_slot
from kubegrid.wire.arrow_schemas import arrow_schema

MEMORY_BYTES = 512 * 2**20


class Reader:
    """What `Partitions.run` gives, with a place between two batches where a test can do harm."""

    def __init__(self, schema: Any, batches: Iterator[Any], during: Callable[[int], None], end: Callable[[], None]):
        self.schema = schema
        self.closed = False
        self._batches = enumerate(batches)
        self._during = during
        self._end = end

    def __iter__(self) -> "Reader":
        return self

    def __next__(self) -> Any:
        number, batch = next(self._batches)
        self._during(number)
        return batch

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._end()


class InProcess:
    """`query.partitions.Partitions`. Every table is in a reference DuckDB, too, whole: `expected` asks that."""

    def __init__(self, count: int, folder: str) -> None:
        self.count = count
        self.catalog = Catalog()
        self.members = [open_database(MEMORY_BYTES, folder, MEMORY_BYTES) for _ in range(count)]
        self.reference = open_database(MEMORY_BYTES, folder, MEMORY_BYTES, lossless=False)
        self.asked: list[tuple[int, FragmentRequest]] = []
        self.asked_marks: list[tuple[int, FragmentRequest]] = []
        """Those that are asked for nothing else."""
        self.readers: list[Reader] = []
        self.before: Callable[[int, FragmentRequest], None] = lambda partition, request: None
        self.during: Callable[[int, int], None] = lambda partition, batch: None
        self.batch_rows = 65_536
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, definition: Mapping[str, Any]) -> None:
        self.catalog = self.catalog.create(parse_definition(None, definition))
        table = self.catalog.table(definition["name"])
        columns = ", ".join(f"{quoted(column.name)} {column.type.name}" for column in table.columns)
        name = quoted(table.name)
        self.reference.execute(f"CREATE TABLE {name} ({columns})")
        for member in self.members:
            member.execute(f"CREATE TABLE {name} ({columns}, __version UBIGINT)")
            if table.broadcast:
                member.execute(f"CREATE TABLE {quoted(table.name + '__all')} ({columns}, __version UBIGINT)")

    def drop(self, table: str) -> None:
        self.catalog = self.catalog.drop(table)
        for database in (self.reference, *self.members):
            database.execute(f"DROP TABLE {quoted(table)}")

    def insert(self, table: str, rows: Sequence[Sequence[Any]] | Any) -> None:
        """Rows as tuples, or an Arrow table."""
        definition = self.catalog.table(table)
        if not isinstance(rows, pa.Table):
            schema = arrow_schema(definition)
            columns = list(zip(*rows, strict=True)) or [[] for _ in schema]
            rows = pa.table(
                [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema
            )
        rows = rows.cast(arrow_schema(definition))
        keys = RecordKeys(definition)
        values = zip(*(rows.column(name).to_pylist() for name in definition.key), strict=True)
        owners = [partition_of_slot(slot_of(keys.key(each)), self.count) for each in values]
        versions = pa.array([next(self._versions) for _ in owners], pa.uint64())
        own = pa.array(owners, pa.int32())
        self._put(self.reference, table, rows)
        for number, member in enumerate(self.members):
            with_version = rows.append_column("__version", versions)
            self._put(member, table, with_version.filter(pa.compute.equal(own, number)))
            if definition.broadcast:
                self._put(member, table + "__all", with_version)

    def run(self, partition: int, request: FragmentRequest, cancelled: Callable[[], bool]) -> Reader:
        with self._lock:
            (self.asked_marks if request.sql == NO_ROWS else self.asked).append((partition, request))
        self.before(partition, request)
        for name, number in request.ids.items():
            if name not in self.catalog.by_name or self.catalog.table(name).id != number:
                raise SchemaMoved(f"table {name} is another one here")
        cursor = self.members[partition].cursor()
        try:
            arrow = cursor.sql(request.sql).to_arrow_reader(self.batch_rows)
        except Exception as error:
            raise as_sql_error(error) from error

        def end() -> None:
            arrow.close()
            cursor.close()

        marks = {table: f"{partition}-{table}" for table in request.tables}
        schema = arrow.schema.with_metadata({MARKS: msgspec.json.encode(marks)})
        reader = Reader(schema, iter(arrow), lambda number: self.during(partition, number), end)
        self.readers.append(reader)
        return reader

    def expected(self, sql: str) -> Any:
        """The answer of one DuckDB with all rows, as a `pyarrow.Table`."""
        cursor = self.reference.cursor()
        try:
            return cursor.sql(sql).to_arrow_table()
        finally:
            cursor.close()

    def close(self) -> None:
        for database in (self.reference, *self.members):
            database.close()

    @staticmethod
    def _put(database: Any, table: str, rows: Any) -> None:
        database.register("coming", rows)
        database.execute(f"INSERT INTO {quoted(table)} SELECT * FROM coming")
        database.unregister("coming")


class NoWriter:
    """These tests only ask."""

    def execute(self, *_: Any, **__: Any) -> Written:
        raise AssertionError("nothing writes here")


def engine_over(grid: InProcess, **settings: Any) -> Engine:
    return Engine(lambda: grid.catalog, grid, NoWriter(), SqlSettings(**settings))


def sorted_rows(table: Any) -> list[tuple[Any, ...]]:
    """As a multiset: sorted by their text."""
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)
