"""Column types: how SQL spells them, what each takes, and what it says of what it does not take."""

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES

from kubegrid.base.columns import TYPES, parse_type
from kubegrid.base.table_errors import BadValue, shown

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("spelt", "canonical"),
    [
        ("int", "INTEGER"),
        ("Int8", "BIGINT"),
        ("FLOAT", "REAL"),
        ("double  precision", "DOUBLE"),
        ("text", "VARCHAR"),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE"),
        ("timestamp without time zone", "TIMESTAMP"),
        ("numeric", "DECIMAL(18,3)"),
        ("decimal(5)", "DECIMAL(5,0)"),
        ("NUMERIC ( 10 , 2 )", "DECIMAL(10,2)"),
        ("bytea", "BLOB"),
        ("bool", "BOOLEAN"),
    ],
)
def test_types_have_synonyms_and_one_canonical_spelling(spelt: str, canonical: str) -> None:
    assert parse_type(spelt).name == canonical
    assert parse_type(canonical) == parse_type(spelt)


@pytest.mark.parametrize(
    ("spelt", "message"),
    [
        ("DUBLE", "did you mean 'DOUBLE'?"),
        ("VARCHAR(20)", "VARCHAR takes no length; write VARCHAR"),
        ("DECIMAL(39,2)", "1 to 38 digits"),
        ("DECIMAL(2,3)", "no more after the point"),
        ("DECIMAL(0,0)", "1 to 38 digits"),
        ("x" * 1000, "is not a type"),
        (5, "5 is not a type"),
        ("", "is not a type"),
    ],
)
def test_what_is_no_type_is_refused(spelt: Any, message: str) -> None:
    with pytest.raises(ValueError, match="not a type") as raised:
        parse_type(spelt)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", VALUES)
@STEADY
@given(data=st.data())
def test_every_value_comes_back_from_json_text_and_python(name: str, data: st.DataObject) -> None:
    kind = parse_type(name)
    value = data.draw(VALUES[name])
    json = msgspec.json.Encoder(decimal_format="string").encode(kind.to_json(value))
    for back in (
        kind.from_json(msgspec.json.decode(json)),
        kind.from_text(kind.to_text(value)),
        kind.from_key_text(kind.to_key_text(value)) if kind.keyed else value,
        kind.from_python(value),
    ):
        assert back == value
        assert type(back) is type(value)


@STEADY
@given(VALUES["DECIMAL(18,3)"])
def test_decimals_always_have_the_scale_of_their_column(value: Decimal) -> None:
    kind = parse_type("DECIMAL(18,3)")
    assert kind.from_python(value.normalize()).as_tuple().exponent == -3
    assert str(kind.from_text(str(value.normalize()).encode())) == str(value if value else abs(value))


def from_python(name: str, value: Any) -> str:
    with pytest.raises(BadValue) as raised:
        parse_type(name).from_python(value)
    return raised.value.reason


def from_json(name: str, value: Any) -> str:
    with pytest.raises(BadValue) as raised:
        parse_type(name).from_json(value)
    return raised.value.reason


