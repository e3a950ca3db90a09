"""`make demo`: a grid of 3 partitions, the flights of 2013, and a primary killed in the middle of the work.

    python -m demo [--rows N] [--keep]

Exit status 0 only if everything that was acknowledged was still there at the end. The last line says how many
acknowledged writes were lost.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.local_grid import LocalGrid, running_grid
from redis.exceptions import WatchError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from demo import flights as flights_source
from demo.flights import Flight
from demo.writers import Writer, connect, lost_writes, outage_ms

WRITERS = 4
POINT_READS = 1000
WARM_UP_S = 2.0
AFTERWARDS_S = 2.0
TAKEOVER_LIMIT_S = 30.0
RETURN_LIMIT_S = 60.0
INTERRUPTED = 130


class DemoFailure(Exception):
    """Something that the demo promises is not so."""


@dataclass
class Result:
    """What the closing table shows."""

    loaded: int = 0
    load_rate: float = 0.0
    acknowledged: int = 0
    unknown: int = 0
    outage_ms: float | None = None
    lost: list[str] = field(default_factory=list)
    killed: str = ""
    new_primary: str = ""


class Demo:
    """The steps, one method each, so that a test can step in between them."""

    def __init__(self, grid: LocalGrid, rows: list[Flight], console: Console) -> None:
        self.grid = grid
        self.rows = rows
        self.console = console
        self.result = Result()
        self.client = connect(grid.port)
        self.writers: list[Writer] = []
        self.changed: dict[bytes, dict[bytes, bytes]] = {}

    def say(self, text: str) -> None:
        self.console.print(f"[bold]>[/bold] {text}", highlight=False)

    def load(self) -> None:
        columns = (
            TextColumn("  loading flights"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        started = time.monotonic()
        with Progress(*columns, TimeRemainingColumn(), console=self.console) as bar:
            task = bar.add_task("", total=len(self.rows), rate="")

            def loaded(count: int) -> None:
                self.result.loaded += count
                rate = self.result.loaded / (time.monotonic() - started)
                bar.update(task, advance=count, rate=f"{rate:,.0f}/s")

            flights_source.load(self.grid.status()["partitions"], self.rows, loaded)
        self.result.load_rate = self.result.loaded / (time.monotonic() - started)

    def read_points(self) -> None:
        chosen = random.Random(2013).sample(self.rows, min(POINT_READS, len(self.rows)))
        started = time.monotonic()
        for flight in chosen:
            self._expect(flight)
        took = time.monotonic() - started
        self.say(
            f"{len(chosen)} flights read back one by one, all columns as in the source "
            f"({took / len(chosen) * 1e6:.0f} µs each)"
        )

    def _expect(self, flight: Flight) -> None:
        found = self.client.hgetall(flight.key)
        wanted = self.changed.get(flight.key, flight.as_dict())
        if found != wanted:
            raise DemoFailure(f"{flight.key.decode()} is {found!r} in the grid and {wanted!r} in the source")

    def change_conditionally(self) -> None:
        """A later arrival is written only if nobody changed the flight since it was read; a conflicting change wins."""
        flight = next(f for f in self.rows if b"arr_delay" in f.fields)
        before = flight.as_dict()[b"arr_delay"]
        with self.client.pipeline(transaction=True) as pipe:
            pipe.watch(flight.key)
            seen = pipe.hget(flight.key, "arr_delay")
            pipe.multi()
            pipe.hset(flight.key, "arr_delay", int(before) + 5)
            pipe.execute()
        if seen != before:
            raise DemoFailure(f"{flight.key.decode()} had arr_delay {seen!r}, the source has {before!r}")
        with self.client.pipeline(transaction=True) as pipe:
            pipe.watch(flight.key)
            self.client.hincrby(flight.key, "arr_delay", 1)
            pipe.multi()
            pipe.hset(flight.key, "arr_delay", 0)
            try:
                pipe.execute()
            except WatchError:
                pass
            else:
                raise DemoFailure("a conditional update went through although the flight had changed")
        self.changed[flight.key] = {**flight.as_dict(), b"arr_delay": str(int(before) + 6).encode()}
        self._expect(flight)
        self.say(
            f"{flight.key.decode()}: delay {before.decode()} → {int(before) + 5} as nobody had changed it; "
            "a second change, with somebody in between, was refused"
        )

    def count(self) -> None:
        counts = self.client.dbsize(target_nodes=type(self.client).PRIMARIES)
        total = sum(counts.values()) if isinstance(counts, dict) else int(counts)
        distinct = len({flight.key for flight in self.rows})
        if total != distinct:
            raise DemoFailure(f"the grid counts {total:,} flights, the source has {distinct:,}")
        self.say(f"the grid counts {total:,} flights, as many as the source")

    def start_writers(self) -> None:
        owner = {
            slot: partition["id"]
            for partition in self.grid.status()["partitions"]
            for first, last in partition["slots"]
            for slot in range(first, last + 1)
        }
        self.writers = [Writer(number, self.grid.port, owner) for number in range(WRITERS)]
        for writer in self.writers:
            writer.start()
        time.sleep(WARM_UP_S)

    def kill_a_primary(self) -> None:
        partition = self.grid.status()["partitions"][1]
        victim = next(m for m in partition["members"] if m["name"] == partition["primary"])
        self.result.killed = victim["name"]
        self.say(f"kill -9 {victim['pid']}: {victim['name']}, primary of partition 1, while {WRITERS} writers write")
        killed_at = time.monotonic()
        self.grid.kill(victim["pid"])
        self._wait(lambda: outage_ms(self.writers, 1, killed_at) is not None, TAKEOVER_LIMIT_S, "no backup took over")
        self.result.outage_ms = outage_ms(self.writers, 1, killed_at)
        now = self.grid.status()["partitions"][1]
        self.result.new_primary = str(now["primary"])
        self.say(
            f"{now['primary']} took over in epoch {now['epoch']}: writes go on after {self.result.outage_ms:.0f} ms"
        )
        self._wait(self._whole, RETURN_LIMIT_S, f"{victim['name']} did not come back into the in-sync set")
        back = self.grid.status()["partitions"][1]
        self.say(
            f"{victim['name']} is back with empty memory, was filled up, and is in sync again: {', '.join(back['in_sync'])}"
        )
        time.sleep(AFTERWARDS_S)

    def _whole(self) -> bool:
        return len(self.grid.status()["partitions"][1]["in_sync"]) == 2

    def _wait(self, reached: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        end = time.monotonic() + limit_s
        while not reached():
            if time.monotonic() > end:
                raise DemoFailure(f"{otherwise} within {limit_s:.0f} s")
            time.sleep(0.1)

    def stop_writers(self) -> None:
        for writer in self.writers:
            writer.stopping.set()
        for writer in self.writers:
            writer.stop()
        self.result.acknowledged = sum(len(writer.acknowledged) for writer in self.writers)
        self.result.unknown = sum(writer.unknown for writer in self.writers)

    def check(self) -> None:
        """Read every acknowledged write and every flight's presence again."""
        self.result.lost = lost_writes(self.client, self.writers)
        present = 0
        for start in range(0, len(self.rows), 1000):
            pipe = self.client.pipeline(transaction=False)
            part = self.rows[start : start + 1000]
            for flight in part:
                pipe.exists(flight.key)
            answers = pipe.execute()
            present += sum(answers)
            self.result.lost += [f.key.decode() for f, there in zip(part, answers, strict=True) if not there]
        self.say(f"every acknowledged write and all {present:,} flights looked up again")

    def table(self) -> Table:
        result = self.result
        table = Table(title="what happened", show_header=False)
        rows: list[tuple[str, Any]] = [
            ("records loaded", f"{result.loaded:,}"),
            ("load rate", f"{result.load_rate:,.0f} records/s, each acknowledged by its backup"),
            ("operations acknowledged by the writers", f"{result.acknowledged:,}"),
            ("operations with unknown outcome", f"{result.unknown:,}"),
            ("killed", f"{result.killed}, replaced by {result.new_primary}"),
            ("outage", "none seen" if result.outage_ms is None else f"{result.outage_ms:.0f} ms"),
            ("acknowledged writes lost", f"{len(result.lost):,}"),
        ]
        for row in rows:
            table.add_row(*row)
        return table


