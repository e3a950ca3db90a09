"""What a predicate is true of: SQL's three-valued logic, checked against SQLite where both mean the same."""

import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest
from tests.unit.sql import random_predicates

from kubegrid.base.table_definitions import parse_definition
from kubegrid.sql.predicate import parse

TYPES = {
    "n": "INTEGER",
    "b": "BOOLEAN",
    "f": "DOUBLE",
    "r": "REAL",
    "d": "DECIMAL(10,2)",
    "s": "VARCHAR",
    "blob": "BLOB",
    "day": "DATE",
    "clock": "TIME",
    "at": "TIMESTAMP",
    "moment": "TIMESTAMP WITH TIME ZONE",
    "u": "UUID",
    "j": "JSON",
    "needed": "INTEGER",
}
TABLE = parse_definition(
    "things",
    {
        "columns": [{"name": name, "type": kind, "nullable": name != "needed"} for name, kind in TYPES.items()],
        "key": ["needed"],
    },
)
NAN = float("nan")


def true(text: str, **values: object) -> bool:
    row = [values.get(name, 0 if name == "needed" else None) for name in TYPES]
    predicate = parse(TABLE, text)
    narrow = [row[TABLE.positions[name]] for name in predicate.columns]
    assert predicate.matches_columns(narrow) == predicate.matches(row)
    return predicate.matches(row)


@pytest.mark.parametrize("seed", range(4))
def test_random_predicates_are_true_of_the_same_rows_as_in_sqlite(seed: int) -> None:
    random = Random(seed)
    rows = [(number, *random_predicates.values(random)) for number in range(40)]
    other = sqlite3.connect(":memory:")
    other.execute("PRAGMA case_sensitive_like = ON")
    other.execute("CREATE TABLE t (id, i, j, k, s, u)")
    other.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    for _ in range(100):
        text = random_predicates.predicate(random)
        predicate = parse(random_predicates.DEFINITION, text)
        expected = {row[0] for row in other.execute(f"SELECT id FROM t WHERE {text}")}
        assert {row[0] for row in rows if predicate.matches(row)} == expected, text
    other.close()


def test_null_is_neither_equal_nor_unequal_to_anything() -> None:
    assert not true("n = 1")
    assert not true("n <> 1")
    assert not true("NOT (n = 1)")
    assert not true("n = NULL", n=1)
    assert true("n IS NULL")
    assert not true("n + 1 > 0")
    assert true("(n = 1) IS NOT TRUE")
    assert true("n = 1 OR needed = 0")


def test_in_with_null_never_says_that_something_is_absent() -> None:
    assert true("n IN (1, NULL)", n=1)
    assert not true("n NOT IN (1, NULL)", n=2)
    assert true("n NOT IN (1, 3)", n=2)
    assert true("n IN (1, needed)", n=0)


def test_nan_is_the_largest_number_and_equals_itself() -> None:
    assert true("f > 1e308", f=NAN)
    assert true("f >= 5", f=NAN)
    assert not true("f < 5", f=NAN)
    assert true("f = 'NaN'", f=NAN)
    assert true("f <> 1", f=NAN)
    assert true("f IN ('NaN')", f=NAN)
    assert true("f > r", f=NAN, r=float("inf"))
    assert true("5 < f", f=NAN)


def test_numbers_of_different_types_compare_by_value() -> None:
    assert true("n = 1.0", n=1)
    assert true("d = 1.5", d=Decimal("1.50"))
    assert true("d = n + 0.50", d=Decimal("1.50"), n=1)
    assert true("r = 0.1", r=0.10000000149011612)  # the constant is rounded as the column's values were
    assert true("f = 0.1", f=0.1)
    assert true("f * 2 = n", f=0.5, n=1)
    assert true("-n * 3 - 1 = -7", n=2)
    assert true("d = f", d=Decimal("0.10"), f=0.1)


def test_texts_take_the_type_of_the_column_beside_them() -> None:
    assert true("n = '1'", n=1)
    assert true("day >= '2013-01-31'", day=date(2013, 1, 31))
    assert true("u = '00000000-0000-0000-0000-000000000005'", u=UUID(int=5))
    assert true("blob = 'ab'", blob=b"ab")
    assert true("b = 'true'", b=True)
    assert true("moment BETWEEN '2013-01-31' AND '2013-02-01'", moment=datetime(2013, 1, 31, 5, tzinfo=UTC))


def test_dates_compare_with_timestamps_and_a_missing_zone_is_utc() -> None:
    assert true("day < TIMESTAMP '2013-01-31 00:00:01'", day=date(2013, 1, 31))
    assert true("at = DATE '2013-01-31'", at=datetime(2013, 1, 31))
    assert true("moment = TIMESTAMPTZ '2013-01-31 06:00:00+01'", moment=datetime(2013, 1, 31, 5, tzinfo=UTC))
    assert true("moment = TIMESTAMP '2013-01-31 05:00:00'", moment=datetime(2013, 1, 31, 5, tzinfo=UTC))
    assert true("at = moment", at=datetime(2013, 1, 31), moment=datetime(2013, 1, 31, tzinfo=UTC))
    assert true("day = moment", day=date(2013, 1, 31), moment=datetime(2013, 1, 31, tzinfo=UTC))


def test_booleans_are_conditions_and_values() -> None:
    assert true("b", b=True)
    assert not true("NOT b", b=True)
    assert not true("NOT b")
    assert true("b = FALSE", b=False)
    assert true("b IS TRUE AND TRUE", b=True)
    assert true("b IS NOT TRUE")
    assert not true("NULL")


def test_like_knows_no_escape_character_but_the_one_that_is_named() -> None:
    assert true("s LIKE 'a!%%' ESCAPE '!'", s="a%b")
    assert not true("s LIKE 'a!%%' ESCAPE '!'", s="ab")
    assert not true("s NOT LIKE 'a!%%' ESCAPE '!'", s="a%b")
    assert true("s NOT ILIKE 'B%' ESCAPE '!'", s="a%b")
    assert true(r"s LIKE 'a\%'", s="a\\b")
    assert true("s ILIKE 'Ä_c'", s="ÄBC")
    assert true("s LIKE '%\n%'", s="a\nb")
    assert not true("s LIKE '%'")


def test_names_are_found_in_any_case_quoted_and_with_their_table() -> None:
    assert true('N = 1 AND "n" = 1 AND things.n = 1 AND Things.N = 1', n=1)


def test_a_long_chain_is_not_deep() -> None:
    assert true(" AND ".join(["n = 1"] * 120), n=1)
    assert true(" OR ".join(["n = 2"] * 120 + ["n = 1"]), n=1)


def test_json_can_be_asked_for_null_only() -> None:
    assert true("j IS NOT NULL", j={})
    assert true("j IS NULL")


def test_large_numbers_do_not_end_a_comparison() -> None:
    assert not true("f > 1e400", f=1.0)
    assert true("n * n * n < 99999999999999999999999999999999999999999999", n=2**31 - 1)
