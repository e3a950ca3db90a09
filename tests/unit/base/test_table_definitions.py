"""Definitions of tables: what holds, and everything that does not, told at once."""

from decimal import Decimal
from typing import Any

import pytest

from kubegrid.base.table_definitions import parse_catalog, parse_column, parse_definition
from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import COLUMNS_MAX, DEFINITION_BYTES_MAX, Catalog

COLUMNS = [
    {"name": "carrier", "type": "VARCHAR"},
    {"name": "flight", "type": "int"},
    {"name": "cost", "type": "DECIMAL(8,2)", "default": 1.5},
    {"name": "extra", "type": "JSON"},
    {"name": "delay", "type": "DOUBLE"},
]
FLIGHTS: dict[str, Any] = {"name": "flights", "columns": COLUMNS, "key": ["carrier", "flight"]}


def problems(**changed: Any) -> list[str]:
    with pytest.raises(DefinitionError) as raised:
        parse_definition(None, FLIGHTS | changed)
    lines = raised.value.lines
    assert len(lines) == len(raised.value.problems)
    return lines


def test_a_definition_comes_out_as_the_contracts_have_it() -> None:
    given = FLIGHTS | {
        "partition_by": ["carrier"],
        "indexes": [{"columns": ["cost"], "kind": "ordered"}, {"columns": ["delay"]}],
        "broadcast": True,
        "ttl": "1h",
    }
    definition = parse_definition("flights", given)
    assert definition.to_json() == {
        "name": "flights",
        "columns": [
            {"name": "carrier", "type": "VARCHAR", "nullable": False, "default": None},
            {"name": "flight", "type": "INTEGER", "nullable": False, "default": None},
            {"name": "cost", "type": "DECIMAL(8,2)", "nullable": True, "default": "1.50"},
            {"name": "extra", "type": "JSON", "nullable": True, "default": None},
            {"name": "delay", "type": "DOUBLE", "nullable": True, "default": None},
        ],
        "key": ["carrier", "flight"],
        "partition_by": ["carrier"],
        "indexes": [{"columns": ["cost"], "kind": "ordered"}, {"columns": ["delay"], "kind": "hash"}],
        "broadcast": True,
        "ttl": 3600,
    }
    assert definition.column("cost").default == Decimal("1.50")
    assert parse_definition("flights", definition.to_json()) == definition


def test_columns_are_nullable_unless_they_are_said_not_to_be_or_stand_in_the_key() -> None:
    definition = parse_definition(None, FLIGHTS)
    assert [column.nullable for column in definition.columns] == [False, False, True, True, True]
    assert definition.key_positions == (0, 1)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"name": "1x"}, "a name has letters, digits and '_'"),
        ({"name": "__x"}, "not with '__'"),
        ({"name": "books__all"}, "names of tables do not end in '__all'"),
        ({"name": None}, "name is missing"),
        ({"name": "x" * 64}, "63 characters at most"),
        ({"columns": []}, "columns must be a list of 1 to 1000 columns, not 0 of them"),
        ({"columns": "a"}, "columns must be a list"),
        ({"columns": [5]}, "columns[0] must be an object"),
        ({"columns": [{"type": "INT"}]}, "columns[0] has no name"),
        ({"columns": [{"name": "a b", "type": "INT"}]}, "columns[0] is called 'a b'"),
        ({"columns": [*COLUMNS, COLUMNS[0]]}, "column carrier stands there more than once"),
        ({"columns": [*COLUMNS, {"name": "Carrier", "type": "INT"}]}, "only in upper and lower case"),
        ({"columns": [*COLUMNS, {"name": "a"}]}, "column a: type is missing"),
        ({"columns": [*COLUMNS, {"name": "a", "type": "DUBLE"}]}, "did you mean 'DOUBLE'?"),
        ({"columns": [*COLUMNS, {"name": "a", "type": "INT", "nulable": True}]}, "did you mean 'nullable'?"),
        ({"columns": [*COLUMNS, {"name": "a", "type": "INT", "nullable": "no"}]}, "nullable must be true or false"),
        ({"columns": [*COLUMNS, {"name": "a", "type": "INT", "default": "x"}]}, "default: 'x' is not an INTEGER"),
        ({"columns": [*COLUMNS, {"name": "a", "type": "TINYINT", "default": 200}]}, "too large for TINYINT"),
        ({"key": []}, "key is missing"),
        ({"key": "carrier"}, "key must be a list of names of columns, not 'carrier'"),
        ({"key": ["carier"]}, "key: no column 'carier'; did you mean 'carrier'?"),
        ({"key": ["carrier", "carrier"]}, "each once"),
        ({"key": ["delay"]}, "key: column delay is DOUBLE, which no key can have"),
        ({"key": ["extra"]}, "key: column extra is JSON"),
        ({"columns": [COLUMNS[0] | {"nullable": True}, COLUMNS[1]]}, "it is part of the key, so it cannot be nullable"),
        ({"partition_by": ["flight"]}, "partition_by (flight) must be a leading part of key (carrier, flight)"),
        ({"partition_by": ["carrier", "flight", "cost"]}, "must be a leading part"),
        ({"indexes": {"columns": ["cost"]}}, "indexes must be a list"),
        ({"indexes": ["cost"]}, "indexes[0] must be an object"),
        ({"indexes": [{"columns": []}]}, "indexes[0].columns is empty"),
        ({"indexes": [{"columns": ["costs"]}]}, "indexes[0]: no column 'costs'; did you mean 'cost'?"),
        ({"indexes": [{"columns": ["cost"], "kind": "tree"}]}, "must be hash or ordered"),
        ({"indexes": [{"columns": ["cost"]}] * 2}, "indexes[1] is the same as another"),
        ({"indexes": [{"columns": ["extra"]}]}, "column extra is JSON; it cannot be indexed"),
        ({"indexes": [{"columns": ["cost"]}] * 33}, "32 indexes at most"),
        ({"broadcast": 1}, "broadcast must be true or false, not 1"),
        ({"ttl": 0}, "ttl is 0; it is a whole number of seconds"),
        ({"ttl": 1.5}, "ttl is 1.5"),
        ({"ttl": "1500ms"}, "it is a whole number of seconds"),
        ({"ttl": "soon"}, "is not a duration"),
        ({"partitionBy": []}, "did you mean 'partition_by'?"),
    ],
)
def test_each_mistake_is_told(changed: dict[str, Any], expected: str) -> None:
    assert any(expected in line for line in problems(**changed)), problems(**changed)


