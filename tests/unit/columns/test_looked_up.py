"""Records that were looked up stand in the place of their table, with its very columns."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.columns.test_conversion import NAMES, WIDE, rows_in_duckdb
from tests.unit.wire.column_values import STEADY, VALUES

from kubegrid.base.table_definitions import parse_definition
from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import open_database
from kubegrid.columns.looked_up import plain_columns, put_in_place
from kubegrid.query.plain_types import is_plain
from kubegrid.store.records import Record, record_of
from kubegrid.wire.rows import RowCodec


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = open_database(256 * 2**20, str(tmp_path_factory.mktemp("spill")), 2**30)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A DuckDB in which answers are put together: its types are those that clients get."""
    opened = open_database(256 * 2**20, str(tmp_path_factory.mktemp("spill")), 2**30, lossless=False)
    yield opened
    opened.close()


def looked_up(database: Any, records: list[Record]) -> Any:
    """A relation of the table `wide` on a connection that has these records in its place."""
    cursor = database.cursor()
    put_in_place(cursor, [(WIDE, records)])
    return cursor.sql(f"SELECT * FROM wide ORDER BY {VERSION}")


@STEADY
@given(rows=st.lists(st.tuples(*[st.none() | VALUES[name] for name in NAMES]), max_size=3))
def test_values_of_every_type_are_those_of_the_table(database: Any, rows: list[tuple[Any, ...]]) -> None:
    codec = RowCodec(WIDE)
    records = [record_of(1, 2**63 + number, codec.encode((number, *row))) for number, row in enumerate(rows)]
    found = looked_up(database, records)
    rows_in_duckdb(database, Conversion(WIDE), records)
    expected = database.sql(f"SELECT * FROM wide ORDER BY {VERSION}")
    assert found.types == expected.types
    assert found.to_arrow_table().to_pylist() == expected.to_arrow_table().to_pylist()


def test_nobody_else_sees_them(database: Any) -> None:
    row = RowCodec(WIDE).encode((1, *[None] * len(NAMES)))
    copied = [record_of(1, version, row) for version in (1, 2, 3)]
    rows_in_duckdb(database, Conversion(WIDE), copied)
    assert len(looked_up(database, [record_of(1, 4, row)]).fetchall()) == 1
    assert database.sql("SELECT count(*) FROM wide").fetchall() == [(3,)]
    assert database.cursor().sql("SELECT count(*) FROM wide").fetchall() == [(3,)]


def test_none_are_an_empty_table(database: Any) -> None:
    assert looked_up(database, []).fetchall() == []


@STEADY
@given(rows=st.lists(st.tuples(*[st.none() | VALUES[name] for name in NAMES]), min_size=1, max_size=3))
def test_plain_columns_are_those_of_an_answer(answers: Any, rows: list[tuple[Any, ...]]) -> None:
    codec = RowCodec(WIDE)
    records = [record_of(1, 1 + number, codec.encode((number, *row))) for number, row in enumerate(rows)]
    expected = looked_up(answers, records).to_arrow_table()
    names = [
        column.name
        for column in WIDE.columns
        if is_plain(expected.select([column.name]).schema, [column.type])  # not HUGEINT
    ]
    assert len(names) >= len(WIDE.columns) - 2
    found = plain_columns(WIDE, names, records)
    assert found.schema.types == expected.select(names).schema.types
    assert found.to_pylist() == expected.select(names).to_pylist()


def test_plain_columns_of_no_records_have_their_types(answers: Any) -> None:
    found = plain_columns(WIDE, ["v1", "id", "id"], [])
    assert (found.num_rows, found.schema.names) == (0, ["v1", "id", "id"])


def test_a_row_from_before_a_column_was_added_reads_as_its_default(answers: Any) -> None:
    columns = [{"name": "id", "type": "BIGINT", "nullable": False}]
    row = RowCodec(parse_definition("t", {"columns": columns, "key": ["id"]})).encode((7,))
    columns.append({"name": "day", "type": "DATE", "default": "2024-02-29"})
    later = parse_definition("t", {"columns": columns, "key": ["id"]})
    assert plain_columns(later, ["day"], [record_of(1, 1, row)]).to_pylist() == [{"day": date(2024, 2, 29)}]
