"""The same rows twice: in one DuckDB database, and spread over the partitions of a grid; and plans run over the latter.

All are databases of one process and connection, so an answer loses no type on the way. Rows lie where the grid would
have them: by the slot of their key. Of tables whose records a fragment names by their keys it sees these and no others.
"""

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from kubegrid.base.ids import slots_of_partition
from kubegrid.base.record_keys import RecordKeys
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.query.merged import merged
from kubegrid.query.thresholds import Thresholds
from kubegrid.sql.parameters import bind
from kubegrid.sql.planner import plan
from kubegrid.sql.plans import Fragment, Plan
from kubegrid.sql.statements import parse
from kubegrid.store.slots import slot_of

Rows = list[tuple[Any, ...]]


class PartitionedTables:
    def __init__(self, catalog: Catalog, rows: dict[str, Rows], partitions: int) -> None:
        self.catalog = catalog
        self.partitions = partitions
        self.rows_moved = 0
        self.narrowed = 0
        """Top-ks that were asked once more by a threshold."""
        self.merged: Rows | None = None
        """The rows of the last plan as they are made without a final statement; None: that was not certain."""
        self._versions: dict[bytes, int] = {}
        """Of each record, by its key."""
        self._connection = duckdb.connect(config={"threads": "1"})
        self._run("SET TimeZone = 'UTC'")
        for name in ("whole", "final", *(f"p{number}" for number in range(partitions))):
            self._run(f"ATTACH ':memory:' AS {name}")
        for table in catalog.tables:
            self._fill(table, rows.get(table.name, []))

    def close(self) -> None:
        self._connection.close()

    def expected(self, statement: str) -> tuple[list[str], Rows]:
        """Types and rows, of the one database with all rows."""
        self._run("USE whole")
        return self._answer(statement)

    def planned(self, statement: str, values: Iterable[Any] = ()) -> tuple[Plan, list[str], Rows]:
        """The plan, and types and rows of running it."""
        made = plan(bind(parse(statement), list(values)).expression, self.catalog, self.partitions)
        self._run("USE final")
        for (name,) in self._run("SELECT table_name FROM duckdb_tables() WHERE database_name = 'final'").fetchall():
            self._run(f'DROP TABLE "{name}"')
        for fragment in made.fragments:
            self._gather(fragment)
            self._gather_less(fragment)
        self._run("USE final")
        types, rows = self._answer(made.final or f'SELECT * FROM "{made.fragments[0].name}"')
        self.merged = self._merged(made, types)
        return made, types, rows

    def _merged(self, made: Plan, types: list[str]) -> Rows | None:
        """As between pods: in DuckDB's lossless form, in batches that are parts of larger ones."""
        if made.merging is None or made.final is None:
            return None
        schema = self._connection.sql(made.final).to_arrow_table().schema
        self._run("SET arrow_lossless_conversion = true")
        parts = self._connection.sql(f'FROM "{made.merging.fragment}"').to_arrow_table().combine_chunks()
        self._run("SET arrow_lossless_conversion = false")
        found = merged(made.merging, (parts.schema, parts.to_batches(max_chunksize=7)), schema)
        if found is None:
            return None
        assert found.schema == schema
        names = [f"c{place}" for place in range(len(types))]
        self._connection.register("merged", pa.Table.from_batches([found]).rename_columns(names))
        casts = ", ".join(f"CAST({name} AS {kind})" for name, kind in zip(names, types, strict=True))
        return self._answer(f"SELECT {casts} FROM merged")[1]

    def _gather(self, fragment: Fragment) -> None:
        relation = f'final.main."{fragment.name}"'
        self._run("USE p0")
        self._run(f"CREATE TABLE {relation} AS SELECT * FROM ({fragment.sql}) LIMIT 0")
        for number in range(self.partitions) if fragment.partitions is None else fragment.partitions:
            self._run(f"USE p{number}")
            for table, keys in (fragment.keys or {}).items():
                named = ", ".join(str(self._versions.get(key, 0)) for key in keys) or "0"
                self._run(f'CREATE TEMP VIEW "{table}" AS FROM p{number}."{table}" WHERE "__version" IN ({named})')
            self._run(f"INSERT INTO {relation} {fragment.sql}")
            for table in fragment.keys or ():
                self._run(f'DROP VIEW temp."{table}"')
        self.rows_moved += self._run(f"SELECT count(*) FROM {relation}").fetchone()[0]

    def _gather_less(self, fragment: Fragment) -> None:
        """Ask once more, as who has asked before."""
        if fragment.threshold is None:
            return
        relation = f'final.main."{fragment.name}"'
        values = self._run(f'SELECT "{fragment.threshold.column}" FROM {relation}').fetchall()
        thresholds = Thresholds()
        thresholds.learn(fragment, [value for (value,) in values])
        narrowed = thresholds.applied(fragment)
        if narrowed is not fragment:
            self.narrowed += 1
            self._run(f"DROP TABLE {relation}")
            self._gather(narrowed)
            (count,) = self._run(f"SELECT count(*) FROM {relation}").fetchone()
            assert thresholds.enough(fragment, count), "what was there is there still"

    def _answer(self, statement: str) -> tuple[list[str], Rows]:
        result = self._run(statement)
        return [str(column[1]) for column in result.description], result.fetchall()

    def _fill(self, table: TableDefinition, rows: Rows) -> None:
        columns = ", ".join(f'"{column.name}" {column.type.name}' for column in table.columns)
        keys = RecordKeys(table)
        parts: list[Rows] = [[] for _ in range(self.partitions)]
        for version, row in enumerate(rows, 1):
            key = keys.key_of_row(row)
            self._versions[key] = version
            slot = slot_of(key)
            for number in range(self.partitions):
                first, last = slots_of_partition(number, self.partitions)
                if first <= slot <= last:
                    parts[number].append((*row, version))
        self._run("USE whole")
        self._run(f'CREATE TABLE "{table.name}" ({columns})')
        self._insert(table.name, rows)
        for number in range(self.partitions):
            self._run(f"USE p{number}")
            self._run(f'CREATE TABLE "{table.name}" ({columns}, "__version" UBIGINT)')
            self._insert(table.name, parts[number])
            if table.broadcast:
                self._run(f'CREATE TABLE "{table.name}__all" ({columns}, "__version" UBIGINT)')
                self._insert(f"{table.name}__all", [row for part in parts for row in part])

    def _insert(self, name: str, rows: Rows) -> None:
        if rows:
            values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
            self._run(f'INSERT INTO "{name}" VALUES {values}')

    def _run(self, statement: str) -> Any:
        return self._connection.execute(statement)


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"'{value!r}'::DOUBLE"
    if isinstance(value, bytes):
        return f"from_hex('{value.hex()}')"
    return "'" + str(value).replace("'", "''") + "'"
