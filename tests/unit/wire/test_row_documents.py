"""Records as JSON documents."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadValue, UnknownColumn
from kubegrid.wire.rows import RowCodec

TABLE = parse_definition(
    "trades",
    {
        "columns": [
            {"name": "id", "type": "INTEGER"},
            {"name": "notional", "type": "DECIMAL(38,2)"},
            {"name": "price", "type": "DOUBLE"},
            {"name": "at", "type": "TIMESTAMPTZ"},
            {"name": "big", "type": "HUGEINT"},
            {"name": "raw", "type": "BLOB"},
            {"name": "extra", "type": "JSON"},
            {"name": "side", "type": "VARCHAR", "nullable": False, "default": "buy"},
        ],
        "key": ["id"],
    },
)
DOCUMENTS = RowCodec(TABLE).documents
AT = datetime(2013, 1, 31, 5, microsecond=500_000, tzinfo=UTC)
ROW = (1, Decimal("123456789012345678901234567890.50"), 1.5, AT, 2**100, b"ab", {"a": [None]}, "sell")


def test_a_document_has_all_digits_of_its_numbers() -> None:
    assert DOCUMENTS.encode(ROW) == (
        b'{"id":1,"notional":123456789012345678901234567890.50,"price":1.5,"at":"2013-01-31T05:00:00.500000Z",'
        b'"big":1267650600228229401496703205376,"raw":"YWI=","extra":{"a":[null]},"side":"sell"}'
    )
    assert tuple(DOCUMENTS.decode(DOCUMENTS.encode(ROW))) == ROW


@pytest.mark.parametrize(
    "beside", ['"price": "NaN"', '"at": "2013-01-31T06:00:00+01"', '"big": "7"', '"id": 1.0', '"extra": {"a": 0.5}']
)
def test_no_digit_is_lost_whatever_stands_beside_it(beside: str) -> None:
    """All of these need the slower way of reading: as does a number with fewer digits after the point than its column."""
    for number in ("123456789012345678901234567890.50", "123456789012345678.5", "12345678901234567890123e2"):
        read = DOCUMENTS.decode(f'{{"id": 1, {beside}, "notional": {number}}}')
        assert read[1] == Decimal(number)
        assert DOCUMENTS.decode(f'{{"id": 1, {beside}, "notional": "{number}"}}')[1] == Decimal(number)


def test_some_of_the_columns_come_in_the_order_asked_for() -> None:
    assert DOCUMENTS.encode(ROW, ["side", "id", "at"]) == b'{"side":"sell","id":1,"at":"2013-01-31T05:00:00.500000Z"}'
    assert DOCUMENTS.encode(ROW, []) == b"{}"
    with pytest.raises(UnknownColumn, match=r"did you mean 'side'?"):
        DOCUMENTS.encode(ROW, ["sid"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_has_no_number_for_is_a_word(value: float) -> None:
    row = (1, None, value, None, None, None, None, "buy")
    back = DOCUMENTS.decode(DOCUMENTS.encode(row))
    assert repr(back[2]) == repr(value)
    assert back[:2] == row[:2]


def test_what_a_document_lacks_is_known_or_the_default_or_null() -> None:
    assert tuple(DOCUMENTS.decode(b'{"id": 1}')) == (1, *(None,) * 6, "buy")
    assert tuple(DOCUMENTS.decode(b'{"price": 1}', {"id": 7})) == (7, None, 1.0, *(None,) * 4, "buy")
    assert DOCUMENTS.decode(b'{"price": "NaN"}', {"id": 7})[0] == 7
    assert tuple(DOCUMENTS.from_json({"price": 1, "at": None}, {"id": 7, "side": "sell"}))[-1] == "sell"
    with pytest.raises(BadValue, match="table trades, column id: it is missing, NOT NULL, and has no default"):
        DOCUMENTS.decode(b"{}")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b'{"id": 1, "pice": 2}', "table trades has no column 'pice'; did you mean 'price'?"),
        (b'{"id": null}', "table trades, column id: null is no value of a NOT NULL column (INTEGER)"),
        (b'{"id": 1, "side": null}', "column side: null is no value"),
        (b'{"id": 1.5}', "column id: 1.5 is not an INTEGER: it has a fraction"),
        (b'{"id": "1"}', "column id: '1' is not an INTEGER"),
        (b'{"id": true}', "column id: True is not an INTEGER"),
        (b'{"id": 1, "notional": 1.005}', "column notional: "),
        (b'{"id": 1, "notional": "NaN"}', "column notional: 'NaN' is not a DECIMAL(38,2)"),
        (b'{"id": 1, "at": "2013-01-31T05:00:00"}', "column at: '2013-01-31T05:00:00' has no time zone"),
        (b'{"id": 1, "big": 1e40}', "column big: "),
        (b'{"id": 1, "raw": "a"}', "column raw: 'a' is not a BLOB: in JSON it is written as base64"),
        (b'{"id": 1, "extra": ' + b"[" * 70 + b"]" * 70 + b"}", "column extra: "),
        (b'{"id": 1', "the document is not valid JSON"),
        (b'{"id": "\xff"}', "the document is not valid JSON"),
        (b"[1]", "a record is a JSON object, not [1]"),
        (b"[" * 100_000, "the document is not valid JSON"),
        (b"", "the document is not valid JSON"),
    ],
)
def test_what_is_no_record_is_refused(document: bytes, message: str) -> None:
    with pytest.raises((BadValue, UnknownColumn)) as raised:
        DOCUMENTS.decode(document)
    assert message in str(raised.value)


@STEADY
@given(
    st.dictionaries(
        st.sampled_from([*TABLE.names, "other"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=10)
        | st.lists(st.integers(), max_size=2),
    )
)
def test_any_document_is_a_row_or_refused(given_document: dict[str, Any]) -> None:
    try:
        row = DOCUMENTS.from_json(given_document)
    except (BadValue, UnknownColumn):
        return
    assert tuple(DOCUMENTS.decode(DOCUMENTS.encode(row))) == row or any(value != value for value in row)


def test_both_ways_of_reading_a_document_agree() -> None:
    """One decodes into types, the other decodes anything and asks the columns; the first must not take more."""
    for document in (b'{"id": 1, "notional": 1.10}', b'{"id": 2, "extra": [1, {"a": null}], "big": 5, "raw": ""}'):
        assert tuple(DOCUMENTS.decode(document)) == DOCUMENTS.from_json(msgspec.json.decode(document))
