"""What is pushed to partitions, checked against what DuckDB says of its functions."""

from typing import Any

import duckdb
import pytest
import sqlglot

from kubegrid.sql.functions import AGGREGATES, ROW_FUNCTIONS, TABLE_FUNCTIONS, is_aggregate, runs_per_row

ARGUMENTS = ("", "x", "x, y", "x, y, z", "x, y, z, w")


@pytest.fixture(scope="module")
def functions() -> dict[str, set[tuple[str, str]]]:
    """Name → its types and stabilities."""
    found: dict[str, set[tuple[str, str]]] = {}
    rows = duckdb.connect().execute("SELECT function_name, function_type, stability FROM duckdb_functions()").fetchall()
    for name, kind, stability in rows:
        found.setdefault(name.lower(), set()).add((kind, stability or ""))
    return found


def calls(name: str) -> list[Any]:
    made = []
    for arguments in ARGUMENTS:
        try:
            made.append(sqlglot.parse_one(f"SELECT {name}({arguments})", dialect="duckdb").expressions[0])
        except sqlglot.errors.ParseError:
            continue
    return made


def test_every_aggregate_of_duckdb_is_known_as_one(functions: dict[str, set[tuple[str, str]]]) -> None:
    for name, kinds in functions.items():
        if "aggregate" in {kind for kind, _ in kinds} and name.isidentifier():
            for call in calls(name):
                assert any(map(is_aggregate, call.walk())), name
                assert not runs_per_row(call), name


def test_macros_that_aggregate_are_known_as_aggregates() -> None:
    macros = duckdb.connect().execute(
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'"
    )
    for name, definition in macros.fetchall():
        tree = sqlglot.parse_one(f"SELECT {definition}", dialect="duckdb").expressions[0]
        if any(map(is_aggregate, tree.walk())):
            assert not any(map(runs_per_row, calls(name))), name


def test_no_function_that_changes_from_call_to_call_is_pushed(functions: dict[str, set[tuple[str, str]]]) -> None:
    for name, kinds in functions.items():
        stabilities = {stability for kind, stability in kinds if kind == "scalar"}
        if stabilities & {"VOLATILE", "CONSISTENT_WITHIN_QUERY"} and name.isidentifier():
            assert not any(map(runs_per_row, calls(name))), name


def test_the_functions_that_are_pushed_by_name_exist(functions: dict[str, set[tuple[str, str]]]) -> None:
    assert set(functions) >= ROW_FUNCTIONS
    for name in ROW_FUNCTIONS:
        assert {kind for kind, _ in functions[name]} <= {"scalar", "macro"}, name
    assert set(functions) >= AGGREGATES
    assert set(functions) >= TABLE_FUNCTIONS
