"""Rows that came as Arrow and stay columnar until they are touched: what users see of them is what they see of any record,
through every way in, and through the deaths of members."""

import datetime as dt
import decimal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until

import kubegrid

ROWS = 20_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("columnar"), partitions=2, backups=1) as running:
        yield running


def wide(count: int = ROWS) -> "pa.Table":
    """A column of every kind that Parquet has, each with NULLs but for the key."""
    day = dt.date(2013, 1, 1)
    moment = dt.datetime(2013, 1, 1, 5, 30)

    def some(of: Any) -> list[Any]:
        return [None if n % 11 == 3 else of(n) for n in range(count)]

    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "flag": pa.array(some(lambda n: n % 2 == 0)),
            "small": pa.array(some(lambda n: n % 120 - 60), pa.int8()),
            "large": pa.array(some(lambda n: 2**64 - 1 - n), pa.uint64()),
            "ratio": pa.array(some(lambda n: n / 8)),
            "money": pa.array(some(lambda n: decimal.Decimal(n) / 100), pa.decimal128(12, 2)),
            "name": pa.array(some(lambda n: f"näme {n}")),
            "raw": pa.array(some(lambda n: n.to_bytes(4))),
            "day": pa.array(some(lambda n: day + dt.timedelta(days=n % 9000))),
            "clock": pa.array(some(lambda n: dt.time(n % 24, n % 60, n % 60, n))),
            "moment": pa.array(some(lambda n: moment + dt.timedelta(seconds=n)), pa.timestamp("us")),
            "instant": pa.array(some(lambda n: moment + dt.timedelta(seconds=n)), pa.timestamp("us", "UTC")),
            "mark": pa.array(some(lambda n: str(uuid.UUID(int=n)))),
        }
    )


def load(grid: LiveGrid, name: str, rows: "pa.Table", *words: str) -> "subprocess.CompletedProcess[str]":
    path = grid.root / f"{name}.parquet"
    pq.write_table(rows, path)
    return grid.run("load", name, str(path), "--key", "id", *words)


def connect(grid: LiveGrid) -> kubegrid.Grid:
    return kubegrid.connect(",".join(f"127.0.0.1:{grid.resp_port(member)}" for member in grid.names()), timeout=60.0)


