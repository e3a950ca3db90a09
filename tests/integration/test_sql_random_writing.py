"""Random INSERT, UPDATE, DELETE, TRUNCATE and ALTER leave in three partitions what they leave in DuckDB, and count the same."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from tests.integration.member_processes import GridProcesses, grid_processes
from tests.integration.random_writing import FILL, Statements, as_seen, with_values

import kubegrid
from kubegrid import client
from kubegrid.base.settings import MIB
from kubegrid.client.grid import Grid

SEEDS = 8
STATEMENTS = 20


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=3, copies=1, memory_bytes=512 * MIB) as grid:
        yield grid.start()


@pytest.fixture(scope="module")
def grid(processes: GridProcesses) -> Iterator[Grid]:
    with client.connect(f"127.0.0.1:{processes.ports['p0-0'][0]}", timeout=30, connect_timeout=10) as connected:
        yield connected


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_statements_that_write_leave_the_same_rows(grid: Grid, seed: int) -> None:
    made = Statements(seed)
    with duckdb.connect() as raw:
        raw.execute("SET TimeZone = 'UTC'")
        for table in made.tables.values():
            grid.sql(f"DROP TABLE IF EXISTS {table.name}")
            grid.sql(f"{table.definition()} {table.clauses}")
            raw.execute(table.definition())
        filled = FILL if seed % 2 else ()
        for statement in (*filled, *(made.some_rows(table) for table in made.tables.values())):
            compare(raw, grid, made, statement, [])
        for _ in range(STATEMENTS):
            compare(raw, grid, made, *with_values(made.next(), made.random))


def compare(raw: duckdb.DuckDBPyConnection, grid: Grid, made: Statements, statement: str, values: list[Any]) -> None:
    told = (statement, values)
    refused: Exception | None = None
    try:
        rows = raw.execute(statement, values).fetchall()
    except duckdb.Error as error:
        refused = error
    try:
        changed = grid.sql(statement, values).rows_changed
        assert refused is None, (told, refused)
        if changed is not None:
            assert changed == rows[0][0], told
    except kubegrid.SqlError as error:
        assert refused is not None, (told, error)
    for table in made.tables.values():
        question = as_seen(table)
        expected = sorted(map(repr, raw.execute(question).fetchall()))
        assert sorted(map(repr, grid.sql(question).rows())) == expected, told
