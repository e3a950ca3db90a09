"""The command line as a program: exit statuses, help, and the small Redis prompt."""

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import hiredis
import pytest
from rich.console import Console

import kubegrid
from kubegrid import cli
from kubegrid.base.errors import UsageError
from kubegrid.cli import line_client, program, show, sql, target, up
from kubegrid.cli.line_client import LineClient, shown


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "kubegrid.cli", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_version() -> None:
    assert run("version").stdout == run("--version").stdout == f"{kubegrid.__version__}\n"
    assert json.loads(run("version", "--json").stdout) == {"version": kubegrid.__version__}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["statsu"], 2),
        (["up", "--no-such-option"], 2),
        (["partition", "accept-loss"], 2),
        (["partition", "hand-over", "-1"], 2),
        (["manager"], 2),
        (["status", "--name", "no-such-grid"], 3),
        (["status", "--manager", "http://127.0.0.1:1"], 3),
        (["status", "--manager", "http://127.0.0.1:1", "--name", "x"], 2),
        (["status", "--manager", "127.0.0.1:port"], 2),
        (["status", "--manager", ""], 2),
        (["status", "--manager", "ftp://127.0.0.1:8000"], 2),
        (["node", "--config", "/no/such/file"], 2),
        (["down", "--name", ""], 2),
        (["up", "/no/such/file"], 2),
        (["up", "--dir", __file__], 2),
        (["sql", "SELECT", "1"], 2),
        (["--help"], 0),
    ],
)
def test_exit_statuses(words: list[str], status: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(words) == status
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("words", [["version"], ["--help"]])
def test_output_that_nobody_takes_is_no_traceback(words: list[str]) -> None:
    command = [sys.executable, "-m", "kubegrid.cli", *words]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"kubegrid: cannot write any further: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_ctrl_c_while_it_starts_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "kubegrid.cli.program":
                raise KeyboardInterrupt

    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["kubegrid", "version"])
    monkeypatch.delitem(sys.modules, "kubegrid.cli.program")
    monkeypatch.delattr(cli, "program")
    assert cli.main() == 130


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from kubegrid.cli import program; program.run(['--help']);"
        "print([m for m in ('rich', 'asyncio', 'psutil', 'yaml', 'msgspec', 'httpx', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_process_of_the_grid_starts_without_the_command_line_library() -> None:
    code = (
        "import sys; sys.argv = ['kubegrid', 'node', '--config', '/no/such/file']; from kubegrid.cli import main;"
        "print(main(), [m for m in ('typer', 'rich', 'httpx', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "2 []"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (None, "(nil)"),
        ("OK", "OK"),
        ("value", '"value"'),
        (3, "(integer) 3"),
        ([], "(empty array)"),
        (["a", [1, None]], '1) "a"\n2) 1) (integer) 1\n   2) (nil)'),
        (hiredis.ReplyError("ERR no"), "(error) ERR no"),
    ],
)
def test_replies_are_printed_as_redis_cli_does(reply: object, text: str) -> None:
    assert shown(reply) == text


