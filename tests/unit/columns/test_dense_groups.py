"""Which fragments may count their groups in an array, and that DuckDB does so then."""

import duckdb
import pytest

from kubegrid.columns import dense_groups
from kubegrid.columns.database import open_database
from kubegrid.columns.dense_groups import BITS_MAX, COLUMN_BYTES, MEMORY_PART, ROWS_MIN, USUAL_BITS, allow, bits

GIB = 1 << 30
GROUPED = "SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g"


@pytest.fixture
def database(tmp_path):
    connection = open_database(GIB, str(tmp_path), GIB)
    connection.execute(
        f"CREATE TABLE t AS SELECT (hash(i) % 100000)::INTEGER AS g, (i % 1000)::INTEGER AS v FROM range({ROWS_MIN}) r(i)"
    )
    yield connection
    connection.close()


def plan(cursor) -> str:
    return cursor.execute(f"EXPLAIN {GROUPED}").fetchall()[0][1].lower()


def test_many_rows_and_few_aggregates_may_take_the_longest_array():
    assert bits(ROWS_MIN, 3, 8 * GIB) == BITS_MAX


def test_few_rows_are_left_to_duckdb():
    assert bits(ROWS_MIN - 1, 3, 8 * GIB) == USUAL_BITS


@pytest.mark.parametrize("columns", [0, 1, 3, 10, 100, 1000])
@pytest.mark.parametrize("memory", [128 << 20, 512 << 20, GIB, 8 * GIB])
def test_an_array_takes_no_more_than_its_part_of_the_memory_beyond_what_duckdb_takes_anyway(columns, memory):
    found = bits(10**9, columns, memory)
    assert found == USUAL_BITS or (COLUMN_BYTES * columns << found) <= memory // MEMORY_PART
    assert USUAL_BITS <= found <= BITS_MAX


def test_duckdb_counts_in_an_array_where_it_may_and_nowhere_else(database):
    one, other = database.cursor(), database.cursor()
    allow(one, ROWS_MIN, 3, 8 * GIB)
    assert "perfect hash" in plan(one).replace("_", " ")
    assert "perfect hash" not in plan(other).replace("_", " ")


def test_the_answer_is_the_same(database):
    one, other = database.cursor(), database.cursor()
    allow(one, ROWS_MIN, 3, 8 * GIB)
    assert sorted(one.execute(GROUPED).fetchall()) == sorted(other.execute(GROUPED).fetchall())


def test_no_other_setting_is_open(database):
    with pytest.raises(duckdb.Error, match="locked"):
        database.cursor().execute("SET memory_limit = '1TB'")
    assert database.execute("SELECT current_setting('allowed_configs')").fetchone() == ([dense_groups.SETTING],)
