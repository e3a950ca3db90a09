"""Batches of Arrow become the rows that `rows` writes, byte for byte, with their keys and slots; what is bad is found."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES
from tests.unit.wire.test_rows import EVERY, EVERY_TYPE, NAMES, TRADES

from kubegrid.base.columns import parse_type
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadValue, TableError
from kubegrid.base.tables import KEY_BYTES_MAX, RECORD_BYTES_MAX
from kubegrid.store.slots import slot_of
from kubegrid.wire.arrow_blocks import decode_columns, encode_columns
from kubegrid.wire.arrow_columns import settled_type
from kubegrid.wire.arrow_integer_slots import ROWS_MIN
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.rows import RowCodec

KEYED = [name for name in NAMES if parse_type(name).keyed and name != "BLOB"]


def arrow_value(name: str, value: Any) -> Any:
    """What stands for a value in the Arrow type that its column is settled in."""
    if value is None:
        return None
    if name == "JSON":
        return msgspec.json.encode(value).decode()
    return str(value) if name in ("UUID", "HUGEINT", "UHUGEINT") else value


def column(name: str, values: list[Any]) -> pa.Array:
    return pa.array([arrow_value(name, value) for value in values], settled_type(parse_type(name)))


@STEADY
@given(st.data(), st.integers(1, 20))
def test_rows_of_every_type_are_the_same_bytes_as_those_written_one_by_one(data: st.DataObject, count: int) -> None:
    columns = [[data.draw(st.none() | VALUES[name]) for _ in range(count)] for name in NAMES]
    batch = pa.table(
        [pa.array(range(count), pa.int32()), *map(column, NAMES, columns)],
        names=["id", *(f"c{number}" for number in range(len(NAMES)))],
    )
    expected = [EVERY.encode(row) for row in zip(range(count), *columns, strict=True)]
    made = ArrowRows(EVERY_TYPE).admit(batch)
    assert made.rows == expected
    assert made.keys == [b"every:%d" % number for number in range(count)]
    prepared, slots = ArrowRows(EVERY_TYPE).prepare(batch)
    assert slots.to_pylist() == made.slots
    assert ArrowRows(EVERY_TYPE).admit(prepared).rows == expected
    middle = count // 2  # a part of what was given is no copy: its memory begins somewhere else
    made = ArrowRows(EVERY_TYPE).admit(batch.slice(middle))
    assert (made.rows, made.keys) == (expected[middle:], [b"every:%d" % number for number in range(middle, count)])
    prepared, slots = ArrowRows(EVERY_TYPE).prepare(batch.slice(middle))
    assert slots.to_pylist() == made.slots
    assert ArrowRows(EVERY_TYPE).rows(decode_columns(encode_columns(prepared))) == expected[middle:]


def test_a_column_that_is_settled_as_it_came_is_not_copied() -> None:
    given = pa.table([pa.array([1, 2], pa.int32())], ["id"])
    (settled,) = ArrowRows(EVERY_TYPE).settle(given).values()
    assert settled.buffers()[1].address == given.column(0).chunk(0).buffers()[1].address


@STEADY
@given(st.data(), st.sampled_from(KEYED), st.sampled_from(KEYED), st.booleans(), st.integers(1, 12))
def test_keys_and_slots_are_those_of_the_rows(
    data: st.DataObject, first: str, second: str, together: bool, count: int
) -> None:
    definition = parse_definition(
        "t",
        {
            "columns": [{"name": "a", "type": first}, {"name": "b", "type": second}],
            "key": ["a", "b"],
            "partition_by": ["a"] if together else [],
        },
    )
    columns = [[data.draw(VALUES[name]) for _ in range(count)] for name in (first, second)]
    if together and first == "VARCHAR":
        columns[0] = [text or "x" for text in columns[0]]
    made = ArrowRows(definition).admit(pa.table([column(first, columns[0]), column(second, columns[1])], ["a", "b"]))
    codec = RowCodec(definition)
    assert made.keys == [codec.key_of_row(row) for row in zip(*columns, strict=True)]
    assert made.slots == list(map(slot_of, made.keys))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 1000, 65_535, 65_536])
def test_numbers_of_every_width_stand_in_batches_of_every_size(count: int) -> None:
    edges = [
        n
        for bits in (5, 7, 8, 15, 16, 31, 32, 63)
        for edge in (2**bits, -(2**bits))
        for n in (edge - 1, edge, edge + 1)
    ]
    numbers: list[Any] = [n for n in edges if -(2**63) <= n < 2**63]
    numbers = [*(numbers * (count // len(numbers) + 1))[: count - 1], None]
    types = {"id": "INTEGER", "n": "BIGINT", "x": "DOUBLE"}
    definition = parse_definition(
        "t", {"columns": [{"name": name, "type": kind} for name, kind in types.items()], "key": ["id"]}
    )
    doubles = [None if n is None else n / 3 for n in numbers]
    batch = pa.table(
        [pa.array(range(count), pa.int32()), pa.array(numbers, pa.int64()), pa.array(doubles)], ["id", "n", "x"]
    )
    codec = RowCodec(definition)
    rows = list(zip(range(count), numbers, doubles, strict=True))
    assert ArrowRows(definition).admit(batch).rows == [codec.encode(row) for row in rows]
    part = batch.slice(count // 2)  # whose memory begins somewhere else
    assert ArrowRows(definition).admit(part).rows == [codec.encode(row) for row in rows[count // 2 :]]


def test_long_texts_and_rows_up_to_the_limit_pass_and_longer_ones_do_not() -> None:
    definition = parse_definition(
        "t", {"columns": [{"name": "id", "type": "INTEGER"}, {"name": "s", "type": "VARCHAR"}], "key": ["id"]}
    )
    texts = ["x" * n for n in (31, 32, 255, 256, 1023, 1024, 65_535, 65_536, RECORD_BYTES_MAX - 7)]
    encoder, codec = ArrowRows(definition), RowCodec(definition)
    batch = pa.table([pa.array(range(len(texts))), pa.array(texts)], ["id", "s"])
    assert encoder.admit(batch).rows == [codec.encode(row) for row in enumerate(texts)]
    long = pa.table([pa.array([1, 2]), pa.array(["", "x" * RECORD_BYTES_MAX])], ["id", "s"])
    with pytest.raises(
        BadValue, match=f"table t: row 2 of the batch: a record of 1048.* bytes; the most is {RECORD_BYTES_MAX}"
    ):
        encoder.admit(long)
    with pytest.raises(BadValue):
        encoder.prepare(long)


@STEADY
@given(
    st.lists(st.integers(0, 63).flatmap(lambda bits: st.integers(0, 2**bits - 1)), min_size=1, max_size=20), st.data()
)
def test_slots_of_integers_are_those_of_their_keys(numbers: list[int], data: st.DataObject) -> None:
    definition = parse_definition("some_name", {"columns": [{"name": "id", "type": "BIGINT"}], "key": ["id"]})
    some = (numbers * ROWS_MIN)[: ROWS_MIN + data.draw(st.integers(0, 3))]
    edges = [10**n + more for n in range(1, 19) for more in (-1, 0)]
    for values in (some, [*some, *edges], [*some, -1]):
        batch = pa.table([pa.array(values, pa.int64())], ["id"])
        expected = [slot_of(b"some_name:%d" % number) for number in values]
        assert ArrowRows(definition).prepare(batch)[1].to_pylist() == expected
        assert ArrowRows(definition).admit(batch.slice(1)).slots == expected[1:]


def test_missing_columns_are_their_defaults_or_refused() -> None:
    encoder = ArrowRows(TRADES)
    made = encoder.admit(pa.table([pa.array(["FX"]), pa.array([1])], ["book", "id"]))
    assert tuple(RowCodec(TRADES).decode(made.rows[0])) == ("FX", 1, None, None, 0)
    with pytest.raises(TableError, match=r"table trades, column book: .*is missing: it is NOT NULL and has no default"):
        encoder.admit(pa.table([pa.array([1])], ["id"]))


GOOD: dict[str, Any] = {
    "book": pa.array(["FX"] * 5),
    "id": pa.array(range(5)),
    "notional": pa.array([Decimal("1.5")] * 5),
    "at": pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * 5, pa.timestamp("us", "UTC")),
    "volume": pa.array([1] * 5),
}


def _invalid_utf8() -> pa.Array:
    offsets, data = pa.array([b"a", b"b", b"\xff", b"c", b"d"]).buffers()[1:]
    return pa.Array.from_buffers(pa.string(), 5, [None, offsets, data])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("id", pa.array([1, 2, 2**31, 3, 4]), "column id: row 3 of the batch: 2147483648 is not an INTEGER"),
        ("id", pa.array([1, None, 2, 3, 4]), r"column id: row 2 of the batch: NULL is no value of a NOT NULL column \(INTEGER"),
        ("id", pa.array([1.0, 2.0, 3.0, 4.0, float("nan")]), "column id: row 5 of the batch: nan is not an INTEGER"),
        ("volume", pa.array([1, 2, 3, 4, 40_000]), "column volume: row 5 of the batch: 40000 is not a SMALLINT"),
        ("notional", pa.array([Decimal("1.555")] * 5), r"column notional: row 1 of the batch: 1.555 is not a DECIMAL\(10,2\)"),
        ("notional", pa.array([float("nan")] * 5), r"column notional: Arrow's double is not a DECIMAL\(10,2\)"),
        ("id", pa.array(["1"] * 5), "column id: Arrow's string is not an INTEGER"),
        ("at", pa.array([datetime(2020, 1, 1)] * 5), "column at: Arrow's timestamp.us. is not a TIMESTAMP WITH TIME ZONE"),
        ("at", pa.array([0, 1, 2**62, 2, 3], pa.timestamp("us", "UTC")), "column at: row 3 of the batch: a time before the year"),
        ("book", _invalid_utf8(), "row 3 of the batch:.*UTF8"),
        ("book", pa.array(["a", "b", "c", "", "d"]), "row 4 of the batch: .*partition_by column book is empty"),
        ("book", pa.array(["a", "x" * KEY_BYTES_MAX, "b", "c", "d"]), "row 2 of the batch: .*is longer than 4096 bytes"),
        ("price", pa.array([1] * 5), "table trades has no column price"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_table_column_row_and_value(name: str, array: pa.Array, message: str) -> None:
    columns = GOOD | {name: array}
    with pytest.raises(TableError, match=message) as caught:
        ArrowRows(TRADES).admit(pa.table(list(columns.values()), list(columns)))
    assert "trades" in str(caught.value)


@pytest.mark.parametrize("kind", ["UUID", "JSON", "HUGEINT", "DATE", "TIMESTAMP"])
def test_what_a_member_would_refuse_is_found_before_it_is_sent(kind: str) -> None:
    definition = parse_definition(
        "t", {"columns": [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": kind}], "key": ["id"]}
    )
    if kind == "DATE":
        bad = pa.array([0, 2**30], pa.int32()).view(pa.date32())
    elif kind == "TIMESTAMP":
        bad = pa.array([0, -(2**62)], pa.timestamp("us"))
    else:
        bad = pa.array([None, "{"])
    batch = pa.table([pa.array([1, 2]), bad], ["id", "x"])
    with pytest.raises(TableError):
        ArrowRows(definition).prepare(batch)
    with pytest.raises(TableError, match="column x: row 2 of the batch"):
        ArrowRows(definition).admit(batch)


def test_json_null_is_null() -> None:
    columns = [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": "JSON"}]
    batch = pa.table([pa.array([1]), pa.array(["null"])], ["id", "x"])
    nullable = parse_definition("t", {"columns": columns, "key": ["id"]})
    assert RowCodec(nullable).decode(ArrowRows(nullable).admit(batch).rows[0])[1] is None
    columns[1]["nullable"] = False  # type: ignore[assignment]
    strict = parse_definition("t", {"columns": columns, "key": ["id"]})
    for way in (ArrowRows(strict).admit, ArrowRows(strict).prepare):
        with pytest.raises(BadValue, match="NULL is no value of a NOT NULL column"):
            way(batch)


def test_other_types_of_arrow_that_lose_nothing_are_taken() -> None:
    definition = parse_definition(
        "t",
        {
            "columns": [
                {"name": "id", "type": "BIGINT"},
                {"name": "s", "type": "VARCHAR"},
                {"name": "d", "type": "TIMESTAMP"},
                {"name": "f", "type": "DOUBLE"},
            ],
            "key": ["id"],
        },
    )
    batch = pa.table(
        [
            pa.array([1, 2], pa.uint8()),
            pa.array(["a", None], pa.large_string()).dictionary_encode(),
            pa.array([date(2020, 1, 2), None]),
            pa.array([1, 2], pa.int16()),
        ],
        ["id", "s", "d", "f"],
    )
    rows = [tuple(RowCodec(definition).decode(row)) for row in ArrowRows(definition).admit(batch).rows]
    assert rows == [(1, "a", datetime(2020, 1, 2), 1.0), (2, None, None, 2.0)]


TEXTS = ["a", None, "a text of more than twelve bytes", "a"]


@pytest.mark.parametrize(
    "given",
    [
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.DictionaryArray.from_arrays(
            pa.array([0, None, 1, 0], pa.uint32()), pa.array(["a", TEXTS[2]], pa.string_view())
        ),
        pa.compute.run_end_encode(pa.array(TEXTS)),
        pa.compute.run_end_encode(pa.array(TEXTS)).slice(0, 4),
        pa.chunked_array([pa.array(TEXTS[:2]), pa.array([], pa.string()), pa.array(TEXTS[2:])]),
        pa.chunked_array([pa.array(TEXTS[:3]).dictionary_encode(), pa.array(TEXTS[3:]).dictionary_encode()]),
    ],
    ids=[
        "large",
        "view",
        "dictionary",
        "dictionary-of-views",
        "runs",
        "slice-of-runs",
        "chunks",
        "chunked-dictionaries",
    ],
)
def test_text_is_the_same_however_arrow_encodes_it(given: Any) -> None:
    definition = parse_definition(
        None,
        {"name": "t", "columns": [{"name": "id", "type": "BIGINT"}, {"name": "v", "type": "VARCHAR"}], "key": ["id"]},
    )
    rows = ArrowRows(definition).admit(pa.table({"id": range(4), "v": given})).rows
    assert [RowCodec(definition).decode(row)[1] for row in rows] == TEXTS


def test_a_column_that_is_missing_is_no_matter_of_a_row() -> None:
    definition = parse_definition(None, {"name": "t", "columns": [{"name": "id", "type": "BIGINT"}], "key": ["id"]})
    with pytest.raises(BadValue, match=r"^table t, column id: is missing: it is NOT NULL and has no default$"):
        ArrowRows(definition).admit(pa.table({}))