def test_the_prompt_follows_a_redirection(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner, socket.create_server(("127.0.0.1", 0)) as other:
        moved = f"-MOVED 12182 127.0.0.1:{owner.getsockname()[1]}\r\n".encode()
        threads = [
            threading.Thread(target=_answer_once, args=(other, moved), daemon=True),
            threading.Thread(target=_answer_once, args=(owner, b"$3\r\nbar\r\n"), daemon=True),
        ]
        for thread in threads:
            thread.start()
        client = LineClient(("127.0.0.1", other.getsockname()[1]), None)
        assert line_client.run_once(client, ["GET", "foo"]) == 0
        assert capsys.readouterr().out == '"bar"\n'
        assert client.address[1] == owner.getsockname()[1]


def _answer_once(server: socket.socket, reply: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(reply)
        time.sleep(0.1)


def test_a_closed_output_is_no_traceback() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m kubegrid.cli status --manager 127.0.0.1:1 >&-"],
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (3, False)


def test_a_statement_without_quotes_is_told_that_it_wants_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(["sql", "SELECT", "1", "--json"]) == 2
    assert "put it in quotes" in capfd.readouterr().err


@pytest.mark.parametrize("statement", ["-- what is it?\nSELECT 1", "--a = b\nSELECT 1", "-- only a comment"])
@pytest.mark.parametrize("after", [["--format", "csv"], ["--timeout=5", "--format", "csv"]])
def test_a_statement_may_begin_with_a_comment(
    statement: str, after: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[sql.Asked] = []
    monkeypatch.setattr(target, "find", lambda *_: None)
    monkeypatch.setattr(sql, "sql", lambda _grid, given: asked.append(given) or 0)
    assert program.run(["sql", statement, *after]) == program.run(["sql", *after, statement]) == 0
    assert [(one.statement, one.format) for one in asked] == [(statement, "csv")] * 2


def test_an_option_of_sql_that_there_is_not_is_still_refused(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--frmat", "csv", "SELECT 1"], ["--output-file=my file", "SELECT 1"]):
        assert program.run(["sql", *words]) == 2
        assert "No such option" in capfd.readouterr().err


def test_formats_that_there_are_are_listed_once() -> None:
    asked = sql.Asked("SELECT 1", None, "xml", None, None, None)
    with pytest.raises(UsageError) as raised:
        sql.format_of(asked)
    assert str(raised.value).count("ndjson") == 1


def test_a_manifest_without_anything_in_it_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grid.yaml").write_text("# later\n")
    assert program.run(["up", str(tmp_path / "grid.yaml"), "--dir", str(tmp_path / "grid")]) == 2
    assert "grid.yaml is empty" in capfd.readouterr().err
    assert not (tmp_path / "grid").exists()


@pytest.mark.parametrize("words", [["--help"], ["partition", "--help"], ["tables", "--help"], ["manager", "--help"]])
def test_no_line_of_the_help_is_cut_off(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(words) == 0
    assert "..." not in capfd.readouterr().out.partition("Commands:")[2]


@pytest.mark.parametrize(("width", "tables", "https"), [(160, 1, 2), (80, 2, 2), (60, 2, 0)])
def test_nothing_of_the_status_is_cut_off(width: int, tables: int, https: int) -> None:
    ports = {"resp": "127.0.0.1:17000", "http": "127.0.0.1:28080"}
    members = [
        {"name": f"p0-{n}", "role": "backup", "pid": 4_000_000, "commit": 7, "memory": 0, **ports} for n in (0, 1)
    ]
    partition = {"id": 0, "epoch": 3, "slots": [[0, 16383]], "state": "serving", "primary": None, "in_sync": ["p0-0"]}
    output = io.StringIO()
    console = Console(width=width, file=output)
    shown_tables = show._members_tables({"partitions": [{**partition, "members": members}]}, console)
    for table in shown_tables:
        console.print(table)
    text = output.getvalue()
    assert (len(shown_tables), text.count("0-16383"), text.count("p0-"), "…" in text) == (tables, 1, 2, False)
    assert (text.count("127.0.0.1:17000"), text.count("127.0.0.1:28080")) == (2, https)


def test_a_start_shows_the_grid_as_it_is_once_a_copy_lost_meanwhile_is_back() -> None:
    seen = iter([{"state": "degraded"}, {"state": "degraded"}, {"state": "serving"}, {"state": "down"}])
    pauses: list[float] = []
    assert up.settled(lambda: next(seen), pauses.append) == {"state": "serving"}
    assert pauses == [up.SETTLE_PAUSE_S] * 2


def test_a_start_shows_what_lacks_when_it_does_not_come_back() -> None:
    pauses: list[float] = []
    assert up.settled(lambda: {"state": "degraded"}, pauses.append) == {"state": "degraded"}
    assert len(pauses) == up.SETTLE_LOOKS_MAX
