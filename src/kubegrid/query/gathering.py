"""What the fragments yielded, on its way into the final statement.

Small answers stay Arrow and are read by DuckDB where they lie. A statement that gathers more than its share of memory
puts the rest into tables in the workroom's DuckDB, a schema for each statement, where the memory limit holds and DuckDB
spills to disk; what is too much for that as well ends in an error of its own.

A part is one fragment's rows of one partition; it counts when it is whole, and begins anew when the partition failed.
"""

import threading
from collections.abc import Iterator
from typing import Any

from kubegrid.columns.database import quoted
from kubegrid.query.binding import Columns
from kubegrid.query.running import Running
from kubegrid.query.watch import Watch
from kubegrid.query.workroom import Workroom

ARROW_SHARE = 8
"""A statement may keep an eighth of the workroom's memory limit as Arrow beside it."""
INSERT_BYTES = 4 * 2**20
"""Batches that go into a table are put together to about this size: an INSERT costs a millisecond however small it is."""


class Gathering:
    """Of one statement. Invariant: every part in it is whole. `close` drops it all, and may be called twice."""

    def __init__(self, workroom: Workroom, watch: Watch, number: int) -> None:
        self._arrow_bytes_max = workroom.memory_bytes // ARROW_SHARE
        self._workroom = workroom
        self._watch = watch
        self._schema = f"statement{number}"
        self._lock = threading.Lock()
        self._bytes = 0
        self._made = False
        self._arrow: dict[str, list[Any]] = {}
        self._schemas: dict[str, Any] = {}
        self._tables: dict[str, list[str]] = {}
        self.spilled_bytes = 0

    def take(self, fragment: str, partition: int, schema: Any, batches: Iterator[Any], running: Running) -> None:
        """Read a part to its end and keep it."""
        kept: list[Any] = []
        size = 0
        for batch in batches:
            if not batch.num_rows:
                continue
            kept.append(batch)
            size += batch.nbytes
            if self._bytes + size > self._arrow_bytes_max:
                self._into_table(fragment, partition, schema, kept, batches, running)
                return
        with self._lock:
            self._bytes += size
            self._schemas.setdefault(fragment, schema)
            self._arrow.setdefault(fragment, []).extend(kept)

    def forget(self, fragment: str) -> None:
        """All parts of it: they are asked again."""
        with self._lock:
            self._bytes -= sum(batch.nbytes for batch in self._arrow.pop(fragment, ()))
            self._schemas.pop(fragment, None)
            self._tables.pop(fragment, None)

    def values(self, fragment: str, column: str) -> list[Any]:
        """Of a column in all parts that stayed Arrow; none if Python has no such values (dates beyond its years)."""
        try:
            return [value for batch in self._arrow.get(fragment, ()) for value in batch.column(column).to_pylist()]
        except (ValueError, OverflowError):
            return []

    def arrow(self, fragment: str) -> tuple[Any, list[Any]] | None:
        """The schema and batches of all parts; None: some are in tables, or nobody was asked."""
        schema = self._schemas.get(fragment)
        return None if schema is None or fragment in self._tables else (schema, self._arrow[fragment])

    def put_into(self, cursor: Any, fragment: str, columns: Columns) -> None:
        """Make the relation of this name on a connection. `columns`: of a fragment that nobody was asked for."""
        import pyarrow as pa

        name = quoted(fragment)
        tables = self._tables.get(fragment, [])
        schema = self._schemas.get(fragment)
        if schema is None and not tables:
            nulls = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in columns)
            cursor.execute(f"CREATE TEMP VIEW {name} AS SELECT {nulls} WHERE false")
            return
        sources = [f"SELECT * FROM {table}" for table in tables]
        if schema is not None:
            plain = schema.remove_metadata()
            arrow = pa.Table.from_batches(
                [pa.RecordBatch.from_arrays(batch.columns, schema=plain) for batch in self._arrow[fragment]], plain
            )
            if not tables:
                cursor.register(fragment, arrow)
                return
            cursor.register(f"{fragment}__arrow", arrow)
            sources.append(f"SELECT * FROM {quoted(fragment + '__arrow')}")
        cursor.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL '.join(sources)}")

    def close(self) -> None:
        self._arrow.clear()
        with self._lock:
            made, self._made = self._made, False
        if made:
            self._workroom.drop(self._schema)

    def _into_table(
        self, fragment: str, partition: int, schema: Any, kept: list[Any], batches: Iterator[Any], running: Running
    ) -> None:
        with self._lock:
            if not self._made:
                self._workroom.make(self._schema)
                self._made = True
        table = f"{self._schema}.{quoted(f'{fragment}_{partition}')}"
        plain = schema.remove_metadata()
        cursor = self._workroom.cursor()
        try:
            with self._watch.over(running, cursor.interrupt):
                moved = _insert(cursor, table, plain, kept, first=True)
                kept.clear()
                size = 0
                for batch in batches:
                    kept.append(batch)
                    size += batch.nbytes
                    if size >= INSERT_BYTES:
                        moved += _insert(cursor, table, plain, kept)
                        kept.clear()
                        size = 0
                moved += _insert(cursor, table, plain, kept)
        finally:
            cursor.close()
        with self._lock:
            self._tables.setdefault(fragment, []).append(table)
            self.spilled_bytes += moved


def _insert(cursor: Any, table: str, schema: Any, batches: list[Any], *, first: bool = False) -> int:
    """Into the table, which `first` makes, also in place of the one that an attempt before left behind."""
    import pyarrow as pa

    if not batches:
        return 0
    arrow = pa.Table.from_batches([pa.RecordBatch.from_arrays(each.columns, schema=schema) for each in batches], schema)
    cursor.register("coming", arrow)
    try:
        into = f"CREATE OR REPLACE TABLE {table} AS" if first else f"INSERT INTO {table}"
        cursor.execute(f"{into} SELECT * FROM coming")
    finally:
        cursor.unregister("coming")
    return int(arrow.nbytes)
