"""Keys of records, to the letter; and one spelling for each record."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES

from kubegrid.base.columns import parse_type
from kubegrid.base.record_keys import RecordKeys, encode, table_name
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadKey, BadValue
from kubegrid.base.tables import KEY_BYTES_MAX
from kubegrid.wire.rows import RowCodec

KEYED = [name for name in VALUES if parse_type(name).keyed]


def keys(*types: str, together: int = 0) -> RecordKeys:
    columns = [{"name": f"c{number}", "type": name} for number, name in enumerate(types)]
    names = [column["name"] for column in columns]
    return RecordKeys(parse_definition("t", {"columns": columns, "key": names, "partition_by": names[:together]}))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("INTEGER", -7, b"-7"),
        ("DECIMAL(10,2)", Decimal("1.5"), b"1.50"),
        ("BOOLEAN", True, b"true"),
        ("BOOLEAN", False, b"false"),
        ("UUID", UUID("ABCDEF00-0000-0000-0000-000000000001"), b"abcdef00-0000-0000-0000-000000000001"),
        ("DATE", date(2013, 1, 31), b"2013-01-31"),
        ("TIMESTAMPTZ", datetime(2013, 1, 31, 5, tzinfo=UTC), b"2013-01-31T05%3A00%3A00Z"),
        ("TIMESTAMPTZ", datetime(2013, 1, 31, 5, 0, 0, 120_000, UTC), b"2013-01-31T05%3A00%3A00.12Z"),
        ("TIMESTAMP", datetime(2013, 1, 31, 5), b"2013-01-31T05%3A00%3A00Z"),
        ("VARCHAR", "a:b{c}d%e", b"a%3Ab%7Bc%7Dd%25e"),
        ("VARCHAR", "ä", "ä".encode()),
        ("VARCHAR", "", b""),
        ("BLOB", b"\xff:\x00", b"\xff%3A\x00"),
    ],
)
def test_texts_of_key_columns(kind: str, value: Any, text: bytes) -> None:
    assert keys(kind).from_python(value) == b"t:" + text
    assert keys(kind).values(b"t:" + text) == (value,)
    if kind != "VARCHAR" or value:
        assert keys("INTEGER", kind).from_python((1, value)) == b"t:1:" + text
        assert keys(kind, "INTEGER", together=1).from_python((value, 1)) == b"t:{" + text + b"}:1"
        assert keys(kind, together=1).from_python(value) == b"t:{" + text + b"}"


def test_the_leading_columns_of_partition_by_share_their_braces() -> None:
    both = keys("VARCHAR", "INTEGER", "DATE", together=2)
    key = both.from_python(("EUR-DESK", 42, date(2013, 1, 31)))
    assert key == b"t:{EUR-DESK:42}:2013-01-31"
    assert both.values(key) == ("EUR-DESK", 42, date(2013, 1, 31))


@pytest.mark.parametrize("together", [0, 1, 2])
@STEADY
@given(data=st.data())
def test_every_key_is_taken_apart_into_its_values(together: int, data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(KEYED), min_size=2, max_size=4))
    made = keys(*types, together=together)
    values = tuple(data.draw(VALUES[name]) for name in types)
    try:
        key = made.key(values)
    except BadKey:
        assert together == 1 and values[0] in ("", b"")
        return
    assert made.values(key) == values
    assert key.count(b"{") == key.count(b"}") == min(together, 1)
    codec = RowCodec(made.definition)
    assert codec.key_of_row(codec.decode(codec.encode(values))) == key


@STEADY
@given(st.binary(max_size=40))
def test_any_bytes_are_the_one_spelling_of_a_key_or_refused(data: bytes) -> None:
    for made in (
        keys("INTEGER"),
        keys("VARCHAR", "DECIMAL(10,2)", together=1),
        keys("BOOLEAN", "TIMESTAMPTZ"),
        keys("BLOB"),
    ):
        key = b"t:" + data
        try:
            values = made.values(key)
        except BadKey as error:
            assert len(str(error)) < 1000
            continue
        assert made.key(values) == key


@pytest.mark.parametrize(
    ("made", "key", "message"),
    [
        (keys("INTEGER"), b"t:007", "'t:007' is not how this key is written; write 't:7'"),
        (keys("INTEGER"), b"t:+7", "write 't:7'"),
        (keys("INTEGER"), b"t:x", "key column c0: 'x' is not an INTEGER"),
        (keys("INTEGER"), b"t:", "'' is not an INTEGER"),
        (keys("INTEGER"), b"other:7", "it does not begin with its name"),
        (keys("INTEGER"), b"t:1:2", "whose keys are t:c0"),
        (keys("INTEGER", "INTEGER"), b"t:1", "whose keys are t:c0:c1"),
        (keys("DECIMAL(10,2)"), b"t:1.5", "write 't:1.50'"),
        (keys("UUID"), b"t:ABCDEF00-0000-0000-0000-000000000001", "write 't:abcdef00-"),
        (keys("BOOLEAN"), b"t:1", "write 't:true'"),
        (keys("VARCHAR"), b"t:%41", "write 't:A'"),
        (keys("VARCHAR"), b"t:%3a", "write 't:%253a'"),
        (keys("VARCHAR"), b"t:{a}", "write 't:%7Ba%7D'"),
        (keys("VARCHAR"), b"t:\xff", "not valid UTF-8"),
        (keys("TIMESTAMPTZ"), b"t:2013-01-31T05%3A00%3A00.500Z", "write 't:2013-01-31T05%3A00%3A00.5Z'"),
        (keys("TIMESTAMPTZ"), b"t:2013-01-31", "has no time zone"),
        (keys("TIMESTAMP"), b"t:2013-01-31T05%3A00%3A00", "write 't:2013-01-31T05%3A00%3A00Z'"),
        (keys("VARCHAR", "INTEGER", together=1), b"t:a:1", "whose keys are t:{c0}:c1"),
        (keys("VARCHAR", "INTEGER", together=1), b"t:{a}1", "whose keys are t:{c0}:c1"),
        (keys("VARCHAR", "INTEGER", together=1), b"t:{a:1", "whose keys are t:{c0}:c1"),
        (keys("VARCHAR", "INTEGER", together=1), b"t:{a}:1:2", "whose keys are t:{c0}:c1"),
        (keys("VARCHAR", "INTEGER", together=1), b"t:{}:1", "is empty"),
        (keys("TIMESTAMPTZ"), b"t:2013-01-31T05:00:00Z", "in a value, : is written %3A"),
        (keys("VARCHAR", "INTEGER", together=1), b"t:{a:b}:1", "in a value, : is written %3A"),
        (keys("VARCHAR", together=1), b"t:{a}:", "whose keys are t:{c0}"),
    ],
)
def test_what_is_no_key_of_a_record_is_refused(made: RecordKeys, key: bytes, message: str) -> None:
    with pytest.raises(BadKey) as raised:
        made.values(key)
    assert message in str(raised.value)


def test_a_key_has_a_value_for_each_of_its_columns() -> None:
    two = keys("VARCHAR", "INTEGER")
    with pytest.raises(BadKey, match="key column c1 is NULL"):
        two.from_python(("a", None))
    with pytest.raises(BadKey, match="key column c0 is NULL"):
        two.key((None, 1))
    with pytest.raises(BadKey, match=r"'a' has one value, and its key is \(c0 VARCHAR, c1 INTEGER\)"):
        two.from_python("a")
    with pytest.raises(BadValue, match="table t, column c1: 'b' is not an INTEGER"):
        two.from_python(("a", "b"))


def test_a_key_has_a_greatest_length() -> None:
    with pytest.raises(BadKey, match="longer than"):
        keys("VARCHAR").from_python("x" * KEY_BYTES_MAX)


def test_the_table_is_what_stands_before_the_first_colon() -> None:
    assert table_name(b"trades:{a:b}:1") == b"trades"
    assert table_name(b"trades") == b""
    assert encode(b"plain") == b"plain"
