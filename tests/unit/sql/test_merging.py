"""Aggregates merged from parts: exact where DuckDB is, and without losing digits where it is not."""

from collections.abc import Iterator
from random import Random
from typing import Any

import duckdb
import pytest
from tests.unit.sql.partitioned_tables import PartitionedTables
from tests.unit.sql.same_answers import same

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql import plans

PARTITIONS = 5
COLUMNS = {"id": "INTEGER", "g": "INTEGER", "x": "DOUBLE", "n": "BIGINT", "h": "HUGEINT", "lone": "DOUBLE"}


@pytest.fixture(scope="module")
def tables() -> Iterator[PartitionedTables]:
    """`x` lies far from zero and close together; group 9 has one row, so that most partitions have none of it."""
    random = Random(5)
    rows: list[tuple[Any, ...]] = [
        (id, random.choice((1, 2, None)), 1e6 + random.random(), random.randint(-(2**62), 2**62), 2**120, None)
        for id in range(500)
    ]
    rows.append((500, 9, 3.5, 2**63 - 1, -(2**120), 7.0))
    columns = [{"name": name, "type": kind, "nullable": name != "id"} for name, kind in COLUMNS.items()]
    catalog = Catalog().create(parse_definition("t", {"columns": columns, "key": ["id"]}))
    made = PartitionedTables(catalog, {"t": rows}, PARTITIONS)
    yield made
    made.close()


@pytest.mark.parametrize(
    "aggregates",
    [
        "stddev(x), stddev_pop(x), variance(x), var_pop(x)",
        "stddev(x) FILTER (WHERE id % 2 = 0), var_samp(n)",
        "stddev(lone), stddev_pop(lone), var_samp(lone), avg(lone), sum(lone), count(lone), min(lone)",
        "sum(n), avg(n), sum(n) / count(*), typeof(sum(n)), typeof(count(*)), typeof(avg(n))",
        "count_if(n > 0), bool_and(n > 0), bool_or(n > 0), bit_xor(n), min(n), max(n)",
        "count(DISTINCT n % 7), sum(DISTINCT n % 7), stddev(x), count(*)",
        "sum(n) FILTER (WHERE false), count(*) FILTER (WHERE false), stddev(x) FILTER (WHERE false)",
    ],
)
@pytest.mark.parametrize("group", ["", "GROUP BY g", "WHERE false", "WHERE false GROUP BY g"])
def test_merged_aggregates_equal_those_of_all_rows(tables: PartitionedTables, aggregates: str, group: str) -> None:
    keys = "g, " if "GROUP" in group else ""
    statement = f"SELECT {keys}{aggregates} FROM t {group} ORDER BY ALL"
    types, rows = tables.expected(statement)
    plan, found_types, found = tables.planned(statement)
    assert {part.kind for part in plan.fragments} == {plans.AGGREGATE}
    assert found_types == types
    assert len(found) == len(rows)
    assert all(map(same, found, rows)), (found, rows)


def test_a_sum_that_overflows_fails_as_it_does_in_duckdb(tables: PartitionedTables) -> None:
    for run in (tables.expected, tables.planned):
        with pytest.raises(duckdb.OutOfRangeException):
            run("SELECT sum(h * 120) FROM t WHERE h > 0")


def test_parts_are_few(tables: PartitionedTables) -> None:
    before = tables.rows_moved
    tables.planned("SELECT g, count(*), avg(x), stddev(x) FROM t GROUP BY g")
    assert tables.rows_moved - before <= PARTITIONS * 4
