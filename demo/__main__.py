"""`make demo`: a grid of 3 partitions, the flights of 2013, and a primary killed in the middle of the work.

    python -m demo [--rows N]

Exit status 0 only if everything that was acknowledged was still there at the end. The last line says how many
acknowledged writes were lost.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.local_grid import LocalGrid, running_grid
from pyarrow import compute
from rich.console import Console
from rich.table import Table

import kubegrid
from demo import flights as flights_source
from demo import joined
from demo.flights import INDEX, INDEXES, KEY, TABLE, Flight, Source
from demo.writers import Writer, connect, lost_writes, outage_ms
from kubegrid.base.record_keys import RecordKeys
from kubegrid.cli.load import run as run_load
from kubegrid.load import Request, prepare

WRITERS = 4
POINT_READS = 1000
DESTINATION = "ANC"
"""Anchorage: few flights, so that the index is worth something."""
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
    joined_ms: list[float] = field(default_factory=list)
    """Of the join: the first time, while the writers write, and after the failover."""
    lost: list[str] = field(default_factory=list)
    killed: str = ""
    new_primary: str = ""


class Demo:
    """The steps, one method each, so that a test can step in between them."""

    def __init__(self, grid: LocalGrid, source: Source, folder: Path, console: Console) -> None:
        self.grid = grid
        self.source = source
        self.file = folder / "flights.parquet"
        self.console = console
        self.result = Result()
        self.client = connect(grid.port)
        self.kubegrid = kubegrid.connect(f"127.0.0.1:{grid.port}")
        self.flights: kubegrid.Table[Flight]
        self.writers: list[Writer] = []
        self.changed: dict[Any, Flight] = {}
        self.others = joined.others()
        self.answer: list[tuple[Any, ...]] = []

    def say(self, text: str) -> None:
        self.console.print(f"[bold]>[/bold] {text}", highlight=False)

    def load(self) -> None:
        """Declare the table by its class, and load the file into it as `kubegrid load` does."""
        self.flights = self.kubegrid.table(Flight, name=TABLE, key=KEY, index=INDEXES)
        self.say(f"kubegrid load {TABLE} {self.file.name} --key {','.join(KEY)}")
        prepared = prepare(self.kubegrid.caller, self.grid.status()["id"], Request(TABLE, self.file, KEY))
        outcome = run_load(prepared, self.console)
        if outcome.failure is not None:
            raise DemoFailure(f"the flights could not be loaded: {outcome.failure}") from outcome.failure
        self.result.loaded = outcome.counts.written
        self.result.load_rate = outcome.rate
        self.say(f"{outcome.counts.written:,} flights loaded, {outcome.rate:,.0f} a second")

    def load_others(self) -> None:
        """Airlines and planes are declared in SQL, as broadcast tables; the table of the weather is made from its file."""
        for declaration in joined.DECLARED:
            self.kubegrid.sql(declaration)
        for other in self.others:
            path = other.write_parquet(self.file.parent)
            key = list(other.key)
            outcome = prepare(self.kubegrid.caller, self.grid.status()["id"], Request(other.name, path, key)).load.run()
            if outcome.failure is not None:
                raise DemoFailure(f"{other.name} could not be loaded: {outcome.failure}") from outcome.failure
        counts = ", ".join(f"{len(other.rows):,} of {other.name}" for other in self.others)
        self.say(f"loaded beside the flights: {counts}; airlines and planes have a copy in every partition")

    def join(self, when: str) -> None:
        """One question over all four tables; DuckDB on the same files says what is right."""
        if not self.answer:
            self.answer = joined.expected(self._flights_now(), self.others)
            if not self.answer:
                raise DemoFailure("the join has no answer on these flights: load more of them")
        started = time.monotonic()
        found = self.kubegrid.sql(joined.QUESTION).rows()
        self.result.joined_ms.append((time.monotonic() - started) * 1000)
        if not joined.equal(found, self.answer):
            raise DemoFailure(f"the join gives {found} in the grid and {self.answer} on the source")
        airline, maker, flights, delay, _ = found[0]
        self.say(
            f"SQL join of flights, airlines, planes and weather {when}: {self.result.joined_ms[-1]:.0f} ms, "
            f"{len(found)} rows as in the source; first {airline} with {maker}: {flights:,} late flights, {delay:.0f} min"
        )

    def _flights_now(self) -> Any:
        """The source, with what the demo has changed."""
        rows = self.source.rows
        numbers = {key: number for number, key in enumerate(self.source.keys()) if key in self.changed}
        delays = rows["arr_delay"].to_pylist()
        for key, flight in self.changed.items():
            delays[numbers[key]] = flight.arr_delay
        column = rows.schema.get_field_index("arr_delay")
        return rows.set_column(column, "arr_delay", [delays])

    def read_points(self) -> None:
        count = len(self.source)
        chosen = self.source.flights(random.Random(2013).sample(range(count), min(POINT_READS, count)))
        started = time.monotonic()
        for flight in chosen:
            self._expect(flight)
        took = time.monotonic() - started
        self.say(
            f"{len(chosen)} flights read back one by one, all columns as in the source "
            f"({took / len(chosen) * 1e6:.0f} µs each)"
        )

    def _expect(self, flight: Flight) -> None:
        found = self.flights.read(flight.key)
        wanted = self.changed.get(flight.key, flight)
        if found != wanted:
            raise DemoFailure(f"{flight.key} is {found!r} in the grid and {wanted!r} in the source")

    def change_conditionally(self) -> None:
        """A later arrival is written only if nobody changed the flight since it was read; a conflicting change wins."""
        (flight,) = self.source.flights([0])
        if flight.arr_delay is None:
            raise DemoFailure("the first flight of the source never arrived")
        seen = self.flights.read(flight.key, with_version=True)
        if seen is None or seen.record != flight:
            raise DemoFailure(f"{flight.key} is {seen!r} in the grid and {flight!r} in the source")
        self.flights.change(flight.key, increment={"arr_delay": 5}, if_version=seen.version)
        self.flights.change(flight.key, increment={"arr_delay": 1})
        try:
            self.flights.change(flight.key, set={"arr_delay": 0}, if_version=seen.version)
        except kubegrid.ConflictError:
            pass
        else:
            raise DemoFailure("a conditional update went through although the flight had changed")
        self.changed[flight.key] = replace(flight, arr_delay=flight.arr_delay + 6)
        self._expect(flight)
        self.say(
            f"{flight.carrier} {flight.flight}: delay {flight.arr_delay} → {flight.arr_delay + 5} as nobody had changed it; "
            "a second change, with somebody in between, was refused"
        )

    def find(self) -> None:
        """By the index on the destination, and with a condition on top; the source says what is right."""
        rows = self.source.rows
        late = compute.and_(compute.equal(rows[INDEX], DESTINATION), compute.greater(rows["arr_delay"], 0))
        wanted = set(Source(rows.filter(late)).keys())
        started = time.monotonic()
        found = self.flights.find(f"{INDEX} = '{DESTINATION}' AND arr_delay > 0")
        took_ms = (time.monotonic() - started) * 1000
        if {flight.key for flight in found} != wanted:
            raise DemoFailure(
                f"the grid finds {len(found)} late flights to {DESTINATION}, the source has {len(wanted)}"
            )
        self.say(f"{len(found)} late flights to {DESTINATION} found by the index on {INDEX} in {took_ms:.0f} ms")

    def count(self) -> None:
        total = self.flights.count()
        if total != len(self.source):
            raise DemoFailure(f"the grid counts {total:,} flights, the source has {len(self.source):,}")
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
        """Read every acknowledged write and every flight again."""
        self.result.lost = lost_writes(self.client, self.writers)
        key_of = RecordKeys(self.flights.definition).from_python
        changed = {key_of(key) for key in self.changed}
        self.result.lost += flights_source.altered(self.kubegrid, self.flights.definition, self.source, changed)
        self.say(f"every acknowledged write and all {len(self.source):,} flights looked up again, column by column")

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
            ("SQL join of 4 tables", self._joined()),
            ("acknowledged writes lost", f"{len(result.lost):,}"),
        ]
        for row in rows:
            table.add_row(*row)
        return table

    def _joined(self) -> str:
        first, *later = self.result.joined_ms or [0.0]
        times = ", ".join(f"{one:.0f} ms" for one in later)
        return f"{first:.0f} ms the first time, {times} while the writers wrote; each as DuckDB on the source"


def run(demo: Demo, before_check: Callable[[Demo], None] = lambda demo: None) -> int:
    """All steps in order; 0 when nothing was lost, else 1. `before_check` is called when the writers have stopped."""
    try:
        demo.load()
        demo.read_points()
        demo.change_conditionally()
        demo.find()
        demo.count()
        demo.load_others()
        demo.start_writers()
        demo.join("while the writers write")
        demo.join("again")
        demo.kill_a_primary()
        demo.join("after the failover")
        demo.stop_writers()
        before_check(demo)
        demo.check()
    except (DemoFailure, kubegrid.ClientError) as failure:
        demo.console.print(f"[red]the demo failed:[/red] {failure}")
        demo.console.print("acknowledged writes lost: unknown", highlight=False)
        return 1
    finally:
        for writer in demo.writers:
            writer.stopping.set()
        demo.kubegrid.close()
    demo.console.print(demo.table())
    for key in demo.result.lost[:10]:
        demo.console.print(f"[red]lost:[/red] {key}", highlight=False)
    demo.console.print(f"acknowledged writes lost: {len(demo.result.lost)}", highlight=False)
    return 1 if demo.result.lost else 0


def read_source(count: int, folder: Path) -> Source:
    """The flights, and their file in `folder`."""
    source = flights_source.source(count)
    source.write_parquet(folder / "flights.parquet")
    return source


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="Load, read, change, count, join, kill, lose nothing."
    )
    parser.add_argument("--rows", type=int, default=flights_source.ROWS, help="load only the first N flights")
    args = parser.parse_args()
    console = Console()
    made: list[Source] = []
    try:
        with tempfile.TemporaryDirectory(prefix="kubegrid-demo-") as place:
            folder = Path(place)
            reader = threading.Thread(target=lambda: made.append(read_source(args.rows, folder)))
            reader.start()
            console.print(
                "[bold]>[/bold] starting a grid: 3 partitions, each a primary and a backup, and one manager",
                highlight=False,
            )
            with running_grid(partitions=3, backups=1, name="demo", memory="1Gi") as grid:
                reader.join()
                if not made or len(made[0]) != args.rows:
                    got = len(made[0]) if made else 0
                    console.print(f"[red]the source gave {got:,} flights, {args.rows:,} were expected[/red]")
                    return 1
                return run(Demo(grid, made[0], folder, console))
    except KeyboardInterrupt:
        console.print("interrupted; the grid is stopped")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
