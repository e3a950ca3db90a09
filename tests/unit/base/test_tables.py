"""Catalogs and the differences of definitions."""

from typing import Any

import msgspec
import pytest

from kubegrid.base.table_definitions import parse_column, parse_definition
from kubegrid.base.table_errors import TableConflict, UnknownColumn, UnknownTable
from kubegrid.base.tables import COLUMNS_MAX, TABLES_MAX, Catalog, TableDefinition, add_column, additions, difference


def table(name: str = "flights", **changed: Any) -> TableDefinition:
    columns = [{"name": "carrier", "type": "VARCHAR"}, {"name": "delay", "type": "DOUBLE"}]
    return parse_definition(name, {"columns": columns, "key": ["carrier"]} | changed)


NOTE = parse_column({"name": "note", "type": "VARCHAR"})


def test_a_created_table_gets_an_id_that_no_table_had_before() -> None:
    first = Catalog().create(table())
    again = first.drop("flights").create(table())
    assert (first.table("flights").id, again.table("flights").id) == (1, 2)
    assert [catalog.version for catalog in (Catalog(), first, again)] == [0, 1, 3]
    assert again.by_id[2].schema == 1


def test_creating_what_is_there_changes_nothing_and_another_of_the_name_is_refused() -> None:
    catalog = Catalog().create(table())
    assert catalog.create(table()) is catalog
    with pytest.raises(TableConflict, match="ttl is none, not 60 s"):
        catalog.create(table(ttl=60))
    with pytest.raises(TableConflict, match="only in upper and lower case"):
        catalog.create(table("Flights"))


def test_unknown_tables_are_told_with_the_nearest() -> None:
    catalog = Catalog().create(table())
    with pytest.raises(UnknownTable, match=r"no table 'flihgts'; did you mean 'flights'?"):
        catalog.table("flihgts")
    with pytest.raises(UnknownTable, match=r"no table 'x'; there are no tables yet"):
        Catalog().drop("x")
    with pytest.raises(UnknownColumn, match=r"did you mean 'delay'?"):
        table().position("delai")


def test_a_column_is_added_at_the_end_and_raises_the_schema() -> None:
    catalog = Catalog().create(table()).add_column("flights", NOTE)
    changed = catalog.table("flights")
    assert changed.names == ("carrier", "delay", "note")
    assert (changed.id, changed.schema, catalog.version) == (1, 2, 2)


def test_a_column_that_records_could_not_have_is_refused() -> None:
    with pytest.raises(TableConflict, match="NOT NULL") as raised:
        add_column(table(), parse_column({"name": "n", "type": "INT", "nullable": False}))
    assert "give it a default" in raised.value.remedy
    added = add_column(table(), parse_column({"name": "n", "type": "INT", "nullable": False, "default": 0}))
    assert added.column("n").default == 0
    with pytest.raises(TableConflict, match="has a column delay already"):
        add_column(table(), parse_column({"name": "DELAY", "type": "INT"}))
    full = msgspec.structs.replace(table(), columns=(NOTE,) * COLUMNS_MAX)
    with pytest.raises(TableConflict, match="the most there can be"):
        add_column(full, parse_column({"name": "n", "type": "INT"}))


def test_there_is_a_most_of_tables() -> None:
    full = Catalog(1, 1, tuple(table(f"t{number}") for number in range(TABLES_MAX)))
    with pytest.raises(TableConflict, match="1000 tables"):
        full.create(table())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"columns": [{"name": "carrier", "type": "VARCHAR"}]}, "column delay DOUBLE is there as well"),
        (
            {"columns": [{"name": "carrier", "type": "VARCHAR"}, {"name": "delay", "type": "REAL"}]},
            "column is delay DOUBLE, not delay REAL",
        ),
        (
            {"columns": [{"name": "delay", "type": "DOUBLE"}, {"name": "carrier", "type": "VARCHAR"}]},
            "the columns are in the order carrier, delay",
        ),
        (
            {"columns": [{"name": "carrier", "type": "VARCHAR"}, {"name": "delay", "type": "DOUBLE", "default": 1}]},
            "column is delay DOUBLE, not delay DOUBLE DEFAULT 1.0",
        ),
        ({"partition_by": ["carrier"]}, "partition_by is (), not (carrier)"),
        ({"indexes": [{"columns": ["delay"]}]}, "hash index on (delay) is missing"),
        ({"broadcast": True}, "broadcast is false, not true"),
        ({"ttl": 5}, "ttl is none, not 5 s"),
    ],
)
def test_differences_are_told_in_words(changed: dict[str, Any], expected: str) -> None:
    assert difference(table(), table(**changed)) == [expected]
    assert additions(table(), table(**changed)) is None


def test_added_columns_alone_are_what_an_alteration_can_make() -> None:
    wider = add_column(table(), NOTE)
    assert additions(table(), table()) == ()
    assert additions(table(), wider) == (NOTE,)
    assert additions(wider, table()) is None
    assert difference(table(), wider) == ["column note VARCHAR is missing"]
    assert additions(table(), msgspec.structs.replace(wider, ttl=5)) is None
