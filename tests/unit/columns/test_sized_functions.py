"""Values that are as large as a number says have a limit, however the call is written; others are DuckDB's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubegrid.columns.database import open_database
from kubegrid.columns.errors import as_sql_error
from kubegrid.columns.sized_functions import NAMES
from kubegrid.query.duck_errors import sql_error
from kubegrid.sql.errors import TooMuch


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    connection = open_database(64 * 2**20, str(tmp_path_factory.mktemp("spill")), 2**20)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def plain() -> Iterator[Any]:
    connection = duckdb.connect()
    yield connection
    connection.close()


SAME = """
    repeat('x', 3) | 'x'.repeat(3) | repeat(NULL, 3) | repeat('x', NULL) | repeat('x', -1) | repeat([1, 2], 2)
    repeat('ab'::BLOB, 2) | repeat('x', 3::TINYINT) | repeat(repeat(repeat(repeat('x', 2), 2), 2), 2)
    length(repeat('x', 65536)) | TRY(repeat('x', 3)) | list_transform([1, 2], lambda n: repeat('a', n))
    [repeat('x', n) for n in [1, 2]] | repeat('{"a":1}'::JSON, 2)
    lpad('x', 5, 'ab') | rpad('x', 5, 'ab') | lpad('abcdef', 3, 'x') | lpad(NULL, 3, 'x') | lpad(5::VARCHAR, 5, '0')
    bitstring('101', 10) | bitstring('101'::BIT, 10) | range(3) | range(1, 3) | range(10, 1, -3) | range(1, 10, 0)
    range(100000, 0) | range(NULL) | range(1, NULL) | unnest(range(3)) | len(range(8192)) | range(3::SMALLINT)
    range(DATE '2020-01-01', DATE '2020-01-05', INTERVAL 1 DAY) | generate_series(3) | generate_series(10, 1, -3)
    generate_series(TIMESTAMP '2020-02-01', TIMESTAMP '2020-01-05', INTERVAL '-12' HOUR)
    unnest(generate_series(DATE '2020-01-01', DATE '2020-05-05', INTERVAL 1 MONTH))
    len(range(TIMESTAMPTZ '2020-01-01', TIMESTAMPTZ '2020-01-05', INTERVAL 1 DAY))
    typeof(generate_series(DATE '2020-01-01', TIMESTAMPTZ '2020-01-05', INTERVAL 1 DAY))
    list_resize([1, 2], 4) | list_resize([1, 2], 1) | list_resize([1, 2], 4, 9) | list_resize(['a'], 3, 'b')
    list_resize(NULL, 3) | list_resize([1, 2], NULL) | array_resize([[1]], 2)
    equi_width_bins(0, 10, 2, true) | equi_width_bins(0.0, 10.0, 2, true)
    equi_width_bins(DATE '2020-01-01', DATE '2020-02-01', 2, true)
    format('{} {:>10}', 1, 'x') | format('{:,}', 12345) | format('a 20000') | format('{0} 20000 {1:.2f}', 'q', 1.5)
    format(NULL, 1) | printf('%5d %s', 3, 'x') | printf('%s in 20000', 'x') | printf('%.3f%% of 10000', 1.5)
    lpad('x', 5::TINYINT, 'ab') | list_resize([1], 2::UBIGINT) | list_resize([1], 3.5) | replace('[1]'::JSON, '1', '2')
    replace('abc', 'b', 'xx') | replace('abc', '', 'x') | replace(NULL, 'a', 'b') | replace('abc', NULL, 'b')
