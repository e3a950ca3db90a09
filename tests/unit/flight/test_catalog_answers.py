"""What Flight SQL is told about the catalog."""

import pyarrow as pa
import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.flight import catalog_answers, sql_info, type_info

COLUMNS = [
    {"name": "carrier", "type": "VARCHAR"},
    {"name": "number", "type": "INTEGER"},
    {"name": "fare", "type": "DECIMAL(10,2)"},
]
FLIGHTS = {"columns": COLUMNS, "key": ["carrier", "number"]}


@pytest.fixture
def known() -> Catalog:
    catalog = Catalog()
    for name in ("flights", "flight_log", "planes"):
        catalog = catalog.create(parse_definition(name, FLIGHTS))
    return catalog


@pytest.mark.parametrize(
    ("pattern", "name", "there"),
    [
        (None, "flights", True),
        ("flights", "flights", True),
        ("flight", "flights", False),
        ("flight%", "flights", True),
        ("%", "", True),
        ("flight_", "flights", True),
        ("flight_log", "flightslog", True),
        (r"flight\_log", "flightslog", False),
        (r"flight\_log", "flight_log", True),
        ("a.c", "abc", False),
        ("[a-z]", "b", False),
        ("a\\", "a\\", True),
        ("%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%b", "a" * 200, False),
    ],
)
def test_names_are_matched_as_like_does(pattern: str | None, name: str, there: bool) -> None:
    assert catalog_answers.matches(pattern, name) is there


def names(table: pa.Table) -> list[str]:
    return table.column("table_name").to_pylist()


def test_tables_are_found_by_name_and_type_in_order(known: Catalog) -> None:
    everything = catalog_answers.tables(known, None, None, None, [], with_schema=False)
    assert names(everything) == ["flight_log", "flights", "planes"]
    assert everything.schema == catalog_answers.TABLES
    assert names(catalog_answers.tables(known, None, None, "flight%", ["TABLE"], with_schema=False)) == [
        "flight_log",
        "flights",
    ]
    assert names(catalog_answers.tables(known, "elsewhere", None, None, [], with_schema=False)) == []
    assert names(catalog_answers.tables(known, "", None, None, [], with_schema=False)) == []
    assert names(catalog_answers.tables(known, None, "else%", None, [], with_schema=False)) == []
    assert names(catalog_answers.tables(known, None, None, None, ["VIEW"], with_schema=False)) == []


def test_a_tables_columns_come_with_their_types_in_sql(known: Catalog) -> None:
    found = catalog_answers.tables(known, None, None, "planes", [], with_schema=True)
    schema = pa.ipc.read_schema(pa.py_buffer(found.column("table_schema")[0].as_py()))
    assert schema.names == ["carrier", "number", "fare"]
    assert [field.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"] for field in schema] == [
        b"VARCHAR",
        b"INTEGER",
        b"DECIMAL(10,2)",
    ]
    assert schema.field("fare").metadata[b"ARROW:FLIGHT:SQL:SCALE"] == b"2"


def test_a_primary_keys_columns_are_counted_from_one(known: Catalog) -> None:
    rows = catalog_answers.primary_keys(known, None, None, "flights").to_pylist()
    assert [(row["column_name"], row["key_sequence"]) for row in rows] == [("carrier", 1), ("number", 2)]
    assert catalog_answers.primary_keys(known, None, None, "flight%").num_rows == 0
    assert catalog_answers.foreign_keys().num_rows == 0


def test_facts_are_answered_as_asked_and_unknown_ones_left_out() -> None:
    found = sql_info.answer([0, 3, 99_999, 8], "1.2", 5)
    assert found.to_pylist() == [
        {"info_name": 0, "value": "KubeGrid"},
        {"info_name": 3, "value": False},
        {"info_name": 8, "value": 0},
    ]
    everything = sql_info.answer([], "1.2", 5)
    everything.validate(full=True)
    assert everything.num_rows > 30 and everything.schema == sql_info.SCHEMA


def test_types_are_answered_by_number_then_name() -> None:
    found = type_info.answer(None)
    found.validate(full=True)
    order = [(row["data_type"], row["type_name"]) for row in found.to_pylist()]
    assert order == sorted(order) and len(order) == 22
    assert [row["type_name"] for row in type_info.answer(type_info.INTEGER).to_pylist()] == ["INTEGER", "USMALLINT"]
    assert type_info.answer(12345).num_rows == 0
