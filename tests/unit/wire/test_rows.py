"""Rows: values to bytes and back, and what somebody else's bytes may be."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES

from kubegrid.base.table_definitions import parse_column, parse_definition
from kubegrid.base.table_errors import BadKey, BadValue, UnknownColumn
from kubegrid.base.tables import RECORD_BYTES_MAX, add_column
from kubegrid.wire.rows import RowCodec

NAMES = list(VALUES)
EVERY_TYPE = parse_definition(
    "every",
    {
        "columns": [
            {"name": "id", "type": "INTEGER"},
            *({"name": f"c{number}", "type": name} for number, name in enumerate(NAMES)),
        ],
        "key": ["id"],
    },
)
EVERY = RowCodec(EVERY_TYPE)
TRADES = parse_definition(
    "trades",
    {
        "columns": [
            {"name": "book", "type": "VARCHAR"},
            {"name": "id", "type": "INTEGER"},
            {"name": "notional", "type": "DECIMAL(10,2)"},
            {"name": "at", "type": "TIMESTAMPTZ"},
            {"name": "volume", "type": "SMALLINT", "nullable": False, "default": 0},
        ],
        "key": ["book", "id"],
        "partition_by": ["book"],
    },
)
TRADE = RowCodec(TRADES)
AT = datetime(2013, 1, 31, 5, tzinfo=UTC)
GOOD = ("FX", 42, Decimal("1.50"), AT, 5)
pack = msgspec.msgpack.Encoder(uuid_format="bytes").encode


@STEADY
@given(st.data())
def test_rows_of_every_type_come_back_as_they_were(data: st.DataObject) -> None:
    row = (1, *(data.draw(st.none() | VALUES[name]) for name in NAMES))
    encoded = EVERY.encode(row)
    decoded = tuple(EVERY.decode(encoded))
    assert decoded == row
    assert [type(value) for value in decoded] == [type(value) for value in row]
    kept, values = EVERY.admit(encoded)
    assert tuple(values) == row
    assert EVERY.encode_settled(values) == kept == encoded
    document = EVERY.documents.encode(row)
    assert tuple(EVERY.documents.decode(document)) == row


@STEADY
@given(st.data())
def test_a_projection_reads_the_same_values(data: st.DataObject) -> None:
    row = (1, *(data.draw(st.none() | VALUES[name]) for name in NAMES))
    columns = data.draw(st.lists(st.sampled_from(EVERY_TYPE.names), unique=True))
    project = EVERY.projection(columns)
    assert project(EVERY.encode(row)) == tuple(row[EVERY_TYPE.position(name)] for name in columns)


ANY_MSGPACK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.timezones())
    | st.uuids()
    | st.decimals().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@STEADY
@given(data=st.data())
def test_whatever_is_sent_is_kept_as_values_of_the_columns_or_refused(data: st.DataObject) -> None:
    values = [data.draw(st.just(good) | ANY_MSGPACK) for good in GOOD]
    try:
        kept, admitted = TRADE.admit(pack(values))
    except BadValue as error:
        assert str(error).startswith("table trades, column ")
        return
    assert tuple(TRADE.decode(kept)) == tuple(admitted)
    assert TRADE.encode(admitted) == TRADE.encode(TRADE.decode(kept))
    for column, value in zip(TRADES.columns, admitted, strict=True):
        assert value is None or type(value) is column.type.python


@STEADY
@given(data=st.data())
def test_a_row_of_every_type_may_have_anything_in_one_place(data: st.DataObject) -> None:
    row: list[Any] = [1] + [None] * len(NAMES)
    place = data.draw(st.integers(0, len(NAMES)))
    row[place] = data.draw(ANY_MSGPACK)
    try:
        kept, admitted = EVERY.admit(pack(row))
    except BadValue as error:
        assert error.column == EVERY_TYPE.names[place]
        return
    value = admitted[place]
    assert value == EVERY.decode(kept)[place] or value != value


@STEADY
@given(st.binary(max_size=100))
def test_bytes_that_are_no_row_are_refused(data: bytes) -> None:
    with pytest.raises(BadValue):
        TRADE.admit(data)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(BadValue):
        EVERY.admit(b"\x91" * 100_000)
    with pytest.raises(BadValue):
        EVERY.admit(b"\x94\x01\xc0\xc0" + b"\x91" * 100_000)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, None, "table trades, column book: NULL is no value of a NOT NULL column (VARCHAR)"),
        (0, 5, "table trades, column book: 5 is not a VARCHAR"),
        (0, "\ud800", "table trades, column book: "),
        (1, True, "table trades, column id: True is not an INTEGER"),
        (1, 2**31, "table trades, column id: 2147483648 is too large for INTEGER: -2147483648 to 2147483647"),
        (1, 1.5, "table trades, column id: 1.5 is not an INTEGER: it has a fraction"),
        (2, float("nan"), "table trades, column notional: NaN is not a DECIMAL(10,2)"),
        (2, Decimal("1.005"), "table trades, column notional: 1.005 is not a DECIMAL(10,2): it has more than 2 digits"),
        (2, Decimal(10**8), "is too large for DECIMAL(10,2)"),
        (3, datetime(2013, 1, 31), "table trades, column at: 2013-01-31T00:00:00 has no time zone"),
        (4, "abc", "table trades, column volume: 'abc' is not a SMALLINT"),
    ],
)
def test_an_error_names_table_column_value_and_type(place: int, value: Any, message: str) -> None:
    row = list(GOOD)
    row[place] = value
    with pytest.raises(BadValue) as raised:
        TRADE.encode(row)
    assert message in str(raised.value)


def test_text_that_is_not_utf8_is_refused_wherever_it_comes_from() -> None:
    sent = pack(["FX", *GOOD[1:]]).replace(b"FX", b"\xff\xfe")
    with pytest.raises(BadValue, match=r"UTF-8|utf-8"):
        TRADE.admit(sent)


def test_values_are_taken_in_other_forms_and_kept_in_one() -> None:
    zoned = datetime(2013, 1, 31, 10, tzinfo=timezone(timedelta(hours=5)))
    for row in (("FX", 42, Decimal("1.5"), zoned, 5), ("FX", 42.0, 1.5, AT, 5.0)):
        assert TRADE.encode(row) == TRADE.encode(GOOD)
    for sent in (pack(["FX", 42, "1.5", "2013-01-31T10:00:00+05:00", 5]), pack(["FX", 42, 1.5, AT, 5])):
        kept, values = TRADE.admit(sent)
        assert kept == TRADE.encode(GOOD)
        assert tuple(values) == GOOD


def test_a_batch_names_the_row_that_is_wrong() -> None:
    with pytest.raises(BadValue, match="table trades, column id: row 2 of the batch: 'x' is not an INTEGER"):
        TRADE.encode_many([GOOD, ("FX", "x", None, None, 0)])
    bad = pack(["FX", None, None, None, 0])
    with pytest.raises(BadValue, match="table trades, column id: row 3 of the batch: NULL"):
        TRADE.admit_many([TRADE.encode(GOOD)] * 2 + [bad])
    with pytest.raises(BadValue, match="table trades, column id: NULL"):
        TRADE.admit_many([bad])


def test_a_batch_gives_rows_keys_and_values() -> None:
    rows = TRADE.encode_many([GOOD, ("E:U", 1, None, None, 0)])
    kept, keys, values = TRADE.admit_many(rows)
    assert kept == rows
    assert keys == [b"trades:{FX}:42", b"trades:{E%3AU}:1"]
    assert tuple(values[0]) == GOOD
    with pytest.raises(BadKey, match="is empty"):
        TRADE.admit_many([TRADE.encode(("", 1, None, None, 0))])


def test_a_row_from_before_a_column_reads_its_default() -> None:
    old = TRADE.encode(GOOD)
    wider = add_column(TRADES, parse_column({"name": "note", "type": "VARCHAR"}))
    wider = add_column(wider, parse_column({"name": "extra", "type": "JSON", "default": {"a": [1]}}))
    wider = add_column(wider, parse_column({"name": "big", "type": "HUGEINT", "default": 2**100}))
    codec = RowCodec(wider)
    assert tuple(codec.decode(old)) == (*GOOD, None, {"a": [1]}, 2**100)
    assert codec.projection(["big", "extra", "book"])(old) == (2**100, {"a": [1]}, "FX")
    assert codec.projection(["note"])(old) == (None,)
    kept, values = codec.admit(old)
    assert tuple(values) == (*GOOD, None, {"a": [1]}, 2**100)
    assert tuple(codec.decode(kept)) == tuple(values)


def test_a_row_from_after_a_column_is_read_as_far_as_the_columns_go() -> None:
    wider = RowCodec(add_column(TRADES, parse_column({"name": "note", "type": "VARCHAR"})))
    new = wider.encode((*GOOD, "x"))
    assert tuple(TRADE.decode(new)) == GOOD
    with pytest.raises(BadValue, match="6 values for 5 columns"):
        TRADE.admit(new)


def test_a_row_without_a_required_value_is_refused() -> None:
    with pytest.raises(BadValue, match="4 values for 5 columns"):
        TRADE.encode(GOOD[:4])
    with pytest.raises(BadValue, match="table trades, column id: is missing"):
        TRADE.admit(pack(["FX"]))
    assert tuple(TRADE.admit(pack(["FX", 42]))[1]) == ("FX", 42, None, None, 0)


def test_a_record_has_a_greatest_size() -> None:
    table = RowCodec(
        parse_definition(
            "t", {"columns": [{"name": "a", "type": "VARCHAR"}, {"name": "b", "type": "BLOB"}], "key": ["a"]}
        )
    )
    assert table.admit(table.encode(("a", b"x" * (RECORD_BYTES_MAX - 20))))
    with pytest.raises(BadValue, match="table t: a record of 1048584 bytes; the most is 1048576"):
        table.encode(("a", b"x" * RECORD_BYTES_MAX))
    with pytest.raises(BadValue, match="the most is"):
        table.admit(pack(["a", b"x" * RECORD_BYTES_MAX]))


def test_views_of_larger_buffers_can_be_decoded() -> None:
    record = b"twelve bytes" + TRADE.encode(GOOD)
    assert tuple(TRADE.decode(memoryview(record)[12:])) == GOOD
    assert TRADE.projection(["volume"])(memoryview(record)[12:]) == (5,)


def test_projections_are_kept_but_not_without_end() -> None:
    wide = RowCodec(
        parse_definition("w", {"columns": [{"name": f"c{at}", "type": "INT"} for at in range(100)], "key": ["c0"]})
    )
    first = wide.projection(["c0"])
    assert wide.projection(["c0"]) is first
    for at in range(100):
        assert wide.projection([f"c{at}"])(wide.encode(range(100))) == (at,)
    assert wide.projection(["c0"]) is not first


def test_projections_of_nothing_and_of_unknown_columns() -> None:
    assert TRADE.projection([])(TRADE.encode(GOOD)) == ()
    with pytest.raises(UnknownColumn, match=r"did you mean 'notional'?"):
        TRADE.projection(["notionl"])


def test_a_table_may_have_very_many_columns() -> None:
    columns = [{"name": f"c{number}", "type": "DECIMAL(5,2)" if number % 2 else "INTEGER"} for number in range(1000)]
    codec = RowCodec(parse_definition("wide", {"columns": columns, "key": ["c0"]}))
    row = tuple(Decimal("1.50") if number % 2 else number for number in range(1000))
    assert tuple(codec.admit(codec.encode(row))[1]) == row
    assert tuple(codec.documents.decode(codec.documents.encode(row))) == row
