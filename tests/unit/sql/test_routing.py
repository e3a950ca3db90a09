"""Which partitions a statement asks."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from tests.unit.sql.shop import CATALOG, PARTITIONS, only, planned

from kubegrid.base.ids import SLOT_COUNT, slots_of_partition
from kubegrid.base.record_keys import RecordKeys
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql import plans
from kubegrid.sql.parameters import bind
from kubegrid.sql.planner import plan
from kubegrid.sql.routing import RECORDS_MAX, partition_of_slot
from kubegrid.sql.statements import parse
from kubegrid.store.slots import slot_of


def home(table: str, *values: object) -> int:
    slot = slot_of(RecordKeys(CATALOG.table(table)).key(values))
    return partition_of_slot(slot, PARTITIONS)


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 1000, 1024])
def test_a_slot_has_its_partition(partitions: int) -> None:
    for slot in range(SLOT_COUNT):
        first, last = slots_of_partition(partition_of_slot(slot, partitions), partitions)
        assert first <= slot <= last


@pytest.mark.parametrize(
    "text",
    [
        "SELECT median(total) FROM orders WHERE k = 7",
        "SELECT * FROM orders WHERE 7 = k AND total > 3",
        "SELECT * FROM orders o JOIN items i ON o.k = i.k WHERE i.k = 7",
        "SELECT * FROM orders o LEFT JOIN items i ON o.k = i.k WHERE o.k = 7",
        "SELECT k, row_number() OVER (ORDER BY total) FROM orders WHERE k IN (7)",
        "WITH c AS (SELECT * FROM items WHERE k = 7) SELECT * FROM c, orders WHERE orders.k = 7",
        "SELECT * FROM items WHERE k = 7 UNION SELECT k, 1, 1 FROM orders WHERE k = 7",
        "SELECT (SELECT max(total) FROM orders WHERE k = 7)",
    ],
)
def test_a_statement_about_one_key_is_run_where_it_lies(text: str) -> None:
    part = only(text)
    assert part.partitions == (home("orders", 7),)
    assert (part.kind, planned(text).final) == (plans.WHOLE, None)


def test_parameters_route_like_literals() -> None:
    assert only("SELECT * FROM orders WHERE k = ?", [7]).partitions == (home("orders", 7),)
    assert only("SELECT * FROM orders WHERE k = $1", [-7]).partitions == (home("orders", -7),)


def test_a_list_of_keys_asks_their_partitions() -> None:
    wanted = {home("orders", key) for key in (1, 2)}
    assert set(only("SELECT * FROM orders WHERE k IN (1, 2)").partitions or ()) == wanted
    assert set(only("SELECT * FROM orders WHERE (k = 1 OR k = 2) AND total > 1").partitions or ()) == wanted


def test_a_key_without_partition_by_routes_by_all_of_its_columns() -> None:
    part = only("SELECT * FROM flights WHERE carrier = 'UA' AND flight = 15")
    assert part.partitions == (home("flights", "UA", 15),)
    assert only("SELECT * FROM flights WHERE carrier = 'UA'").partitions is None


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("SELECT * FROM orders WHERE k = 7 AND total > 3", {"orders": (b"orders:{7}",)}),
        ("SELECT sum(total) FROM orders WHERE k IN (8, 7)", {"orders": (b"orders:{7}", b"orders:{8}")}),
        ("SELECT * FROM orders a, orders b WHERE a.k = 7 AND b.k = 7", {"orders": (b"orders:{7}",)}),
        (
            "SELECT * FROM orders o JOIN items i ON o.k = i.k WHERE i.k = 7 AND i.n = 1",
            {"items": (b"items:{7}:1",), "orders": (b"orders:{7}",)},
        ),
        (
            "SELECT * FROM orders o LEFT JOIN items i ON o.k = i.k AND i.n = 1 AND i.k = 7 WHERE o.k = 7",
            {"items": (b"items:{7}:1",), "orders": (b"orders:{7}",)},
        ),
        ("SELECT name FROM airlines WHERE carrier = 'UA'", {"airlines": (b"airlines:UA",)}),
        ("SELECT count(*) FROM orders WHERE k = 1 AND k = 2", {"orders": ()}),
    ],
)
def test_records_whose_keys_a_statement_names_are_looked_up(text: str, keys: object) -> None:
    assert only(text).keys == keys


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM items WHERE k = 7",
        "SELECT * FROM orders o JOIN items i ON o.k = i.k WHERE o.k = 7",
        "SELECT * FROM orders o LEFT JOIN items i ON o.k = i.k AND i.n = 1 WHERE o.k = 7 OR i.n = 2",
        "SELECT * FROM flights f JOIN airlines USING (carrier) WHERE f.carrier = 'UA' AND flight = 15",
        f"SELECT * FROM orders WHERE k IN ({', '.join(map(str, range(RECORDS_MAX + 1)))})",
    ],
)
def test_what_needs_more_than_some_records_reads_columns(text: str) -> None:
    assert [part.keys for part in planned(text).fragments] == [None] * len(planned(text).fragments)


def test_the_only_partition_looks_records_up_too() -> None:
    statement = bind(parse("SELECT * FROM orders WHERE k = 7"), []).expression
    (part,) = plan(statement, CATALOG, 1).fragments
    assert (part.partitions, part.keys) == (None, {"orders": (b"orders:{7}",)})


def test_keys_that_exclude_each_other_ask_nobody() -> None:
    part = only("SELECT count(*) FROM orders WHERE k = 1 AND k = 2")
    assert part.partitions == ()
    assert only("SELECT count(*) FROM orders WHERE k = NULL").partitions == ()


@pytest.mark.parametrize(
    "condition",
    [
        "k = 1.5",
        "k = '1'",
        "k = 1 OR total = 2",
        "k = 1 + 1",
        "NOT k = 1",
        "k > 1",
        "k = total",
        "k IN (SELECT k FROM items)",
        "CAST(k AS VARCHAR) = '1'",
        "k IS NULL",
    ],
)
def test_what_is_not_surely_a_key_asks_all(condition: str) -> None:
    for part in planned(f"SELECT * FROM orders WHERE {condition}").fragments:
        assert part.partitions is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("VARCHAR", "it's {a}:b%"),
        ("DATE", date(2013, 1, 31)),
        ("DECIMAL(10,2)", Decimal("-5.20")),
        ("UUID", UUID(int=5)),
        ("BOOLEAN", True),
        ("HUGEINT", 2**100),
        ("TINYINT", -3),
    ],
)
@pytest.mark.parametrize("partition_by", [[], ["a"]])
def test_keys_of_every_type_route_to_where_their_record_lies(kind: str, value: object, partition_by: list[str]) -> None:
    table = parse_definition(
        "t", {"columns": [{"name": "a", "type": kind, "nullable": False}], "key": ["a"], "partition_by": partition_by}
    )
    statement = bind(parse("SELECT * FROM t WHERE a = ?"), [value]).expression
    slot = slot_of(RecordKeys(table).key([value]))
    for partitions in (2, 5, 64):
        (part,) = plan(statement, Catalog().create(table), partitions).fragments
        assert part.partitions == (partition_of_slot(slot, partitions),)
