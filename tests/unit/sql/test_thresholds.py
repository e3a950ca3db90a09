"""A top-k that is asked again looks for less, and gives the same rows."""

from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from tests.unit.sql.partitioned_tables import PartitionedTables
from tests.unit.sql.shop import only

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.query.thresholds import MISSES_MAX, Thresholds
from kubegrid.sql.plans import Fragment

KINDS = {
    "i": "INTEGER",
    "x": "DOUBLE",
    "r": "REAL",
    "d": "DECIMAL(9,2)",
    "t": "TIMESTAMP",
    "day": "DATE",
    "s": "VARCHAR",
}
COLUMNS = [
    {"name": "id", "type": "BIGINT", "nullable": False},
    *({"name": name, "type": kind} for name, kind in KINDS.items()),
]
TABLE = parse_definition("t", {"columns": COLUMNS, "key": ["id"]})
TOP = "SELECT k FROM orders ORDER BY total DESC LIMIT 3"


def a_row(random: Random, number: int) -> tuple[Any, ...]:
    value = random.randint(-40, 40)
    row = (
        value,
        value / 8,
        value / 8,
        Decimal(value) / 4,
        f"2024-01-01 00:00:{value % 60:02}.5",
        date(2024, 1, 1 + value % 28),
        "a",
    )
    return (number, *(each if random.random() < 0.9 else None for each in row))


def test_rows_and_their_order_are_those_of_one_table() -> None:
    random = Random(3)
    tables = PartitionedTables(Catalog().create(TABLE), {"t": [a_row(random, number) for number in range(120)]}, 3)
    try:
        for _ in range(150):
            column = random.choice(list(KINDS))
            key = random.choice((column, f"{column} + 1" if column in "ixrd" else column))
            where = random.choice(("", "WHERE id % 3 > 0", f"WHERE {column} IS NOT NULL", "WHERE i > 30"))
            order = f"{key} {random.choice(('', 'DESC', 'ASC', 'DESC NULLS LAST', 'NULLS FIRST', 'DESC NULLS FIRST'))}"
            limit = f"LIMIT {random.randint(0, 30)} {random.choice(('', 'OFFSET 7'))}"
            text = f"SELECT {random.choice(('id', '*', f'{column}, id', 'id AS x'))} FROM t {where} ORDER BY {order}, id {limit}"
            assert tables.planned(text)[1:] == tables.expected(text), text
        assert tables.narrowed > 50
    finally:
        tables.close()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT k FROM orders ORDER BY total",
        "SELECT k FROM orders LIMIT 3",
        "SELECT k FROM orders ORDER BY total NULLS FIRST LIMIT 3",
        "SELECT k FROM orders ORDER BY total LIMIT 0",
        "SELECT k FROM orders ORDER BY total LIMIT 1 OFFSET 1000",
        "SELECT DISTINCT k FROM orders ORDER BY k LIMIT 3",
        "SELECT k, sum(Qty) AS q FROM items GROUP BY k ORDER BY q LIMIT 3",
        "SELECT k FROM orders WHERE k = 7 ORDER BY total LIMIT 3",
    ],
)
def test_what_has_no_threshold(text: str) -> None:
    assert only(text).threshold is None


def narrowed(thresholds: Thresholds, part: Fragment) -> bool:
    return thresholds.applied(part) is not part


def test_the_value_is_the_last_of_as_many_as_are_wanted() -> None:
    part, thresholds = only(TOP), Thresholds()
    assert not narrowed(thresholds, part)
    thresholds.learn(part, [4, 9, None, 7, 8])
    assert 'WHERE "__o0" >= 7 ORDER BY "__o0" DESC LIMIT 3' in thresholds.applied(part).sql
    assert thresholds.enough(part, 3)
    rising = only("SELECT k FROM orders ORDER BY total LIMIT 3")
    thresholds.learn(rising, [Decimal("1.50"), Decimal(3), Decimal("-2.25"), Decimal(9)])
    assert "<= CAST('3' AS DECIMAL(1, 0))" in thresholds.applied(rising).sql


@pytest.mark.parametrize(
    "values", [[1, 2], [1, 2, None], ["a", "b", "c"], [1.0, 2.0, float("nan"), 3.0], [b"", b"", b""]]
)
def test_what_says_nothing_about_the_next_time(values: list[Any]) -> None:
    part, thresholds = only(TOP), Thresholds()
    thresholds.learn(part, [1, 2, 3])
    thresholds.learn(part, values)
    assert not narrowed(thresholds, part)


def test_who_guessed_wrong_asks_for_all_and_after_some_times_always() -> None:
    part, thresholds = only(TOP), Thresholds()
    for _ in range(MISSES_MAX):
        thresholds.learn(part, [1, 2, 3])
        assert narrowed(thresholds, part)
        assert not thresholds.enough(part, 2)
        assert not narrowed(thresholds, part)
    thresholds.learn(part, [1, 2, 3])
    assert not narrowed(thresholds, part)