def answer(grid: kubegrid.Grid, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = grid.sql(f"SELECT * FROM {name} ORDER BY id").arrow().to_pylist()
    return found


def test_rows_are_the_same_by_key_by_sql_by_predicate_and_through_redis(pair: LiveGrid) -> None:
    given = wide()
    load(pair, "every", given)
    with connect(pair) as grid:
        assert answer(grid, "every") == given.to_pylist()
        table = grid.table("every")
        chosen = [*range(0, ROWS, 997), 3]
        assert table.read_many(chosen) == [given.slice(n, 1).to_pylist()[0] for n in chosen]
        assert table.count() == ROWS
        assert sorted(row["id"] for row in table.find("ratio < 10 AND name = 'näme 79'")) == [79]
        found = table.find("small = 7")
        assert sorted(row["id"] for row in found) == [n for n in range(ROWS) if n % 120 == 67 and n % 11 != 3]
    with pair.client() as redis:
        assert redis.hget("every:79", "name") == "näme 79".encode()
        assert redis.type("every:80") == b"record"
        assert redis.exists("every:81") == 1
        assert redis.delete("every:81") == 1
        assert redis.exists("every:81") == 0


def test_each_kind_of_change_of_a_row_that_nobody_touched_yet(pair: LiveGrid) -> None:
    given = wide()
    load(pair, "changed", given)
    expected = {row["id"]: row for row in given.to_pylist()}
    with connect(pair) as grid:
        before = answer(grid, "changed")
        assert before == list(expected.values())
        table = grid.table("changed")
        table.change(5, set={"name": "five"}, increment={"ratio": 1.0})
        expected[5] |= {"name": "five", "ratio": 5 / 8 + 1.0}
        table.write({**expected[6], "small": -1})
        expected[6] |= {"small": -1}
        table.remove(7)
        del expected[7]
        with pair.client() as redis:
            redis.hset("changed:8", "flag", "false")
            redis.json().set("changed:9", "$.name", "nine")
        expected[8] |= {"flag": False}
        expected[9] |= {"name": "nine"}
        outcome = grid.sql("UPDATE changed SET money = money + 1 WHERE id BETWEEN 100 AND 199")
        assert outcome.scalar() == 100
        for n in range(100, 200):
            if expected[n]["money"] is not None:
                expected[n]["money"] += 1
        grid.sql("DELETE FROM changed WHERE id >= 19000")
        expected = {n: row for n, row in expected.items() if n < 19_000}
        assert answer(grid, "changed") == list(expected.values())
        assert table.read_many(list(expected)) == list(expected.values())


def test_rows_of_a_file_that_is_loaded_twice_replace_themselves_or_stay(pair: LiveGrid) -> None:
    given = wide(5000)
    load(pair, "twice", given)
    newer = given.set_column(given.schema.get_field_index("ratio"), "ratio", pa.array([float(n) for n in range(5000)]))
    told = load(pair, "twice", newer, "--on-duplicate", "keep")
    assert "(5,000 were there already and kept as they were)" in told.stderr + told.stdout
    with connect(pair) as grid:
        assert answer(grid, "twice") == given.to_pylist()
        load(pair, "twice", newer)
        assert answer(grid, "twice") == newer.to_pylist()
        load(pair, "twice", given, "--replace-table")
        assert answer(grid, "twice") == given.to_pylist()
        grid.sql("TRUNCATE twice")
        assert answer(grid, "twice") == []
        load(pair, "twice", newer)
        assert answer(grid, "twice") == newer.to_pylist()


def test_a_column_that_is_added_later_is_null_or_its_default_in_rows_that_were_there(pair: LiveGrid) -> None:
    given = wide(3000)
    load(pair, "grown", given)
    with connect(pair) as grid:
        grid.sql("ALTER TABLE grown ADD COLUMN note VARCHAR DEFAULT 'none'")
        expected = [{**row, "note": "none"} for row in given.to_pylist()]
        assert grid.table("grown").read_many([1, 2]) == expected[1:3]
        assert answer(grid, "grown") == expected


def test_rows_survive_the_deaths_of_both_members_one_after_the_other(tmp_path: Path) -> None:
    """The second primary has them from the log, the third, which returned empty, from a snapshot."""
    with live_grid(tmp_path, partitions=1, backups=1) as running:
        given = wide()
        load(running, "kept", given)
        expected = {row["id"]: row for row in given.to_pylist()}
        with connect(running) as grid:
            table = grid.table("kept")
            for turn in range(3):
                for n in range(turn, ROWS, 500):
                    table.change(n, set={"ratio": float(turn)})
                    expected[n]["ratio"] = float(turn)
                dying = running.primary()
                running.kill(dying)
                running.wait_new_primary(0, dying)
                assert answer(grid, "kept") == list(expected.values())
                running.wait_whole()
            assert table.read_many(list(expected)) == list(expected.values())


def test_a_load_into_columns_survives_the_death_of_a_primary(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=2, backups=1) as running:
        count = 600_000
        path = tmp_path / "numbers.parquet"
        numbers = pa.array(range(count), pa.int64())
        pq.write_table(pa.table({"id": numbers, "twice": pa.array(range(0, 2 * count, 2), pa.int64())}), path)
        with connect(running) as grid:
            grid.table(
                {"columns": [{"name": "id", "type": "BIGINT"}, {"name": "twice", "type": "BIGINT"}]},
                name="numbers",
                key="id",
            )
            words = ["load", "numbers", str(path), "--dir", str(running.directory)]
            loading = subprocess.Popen(
                [sys.executable, "-m", "kubegrid.cli", *words], stderr=subprocess.PIPE, text=True
            )
            wait_until(lambda: grid.table("numbers").count() > count // 20, what="the first rows")
            running.kill(running.primary())
            _, told = loading.communicate(timeout=120)
            assert loading.returncode == 0, told
            whole = grid.sql("SELECT count(*), count(DISTINCT id), sum(twice - 2 * id) FROM numbers").rows()
            assert whole == [(count, count, 0)]
            assert grid.table("numbers").count() == count
