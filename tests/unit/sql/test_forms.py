"""What sqlglot writes of a query means what the user wrote, for every form of DuckDB's SQL that is known here.

A plan's final statement is sqlglot's text, and so is what runs in partitions.
"""

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import pytest
from tests.unit.sql.duckdb_forms import QUERIES, TABLE
from tests.unit.sql.partitioned_tables import PartitionedTables
from tests.unit.sql.same_answers import same
from tests.unit.sql.shop import planned

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql.errors import NotSupported
from kubegrid.sql.statements import parse


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for statement in TABLE:
        connection.execute(statement)
    return connection


def answer(database: duckdb.DuckDBPyConnection, statement: str) -> tuple[list[str], str]:
    result: Any = database.execute(statement)
    return [str(column[1]) for column in result.description], str(result.fetchall())


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_gives_what_its_text_gives(database: duckdb.DuckDBPyConnection, query: str) -> None:
    assert answer(database, parse(query).expression.sql("duckdb")) == answer(database, query)


COLUMNS = {
    "id": "INTEGER",
    "i": "INTEGER",
    "j": "BIGINT",
    "d": "DOUBLE",
    "dc": "DECIMAL(10,2)",
    "s": "VARCHAR",
    "b": "BOOLEAN",
    "dt": "DATE",
    "ts": "TIMESTAMP",
    "js": "JSON",
    "bl": "BLOB",
    "u": "UUID",
    "tm": "TIME",
}
JSONS = ('{"a":{"b":[1,2]},"c":"x"}', '{"a":null}')
ROWS: list[tuple[Any, ...]] = [
    (
        *(0, 7, -3, 2.5, Decimal("12.34"), "Hello", True, date(2024, 2, 29), datetime(2024, 2, 29, 13, 45, 30, 1)),
        *(JSONS[0], b"\xaa", UUID(int=5), time(10, 20, 30)),
    ),
    (1, *[None] * 12),
    (
        *(2, -8, 5, -0.5, Decimal("-1.50"), "ab,c", False, date(1999, 12, 31), datetime(1999, 12, 31)),
        *(JSONS[1], b"abc", UUID(int=10), time(0)),
    ),
    (3, 2, 2, 1e10, Decimal("0.01"), "", None, date(2020, 1, 1), datetime(2020, 6, 1, 12), "[1,2,3]", b"", None, None),
    (4, 3, 9, 0.25, Decimal("7.00"), "zz", True, date(2021, 5, 5), datetime(2021, 5, 5), "{}", b"q", None, time(1)),
    (5, 4, 1, 8.0, Decimal("9.10"), "Az", False, date(2022, 5, 5), datetime(2022, 5, 5), "{}", b"r", None, time(2)),
]
AS_ROWS_HAPPEN_TO_LIE = ("LIMIT 50%", "POSITIONAL JOIN")


@pytest.fixture(scope="module")
def spread() -> Iterator[PartitionedTables]:
    columns = [{"name": name, "type": kind, "nullable": name != "id"} for name, kind in COLUMNS.items()]
    catalog = Catalog().create(parse_definition("t", {"columns": columns, "key": ["id"]}))
    made = PartitionedTables(catalog, {"t": ROWS}, 3)
    yield made
    made.close()


@pytest.mark.parametrize("query", [each for each in QUERIES if not any(word in each for word in AS_ROWS_HAPPEN_TO_LIE)])
def test_a_plan_gives_what_the_text_gives(spread: PartitionedTables, query: str) -> None:
    types, rows = spread.expected(query)
    _, found_types, found = spread.planned(query)
    assert found_types == types
    assert len(found) == len(rows)
    for one, other in zip(sorted(found, key=str), sorted(rows, key=str), strict=True):
        assert same(one, other) or str(one) == str(other)


def test_rows_have_no_numbers() -> None:
    with pytest.raises(NotSupported, match="rowid"):
        planned("SELECT rowid FROM orders")
