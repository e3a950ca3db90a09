"""`kubegrid sql` on a real grid: formats, files, exit statuses, and what is said when something is wrong."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until

import kubegrid
from kubegrid.cli import program

COMMAND_S = 60.0
RUNNING = re.compile(r'^kubegrid_flight_calls_running\{kind="statement"\} (\S+)$', re.MULTILINE)
ROWS = 25_000
PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("cli-sql"), partitions=3, backups=0) as running:
        with kubegrid.connect(f"127.0.0.1:{running.port}") as client:
            client.sql(
                "CREATE TABLE kinds (id INTEGER PRIMARY KEY, text VARCHAR, real DOUBLE, price DECIMAL(10,2), at TIMESTAMP, "
                "zoned TIMESTAMPTZ, day DATE, yes BOOLEAN, raw BLOB)"
            )
            client.sql(
                "INSERT INTO kinds VALUES "
                "(1, 'plain', 1498, 1.50, '2013-01-31 05:00:00', '2013-01-31 05:00:00+00', '2013-01-31', true, "
                "'\\x00\\xFF'::BLOB), "
                "(2, 'a \"quote\", a comma', 0.1, -2, '2013-01-31 05:00:00.25', NULL, NULL, false, NULL), "
                "(3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL), "
                "(4, NULL, 'nan', NULL, NULL, NULL, NULL, NULL, NULL)"
            )
            client.sql(f"CREATE TABLE many (PRIMARY KEY (n)) AS SELECT range AS n, range % 7 AS m FROM range({ROWS})")
        yield running


def sql(
    grid: LiveGrid, *words: str | Path, status: int = 0, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """`kubegrid sql WORDS` in this process: starting Python and pyarrow for each would be most of the time."""
    out, err = io.BytesIO(), io.BytesIO()
    wrapped = io.TextIOWrapper(out), io.TextIOWrapper(err, write_through=True)
    place = () if {"--dir", "--manager"} & set(words) else ("--dir", str(grid.directory))
    with (
        contextlib.redirect_stdout(wrapped[0]),
        contextlib.redirect_stderr(wrapped[1]),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = program.run(["sql", *map(str, words), *place])
    done = subprocess.CompletedProcess(list(map(str, words)), code, out.getvalue(), err.getvalue())
    assert code == status, f"{code}\n{done.stdout!r}\n{done.stderr.decode()}"
    assert b"Traceback" not in done.stderr
    return done


# -- what docs/sql.md shows (its Python is run in tests/integration/test_client_documents.py) -----------------------------


@pytest.fixture(scope="module")
def documented(grid: LiveGrid) -> LiveGrid:
    """With the tables of the page."""
    example = re.search(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert example is not None
    exec(example[1].replace("127.0.0.1:7000", f"127.0.0.1:{grid.port}"), {})
    return grid


def test_the_commands_of_the_page_print_what_it_shows(documented: LiveGrid) -> None:
    shown = re.findall(r"^\$ kubegrid sql (.*)\n((?:[^$`].*\n)+)", PAGE, re.MULTILINE)
    assert len(shown) >= 3
    for words, printed in shown:
        assert sql(documented, *shlex.split(words)).stdout.decode() == printed


def test_statements_run_where_the_page_says(documented: LiveGrid) -> None:
    rows = re.findall(r"^\| `(SELECT .*?)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 5
    with kubegrid.connect(f"127.0.0.1:{documented.port}") as client:
        for statement, kind, where in rows:
            assert client.sql(f"EXPLAIN {statement}").rows()[0][1:3] == (kind, where), statement


# -- formats -------------------------------------------------------------------------------------------------------------


def test_csv_is_what_a_pipe_gets_and_tells_null_from_an_empty_text(grid: LiveGrid) -> None:
    assert sql(grid, "SELECT * FROM kinds ORDER BY id").stdout.decode().split("\n") == [
        "id,text,real,price,at,zoned,day,yes,raw",
        r"1,plain,1498.0,1.50,2013-01-31 05:00:00,2013-01-31 05:00:00Z,2013-01-31,true,\x00ff",
        '2,"a ""quote"", a comma",0.1,-2.00,2013-01-31 05:00:00.25,,,false,',
        '3,"",,,,,,,',
        "4,,nan,,,,,,",
        "",
    ]


def test_many_rows_are_text_as_few_are(grid: LiveGrid) -> None:
    """Columns of large batches are turned to text by Arrow, those of small ones by Python."""
    columns = (
        "n, n / 8 AS eighth, (n * 0.25)::DECIMAL(12,2) AS price, TIMESTAMP '2013-01-31' + to_seconds(n / 2) AS at, "
    )
    columns += "n % 2 = 0 AS even, CASE WHEN n % 5 = 0 THEN NULL WHEN n % 5 = 1 THEN '' ELSE 'a,' || n END AS text"
    told = sql(grid, f"SELECT {columns} FROM many ORDER BY n").stdout.decode()
    rows = list(csv.reader(io.StringIO(told)))
    assert len(rows) == ROWS + 1
    few = sql(grid, f"SELECT {columns} FROM many WHERE n < 900 ORDER BY n").stdout.decode()
    assert told.startswith(few)
    assert rows[8 + 1] == ["8", "1.0", "2.00", "2013-01-31 00:00:04", "true", "a,8"]


def test_the_program_itself_does_without_numpy_and_pandas(grid: LiveGrid) -> None:
    """pyarrow looks for both when it makes Python's values of times, and loads them where they are: for seconds."""
    command = [sys.executable, "-X", "importtime", "-m", "kubegrid.cli", "sql", "SELECT * FROM kinds", "--json"]
    done = subprocess.run([*command, "--dir", str(grid.directory)], capture_output=True, timeout=COMMAND_S, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 4
    imported = {line.rpartition(b"|")[2].strip() for line in done.stderr.splitlines()}
    assert b"pyarrow.lib" in imported
    heavy = (b"numpy.", b"pandas.", b"sqlglot.", b"duckdb.", b"polars.", b"fastapi.")
    assert not [name for name in imported if name.startswith(heavy)]


def test_json_is_a_list_of_objects(grid: LiveGrid) -> None:
    rows = json.loads(sql(grid, "SELECT * FROM kinds ORDER BY id", "--json").stdout)
    assert rows[0] == {
        "id": 1,
        "text": "plain",
        "real": 1498.0,
        "price": 1.5,
        "at": "2013-01-31T05:00:00",
        "zoned": "2013-01-31T05:00:00Z",
        "day": "2013-01-31",
        "yes": True,
        "raw": "AP8=",
    }
    assert rows[3]["real"] == "NaN"
    assert rows[3]["text"] is None
    assert json.loads(sql(grid, "SELECT 1 WHERE false", "--format", "json").stdout) == []
    assert json.loads(sql(grid, "SELECT 1 AS n, 2 AS n", "--format", "json").stdout) == [{"n": 1, "n_1": 2}]
    lines = sql(grid, "SELECT n, m FROM many ORDER BY n LIMIT 3", "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 0, "m": 0}, {"n": 1, "m": 1}, {"n": 2, "m": 2}]


def test_arrow_is_a_stream_with_the_types(grid: LiveGrid) -> None:
    told = pa.ipc.open_stream(sql(grid, "SELECT * FROM kinds ORDER BY id", "--format", "arrow").stdout).read_all()
    assert told.num_rows == 4
    assert told.schema.field("price").type == pa.decimal128(10, 2)


def test_a_table_is_aligned_and_counts_its_rows(grid: LiveGrid) -> None:
    told = sql(grid, "SELECT id, text FROM kinds WHERE id IN (1, 4) ORDER BY id", "--format", "table").stdout.decode()
    assert told.splitlines() == ["id  text", "──  ─────", " 1  plain", " 4  NULL", "(2 rows)"]


def test_a_table_ends_where_nobody_reads_on_and_says_so(grid: LiveGrid, tmp_path: Path) -> None:
    told = sql(grid, "SELECT n FROM many ORDER BY n", "--format", "table").stdout.decode().splitlines()
    assert (len(told), told[-2].strip(), told[-1]) == (10_003, "9999", "(only the first 10,000 rows)")
    told = sql(grid, "SELECT n FROM many LIMIT 10000", "--format", "table").stdout.decode().splitlines()
    assert told[-1] == "(10,000 rows)"
    file = tmp_path / "many.table"
    assert "only the first 10,000 rows in" in sql(grid, "SELECT n FROM many", "--output", file).stderr.decode()
    assert sql(grid, "SELECT n FROM many").stdout.count(b"\n") == ROWS + 1
    wait_until(lambda: statements_running(grid) == 0, what="what was not read is cancelled")


def test_on_a_terminal_a_table_is_shown(grid: LiveGrid) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kubegrid.cli", "sql", "SELECT 42 AS answer", "--dir", str(grid.directory)]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, timeout=COMMAND_S, check=False)
    os.close(theirs)
    told = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert done.returncode == 0, done.stderr
    assert told[:3] == ["answer", "──────", "    42"]
    assert told[3].startswith("(1 row, ")


def test_a_statement_that_writes_says_how_many_rows(grid: LiveGrid) -> None:
    assert sql(grid, "UPDATE many SET m = 0 WHERE n < 2", "--format", "table").stdout == b"2 rows changed\n"
    assert sql(grid, "UPDATE many SET m = 0 WHERE n = 1").stdout == b"rows_changed\n1\n"
    assert json.loads(sql(grid, "UPDATE many SET m = 0 WHERE n = -1", "--json").stdout) == [{"rows_changed": 0}]
    assert sql(grid, "CREATE TABLE made (id INTEGER PRIMARY KEY)", "--format", "table").stdout == b"done\n"
    assert json.loads(sql(grid, "DROP TABLE made", "--json").stdout) == [{"rows_changed": None}]


# -- where a statement comes from and an answer goes ---------------------------------------------------------------------


def test_a_statement_is_read_from_standard_input_or_a_file(grid: LiveGrid, tmp_path: Path) -> None:
    assert sql(grid, "-", stdin=b"SELECT 'h\xc3\xa9' AS a").stdout.decode() == "a\nhé\n"
    file = tmp_path / "question.sql"
    file.write_text("-- a comment\nSELECT 7 AS a;\n")
    assert sql(grid, "--file", file).stdout == b"a\n7\n"
    assert "say the statement" in sql(grid, status=2).stderr.decode()
    assert "one of them" in sql(grid, "SELECT 1", "--file", file, status=2).stderr.decode()
    assert "cannot be read" in sql(grid, "--file", tmp_path / "none.sql", status=2).stderr.decode()
    assert "not UTF-8: byte 7" in sql(grid, "-", stdin=b"SELECT \xff", status=2).stderr.decode()


def test_a_file_is_written_whole_or_not_at_all(grid: LiveGrid, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    told = sql(grid, "SELECT 1 AS a", "--output", file)
    assert (told.stdout, told.stderr.decode()) == (b"", f"1 row in {file}\n")
    assert json.loads(file.read_text()) == [{"a": 1}]
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~_umask()
    sql(grid, "SELECT error('no') FROM many", "--output", file, status=1)
    sql(grid, "SELECT nothing", "--output", file, status=1)
    assert json.loads(file.read_text()) == [{"a": 1}]
    assert [path.name for path in tmp_path.iterdir()] == ["answer.json"]
    plain = tmp_path / "answer"
    sql(grid, "SELECT 1 AS a", "--output", plain)
    assert plain.read_text() == "a\n1\n"
    sql(grid, "SELECT 1 AS a", "--output", "/dev/null")
    assert Path("/dev/null").is_char_device()
    assert "cannot be written" in sql(grid, "SELECT 1", "--output", tmp_path / "no" / "x.csv", status=2).stderr.decode()
    other = tmp_path / "answer.parquet"
    assert "there is no format 'parquet'" in sql(grid, "SELECT 1", "--output", other, status=2).stderr.decode()
    assert not other.exists()
    sql(grid, "SELECT 1 AS a", "--output", other, "--format", "csv")
    assert other.read_text() == "a\n1\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_who_stops_reading_ends_it_quietly(grid: LiveGrid) -> None:
    command = [sys.executable, "-m", "kubegrid.cli", "sql", "SELECT * FROM many", "--dir", str(grid.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(COMMAND_S) in (0, 1)


@pytest.mark.parametrize("output_format", ["csv", "json", "table", "arrow"])
def test_a_full_disk_is_told_in_a_line(grid: LiveGrid, output_format: str) -> None:
    command = [sys.executable, "-m", "kubegrid.cli", "sql", "SELECT 1", "--format", output_format]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*command, "--dir", str(grid.directory)],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=COMMAND_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"kubegrid: cannot write any further: No space left on device\n")


# -- what is wrong -------------------------------------------------------------------------------------------------------


def test_errors_show_the_place_with_a_caret(grid: LiveGrid) -> None:
    told = sql(grid, "SELECT txt FROM kinds", status=1).stderr.decode().splitlines()
    assert told[1:3] == ["    SELECT txt FROM kinds", "           ^"]
    assert "kinds" in sql(grid, "SELECT 1 FROM knds", status=1).stderr.decode()
    told = sql(grid, "SELEC 1", status=1).stderr.decode().splitlines()
    assert told[1:3] == ["    SELEC 1", "    ^"]


def test_wrong_usage_and_no_grid_have_statuses_of_their_own(grid: LiveGrid, tmp_path: Path) -> None:
    assert "did you mean 'csv'" in sql(grid, "SELECT 1", "--format", "cvs", status=2).stderr.decode()
    assert "two formats" in sql(grid, "SELECT 1", "--format", "csv", "--json", status=2).stderr.decode()
    sql(grid, "SELECT 1", "--timeout", "-1", status=2)
    sql(grid, "SELECT 1", "--dir", tmp_path / "none", status=3)
    sql(grid, "SELECT 1", "--manager", "127.0.0.1:1", status=3)


def test_a_grid_is_found_by_its_manager(grid: LiveGrid) -> None:
    assert sql(grid, "SELECT 1 AS a", "--manager", f"127.0.0.1:{grid.port + 1000}").stdout == b"a\n1\n"


def test_ctrl_c_cancels_the_statement(grid: LiveGrid) -> None:
    """Ten billion pairs take longer than anybody waits."""
    question = "SELECT count(*) FROM range(100000) a, range(100000) b WHERE (a.range * b.range) % 7 = 3"
    command = [sys.executable, "-m", "kubegrid.cli", "sql", question, "--dir", str(grid.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait_until(lambda: statements_running(grid) == 1, what="the statement runs")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=COMMAND_S)
    assert (running.returncode, out, err.decode()) == (130, b"", "kubegrid sql: interrupted\n")
    wait_until(lambda: statements_running(grid) == 0, what="the statement is cancelled")


def statements_running(grid: LiveGrid) -> int:
    """On all members, by their metrics."""
    found = 0
    for name in grid.names():
        with urllib.request.urlopen(f"http://{grid.member(name)['http']}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found += sum(int(float(count)) for count in RUNNING.findall(text))
    return found
