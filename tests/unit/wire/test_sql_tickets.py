"""Statements as Flight tickets, what answers say beside rows, and errors as bytes."""

import datetime
import math
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from kubegrid.wire import sql_tickets
from kubegrid.wire.sql_tickets import ERROR_BYTES_MAX, NOTE, Note, PartOutcome, TicketError

VALUES = [
    None,
    True,
    False,
    0,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**127),
    1.5,
    -0.0,
    1e308,
    math.inf,
    -math.inf,
    "",
    "text with 'quotes' and \x00 and 🦆",
    Decimal("1.50"),
    Decimal("-12345678901234567890.123"),
    Decimal("1E+5"),
    datetime.date(2013, 1, 31),
    datetime.datetime(2013, 1, 31, 5, 0, 0, 123456),
    datetime.datetime(2013, 1, 31, 5, tzinfo=datetime.UTC),
    datetime.time(5, 0, 1),
    datetime.timedelta(days=-1, microseconds=7),
    uuid.UUID("6c3d1bd8-9a3e-4f6b-8a57-0c36c4f0f7b1"),
    b"\x00\xff",
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_parameter_arrives_as_it_was(value: Any) -> None:
    statement = sql_tickets.decode(sql_tickets.encode("SELECT ?", [value], statement_id="a" * 32, timeout_ms=5))
    (arrived,) = statement.parameters
    assert arrived == value and type(arrived) is type(value) and str(arrived) == str(value)
    assert (statement.sql, statement.statement_id, statement.timeout_ms) == ("SELECT ?", "a" * 32, 5)


def test_not_a_number_arrives_as_that() -> None:
    assert math.isnan(sql_tickets.decode(sql_tickets.encode("SELECT ?", [math.nan])).parameters[0])


def test_numbers_of_numpy_arrive_as_pythons() -> None:
    values = [np.int64(-5), np.uint64(2**64 - 1), np.float32(0.5), np.float64("inf"), np.bool_(True), np.array(7)]
    arrived = sql_tickets.decode(sql_tickets.encode("SELECT ?", values)).parameters
    assert [(type(one), one) for one in arrived] == [
        (int, -5),
        (int, 2**64 - 1),
        (float, 0.5),
        (float, math.inf),
        (bool, True),
        (int, 7),
    ]


def test_a_value_that_sql_has_not_is_refused_with_its_place() -> None:
    with pytest.raises(TicketError, match="parameter 2 is a complex"):
        sql_tickets.encode("SELECT ?, ?", [1, 1j])
    for value in (np.array([1]), np.complex64(1), np.datetime64("2013-01-31")):
        with pytest.raises(TicketError, match="no value of SQL"):
            sql_tickets.encode("SELECT ?", [value])
    with pytest.raises(TicketError, match="not valid Unicode"):
        sql_tickets.encode("SELECT ?", ["\ud800"])


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (b"", "not a statement"),
        (b"{}", "missing required field `sql`"),
        (b'{"sql": 1}', "Expected `str`"),
        (b'{"sql": "SELECT 1", "parametres": []}', "unknown field `parametres`"),
        (b'{"sql": "SELECT \xff"}', "not a statement"),
        (b'{"sql": "", "timeout_ms": 0}', "timeout_ms is 0"),
        (b'{"sql": "", "statement_id": ""}', "statement id"),
        (b'{"sql": "", "statement_id": "a\\nb"}', "statement id"),
        (b'{"sql": "", "parameters": [[1]]}', "parameter 1 is neither"),
        (b'{"sql": "", "parameters": [1, {"decimal": "1", "date": "x"}]}', "parameter 2 is neither"),
        (b'{"sql": "", "parameters": [{"complex": 1}]}', "parameter 1 is neither"),
        (b'{"sql": "", "parameters": [{"decimal": "abc"}]}', "parameter 1 is no decimal"),
        (b'{"sql": "", "parameters": [{"decimal": null}]}', "parameter 1 is no decimal"),
        (b'{"sql": "", "parameters": [{"date": "2013-02-30"}]}', "parameter 1 is no date"),
        (b'{"sql": "", "parameters": [{"date": 5}]}', "parameter 1 is no date"),
        (b'{"sql": "", "parameters": [{"bytes": "*"}]}', "parameter 1 is no bytes"),
        (b'{"sql": "", "parameters": [{"uuid": "x"}]}', "parameter 1 is no uuid"),
        (b'{"sql": "", "parameters": [{"uuid": 1}]}', "parameter 1 is no uuid"),
        (b'{"sql": "", "parameters": [{"interval_us": 1e300}]}', "parameter 1 is no interval_us"),
    ],
)
def test_a_ticket_that_makes_no_sense_is_told_what_is_wrong(ticket: bytes, reason: str) -> None:
    with pytest.raises(TicketError, match=reason):
        sql_tickets.decode(ticket)


def test_an_answers_note_is_found_in_its_schema() -> None:
    note = Note(rows_changed=3, outcomes=[PartOutcome(partition=1, outcome="done", rows=3)], statement_id="x")
    assert sql_tickets.note_of({NOTE: msgspec.json.encode(note), b"other": b"1"}) == note
    assert sql_tickets.note_of({b"other": b"1"}) is None
    assert sql_tickets.note_of(None) is None
    with pytest.raises(TicketError):
        sql_tickets.note_of({NOTE: b"nonsense"})


def test_an_error_of_any_length_fits_into_headers() -> None:
    short = {"code": "SYNTAX", "message": "no"}
    assert sql_tickets.decode_error(sql_tickets.encode_error(short)) == short
    parts = [{"partition": number, "outcome": "done", "rows": 17, "reason": ""} for number in range(500)]
    long = {"code": "PARTLY", "message": "m" * 5000, "outcomes": parts}
    encoded = sql_tickets.encode_error(long)
    assert len(encoded) <= ERROR_BYTES_MAX
    assert sql_tickets.decode_error(encoded) == long
    random = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(20_000))
    encoded = sql_tickets.encode_error({"code": "SQL", "message": random, "outcomes": parts})
    assert len(encoded) <= ERROR_BYTES_MAX
    cut = sql_tickets.decode_error(encoded)
    assert cut is not None and cut["code"] == "SQL" and random.startswith(cut["message"])


@pytest.mark.parametrize("data", [None, b"", b"nonsense", b"{", b"[1]", b"x\x9c\x00"])
def test_bytes_of_somebody_else_are_no_error_of_a_grid(data: bytes | None) -> None:
    assert sql_tickets.decode_error(data) is None
