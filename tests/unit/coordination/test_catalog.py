"""What each change makes of a catalog of tables."""

import json
from typing import Any

import pytest

from kubegrid.base.table_errors import DefinitionError, TableConflict, UnknownTable
from kubegrid.base.tables import Catalog
from kubegrid.coordination import catalog
from kubegrid.coordination.catalog import ADD_COLUMN, CREATE, CREATE_NEW, DECLARE, DROP, TRUNCATE, Change

ID = {"name": "id", "type": "INTEGER"}
NOTE = {"name": "note", "type": "VARCHAR"}


def definition(name: str = "flights", *more: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"name": name, "columns": [ID, *more], "key": ["id"]} | changes).encode()


def made(*changes: Change) -> Catalog:
    result = Catalog()
    for change in changes:
        result = catalog.changed(result, change)
    return result


def test_a_table_is_made_once_and_the_same_again_changes_nothing() -> None:
    once = made(Change(CREATE, "flights", definition()))
    assert (once.version, [table.name for table in once.tables]) == (1, ["flights"])
    assert catalog.changed(once, Change(CREATE, "flights", definition())) is once


def test_a_new_table_is_refused_where_one_has_its_name_even_the_same() -> None:
    wanted = Change(CREATE_NEW, "flights", definition())
    there = made(wanted)
    assert catalog.id_after(there, wanted) == 1
    with pytest.raises(TableConflict, match="table flights exists already"):
        catalog.changed(there, wanted)


def test_a_table_is_dropped_by_its_id_and_no_other_of_its_name() -> None:
    first = Change(CREATE_NEW, "flights", definition())
    again = made(first, Change(DROP, "flights", id=1), first)
    with pytest.raises(UnknownTable, match="flights with id 1"):
        catalog.changed(again, Change(DROP, "flights", id=1))
    gone = Change(DROP, "flights", id=2)
    assert (catalog.changed(again, gone).tables, catalog.id_after(catalog.changed(again, gone), gone)) == ((), 0)


def test_another_definition_of_the_name_is_refused_with_the_difference() -> None:
    there = made(Change(CREATE, "flights", definition()))
    with pytest.raises(TableConflict, match="note VARCHAR"):
        catalog.changed(there, Change(CREATE, "flights", definition("flights", NOTE)))


def test_a_table_made_anew_under_its_name_has_another_id() -> None:
    again = made(
        Change(CREATE, "flights", definition()), Change(DROP, "flights"), Change(CREATE, "flights", definition())
    )
    assert (again.version, again.by_name["flights"].id) == (3, 2)


def test_a_truncated_table_is_the_same_under_another_id() -> None:
    column = Change(ADD_COLUMN, "flights", json.dumps(NOTE).encode())
    there = made(Change(CREATE, "flights", definition()), Change(CREATE, "planes", definition("planes")), column)
    emptied = catalog.changed(there, Change(TRUNCATE, "flights"))
    before, after = there.by_name["flights"], emptied.by_name["flights"]
    assert (emptied.version, before.id, after.id) == (there.version + 1, 1, 3)
    assert after.to_json() == before.to_json() | {"id": 3}
    assert [table.name for table in emptied.tables] == ["flights", "planes"]
    with pytest.raises(UnknownTable, match="did you mean 'flights'"):
        catalog.changed(there, Change(TRUNCATE, "flight"))


def test_a_column_is_added_once() -> None:
    column = Change(ADD_COLUMN, "flights", json.dumps(NOTE).encode())
    grown = made(Change(CREATE, "flights", definition()), column)
    assert grown.by_name["flights"].schema == 2
    assert catalog.changed(grown, column) is grown
    with pytest.raises(TableConflict, match="has a column note already"):
        catalog.changed(grown, Change(ADD_COLUMN, "flights", json.dumps(NOTE | {"type": "DATE"}).encode()))


def test_what_is_declared_is_made_or_gets_the_columns_it_lacks() -> None:
    there = made(Change(DECLARE, "", definition()))
    grown = catalog.changed(there, Change(DECLARE, "", definition("flights", NOTE)))
    assert grown.by_name["flights"].names == ("id", "note")
    assert catalog.changed(grown, Change(DECLARE, "", definition("flights", NOTE))) is grown


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (definition(columns=[ID | {"type": "BIGINT"}]), "INTEGER"),
        (definition("flights", NOTE | {"nullable": False}), "NOT NULL"),
        (definition(ttl=60), "ttl"),
        (definition(columns=[NOTE, ID]), "order"),
    ],
)
def test_a_declared_change_that_is_more_than_nullable_columns_is_refused(wanted: bytes, why: str) -> None:
    there = made(Change(DECLARE, "", definition()))
    with pytest.raises(TableConflict, match=why) as raised:
        catalog.changed(there, Change(DECLARE, "", wanted))
    assert raised.value.remedy


def test_what_does_not_hold_is_refused_with_its_code() -> None:
    with pytest.raises(DefinitionError) as raised:
        made(Change(CREATE, "flights", b"{"))
    assert catalog.error_code(raised.value) == "BADDEFINITION"
    with pytest.raises(UnknownTable, match="'flights'") as unknown:
        made(Change(CREATE, "flights", definition()), Change(DROP, "flihgts"))
    assert catalog.error_code(unknown.value) == "NOTABLE"


def test_a_catalog_is_read_back_as_it_was_written() -> None:
    there = made(Change(CREATE, "flights", definition("flights", NOTE | {"default": "none"}, ttl=60)))
    assert catalog.decoded(catalog.encoded(there)) == there
    for nonsense in (b"", b"[]", b'{"tables": 3}', b'{"version": "x", "next_id": 1, "tables": []}'):
        with pytest.raises(DefinitionError):
            catalog.decoded(nonsense)


def test_a_catalog_too_long_for_everybody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "DOCUMENT_BYTES_MAX", 100)
    with pytest.raises(TableConflict, match="longer than 100 bytes"):
        made(Change(CREATE, "flights", definition()))
