"""`query.writer.Queries` over a client: every record is read into one DuckDB, and the SELECT is run there.

It stands in for the engine where writing is what is tested; the real one is tested with the planner.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from sqlglot import exp

from kubegrid.base.table_definitions import parse_catalog
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.client.grid import Grid
from kubegrid.client.slots import slot_of
from kubegrid.query.writing_merge import _relation
from kubegrid.query.writing_rows import codec_of
from kubegrid.sql.errors import SqlError, TypeProblem, UnknownName

HEADER_BYTES = 12
READ_AT_ONCE = 500


class ReadRows:
    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    @property
    def catalog(self) -> Catalog:
        entries = [
            msgspec.json.decode(self._grid.execute("KG.DESCRIBE", name)) for name in self._grid.execute("KG.TABLES")
        ]
        next_id = max([entry["id"] for entry in entries], default=0) + 1
        return parse_catalog({"version": 1, "next_id": next_id, "tables": entries})

    def columns(self, query: exp.Query) -> tuple[tuple[str, str], ...]:
        described = self._database(query, with_rows=False).execute(f"DESCRIBE {query.sql('duckdb')}").fetchall()
        return tuple((name, kind) for name, kind, *_ in described)

    def select(self, query: exp.Query) -> Iterator[Any]:
        return iter(_run(self._database(query, with_rows=True), query.sql("duckdb")).to_batches())

    def local(self, sql: str, relations: Mapping[str, Any]) -> Any:
        database = duckdb.connect()
        database.execute("SET TimeZone = 'UTC'")
        for name, table in relations.items():
            database.register(name, table)
        return _run(database, sql)

    def _database(self, query: exp.Query, with_rows: bool) -> Any:
        database = duckdb.connect()
        database.execute("SET TimeZone = 'UTC'")
        named = {table.name.lower() for table in query.find_all(exp.Table)}
        hidden = any(column.name == "__version" for column in query.find_all(exp.Column))
        for table in self.catalog.tables:
            if table.name.lower() in named:
                rows = _relation(table, self.rows(table) if with_rows else [], "__version")
                database.register("rows_read", rows)
                chosen = [
                    f'CAST(c{i} AS {column.type.name}) AS "{column.name}"' for i, column in enumerate(table.columns)
                ]
                chosen += ["__version"] if hidden else []
                database.execute(f'CREATE TABLE "{table.name}" AS SELECT {", ".join(chosen)} FROM rows_read')
        return database

    def rows(self, table: TableDefinition) -> list[tuple[int, Any]]:
        """Version and values of every record."""
        caller = self._grid.caller
        keys = list(set(self._grid.scan(match=f"{table.name}:*")))
        by_route: dict[int, list[bytes]] = {}
        for key in keys:
            by_route.setdefault(caller.of_slot[slot_of(key)].first_slot, []).append(key)
        found = []
        for slot, some in by_route.items():
            for start in range(0, len(some), READ_AT_ONCE):
                args = (b"KG.READ", table.name.encode(), *some[start : start + READ_AT_ONCE])
                found += [record for record in caller.call(args, slot, False) if record is not None]
        decode = codec_of(table).decode
        return [(int.from_bytes(record[4:HEADER_BYTES]), decode(record[HEADER_BYTES:])) for record in found]


def _run(database: Any, sql: str) -> pa.Table:
    try:
        return database.sql(sql).to_arrow_table()
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
        raise TypeProblem(str(error)) from None
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise UnknownName(str(error)) from None
    except duckdb.Error as error:
        raise SqlError(str(error)) from None
