"""Which fragments may count their groups in an array, that DuckDB does so then, and what all arrays take."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kubegrid.columns import dense_groups
from kubegrid.columns.database import open_database
from kubegrid.columns.dense_groups import BITS_MAX, COLUMN_BYTES, MEMORY_PART, ROWS_MIN, USUAL_BITS, DenseGroups, bits
from kubegrid.columns.running import Running, Watch

MIB, GIB = 1 << 20, 1 << 30
GROUPED = "SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g"
COLUMNS = 3


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    connection = open_database(GIB, str(tmp_path), GIB)
    connection.execute(
        f"CREATE TABLE t AS SELECT (hash(i) % 100000)::INTEGER AS g, (i % 1000)::INTEGER AS v FROM range({ROWS_MIN}) r(i)"
    )
    yield connection
    connection.close()


def statement() -> Running:
    return Running(Watch(), 60_000, lambda: False)


class Cursor:
    """Notes what is set."""

    def __init__(self) -> None:
        self.bits = USUAL_BITS

    def execute(self, text: str) -> None:
        self.bits = int(text.rpartition(" ")[2])


def in_an_array(cursor: Any) -> bool:
    return "perfect hash" in cursor.execute(f"EXPLAIN {GROUPED}").fetchall()[0][1].lower().replace("_", " ")


def test_few_rows_are_left_to_duckdb() -> None:
    assert bits(ROWS_MIN - 1, COLUMN_BYTES, GIB) == USUAL_BITS
    assert bits(ROWS_MIN, COLUMN_BYTES, GIB) == BITS_MAX


@pytest.mark.parametrize("columns", [1, 3, 10, 100, 1000])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("memory", [128 * MIB, 512 * MIB, GIB, 8 * GIB])
def test_all_arrays_together_take_no_more_than_their_part_of_the_memory(
    columns: int, threads: int, memory: int
) -> None:
    groups = DenseGroups(memory, threads)
    whole = groups.left_bytes
    running, cursors = statement(), [Cursor() for _ in range(40)]
    for cursor in cursors:
        groups.allow(running, cursor, 10**9, columns)
    larger = [cursor.bits for cursor in cursors if cursor.bits > USUAL_BITS]
    assert sum(COLUMN_BYTES * columns * threads << each for each in larger) == whole - groups.left_bytes
    assert whole == memory // MEMORY_PART and groups.left_bytes >= 0
    assert max(larger, default=0) <= BITS_MAX and larger == sorted(larger, reverse=True)
    running.end()
    assert groups.left_bytes == whole


def test_three_columns_of_a_member_of_one_gibibyte_take_the_longest_array() -> None:
    cursor = Cursor()
    DenseGroups(GIB, 1).allow(statement(), cursor, ROWS_MIN, COLUMNS)
    assert cursor.bits == BITS_MAX


def test_duckdb_counts_in_an_array_where_it_may_and_nowhere_else_with_the_same_answer(database: Any) -> None:
    one, other = database.cursor(), database.cursor()
    DenseGroups(GIB, 1).allow(statement(), one, ROWS_MIN, COLUMNS)
    assert in_an_array(one) and not in_an_array(other)
    assert sorted(one.execute(GROUPED).fetchall()) == sorted(other.execute(GROUPED).fetchall())


def test_no_other_setting_is_open(database: Any) -> None:
    with pytest.raises(duckdb.Error, match="locked"):
        database.cursor().execute("SET memory_limit = '1TB'")
    assert database.execute("SELECT current_setting('allowed_configs')").fetchone() == ([dense_groups.SETTING],)
