"""`kubegrid load`: a file into a table, with a bar that shows how far it is and how long it will take."""

import shlex
import sys
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from kubegrid.base.errors import KubegridError
from kubegrid.cli import INTERRUPTED
from kubegrid.cli.show import print_json
from kubegrid.cli.target import Grid, places
from kubegrid.client.caller import Caller
from kubegrid.client.options import ClientOptions
from kubegrid.load import SKIP, BadRowError, DuplicateError, Outcome, Prepared, Request, prepare

SILENCE_S = 10.0
"""A member that writes a batch beside other work may be silent for longer than a single operation takes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line said, beyond the request itself."""

    request: Request
    command: list[str]
    """The words after `kubegrid`, to say them again with --resume."""
    as_json: bool


def load(grid: Grid, asked: Asked) -> int:
    """Exit status. Raises KubegridError for everything that stops it before it begins."""
    hear_every_interrupt()
    told = grid.read_status()
    caller = Caller(places(grid, told), ClientOptions(password=grid.secret, silence=SILENCE_S))
    try:
        prepared = prepare(caller, str(told["id"]), asked.request)
        for note in prepared.notes:
            print(f"kubegrid load: {note}", file=sys.stderr)
        outcome = run(prepared, Console(stderr=True))
    finally:
        caller.close()
    if asked.as_json:
        print_json(as_json(prepared, outcome))
    return _end(prepared, outcome, asked)


def hear_every_interrupt() -> None:
    """While Arrow reads CSV it answers SIGINT itself, and forgets one that comes when it has nothing left to stop."""
    pa.enable_signal_handlers(False)


def run(prepared: Prepared, console: Console) -> Outcome:
    """Run a load under a progress bar; on what is no terminal the bar is left out."""
    source = prepared.load.plan.source
    columns = (
        TextColumn("  loading {task.fields[what]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        total = max(1, source.total)
        before = prepared.load.read_before
        done = 0.0
        if prepared.load.resumed_at is not None:
            position = prepared.load.state.position.offset
            done = float(position) if not source.path.name.endswith(".gz") else 0.0
        task = bar.add_task("", total=total, completed=int(done), what=prepared.table.name, rows=before, rate=0.0)
        rows = 0

        def advance(more: int, share: float) -> None:
            nonlocal rows, done
            rows += more
            done += share
            elapsed = bar.tasks[0].elapsed or 0.001
            bar.update(task, completed=min(done, total), rows=before + rows, rate=rows / elapsed)

        return prepared.load.run(advance)


def as_json(prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    counts = outcome.counts
    return {
        "table": prepared.table.name,
        "file": str(prepared.load.plan.source.path),
        "made": prepared.made,
        "complete": outcome.failure is None,
        "rows": counts.read,
        "written": counts.written,
        "kept": counts.kept,
        "bad": counts.bad,
        "bad_rows_file": outcome.bad_rows_file,
        "resumed_at": outcome.resumed_at,
        "seconds": round(outcome.seconds, 3),
        "rows_per_second": round(outcome.rate),
    }


def _end(prepared: Prepared, outcome: Outcome, asked: Asked) -> int:
    """Say how it ended; the exit status."""
    counts = outcome.counts
    failure = outcome.failure
    if failure is None:
        if not asked.as_json:
            good = counts.read - counts.bad
            print(
                f"{_rows(good)} of {asked.request.path.name} {'is' if good == 1 else 'are'} in table {prepared.table.name}"
                f"{_kept(counts.kept)} ({outcome.seconds:.1f} s, {outcome.rate:,.0f} rows/s)"
            )
        if counts.bad:
            left_out = (
                "1 bad row was left out; it is"
                if counts.bad == 1
                else f"{counts.bad:,} bad rows were left out; they are"
            )
            print(f"kubegrid load: {left_out} in {outcome.bad_rows_file}", file=sys.stderr)
        return 0
    source = prepared.load.plan.source
    so_far = "No row of the file is known to be written."
    if counts.read:
        so_far = f"What came before stays: {_rows(counts.read)} of the file ({source.where}s before {outcome.line:,})."
    if not isinstance(failure, DuplicateError):  # the same record would stop it again
        so_far += f"\nGo on from there with: {_again(asked, skip=isinstance(failure, BadRowError))}"
    if isinstance(failure, KeyboardInterrupt):
        print(f"kubegrid load: interrupted. {so_far}", file=sys.stderr)
        return INTERRUPTED
    if isinstance(failure, KubegridError):
        print(f"kubegrid: {failure}\n{so_far}", file=sys.stderr)
        return failure.exit_status
    if isinstance(failure, OSError):  # the checkpoint or the file of bad rows could not be written
        print(f"kubegrid: {failure}\n{so_far}", file=sys.stderr)
        return 1
    print(f"kubegrid load: a mistake in the program stopped it. {so_far}", file=sys.stderr)
    raise failure


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _kept(count: int) -> str:
    return f" ({count:,} were there already and kept as they were)" if count else ""


def _again(asked: Asked, *, skip: bool) -> str:
    words = [word for word in asked.command if word != "--replace-table"]
    if skip and asked.request.on_error != SKIP:
        words += ["--on-error", SKIP]
    if "--resume" not in words:
        words.append("--resume")
    return shlex.join(["kubegrid", *words])


def columns_of(text: str | None) -> list[str]:
    """`a,b` as a list."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]