def from_text(name: str, data: bytes) -> str:
    with pytest.raises(BadValue) as raised:
        parse_type(name).from_text(data)
    return raised.value.reason


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SMALLINT", 32768, "32768 is too large for SMALLINT: -32768 to 32767"),
        ("UTINYINT", -1, "-1 is too small for UTINYINT: 0 to 255"),
        ("UBIGINT", 2**64, "is too large for UBIGINT"),
        ("HUGEINT", 2**127, "is too large for HUGEINT"),
        ("BIGINT", 10**4000, "a number of 13288 bits is too large for BIGINT"),
        ("INTEGER", True, "True is not an INTEGER"),
        ("INTEGER", 1.5, "1.5 is not an INTEGER: it has a fraction"),
        ("INTEGER", NAN, "nan is not an INTEGER"),
        ("INTEGER", INF, "inf is not an INTEGER"),
        ("INTEGER", "5", "'5' is not an INTEGER"),
        ("INTEGER", Decimal(5), "is not an INTEGER"),
        ("BOOLEAN", 1, "1 is not a BOOLEAN"),
        ("DOUBLE", "1.5", "'1.5' is not a DOUBLE"),
        ("DOUBLE", True, "True is not a DOUBLE"),
        ("DOUBLE", 10**400, "is too large for DOUBLE"),
        ("REAL", 1e39, "1e+39 is too large for REAL"),
        ("DECIMAL(10,2)", NAN, "is not a DECIMAL(10,2)"),
        ("DECIMAL(10,2)", Decimal("NaN"), "is not a DECIMAL(10,2)"),
        ("DECIMAL(10,2)", Decimal("Infinity"), "is not a DECIMAL(10,2)"),
        ("DECIMAL(10,2)", Decimal("1.005"), "more than 2 digits after the point"),
        ("DECIMAL(10,2)", 1.005, "more than 2 digits after the point"),
        ("DECIMAL(10,2)", 10**8, "100000000 is too large for DECIMAL(10,2)"),
        ("DECIMAL(10,2)", 10**4000, "is too large for DECIMAL(10,2)"),
        ("DECIMAL(10,2)", Decimal("1e500"), "is too large for DECIMAL(10,2)"),
        ("DECIMAL(10,2)", True, "True is not a DECIMAL(10,2)"),
        ("DECIMAL(10,2)", "1.5", "is not a DECIMAL(10,2)"),
        ("VARCHAR", b"abc", "is not a VARCHAR"),
        ("VARCHAR", 5, "5 is not a VARCHAR"),
        ("VARCHAR", "a\ud800", "character 1 is half of a surrogate pair"),
        ("VARCHAR", date(2013, 1, 1), "is not a VARCHAR"),
        ("BLOB", "abc", "'abc' is not a BLOB"),
        ("DATE", datetime(2013, 1, 1), "it has a time; take its .date()"),
        ("DATE", "2013-01-01", "is not a DATE"),
        ("TIME", time(5, tzinfo=UTC), "has a time zone, and TIME has none"),
        ("TIMESTAMP", datetime(2013, 1, 1, tzinfo=UTC), "has a time zone, and TIMESTAMP has none"),
        ("TIMESTAMPTZ", datetime(2013, 1, 1), "has no time zone, and TIMESTAMP WITH TIME ZONE needs one"),
        ("TIMESTAMPTZ", date(2013, 1, 1), "is not a TIMESTAMP WITH TIME ZONE"),
        ("TIMESTAMPTZ", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "before year 1"),
        ("UUID", "no", "'no' is not a UUID"),
        ("UUID", 5, "5 is not a UUID"),
        ("JSON", {1: 2}, "a key of an object is text"),
        ("JSON", [NAN], "JSON has no such number"),
        ("JSON", [Decimal(1)], "is not a JSON"),
        ("JSON", [2**64], "64 bits at most"),
        ("JSON", ["\ud800"], "half of a surrogate pair"),
    ],
)
def test_python_values_that_a_column_cannot_hold_are_refused(name: str, value: Any, message: str) -> None:
    assert message in from_python(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INTEGER", "5", "'5' is not an INTEGER"),
        ("INTEGER", 1.5, "it has a fraction"),
        ("INTEGER", 1e300, "is too large for INTEGER"),
        ("INTEGER", True, "True is not an INTEGER"),
        ("INTEGER", [1], "[1] is not an INTEGER"),
        ("BOOLEAN", "true", "'true' is not a BOOLEAN"),
        ("DOUBLE", "nan", "'nan' is not a DOUBLE"),
        ("DECIMAL(10,2)", "NaN", "'NaN' is not a DECIMAL(10,2)"),
        ("DECIMAL(10,2)", {}, "{} is not a DECIMAL(10,2)"),
        ("BLOB", "a", "written as base64"),
        ("BLOB", "ä", "written as base64"),
        ("DATE", "2013-02-30", "day is out of range for month"),
        ("DATE", "20130131", "it is written 2013-01-31"),
        ("DATE", 5, "5 is not a DATE"),
        ("TIME", "25:00", "there is no such time"),
        ("TIME", "5", "it is written 05:30:00"),
        ("TIMESTAMP", "2013-01-31T05:00:00Z", "has a time zone"),
        ("TIMESTAMPTZ", "2013-01-31T05:00:00", "has no time zone"),
        ("TIMESTAMPTZ", "2013-01-31T25:00:00Z", "there is no such time"),
        ("TIMESTAMPTZ", "yesterday", "it is written 2013-01-31T05:00:00Z"),
        ("TIMESTAMPTZ", "0001-01-01T00:00:00+05:00", "before year 1"),
        ("TIMESTAMP", 1359600000, "1359600000 is not a TIMESTAMP"),
        ("UUID", "00000000-0000-0000-0000-00000000000g", "is not a UUID"),
    ],
)
def test_json_values_that_a_column_cannot_hold_are_refused(name: str, value: Any, message: str) -> None:
    assert message in from_json(name, value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("INTEGER", b"1.5", "it has a fraction"),
        ("INTEGER", b"", "'' is not an INTEGER"),
        ("INTEGER", b"1_000", "is not an INTEGER"),
        ("INTEGER", " ٣".encode(), "is not an INTEGER"),
        ("INTEGER", b"9" * 60, "is too large for INTEGER"),
        ("INTEGER", b"9" * 10_000, "is not an INTEGER"),
        ("DOUBLE", b" 1", "' 1' is not a DOUBLE"),
        ("DOUBLE", b"1e999", "1e999 is too large for DOUBLE"),
        ("DOUBLE", b"0x10", "is not a DOUBLE"),
        ("DECIMAL(10,2)", b"1e999", "is too large for DECIMAL(10,2)"),
        ("DECIMAL(10,2)", b"abc", "'abc' is not a DECIMAL(10,2)"),
        ("BOOLEAN", b"yes", "it is true or false"),
        ("VARCHAR", b"a\xff", "byte 1 is not valid UTF-8"),
        ("DATE", b"\xff", "byte 0 is not valid UTF-8"),
        ("UUID", b"5", "'5' is not a UUID"),
        ("JSON", b"{", "is not a JSON"),
        ("JSON", b"[" * 100_000, "is not a JSON"),
        ("JSON", b"[" * 100 + b"]" * 100, "nested more than 64 deep"),
        ("JSON", b'{"a": 1e999}', "JSON"),
    ],
)
def test_text_that_is_no_value_of_a_column_is_refused(name: str, data: bytes, message: str) -> None:
    assert message in from_text(name, data)


