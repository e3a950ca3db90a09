"""Columns give the rows that KG.WRITE would keep, one or many; columns come back from bytes as they were."""

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES
from tests.unit.wire.test_arrow_rows import arrow_value, column
from tests.unit.wire.test_rows import EVERY, EVERY_TYPE, NAMES, TRADES

from kubegrid.base.table_definitions import parse_definition
from kubegrid.wire.arrow_blocks import BlockRows, decode_columns, encode_columns, projection
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.rows import RowCodec


def settled(definition: Any, batch: pa.Table) -> pa.RecordBatch:
    columns = ArrowRows(definition).settle(batch)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


@STEADY
@given(st.data(), st.integers(1, 12))
def test_one_row_and_many_are_those_that_are_written_one_by_one(data: st.DataObject, count: int) -> None:
    values = [[data.draw(st.none() | VALUES[name]) for _ in range(count)] for name in NAMES]
    batch = settled(
        EVERY_TYPE,
        pa.table(
            [pa.array(range(count), pa.int32()), *map(column, NAMES, values)],
            names=["id", *(f"c{number}" for number in range(len(NAMES)))],
        ),
    )
    expected = [EVERY.encode(row) for row in zip(range(count), *values, strict=True)]
    rows = BlockRows(EVERY_TYPE)
    for columns in (batch, decode_columns(encode_columns(batch))):
        assert rows.rows(columns) == expected
        assert [rows.row(columns, place) for place in range(count)] == expected
        places = data.draw(st.lists(st.integers(0, count - 1)))
        assert rows.rows(columns, places) == [expected[place] for place in places]
        middle = columns.slice(count // 2)  # whose memory begins somewhere else
        assert rows.rows(middle) == [rows.row(middle, place) for place in range(len(middle))] == expected[count // 2 :]
        assert rows.keys(columns)[0] == [b"every:%d" % number for number in range(count)]
        wanted = data.draw(st.permutations(EVERY_TYPE.names))[:5]
        few = projection(columns, [EVERY_TYPE.columns[EVERY_TYPE.position(name)] for name in wanted])
        of_row = EVERY.projection(wanted)
        assert repr([few(place) for place in range(count)]) == repr([of_row(row) for row in expected])


def test_columns_that_a_batch_lacks_are_their_defaults() -> None:
    batch = settled(TRADES, pa.table([pa.array(["FX", "IR"]), pa.array([1, 2])], ["book", "id"]))
    rows = BlockRows(TRADES)
    expected = [RowCodec(TRADES).encode(values) for values in (("FX", 1, None, None, 0), ("IR", 2, None, None, 0))]
    assert rows.rows(batch) == [rows.row(batch, place) for place in range(2)] == expected


def test_a_default_that_is_kept_in_another_form_is_packed_as_in_a_row() -> None:
    for kind, default in (
        ("HUGEINT", "7"),
        ("DECIMAL(10,2)", "1.50"),
        ("UUID", "00000000-0000-0000-0000-000000000001"),
    ):
        definition = parse_definition(
            "t",
            {
                "columns": [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": kind, "default": default}],
                "key": ["id"],
            },
        )
        batch = settled(definition, pa.table([pa.array([1])], ["id"]))
        expected = RowCodec(definition).encode((1, definition.columns[1].default))
        assert BlockRows(definition).rows(batch) == [BlockRows(definition).row(batch, 0)] == [expected]


def test_columns_refer_to_the_bytes_they_were_read_from() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(range(1000), pa.int64())], ["x"])
    data = encode_columns(batch)
    before = pa.total_allocated_bytes()
    read = decode_columns(memoryview(data))
    assert pa.total_allocated_bytes() - before < 1000
    assert read.equals(batch)
    assert decode_columns(encode_columns(batch.slice(990))).equals(batch.slice(990))
    assert len(encode_columns(batch.slice(990))) < 1000


def test_values_that_arrow_knows_no_type_for_are_read_at_their_place() -> None:
    assert arrow_value("JSON", {"a": 1}) == '{"a":1}'
    definition = parse_definition(
        "t", {"columns": [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": "JSON"}], "key": ["id"]}
    )
    batch = settled(definition, pa.table([pa.array([1, 2]), pa.array(['{"a": [1]}', None])], ["id", "x"]))
    rows = [tuple(RowCodec(definition).decode(BlockRows(definition).row(batch, place))) for place in range(2)]
    assert rows == [(1, {"a": [1]}), (2, None)]