def test_all_mistakes_are_found_in_one_pass_with_their_places() -> None:
    with pytest.raises(DefinitionError) as raised:
        parse_definition(
            "f",
            {
                "columns": [{"name": "a", "tipe": "INT"}, {"name": "b", "type": "INTT", "default": 1}],
                "key": ["c"],
                "indexes": [{"columns": ["d"], "kind": "x"}],
                "ttl": -1,
            },
        )
    assert [place for place, _ in raised.value.problems] == [
        ("columns", 0, "tipe"),
        ("columns", 0),
        ("columns", 1, "type"),
        ("indexes", 0, "kind"),
        ("ttl",),
    ]
    assert all(line.startswith("table f: ") for line in raised.value.lines)


def test_a_column_that_does_not_hold_is_not_complained_about_again_where_it_is_named() -> None:
    assert len(problems(columns=[{"name": "carrier", "type": "VARCHA"}, COLUMNS[1]])) == 1


@pytest.mark.parametrize(
    "document", [b"{", b"[]", b"5", b"null", b'"x"', b"[" * 10_000, b"\xff", b"x" * (DEFINITION_BYTES_MAX + 1)]
)
def test_what_is_no_definition_at_all_is_told_so(document: bytes) -> None:
    with pytest.raises(DefinitionError):
        parse_definition("t", document)


def test_the_command_and_the_document_must_agree_on_the_name() -> None:
    assert (
        parse_definition("flights", {key: value for key, value in FLIGHTS.items() if key != "name"}).name == "flights"
    )
    with pytest.raises(DefinitionError, match="name is 'flights', but the table is to be 'trips'"):
        parse_definition("trips", FLIGHTS)


def test_there_is_a_most_of_columns() -> None:
    many = [{"name": f"c{number}", "type": "INT"} for number in range(COLUMNS_MAX + 1)]
    assert len(parse_definition("t", {"columns": many[:-1], "key": ["c0"]}).columns) == COLUMNS_MAX
    with pytest.raises(DefinitionError, match="1001 of them"):
        parse_definition("t", {"columns": many, "key": ["c0"]})


def test_one_column_is_read_as_a_definition_reads_it() -> None:
    column = parse_column(b'{"name": "note", "type": "text", "default": "-"}', "flights")
    assert (column.name, column.type.name, column.nullable, column.default) == ("note", "VARCHAR", True, "-")
    with pytest.raises(DefinitionError, match="table flights: column note: type is missing"):
        parse_column({"name": "note"}, "flights")
    with pytest.raises(DefinitionError, match="must be an object"):
        parse_column("5")


def test_a_catalog_is_read_back_from_its_bytes() -> None:
    catalog = Catalog().create(parse_definition(None, FLIGHTS))
    again = parse_catalog(catalog.encode())
    assert again == catalog
    assert again.encode() == catalog.encode()
    assert parse_catalog(Catalog().encode()) == Catalog()
    for broken in (
        b"{}",
        b"5",
        b'{"version": 1, "next_id": 1, "tables": [{}]}',
        b'{"version": "x", "next_id": 1, "tables": []}',
    ):
        with pytest.raises(DefinitionError):
            parse_catalog(broken)
