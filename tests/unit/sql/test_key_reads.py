"""Which statements are reads of one record by its key, and that their plans ask what the planner's ask."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from tests.unit.sql.shop import CATALOG, PARTITIONS, only

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql import plans
from kubegrid.sql.key_reads import KeyRead, key_read
from kubegrid.sql.statements import parse


def read_of(text: str) -> KeyRead | None:
    return key_read(parse(text), CATALOG)


@pytest.mark.parametrize(
    ("text", "values", "columns"),
    [
        ("SELECT * FROM orders WHERE k = 7", [], ("k", "total")),
        ("SELECT total FROM orders WHERE 7 = k", [], ("total",)),
        ("SELECT total AS k, k, k FROM Orders AS o WHERE (o.K) = (-7)", [], ("total", "k", "k")),
        ("SELECT total, * FROM orders WHERE k = ?", [2**62], ("total", "k", "total")),
        ("SELECT delay, day FROM flights f WHERE flight = $2 AND f.carrier = $1", ["UA", 42], ("delay", "day")),
        ("FROM airlines SELECT name WHERE carrier = 'O''Hare'", [], ("name",)),
        ('SELECT "qty" FROM items WHERE n = 3 AND k = ?', [-5], ("Qty",)),
    ],
)
def test_columns_of_the_record_that_has_a_key(text: str, values: Sequence[Any], columns: tuple[str, ...]) -> None:
    read = read_of(text)
    assert read is not None
    plan = read.plan(values, (), PARTITIONS)
    assert plan is not None
    (part,) = plan.fragments
    asked = only(text, values)
    assert (part.partitions, part.tables, part.keys) == (asked.partitions, asked.tables, asked.keys)
    assert (part.kind, part.record_columns, plan.final) == (plans.RECORD, columns, None)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM orders",
        "SELECT * FROM orders WHERE k = 7 AND total > 3",
        "SELECT * FROM orders WHERE k = 7 AND k = 8",
        "SELECT * FROM orders WHERE k = 7 OR k = 8",
        "SELECT * FROM orders WHERE k IN (7)",
        "SELECT * FROM orders WHERE k <= 7",
        "SELECT * FROM orders WHERE k IS NOT DISTINCT FROM 7",
        "SELECT * FROM orders WHERE k = k",
        "SELECT * FROM orders WHERE k = (SELECT 7)",
        "SELECT * FROM orders WHERE total = 7",
        "SELECT * FROM items WHERE k = 7",
        "SELECT k + 1 FROM orders WHERE k = 7",
        "SELECT count(*) FROM orders WHERE k = 7",
        "SELECT orders FROM orders WHERE k = 7",
        "SELECT rowid FROM orders WHERE k = 7",
        "SELECT other.k FROM orders WHERE k = 7",
        "SELECT orders.k FROM orders o WHERE k = 7",
        "SELECT * EXCLUDE (total) FROM orders WHERE k = 7",
        "SELECT orders.* FROM orders WHERE k = 7",
        "SELECT DISTINCT k FROM orders WHERE k = 7",
        "SELECT * FROM orders WHERE k = 7 LIMIT 0",
        "SELECT * FROM orders WHERE k = 7 ORDER BY k",
        "SELECT k FROM orders WHERE k = 7 GROUP BY k",
        "SELECT * FROM orders TABLESAMPLE 1% WHERE k = 7",
        "SELECT * FROM orders o(total, k) WHERE k = 7",
        "SELECT * FROM orders, items WHERE orders.k = 7",
        "SELECT * FROM nothing WHERE k = 7",
        "WITH orders AS (SELECT 7 AS k) SELECT * FROM orders WHERE k = 7",
        "SELECT * FROM (SELECT * FROM orders) WHERE k = 7",
        "SELECT * FROM orders WHERE k = 7 UNION ALL SELECT * FROM orders WHERE k = 8",
        "EXPLAIN SELECT * FROM orders WHERE k = 7",
        "DELETE FROM orders WHERE k = 7",
    ],
)
def test_everything_else_is_planned(text: str) -> None:
    assert read_of(text) is None


@pytest.mark.parametrize("value", [None, 7.0, "7", True, 2**63, b"7"])
def test_a_value_that_is_not_certainly_one_of_the_column_is_planned(value: Any) -> None:
    read = read_of("SELECT * FROM orders WHERE k = ?")
    assert read is not None
    assert read.plan([value], (), PARTITIONS) is None


@pytest.mark.parametrize(
    "literal", ["7.0", "'7'", "7 + 0", "random()", "NULL", "abs(7)", "9" * 20, "CAST('3000000000' AS INTEGER)"]
)
def test_so_is_a_literal(literal: str) -> None:
    read = read_of(f"SELECT * FROM orders WHERE k = {literal}")
    assert read is None or read.plan([], (), PARTITIONS) is None


def test_a_key_of_a_type_with_several_spellings_of_one_value_is_planned() -> None:
    definition = {"columns": [{"name": "k", "type": "DECIMAL(9,2)", "nullable": False}], "key": ["k"]}
    catalog = Catalog().create(parse_definition("t", definition))
    assert key_read(parse("SELECT k FROM t WHERE k = 1.5"), catalog) is None


def test_a_uuid_is_known_by_each_of_its_spellings() -> None:
    definition = {"columns": [{"name": "k", "type": "UUID", "nullable": False}], "key": ["k"]}
    catalog = Catalog().create(parse_definition("t", definition))
    read = key_read(parse("SELECT k FROM t WHERE k = ?"), catalog)
    assert read is not None
    key = UUID(int=0xABC)
    found = [read.plan([spelt], (), PARTITIONS) for spelt in (key, str(key), str(key).upper())]
    assert len({plan and plan.fragments[0].keys and plan.fragments[0].keys["t"] for plan in found}) == 1
    assert None not in found
    for doubtful in (f"urn:uuid:{key}", key.hex, f"0x{key.hex[2:]}", f"{{{key}}}", f"{key} "):
        assert read.plan([doubtful], (), PARTITIONS) is None, "DuckDB may refuse it"


def test_what_is_asked_for_is_known_apart_from_values_and_aliases_of_tables() -> None:
    shapes = [
        read_of(text)
        for text in (
            "SELECT k FROM orders WHERE k = 1",
            "SELECT o.k FROM orders o WHERE k = ?",
            "SELECT K FROM orders WHERE k = 1",
        )
    ]
    assert shapes[0] and shapes[1] and shapes[2]
    assert shapes[0].shape == shapes[1].shape != shapes[2].shape
