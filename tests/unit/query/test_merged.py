"""What is merged without DuckDB is what DuckDB says over the same rows, to the type and the sign of a zero, or is left to it."""

import datetime
import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import parse_one

from kubegrid.query.merged import ROWS_MAX, merged
from kubegrid.sql.merging import merging

EXAMPLES = int(os.environ.get("KUBEGRID_SQL_EXAMPLES", "50"))
COLUMNS = {
    "n": "BIGINT",
    "u": "UBIGINT",
    "i": "INTEGER",
    "c": "BIGINT",
    "h": "HUGEINT",
    "d": "DECIMAL(38, 3)",
    "e": "DECIMAL(9, 2)",
    "x": "DOUBLE",
    "f": "FLOAT",
    "s": "VARCHAR",
    "b": "BOOLEAN",
    "t": "TIMESTAMP",
    "z": "TIMESTAMP WITH TIME ZONE",
    "o": "TIME",
    "a": "DATE",
}
WIDE = st.one_of(
    st.integers(-3, 3), st.integers(-(10**37), 10**37), st.sampled_from([2**127 - 1, -(2**127) + 1, 10**38])
)
DOUBLES = st.one_of(
    st.sampled_from([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e308]),
    st.integers(-4, 4).map(lambda number: number / 4),
)
MOMENTS = st.one_of(
    st.sampled_from(
        ["infinity", "-infinity", "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "12000-01-01 00:00:00"]
    ),
    st.datetimes(datetime.datetime(1, 1, 2)).map(lambda moment: moment.isoformat(" ")),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.one_of(st.integers(-2, 2), st.integers(-(2**63), 2**63 - 1)),
    "u": st.one_of(st.integers(0, 2), st.integers(0, 2**64 - 1)),
    "i": st.integers(-2, 2),
    "c": st.integers(0, 2**40),
    "h": WIDE,
    "d": st.decimals(-(10**20), 10**20, places=3) | st.just(Decimal(10**34)),
    "e": st.decimals(-3, 3, places=2),
    "x": DOUBLES,
    "f": st.integers(-9, 9).map(lambda number: number / 8) | st.just(float("nan")),
    "s": st.text(st.sampled_from("aBé\uffff\U0001f600 "), max_size=3),
    "b": st.booleans(),
    "t": MOMENTS,
    "z": MOMENTS,
    "o": st.times().map(str),
    "a": st.dates().map(str) | st.sampled_from(["infinity", "-infinity"]),
}
ROWS = st.lists(
    st.tuples(*(st.one_of(st.none(), VALUES[name]) if name != "c" else VALUES[name] for name in COLUMNS)), max_size=12
)
COUNT = 'CAST(COALESCE(SUM("c"), 0) AS BIGINT) AS "k"'
SINGLE = [
    f'SELECT {COUNT} FROM "f0"',
    *(f'SELECT SUM("{name}") AS "k" FROM "f0"' for name in "hdx"),
    *(f'SELECT MIN("{name}") AS "k", MAX("{name}") AS "l" FROM "f0"' for name in COLUMNS),
    *(f'SELECT (CAST(SUM("{name}") AS DOUBLE) / SUM("c")) AS "k" FROM "f0"' for name in "hdx"),
]
ORDERED = [
    *(
        f'SELECT "{key}" AS "g", {COUNT} FROM "f0" GROUP BY "{key}" ORDER BY "{key}" {order}'
        for key in COLUMNS
        for order in ("", "DESC", "NULLS FIRST", "DESC NULLS FIRST")
    ),
    'SELECT "s" AS "g", SUM("h") AS "k", MAX("t") AS "l" FROM "f0" GROUP BY "s", "i" ORDER BY "s" DESC, "i" LIMIT 3 OFFSET 1',
    'SELECT "i" AS "g", SUM("x") AS "k" FROM "f0" GROUP BY "i" ORDER BY "i" LIMIT 0',
    *(
        f'SELECT "{key}" FROM "f0" ORDER BY "{key}" {order} LIMIT 4'
        for key in COLUMNS
        for order in ("", "DESC", "DESC NULLS FIRST")
    ),
    'SELECT "s", "i", "u" FROM "f0" ORDER BY "e" DESC, "s", "i" NULLS FIRST, "u"',
]


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


def parts(database: Any, rows: list[tuple[Any, ...]]) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    database.execute(f"CREATE OR REPLACE TABLE f0 ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
    if rows:
        database.executemany(f"INSERT INTO f0 VALUES ({', '.join('?' * len(COLUMNS))})", rows)
    database.execute("SET arrow_lossless_conversion = true")
    table = database.sql("FROM f0").to_arrow_table()
    database.execute("SET arrow_lossless_conversion = false")
    return table.schema, table.to_batches(max_chunksize=5)


def texts(table: Any) -> list[str]:
    """Of rows, so that NaN is like itself and -0.0 is not 0.0; moments as numbers, for Python has not all of them."""
    columns = []
    for column in table.columns:
        kind = column.type
        whole = pa.types.is_timestamp(kind) or pa.types.is_time64(kind)
        number = pa.int64() if whole else pa.int32() if pa.types.is_date32(kind) else None
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        columns.append((column if number is None else column.view(number)).to_pylist())
    return [repr(row) for row in zip(*columns, strict=True)]


def compare(database: Any, text: str, rows: list[tuple[Any, ...]]) -> bool:
    """Whether it was certain."""
    what = merging(parse_one(text, dialect="duckdb"))
    assert what is not None, text
    found = parts(database, rows)
    try:
        expected = database.sql(text).to_arrow_table()
    except duckdb.Error:
        schema = database.sql(text.replace('"f0"', '(FROM "f0" LIMIT 0)')).to_arrow_table().schema
        assert merged(what, found, schema) is None, "what fails is DuckDB's to tell"
        return False
    answer = merged(what, found, expected.schema)
    if answer is None:
        return False
    answer.validate(full=True)
    assert answer.schema == expected.schema
    assert texts(answer) == texts(expected), text
    return True


RUNS = settings(max_examples=EXAMPLES * 4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@RUNS
@given(st.sampled_from(SINGLE + ORDERED), ROWS)
def test_it_is_what_duckdb_says(database: Any, text: str, rows: list[tuple[Any, ...]]) -> None:
    compare(database, text, rows)


ROW = (1, 2, 3, 4, 5, Decimal(6), Decimal(7), 0.5, 0.25, "é", True, "2020-01-01", "2020-01-01", "01:00", "2020-01-01")
LEFT = {"b"}
"""Not computed for: DuckDB is asked."""


@pytest.mark.parametrize("text", SINGLE + ORDERED)
def test_the_common_forms_are_certain(database: Any, text: str) -> None:
    doubtful = any(f'"{name}"' in text for name in LEFT) or 'SUM("d") AS DOUBLE' in text
    doubtful = doubtful or any(f'GROUP BY "{name}"' in text for name in "xf")
    assert compare(database, text, [ROW, (None,) * 3 + (0,) + (None,) * 11, ROW]) == (not doubtful)


@pytest.mark.parametrize(
    "text",
    [
        'SELECT DISTINCT "i" FROM "f0"',
        'SELECT SUM("i") + 1 AS "k" FROM "f0"',
        'SELECT SUM(DISTINCT "i") AS "k" FROM "f0"',
        'SELECT SUM("i") AS "k" FROM "f0" WHERE "i" > 1',
        'SELECT "i" AS "k" FROM "f0" GROUP BY "i" HAVING SUM("n") > 1',
        'SELECT "n" AS "i" FROM "f0" ORDER BY "i"',
        'SELECT "i" FROM "f0" ORDER BY "s" COLLATE NOCASE',
        'SELECT "i" FROM "f0" LIMIT 10%',
        'SELECT "i" FROM "f0", "f1"',
        'SELECT "i" FROM "f0" UNION ALL SELECT "i" FROM "f0"',
        'SELECT "i" FROM (SELECT * FROM "f0") AS "p"',
        'SELECT "i" FROM "f0" AS "p"("n")',
        'SELECT "i", ROW_NUMBER() OVER () AS "k" FROM "f0"',
        'WITH "f0" AS (SELECT 1 AS "i") SELECT "i" FROM "f0"',
    ],
)
def test_other_forms_are_left_to_duckdb(text: str) -> None:
    assert merging(parse_one(text, dialect="duckdb")) is None


def test_many_rows_are_left_to_duckdb(database: Any) -> None:
    what = merging(parse_one('SELECT "i" FROM "f0" ORDER BY "i"', dialect="duckdb"))
    assert what is not None
    schema = pa.schema([("i", pa.int32())])
    batch = pa.RecordBatch.from_arrays([pa.array(range(ROWS_MAX + 1), pa.int32())], schema=schema)
    assert merged(what, (schema, [batch]), schema) is None
    assert merged(what, (schema, [batch.slice(0, ROWS_MAX)]), schema).num_rows == ROWS_MAX
