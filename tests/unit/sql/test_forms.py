"""What sqlglot writes of a query means what the user wrote, for every form of DuckDB's SQL that is known here.

A plan's final statement is sqlglot's text, and so is what runs in partitions.
"""

from typing import Any

import duckdb
import pytest
from tests.unit.sql.duckdb_forms import QUERIES, TABLE
from tests.unit.sql.shop import planned

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


def test_rows_have_no_numbers() -> None:
    with pytest.raises(NotSupported, match="rowid"):
        planned("SELECT rowid FROM orders")
