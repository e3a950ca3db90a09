"""`kubegrid load` on real grids: the three kinds of files, what it refuses, and going on after an interruption."""

import contextlib
import gzip
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until

import kubegrid
from kubegrid.cli import program
from kubegrid.load.checkpoint import CheckpointFile

ROWS = 3000
LONG_ROWS = 1_000_000


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    """Two partitions without backups: the smallest grid on which rows have to be routed."""
    with live_grid(tmp_path_factory.mktemp("load"), partitions=2, backups=0) as running:
        yield running


def load(grid: LiveGrid, *words: str | Path, status: int = 0) -> "subprocess.CompletedProcess[str]":
    """`kubegrid load WORDS` in this process: starting Python and pyarrow for each would be most of the time."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = program.run(["load", *map(str, words), "--dir", str(grid.directory)])
    done = subprocess.CompletedProcess(list(map(str, words)), code, out.getvalue(), err.getvalue())
    assert code == status, f"{code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def declare(grid: LiveGrid, name: str, **types: str) -> None:
    columns = [{"name": column, "type": kind, "nullable": column != "id"} for column, kind in types.items()]
    kubegrid.connect(f"127.0.0.1:{grid.port}").table({"columns": columns}, name=name, key="id")


def table(grid: LiveGrid, name: str) -> "kubegrid.Table[dict[str, Any]]":
    addresses = [f"127.0.0.1:{grid.resp_port(member)}" for member in grid.names()]
    return kubegrid.connect(",".join(addresses)).table(name)


def rows(count: int = ROWS) -> "pa.Table":
    numbers = list(range(count))
    return pa.table(
        {
            "id": pa.array(numbers, pa.int32()),
            "name": pa.array([None if n % 7 == 0 else f"name {n}" for n in numbers]),
            "price": pa.array([n / 8 for n in numbers]),
        }
    )


def csv_text(count: int, first: int = 0) -> str:
    return "id,name\n" + "".join(f"{n},name of record {n}\n" for n in range(first, first + count))


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "ndjson"])
def test_a_missing_table_is_made_from_the_file_and_holds_every_row(two: LiveGrid, tmp_path: Path, kind: str) -> None:
    name = f"made_from_{kind.replace('.', '_')}"
    path = tmp_path / f"rows.{kind}"
    source = rows()
    if kind == "parquet":
        pq.write_table(source, path)
    elif kind == "ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in source.to_pylist()))
    else:
        lines = [",".join("" if v is None else str(v) for v in row.values()) for row in source.to_pylist()]
        text = "\n".join(["id,name,price", *lines]).encode()
        path.write_bytes(gzip.compress(text) if kind == "csv.gz" else text)
    done = load(two, name, path, "--key", "id", "--json")
    told = json.loads(done.stdout)
    assert told["complete"]
    assert told["made"]
    assert told["rows"] == told["written"] == ROWS
    assert f"table {name} was made: id {'INTEGER' if kind == 'parquet' else 'BIGINT'} NOT NULL" in done.stderr
    made = table(two, name)
    assert made.count() == ROWS
    assert made.read_many(range(ROWS)) == source.to_pylist()
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside the file"


def test_rows_of_one_key_part_lie_together_when_asked(two: LiveGrid, tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text("book,id\n" + "".join(f"B{n % 5},{n}\n" for n in range(100)))
    load(two, "trades", path, "--key", "book,id", "--partition-by", "book")
    assert two.client().execute_command("KG.VERSION", "trades:{B3}:43") >= 1
    assert table(two, "trades").count("book = 'B3'") == 20


def test_of_two_rows_with_one_key_the_later_wins_the_earlier_stays_or_the_load_ends(
    two: LiveGrid, tmp_path: Path
) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("id,name\n1,first\n2,other\n1,second\n")
    for way, name in (("replace", "second"), ("keep", "first")):
        told = json.loads(load(two, f"twice_{way}", path, "--key", "id", "--on-duplicate", way, "--json").stdout)
        assert table(two, f"twice_{way}").read(1) == {"id": 1, "name": name}
        assert told["kept"] == (1 if way == "keep" else 0)
    done = load(two, "twice_fail", path, "--key", "id", "--on-duplicate", "fail", status=4)
    assert "twice_fail:1" in done.stderr


def test_records_that_are_there_are_replaced_kept_or_end_the_load(two: LiveGrid, tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("id,name\n1,old\n")
    new.write_text("id,name\n1,new\n2,new\n")
    load(two, "there", old, "--key", "id")
    load(two, "there", new, "--on-duplicate", "keep")
    assert table(two, "there").read_many([1, 2]) == [{"id": 1, "name": "old"}, {"id": 2, "name": "new"}]
    load(two, "there", new, "--on-duplicate", "fail", status=4)
    load(two, "there", new)
    assert table(two, "there").read(1) == {"id": 1, "name": "new"}


def test_a_table_of_another_schema_is_refused_with_the_difference_unless_it_is_replaced(
    two: LiveGrid, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("id,name,delay\n1,a,5\n")
    second.write_text("id,nam,delay\n1,a,late\n")
    load(two, "other", first, "--key", "id")
    done = load(two, "other", second, "--key", "id", status=4)
    for line in (
        "column nam (VARCHAR) is not in the table; did you mean 'name'?",
        "column delay is BIGINT; in the file it is text such as 'late'",
        "column name VARCHAR is not in the file",
    ):
        assert line in done.stderr
    assert table(two, "other").read(1) == {"id": 1, "name": "a", "delay": 5}
    load(two, "other", second, "--key", "id", "--replace-table")
    assert table(two, "other").find() == [{"id": 1, "nam": "a", "delay": "late"}]


def test_columns_that_convert_without_loss_are_converted(two: LiveGrid, tmp_path: Path) -> None:
    path = tmp_path / "narrow.parquet"
    pq.write_table(pa.table({"id": pa.array([1, 2], pa.int16()), "n": pa.array([7.0, None])}), path)
    declare(two, "wide", id="BIGINT", n="INTEGER")
    load(two, "wide", path)
    assert table(two, "wide").read_many([1, 2]) == [{"id": 1, "n": 7}, {"id": 2, "n": None}]


def test_a_bad_row_ends_the_load_with_its_line_or_is_left_out_and_kept_in_a_file(two: LiveGrid, tmp_path: Path) -> None:
    declare(two, "bad", id="BIGINT", delay="INTEGER")
    path = tmp_path / "bad.csv"
    path.write_text("id,delay\n1,5\n2,late\n3,6\n,7\n4,8,9\n5,10\n")
    done = load(two, "bad", path, status=1)
    assert f"{path}, line 3: column delay: 'late' is not an INTEGER (and 2 more soon after it)" in done.stderr
    assert "What came before stays: 1 row of the file (lines before 3)." in done.stderr
    assert table(two, "bad").find() == [{"id": 1, "delay": 5}]
    done = load(two, "bad", path, "--on-error", "skip", "--resume")
    assert "going on at line 3" in done.stderr
    kept = tmp_path / "bad.csv.bad-rows.ndjson"
    assert f"3 bad rows were left out; they are in {kept}" in done.stderr
    found = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(one["line"], one["row"]) for one in found] == [(3, "2,late"), (5, ",7"), (6, "4,8,9")]
    assert found[1]["reason"] == "column id: NULL is no value of a NOT NULL column (BIGINT)"
    assert sorted(row["id"] for row in table(two, "bad").find()) == [1, 3, 5]


def test_a_quote_that_is_never_closed_swallows_no_rows(two: LiveGrid, tmp_path: Path) -> None:
    declare(two, "quotes", id="BIGINT", text="VARCHAR")
    path = tmp_path / "quotes.csv"
    path.write_text('id,text\n1,"a\nb"\n2,"never\n3,c\n4,"d"\n')
    done = load(two, "quotes", path, status=1)
    assert f"{path}, line 4: column text: its value begins with a quote that is never closed" in done.stderr
    load(two, "quotes", path, "--on-error", "skip", "--resume")
    assert [(row["id"], row["text"]) for row in sorted(table(two, "quotes").find(), key=lambda row: row["id"])] == [
        (1, "a\nb"),
        (3, "c"),
        (4, "d"),
    ]
    kept = (tmp_path / "quotes.csv.bad-rows.ndjson").read_text().splitlines()
    assert [(one["line"], one["row"]) for one in map(json.loads, kept)] == [(4, '2,"never')]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["none.csv", "--key", "id"], 2, "there is no file"),
        (["small.csv"], 2, "--key"),
        (["small.csv", "--key", "idd"], 2, "no column 'idd'; did you mean 'id'?"),
        (["small.csv", "--key", "id", "--on-duplicate", "maybe"], 2, "--on-duplicate is one of replace, keep, fail"),
        (["small.csv", "--key", "id", "--on-error", "maybe"], 2, "--on-error is one of fail, skip"),
        (["small.txt", "--key", "id"], 2, "what kind of file is this?"),
    ],
)
def test_wrong_usage_is_said_and_makes_no_table(
    two: LiveGrid, tmp_path: Path, words: list[str], status: int, message: str
) -> None:
    (tmp_path / "small.csv").write_text("id\n1\n")
    (tmp_path / "small.txt").write_text("id\n1\n")
    done = load(two, "never", tmp_path / words[0], *words[1:], status=status)
    assert message in done.stderr
    with pytest.raises(kubegrid.UnknownTableError):
        table(two, "never")


def test_a_grid_that_is_not_there_is_status_three(tmp_path: Path) -> None:
    (tmp_path / "small.csv").write_text("id\n1\n")
    words = ["load", "t", str(tmp_path / "small.csv"), "--key", "id", "--dir", str(tmp_path / "none")]
    done = subprocess.run([sys.executable, "-m", "kubegrid.cli", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 3


# -- interrupted ------------------------------------------------------------------------------------------------------


def begun(grid: LiveGrid, name: str, path: Path, *words: str) -> "subprocess.Popen[str]":
    """A load that runs, and has some rows confirmed and some not."""
    command = [sys.executable, "-m", "kubegrid.cli", "load", name, str(path), "--key", "id", *words]
    running = subprocess.Popen(
        [*command, "--dir", str(grid.directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    kept = CheckpointFile(path, name)

    def under_way() -> bool:
        if running.poll() is not None:
            raise AssertionError(f"the load ended before it could be interrupted: {running.communicate()}")
        state = kept.read()
        return state is not None and state.counts.read > 0

    wait_until(under_way, 60, "a load under way")
    return running


def test_ctrl_c_says_how_far_it_came_and_resume_goes_on_from_there(two: LiveGrid, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(csv_text(LONG_ROWS))
    running = begun(two, "long", path)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "interrupted" in told
    assert "Traceback" not in told
    kept = CheckpointFile(path, "long")
    state = kept.read()
    assert state is not None
    assert f"What came before stays: {state.counts.read:,} rows of the file" in told
    assert f"kubegrid load long {path} --key id --dir {two.directory} --resume" in told
    assert 0 < state.counts.read < LONG_ROWS
    assert table(two, "long").count() >= state.counts.read

    done = load(two, "long", path, "--key", "id", "--resume", "--json")
    summary = json.loads(done.stdout)
    assert summary["resumed_at"] == state.confirmed[1] > 2
    assert summary["rows"] == summary["written"] == LONG_ROWS
    own = LONG_ROWS - state.counts.read
    assert summary["rows_per_second"] * summary["seconds"] == pytest.approx(own, rel=0.05)
    assert table(two, "long").count() == LONG_ROWS
    assert not kept.path.exists()


def test_a_load_that_is_killed_goes_on_also_when_records_may_not_be_written_twice(
    two: LiveGrid, tmp_path: Path
) -> None:
    path = tmp_path / "killed.csv"
    path.write_text(csv_text(LONG_ROWS))
    running = begun(two, "killed", path, "--on-duplicate", "fail")
    running.kill()
    running.communicate(timeout=60)
    there = table(two, "killed").count()
    state = CheckpointFile(path, "killed").read()
    assert state is not None
    assert state.counts.read <= there < LONG_ROWS
    load(two, "killed", path, "--key", "id", "--on-duplicate", "fail", "--resume")
    assert table(two, "killed").count() == LONG_ROWS


def test_resume_refuses_a_file_that_changed_and_a_table_made_anew(two: LiveGrid, tmp_path: Path) -> None:
    path = tmp_path / "changed.csv"
    declare(two, "changed", id="BIGINT", delay="BIGINT")
    path.write_text("id,delay\n1,5\n2,6\n3,late\n")
    load(two, "changed", path, status=1)
    done = load(two, "changed", path, status=1)
    assert "an earlier load of this file stopped at line 4; --resume would have gone on there" in done.stderr
    table(two, "changed").drop()
    declare(two, "changed", id="BIGINT", delay="BIGINT")
    done = load(two, "changed", path, "--resume", status=4)
    assert "table changed was made anew" in done.stderr
    path.write_text("id,delay\n1,5\n2,6\n3,7777\n")
    done = load(two, "changed", path, "--resume", status=4)
    assert "was changed since its load was interrupted" in done.stderr
    done = load(two, "changed", path)
    assert "an earlier load" not in done.stderr, "it could not have been gone on with"
    assert table(two, "changed").count() == 3


def test_a_load_survives_the_death_of_a_primary(grid: LiveGrid, tmp_path: Path) -> None:
    path = tmp_path / "survives.csv"
    path.write_text(csv_text(LONG_ROWS))
    running = begun(grid, "survives", path)
    grid.kill(grid.primary())
    _, told = running.communicate(timeout=120)
    assert running.returncode == 0, told
    assert table(grid, "survives").count() == LONG_ROWS
