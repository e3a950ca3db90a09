"""DuckDB, ClickHouse and PostgreSQL for `bench.sql`: fetched, started, asked, stopped. Each runs in a process of its own.

DuckDB is a dependency of ours; ClickHouse is `chdb` of the package index, which with PostgreSQL's driver goes into a cache
folder. PostgreSQL's server is Debian's. None of them writes to disk on commit: the comparison is one of memories.
"""

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.java_peers import PeerMissing, cache
from bench.local_grid import free_port_base
from bench.sql_statements import CLICKHOUSE_TYPES, COLUMNS

HERE = Path(__file__).parent / "peers"
START_S = 60
POSTGRES_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "shared_buffers": "2GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "512MB",
    "max_parallel_workers_per_gather": "2",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
}
"""Its data fit into its memory, nothing waits for a disk, and both cores may work on one statement."""


class Peer:
    """One of them, running. `error` in an answer is raised as RuntimeError."""

    def __init__(self, name: str, *arguments: str, folder: Path | None = None) -> None:
        self.name = name
        environment = dict(os.environ)
        if folder is not None:
            environment["PYTHONPATH"] = str(folder)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "sql_peer.py"), name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def load(self, table: str, file: Path) -> float:
        """Seconds for all rows of a Parquet file into a new table with its primary key."""
        if self.name == "postgres":
            file = file.with_suffix(".csv")
        return float(self.ask(do="load", table=table, create=self._create(table), file=str(file))["seconds"])

    def _create(self, table: str) -> str:
        columns = COLUMNS[table]
        key = columns[0][0]
        if self.name == "clickhouse":
            spelt = ", ".join(f"{name} {CLICKHOUSE_TYPES[kind]}" for name, kind in columns)
            return f"CREATE TABLE {table} ({spelt}) ENGINE = MergeTree ORDER BY {key}"
        double = "DOUBLE PRECISION" if self.name == "postgres" else "DOUBLE"
        spelt = ", ".join(f"{name} {double if kind == 'DOUBLE' else kind}" for name, kind in columns)
        return f"CREATE TABLE {table} ({spelt}, PRIMARY KEY ({key}))"

    def query(self, sql: str) -> tuple[float, list[tuple[Any, ...]]]:
        answer = self.ask(do="query", sql=sql)
        return float(answer["seconds"]), [tuple(row) for row in answer["rows"]]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def running_peers(names: list[str]) -> Iterator[list[Peer]]:
    """Raises PeerMissing with what this machine lacks."""
    folder = _clients() if {"clickhouse", "postgres"} & set(names) else None
    with contextlib.ExitStack() as stack:
        peers = []
        for name in names:
            arguments = list(stack.enter_context(_postgres())) if name == "postgres" else []
            peers.append(Peer(name, *arguments, folder=None if name == "duckdb" else folder))
            stack.callback(peers[-1].stop)
        yield peers


def _clients() -> Path:
    wanted = HERE / "requirements-sql.txt"
    folder = cache() / f"sql-{sys.version_info.major}.{sys.version_info.minor}"
    done = folder / "complete"
    if not done.exists() or done.read_text() != wanted.read_text():
        print(f"installing chdb and PostgreSQL's driver into {folder} ...", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        _run([*pip, "--upgrade", "--no-deps", "--target", str(folder), "-r", str(wanted)])
        done.write_text(wanted.read_text())
    return folder


def _run(command: list[str], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **options)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        raise PeerMissing(f"{' '.join(command[:3])} failed: {last[0]}")


@contextlib.contextmanager
def _postgres() -> Iterator[tuple[str, str]]:
    """A server of its own in a temporary folder; its host and port."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    programs = found[-1].parent if found else Path(shutil.which("initdb") or "").parent
    if not (programs / "initdb").exists():
        raise PeerMissing("PostgreSQL is missing: install Debian's postgresql")
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    options: dict[str, Any] = {"cwd": folder}
    if os.getuid() == 0:  # it refuses to run as root
        account = pwd.getpwnam("nobody")
        os.chown(folder, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid}
    port = str(free_port_base(1))
    data = str(folder / "data")
    settings = [word for name, value in POSTGRES_SETTINGS.items() for word in ("-c", f"{name}={value}")]
    try:
        _run(
            [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            **options,
        )
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", data, "-p", port, "-k", str(folder), *settings],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
            **options,
        )
        _await(programs, port)
        try:
            yield "127.0.0.1", port
        finally:
            server.terminate()
            server.wait(START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(programs: Path, port: str) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            return _run([str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", port])
        except PeerMissing:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
