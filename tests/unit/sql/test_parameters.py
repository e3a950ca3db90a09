"""Values in the place of parameters: DuckDB reads back the value that was given."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import pytest

from kubegrid.sql.errors import NotSupported, SyntaxProblem, TypeProblem
from kubegrid.sql.parameters import bind
from kubegrid.sql.statements import parse

VALUES: list[Any] = [
    *(0, 1, -1, 2**31, -(2**63), 2**63, 2**127 - 1, -(2**127), 2**128 - 1, True, False, None),
    *(0.1, -0.0, 1e300, 5e-324, math.inf, -math.inf, "it's", "", "ä\n\0x", "--", b"\x00\xff'", bytearray(b"ab")),
    *(Decimal("-1.50"), Decimal("1E+3"), Decimal("0.001"), Decimal(10) ** 37, date(2013, 1, 31), time(5, 30, 0, 1)),
    *(datetime(2013, 1, 31, 5), datetime(1, 1, 1), UUID(int=7), timedelta(days=1, microseconds=3)),
    *(timedelta(microseconds=-1), timedelta(hours=30), timedelta(days=-400, hours=5)),
]


def answer(text: str, *values: Any) -> Any:
    connection = duckdb.connect()
    return connection.execute(bind(parse(text), values).expression.sql("duckdb")).fetchone()


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    (found,) = answer("SELECT ?", value)
    assert found == value
    assert type(found) is type(value) or isinstance(value, bytearray)


def test_a_moment_keeps_its_instant() -> None:
    value = datetime(2013, 1, 31, 5, tzinfo=timezone(timedelta(hours=2)))
    text = bind(parse("SELECT epoch_us(?)"), [value]).expression.sql("duckdb")
    assert duckdb.connect().execute(text).fetchone() == (int(value.astimezone(UTC).timestamp()) * 1_000_000,)


@pytest.mark.parametrize("value", [timedelta(days=40, hours=3), timedelta(hours=-1), timedelta(days=-3)])
def test_days_of_a_duration_are_days_of_its_interval(value: timedelta) -> None:
    text = "SELECT datepart('day', ?), datepart('hour', ?), ?::VARCHAR"
    assert answer(text, value, value, value) == duckdb.execute(text, [value, value, value]).fetchone()


@pytest.mark.parametrize("rest", ["AND TRUE", "OR FALSE", "IS NOT NULL", "BETWEEN FALSE AND TRUE", "IN (TRUE, FALSE)"])
def test_words_behind_a_parameter_are_what_they_are(rest: str) -> None:
    assert answer(f"SELECT $2 {rest}, $1", 7, True) == (True, 7)
    assert answer(f"SELECT ? {rest}, ?", True, 7) == (True, 7)


def test_it_is_calculated_with_whole_numbers_as_duckdb_calculates_with_its_parameters() -> None:
    row = "(SELECT 100::TINYINT AS i, 7::BIGINT AS n, 1.5::DECIMAL(9,2) AS p)"
    forms = "i + ?; i - ?; -? + i; (?) * i; i // ?; i % ?; i & ?; i << ?; n + ?; p * ?; p + (-?); ? + ?; p / ?; 'xyz'[? + 1]"
    values = [100, -3, 5, 3, 7, 7, 6, 1, 2**40, 3, 2, 2**31, 1, 3, 1]
    text = f"SELECT {', '.join(f'{form}, typeof({form})' for form in forms.split('; '))} FROM {row}"
    doubled = [values[place] for form in _places(forms.split("; ")) for _ in range(2) for place in form]
    assert answer(text, *doubled) == duckdb.execute(text, doubled).fetchone()


def _places(forms: list[str]) -> list[range]:
    """Of the parameters of each form among those of all."""
    ends = [sum(form.count("?") for form in forms[: place + 1]) for place in range(len(forms))]
    return [range(end - form.count("?"), end) for form, end in zip(forms, ends, strict=True)]


def test_a_parameter_counts_elements_from_one() -> None:
    text = "SELECT [4, 5][?], string_split(?, '-')[?], 'xyz'[?], [[1, 2], [3]][?][?], [7, 8][-1], MAP {1: 'a'}[?]"
    values = [1, "a-b", 2, 3, 1, 2, 1]
    assert answer(text, *values) == duckdb.execute(text, values).fetchone()


@pytest.mark.parametrize("text", ["SELECT ($1,$2,$12)", "SELECT ($1, $2, $12)", "SELECT ($1+$2-2,$2,$12::BIGINT)"])
def test_numbered_parameters_need_no_blanks_between_them(text: str) -> None:
    assert answer(text, *range(1, 13)) == ((1, 2, 12),)


def test_a_text_in_dollars_has_no_parameters() -> None:
    assert answer("SELECT $$ $1,$2 $$, $x$a$1,$2$x$, '$1,$2' AS \"$3\"") == (" $1,$2 ", "a$1,$2", "$1,$2")


def test_question_marks_take_values_in_the_order_of_the_text() -> None:
    text = "WITH c AS (SELECT ? AS a) SELECT a, ?, CASE WHEN ? THEN ? END FROM c WHERE ? ORDER BY 1 LIMIT ?"
    assert answer(text, 1, 2, True, 4, True, 6) == (1, 2, 4)


def test_a_question_mark_may_be_cast() -> None:
    assert answer("SELECT ?::DATE, ? ::INTEGER", "2013-01-31", "7") == (date(2013, 1, 31), 7)


def test_numbered_parameters_may_repeat() -> None:
    assert answer("SELECT $2, $1, $2", "a", "b") == ("b", "a", "b")


def test_question_marks_may_have_numbers() -> None:
    text = "SELECT ?2, ?1, ?2::VARCHAR,?1+?1"
    assert answer(text, 1, 2) == duckdb.execute(text, [1, 2]).fetchone() == (2, 1, "2", 2)
    assert parse("SELECT ?12").parameters == 12


def test_the_count_of_a_limit_may_be_calculated_with_a_parameter() -> None:
    text = "SELECT list(i) FROM (SELECT range AS i FROM range(20) ORDER BY 1 LIMIT ? % 4 OFFSET ?)"
    assert answer(text, 7, 1) == duckdb.execute(text, [7, 1]).fetchone() == ([1, 2, 3],)


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("SELECT i FROM t ORDER BY ?", "ORDER BY"),
        ("SELECT i FROM t ORDER BY i, ($1) DESC", "ORDER BY"),
        ("SELECT i FROM t UNION SELECT 1 ORDER BY ?", "ORDER BY"),
        ("SELECT max(i) FROM t GROUP BY ?", "GROUP BY"),
        ("SELECT max(i) FROM t GROUP BY GROUPING SETS ((i), (?))", "GROUP BY"),
        ("SELECT DISTINCT ON (?) i FROM t", "DISTINCT ON"),
    ],
)
def test_a_parameter_is_no_number_of_a_column(text: str, clause: str) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (i INTEGER)")
    with pytest.raises(duckdb.Error, match=f"not supported in {clause}"):
        connection.execute(text, [1])
    with pytest.raises(NotSupported, match=f"cannot stand in {clause}: it is a value"):
        parse(text)


def test_a_parameter_may_be_a_part_of_what_is_ordered_by() -> None:
    text = "SELECT list(i ORDER BY ?), list(i) FROM (SELECT i FROM unnest([3, 1, 2]) v(i) ORDER BY (i - ?) ** 2)"
    assert answer(text, 1, 3) == duckdb.execute(text, [1, 3]).fetchone()


def test_binding_leaves_the_statement_as_it_was() -> None:
    statement = parse("SELECT ?")
    bind(statement, [1])
    assert statement.expression.sql("duckdb") == "SELECT $1"


@pytest.mark.parametrize("values", [[], [1, 2]])
def test_the_number_of_values_is_checked(values: list[int]) -> None:
    with pytest.raises(TypeProblem, match="1 parameter; "):
        bind(parse("SELECT ?"), values)


@pytest.mark.parametrize("text", ["SELECT ?, $1", "SELECT $1, ?", "SELECT ?, ?1", "SELECT ?1, $1", "SELECT $1, ?1"])
def test_kinds_of_parameters_do_not_mix(text: str) -> None:
    with pytest.raises(SyntaxProblem, match="one of them"):
        parse(text)


@pytest.mark.parametrize("value", [object(), {1}, 2**128, Decimal(10) ** 40, "\ud800"], ids=range(5))
def test_what_has_no_literal_is_refused(value: Any) -> None:
    with pytest.raises(TypeProblem, match="parameter 1"):
        bind(parse("SELECT ?"), [value])
