"""`kubegrid sql`: one statement, its answer in the format that was asked for.

An answer that goes to a file is there whole or not at all. One that goes to a pipe is written as it comes: when the pod that
answers is lost in the middle, the exit status and a line on stderr say that it is not whole. Next: `sql_output`.
"""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import kubegrid
from kubegrid.base.errors import KubegridError, UsageError
from kubegrid.base.nearest import hint
from kubegrid.cli import INTERRUPTED
from kubegrid.cli.sql_output import FORMATS, counted_rows, write
from kubegrid.cli.target import Grid, places
from kubegrid.client import ClientOptions
from kubegrid.client.sql import SqlStream

NOT_REACHABLE = 3
STATEMENT_BYTES_MAX = 16 * 1024 * 1024
"""Of a file or of standard input; the grid's own limit is lower."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line said."""

    statement: str | None
    file: Path | None
    format: str | None
    output: Path | None
    timeout_s: float | None
    statement_id: str | None


def sql(grid: Grid, asked: Asked) -> int:
    """Exit status. Raises KubegridError."""
    chosen = format_of(asked)
    statement = statement_of(asked)
    try:
        client = connect(grid)
        with client:
            started = time.monotonic()
            timeout = asked.timeout_s if asked.timeout_s is not None else client.caller.options.statement_timeout
            with client.sql_stream(statement, timeout=timeout, statement_id=asked.statement_id) as stream:
                _put(stream, chosen, asked.output, started)
    except KeyboardInterrupt:
        print("kubegrid sql: interrupted", file=sys.stderr)
        return INTERRUPTED
    except kubegrid.UnavailableError as error:
        print(f"kubegrid: {error}", file=sys.stderr)
        return NOT_REACHABLE
    return 0


def connect(grid: Grid) -> "kubegrid.Grid":
    """A client of the grid. Raises NoGridError, GridNotReachableError."""
    return kubegrid.Grid(",".join(places(grid, grid.read_status())), ClientOptions(password=grid.secret))


def format_of(asked: Asked) -> str:
    """The format: the one that was said, else by the file's name, else a table on a terminal and CSV elsewhere."""
    if asked.format is not None:
        if asked.format not in FORMATS:
            raise UsageError(f"there is no format {asked.format!r}{hint(asked.format, FORMATS)}")
        chosen = asked.format
    elif asked.output is not None:
        chosen = asked.output.suffix.removeprefix(".").lower() or "csv"
        if chosen not in FORMATS:
            raise UsageError(
                f"there is no format {chosen!r}, by which the name of {asked.output} ends",
                f"Say --format, or name it by one of {', '.join(FORMATS)}.",
            )
    else:
        chosen = "table" if sys.stdout.isatty() else "csv"
    if chosen == "arrow" and asked.output is None and sys.stdout.isatty():
        raise UsageError("Arrow's format is not for a terminal", "Say --output FILE, or pipe it into a program.")
    return chosen


def statement_of(asked: Asked) -> str:
    """The text of the statement: the argument, a file, or standard input."""
    if (asked.statement is None) == (asked.file is None):
        raise UsageError("say the statement, `-` to read it from standard input, or --file FILE; one of them")
    if asked.statement == "-":
        data = sys.stdin.buffer.read(STATEMENT_BYTES_MAX + 1)
        where = "standard input"
    elif asked.file is not None:
        where = str(asked.file)
        try:
            with asked.file.open("rb") as opened:
                data = opened.read(STATEMENT_BYTES_MAX + 1)
        except OSError as error:
            raise UsageError(f"{asked.file} cannot be read: {error.strerror or error}") from error
    else:
        assert asked.statement is not None
        return asked.statement
    if len(data) > STATEMENT_BYTES_MAX:
        raise UsageError(f"{where} has more than {STATEMENT_BYTES_MAX // 1024 // 1024} MiB: that is no statement")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8: byte {error.start} is {data[error.start]:#04x}") from error


def _put(stream: SqlStream, chosen: str, output: Path | None, started: float) -> None:
    if output is None:
        out = sys.stdout.buffer
        written = write(stream, chosen, out)
        if chosen == "table" and stream.note is None:
            took = f", {_milliseconds(started)}" if sys.stdout.isatty() else ""
            out.write(f"({counted_rows(chosen, written)}{took})\n".encode())
        out.flush()
        return
    with _whole(output) as opened:
        written = write(stream, chosen, opened)
    print(f"{counted_rows(chosen, written)} in {output}", file=sys.stderr)


def _milliseconds(started: float) -> str:
    seconds = time.monotonic() - started
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that comes into being, or is replaced, when all of it is written; a device or pipe is written to."""
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as opened:
                yield opened
            return
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with open(made, "wb") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        kind = KubegridError if error.errno == errno.ENOSPC else UsageError
        raise kind(f"{path} cannot be written: {error.strerror or error}") from error