"""

TOO_LARGE = """
    length(repeat('x', 300000000)) | length(repeat('x', 30000 * 10000)) | 'x'.repeat(300000000)
    repeat(repeat('x', 60000), 60000) | repeat([repeat('x', 60000)], 60000) | repeat('x', 70000 + (random() * 9)::INT)
    len(range(300000000)) | range(0, 300000000, 2) | generate_series(300000000) | range(-9e18::BIGINT, 9e18::BIGINT)
    list_transform([300000000], lambda n: range(n)) | [repeat('x', n) for n in [300000000]]
    generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2030-01-05', INTERVAL 1 SECOND)
    range(TIMESTAMPTZ '2020-01-01', TIMESTAMPTZ '2030-01-05', INTERVAL 1 SECOND)
    range(DATE '2020-01-01', DATE '2030-01-05', INTERVAL 1 SECOND) | lpad('x', 500000000, 'y')
    rpad('x', 500000000, 'y') | list_resize([1], 100000000) | array_resize([1], 100000000, 2)
    list_resize(['a'], 8000, repeat('x', 60000)) | bitstring('1', 100000000) | equi_width_bins(0, 1000000, 1000000, false)
    format('{:50000000}', 1) | format('{:{}}', 1, 50000000) | format('{:a>50000000}', 1) | format('{:.50000f}', 1.5)
    printf('%50000000d', 1) | printf('%*d', 50000000, 1) | printf('%-50000000d', 1) | printf('%ld%50000000d', 1, 1)
    replace(repeat('x', 60000), 'x', repeat('y', 60000))
"""


def each(texts: str) -> list[str]:
    return [text.strip() for line in texts.strip().splitlines() for text in line.split(" | ")]


@pytest.mark.parametrize("expression", each(SAME))
def test_what_is_small_is_as_in_duckdb(expression: str, limited: Any, plain: Any) -> None:
    ours, theirs = limited.sql(f"SELECT {expression}"), plain.sql(f"SELECT {expression}")
    assert (ours.columns, ours.types, ours.fetchall()) == (theirs.columns, theirs.types, theirs.fetchall())


@pytest.mark.parametrize("expression", each(TOO_LARGE))
def test_what_would_be_too_large_is_not_made(expression: str, limited: Any) -> None:
    with pytest.raises(Exception, match="makes more than") as raised:
        limited.sql(f"SELECT {expression}").fetchall()
    for error in (as_sql_error(raised.value), sql_error(raised.value)):
        assert isinstance(error, TooMuch)
        assert "() makes more than " in error.message and "Could not" not in error.message


def test_a_limit_may_stand_where_only_repeatable_functions_may(limited: Any) -> None:
    rows = "FROM (SELECT 'a' AS a, 2 AS n)"
    assert limited.sql(f"SELECT count(*) OVER (PARTITION BY repeat(a, n)) {rows}").fetchall() == [(1,)]
    assert limited.sql(f"SELECT repeat(a, n) {rows} GROUP BY repeat(a, n) HAVING repeat(a, n) > ''").fetchall() == [
        ("aa",)
    ]


@pytest.mark.parametrize(
    "source",
    [
        *("unnest(range(3)) u(x)", "unnest([repeat('x', 2)]) u(x)", "unnest(generate_series(1, 9, 3)) u(x)"),
        *("t, (SELECT replace(t.a, 'b', 'c')) u(x)", "t, LATERAL (SELECT lpad(t.a, 5, 'x') || repeat(t.a, t.n)) u(x)"),
        *("t, unnest(list_resize([t.a], t.n)) u(x)", "t, unnest(CASE WHEN format('{}', n) = '2' THEN [1, 2] END) u(x)"),
    ],
)
def test_a_limit_may_stand_in_a_source_of_rows(source: str, limited: Any, plain: Any) -> None:
    question = f"WITH t AS MATERIALIZED (SELECT 'ab' || i AS a, i AS n FROM range(1, 4) r(i)) SELECT x FROM {source} ORDER BY x"
    assert limited.sql(question).fetchall() == plain.sql(question).fetchall() != []


def test_rows_have_no_such_limit(limited: Any) -> None:
    for source in ("range(100000)", "generate_series(1, 100000)", "repeat('x', 100000)"):
        assert limited.sql(f"SELECT count(*) FROM {source}").fetchall() == [(100_000,)]


def test_the_names_are_those_of_the_macros(limited: Any) -> None:
    found = limited.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE database_name = 'memory'"
    ).fetchall()
    assert {name for (name,) in found} == NAMES


def test_every_database_has_them_whatever_became_of_the_one_before(tmp_path: Path) -> None:
    for _ in range(3):
        database = open_database(64 * 2**20, str(tmp_path), 2**20)
        with pytest.raises(Exception, match="makes more than"):
            database.sql("SELECT length(repeat('x', 300000000))").fetchall()
        database.close()