@pytest.mark.parametrize("name", [*TYPES, "DECIMAL(10,2)"])
@STEADY
@given(data=st.binary(max_size=30))
def test_any_bytes_are_a_value_or_refused(name: str, data: bytes) -> None:
    kind = parse_type(name)
    try:
        value = kind.from_text(data)
    except BadValue:
        return
    again = kind.from_text(kind.to_text(value))
    assert again == value or value != value


@pytest.mark.parametrize("name", [*TYPES, "DECIMAL(10,2)"])
@STEADY
@given(
    value=st.one_of(*VALUES.values())
    | st.floats()
    | st.decimals()
    | st.datetimes(timezones=st.timezones())
    | st.tuples()
    | st.sets(st.integers())
)
def test_any_python_value_is_taken_as_the_class_of_the_column_or_refused(name: str, value: Any) -> None:
    kind = parse_type(name)
    try:
        taken = kind.from_python(value)
    except BadValue as error:
        assert len(error.reason) < 400
        return
    assert kind.python is object or type(taken) is kind.python


def test_what_means_the_same_is_taken_in_other_forms() -> None:
    class Side(str, enum.Enum):  # noqa: UP042 (StrEnum would not be the hard case)
        BUY = "buy"

    class Level(enum.IntEnum):
        ONE = 1

    assert type(parse_type("VARCHAR").from_python(Side.BUY)) is str
    assert parse_type("VARCHAR").from_python(Side.BUY) == "buy"
    assert type(parse_type("INTEGER").from_python(Level.ONE)) is int
    assert parse_type("INTEGER").from_json(1.0) == 1
    assert parse_type("HUGEINT").from_json(str(2**100)) == 2**100
    assert type(parse_type("DOUBLE").from_python(1)) is float
    assert parse_type("DECIMAL(10,2)").from_python(1.1) == Decimal("1.10")
    assert parse_type("DECIMAL(10,2)").from_json("1.1") == Decimal("1.10")
    assert str(parse_type("DECIMAL(10,2)").from_text(b"-0")) == "0.00"
    assert parse_type("BLOB").from_python(bytearray(b"a")) == b"a"
    assert parse_type("TIMESTAMP").from_text(b"2013-01-31 05:00") == datetime(2013, 1, 31, 5)
    assert parse_type("TIMESTAMP").from_text(b"2013-01-31") == datetime(2013, 1, 31)
    assert parse_type("TIMESTAMPTZ").from_text(b"2013-01-31 05:00:00+05:30") == datetime(
        2013, 1, 30, 23, 30, tzinfo=UTC
    )
    assert parse_type("TIMESTAMPTZ").from_text(b"2013-01-31T05:00:00+0530") == datetime(2013, 1, 30, 23, 30, tzinfo=UTC)
    zoned = datetime(2013, 1, 31, 5, tzinfo=timezone(timedelta(hours=5)))
    assert parse_type("TIMESTAMPTZ").from_python(zoned).tzinfo is UTC
    assert parse_type("UUID").from_json("00000000000000000000000000000005") == UUID(int=5)
    assert parse_type("JSON").from_python((1, 2)) == [1, 2]


