"""An answer in every shape, and as text."""

import datetime
import decimal
import uuid

import pyarrow as pa
import pytest

from kubegrid.base.errors import UsageError
from kubegrid.client import sql_text
from kubegrid.client.sql_result import SqlResult
from kubegrid.wire.sql_tickets import Note, PartOutcome

SCHEMA = pa.schema([("carrier", pa.string()), ("n", pa.int64())])
ROWS = [("UA", 3), ("AA", None), ("日本", 10**12)]


def batch(rows: list[tuple[str, int | None]]) -> pa.RecordBatch:
    names, numbers = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(names, pa.string()), pa.array(numbers, pa.int64())], schema=SCHEMA)


def answer() -> SqlResult:
    return SqlResult(SCHEMA, [batch(ROWS[:2]), batch(ROWS[2:])], None, "id")


def test_rows_come_in_every_shape() -> None:
    result = answer()
    assert list(result) == result.rows() == ROWS
    assert result.dicts()[0] == {"carrier": "UA", "n": 3}
    assert result.arrow().num_rows == len(result) == 3
    assert [one.num_rows for one in result.batches()] == [2, 1]
    assert result.pandas()["n"].sum() == 10**12 + 3
    assert result.polars().rows() == ROWS
    assert result.columns == ["carrier", "n"]
    assert result.rows_changed is None
    assert result.statement_id is None


def test_an_answer_without_rows_is_an_answer() -> None:
    empty = SqlResult(SCHEMA, [], None, "id")
    assert empty
    assert (len(empty), empty.rows(), empty.arrow().column_names) == (0, [], ["carrier", "n"])
    assert repr(empty) == "carrier  n\n───────  ─\n(0 rows)"


def test_the_one_value_of_an_answer() -> None:
    one = pa.RecordBatch.from_arrays([pa.array([42])], names=["n"])
    assert SqlResult(one.schema, [one], None, "id").scalar() == 42
    with pytest.raises(UsageError, match="3 rows of 2 columns"):
        answer().scalar()


def test_it_shows_itself_as_a_table() -> None:
    assert repr(answer()).splitlines() == [
        "carrier              n",
        "───────  ─────────────",
        "UA                   3",
        "AA                NULL",
        "日本     1000000000000",
        "(3 rows)",
    ]
    many = SqlResult(SCHEMA, [batch([("UA", n) for n in range(1000)])], None, "id")
    assert repr(many).endswith("(1,000 rows, the first 10 shown)")
    parts = [batch([("UA", number) for number in range(start, start + 4)]) for start in range(0, 16, 4)]
    shown = repr(SqlResult(SCHEMA, parts, None, "id")).splitlines()
    assert [line.split() for line in shown[2:-1]] == [["UA", str(number)] for number in range(10)]


def test_a_statement_that_writes_says_what_it_did() -> None:
    note = Note(rows_changed=1, outcomes=[PartOutcome(partition=0, outcome="done", rows=1)])
    result = SqlResult(pa.schema([]), [], note, "mine")
    assert (result.rows_changed, result.outcomes[0].rows, result.statement_id) == (1, 1, "mine")
    assert repr(result) == "<SqlResult: 1 row changed>"
    assert repr(SqlResult(pa.schema([]), [], Note(), "mine")) == "<SqlResult: done>"


@pytest.mark.parametrize(
    ("value", "json", "text"),
    [
        (None, b"null", "NULL"),
        (True, b"true", "true"),
        (1.5, b"1.5", "1.5"),
        (float("nan"), b'"NaN"', "nan"),
        (float("-inf"), b'"-Infinity"', "-inf"),
        (decimal.Decimal("1.50"), b"1.50", "1.50"),
        (decimal.Decimal("1E+3"), b"1E+3", "1000"),
        (datetime.date(2013, 1, 31), b'"2013-01-31"', "2013-01-31"),
        (datetime.datetime(2013, 1, 31, 5), b'"2013-01-31T05:00:00"', "2013-01-31 05:00:00"),
        (datetime.datetime(2013, 1, 31, 5, tzinfo=datetime.UTC), b'"2013-01-31T05:00:00Z"', "2013-01-31 05:00:00Z"),
        (datetime.datetime(2013, 1, 31, 5, 0, 0, 120000), b'"2013-01-31T05:00:00.12"', "2013-01-31 05:00:00.12"),
        (datetime.time(5, 0, 1), b'"05:00:01"', "05:00:01"),
        (pa.MonthDayNano([14, 1, 0]), b'"14 months 1 day"', "14 months 1 day"),
        (pa.MonthDayNano([0, -2, -5_500_000_000]), b'"-2 days -00:00:05.5"', "-2 days -00:00:05.5"),
        (pa.MonthDayNano([0, 0, 0]), b'"00:00:00"', "00:00:00"),
        (b"\x00\xff", b'"AP8="', "\\x00ff"),
        (
            uuid.UUID(int=1),
            b'"00000000-0000-0000-0000-000000000001"',
            "00000000-0000-0000-0000-000000000001",
        ),
        ({"a": [1, None, datetime.date(2013, 1, 31)]}, b'{"a":[1,null,"2013-01-31"]}', '{"a":[1,null,"2013-01-31"]}'),
    ],
)
def test_values_as_json_and_as_text(value: object, json: bytes, text: str) -> None:
    assert sql_text.to_json(sql_text.plain(value)) == json
    assert sql_text.text(value) == text


def test_a_cell_stays_on_its_line_and_obeys_no_escape() -> None:
    lines = sql_text.table(pa.schema([("t", pa.string())]), [("a\nb\x1b[31m" + "x" * 100,)])
    assert lines[2] == "a↵b·[31m" + "x" * 51 + "…"