def run(demo: Demo, before_check: Callable[[Demo], None] = lambda demo: None) -> int:
    """All steps in order; 0 when nothing was lost, else 1. `before_check` is called when the writers have stopped."""
    try:
        demo.load()
        demo.read_points()
        demo.change_conditionally()
        demo.count()
        demo.start_writers()
        demo.kill_a_primary()
        demo.stop_writers()
        before_check(demo)
        demo.check()
    except DemoFailure as failure:
        demo.console.print(f"[red]the demo failed:[/red] {failure}")
        demo.console.print("acknowledged writes lost: unknown", highlight=False)
        return 1
    finally:
        for writer in demo.writers:
            writer.stopping.set()
    demo.console.print(demo.table())
    for key in demo.result.lost[:10]:
        demo.console.print(f"[red]lost:[/red] {key}", highlight=False)
    demo.console.print(f"acknowledged writes lost: {len(demo.result.lost)}", highlight=False)
    return 1 if demo.result.lost else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="Load, read, change, count, kill, lose nothing."
    )
    parser.add_argument("--rows", type=int, default=flights_source.ROWS, help="load only the first N flights")
    args = parser.parse_args()
    console = Console()
    rows: list[Flight] = []
    reader = threading.Thread(
        target=lambda: rows.extend(f for _, f in zip(range(args.rows), flights_source.source(), strict=False))
    )
    reader.start()
    console.print(
        "[bold]>[/bold] starting a grid: 3 partitions, each a primary and a backup, and one manager", highlight=False
    )
    try:
        with running_grid(partitions=3, backups=1, name="demo", memory="1Gi") as grid:
            reader.join()
            if len(rows) != args.rows:
                console.print(f"[red]the source gave {len(rows):,} flights, {args.rows:,} were expected[/red]")
                return 1
            return run(Demo(grid, rows, console))
    except KeyboardInterrupt:
        console.print("interrupted; the grid is stopped")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