def test_numpy_and_pandas_like_values_are_taken_by_what_they_are() -> None:
    class Wide:
        """As numpy.int64 behaves."""

        def __index__(self) -> int:
            return 7

    class Timestamp(datetime):
        nanosecond = 1

    assert parse_type("INTEGER").from_python(Wide()) == 7
    assert "nanoseconds" in from_python("TIMESTAMP", Timestamp(2013, 1, 1))
    Timestamp.nanosecond = 0
    assert type(parse_type("TIMESTAMP").from_python(Timestamp(2013, 1, 1))) is datetime


def test_texts_are_as_the_contracts_have_them_in_keys() -> None:
    moment = datetime(2013, 1, 31, 5, microsecond=500_000)
    assert parse_type("TIMESTAMP").to_text(moment) == b"2013-01-31T05:00:00.5"
    assert parse_type("TIMESTAMP").to_key_text(moment) == b"2013-01-31T05:00:00.5Z"
    assert parse_type("TIMESTAMPTZ").to_key_text(moment.replace(tzinfo=UTC)) == b"2013-01-31T05:00:00.5Z"
    assert parse_type("TIMESTAMPTZ").to_text(moment.replace(microsecond=0, tzinfo=UTC)) == b"2013-01-31T05:00:00Z"
    assert parse_type("BOOLEAN").to_text(True) == b"true"
    assert parse_type("DECIMAL(10,2)").to_text(Decimal("1.50")) == b"1.50"
    assert parse_type("DECIMAL(38,38)").to_text(Decimal("1e-38")) == b"0." + b"0" * 37 + b"1"
    assert parse_type("DOUBLE").to_text(10.0) == b"10"
    assert parse_type("DATE").to_text(date(13, 1, 1)) == b"0013-01-01"


def test_nan_and_the_infinities_are_words_in_json() -> None:
    kind = parse_type("DOUBLE")
    assert [kind.to_json(value) for value in (NAN, INF, -INF)] == ["NaN", "Infinity", "-Infinity"]
    assert kind.from_json("-Infinity") == -INF
    assert kind.from_text(b"nan") != kind.from_text(b"nan")
    assert kind.from_text(b"-inf") == -INF


def test_a_value_is_shown_shortened_whatever_it_is() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    assert len(shown("x" * 10**6)) == 60
    assert shown(Hostile()) == "a Hostile"
    assert shown(10**10000) == "a number of 33220 bits"
