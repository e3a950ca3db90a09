"""Loading the flights of 2013 as typed rows, against the same rows as hashes in Redis; memory of a record; what an index costs.

    python -m bench.load [--rounds 3] [--rows 100000] [--only load|arrow|memory|index]

For the figures of `README.md`: a machine with nothing else running, `python -m bench.load --rounds 5 --rows 336776`
(about 5 minutes).

* load: one partition without a backup against one Redis without persistence, in turn. Ours is everything that
  `kubegrid load` does with a Parquet file, from opening it to the last acknowledgement. Redis gets pipelined HSETs of 1,000
  rows by redis-py (with hiredis) from dictionaries that are ready before the clock starts.
* arrow: the same rows, as Arrow, by `Table.write_arrow`, against `Table.write_many` of dictionaries that are ready.
* memory: what the resident set of each process grows by, divided by the rows: as columns, which is how a load is kept, and as
  records, which they become when they are read. The hash has the same fields under the same
  names, and leaves out what is NULL.
* index: processor time of the member for the same rows, written as new records in batches, into a table with a hash index
  (on the destination) and into one without.
"""

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import redis
from demo import flights as flights_source
from demo.flights import INDEX, INDEXES, KEY, Flight, Source

import kubegrid
from bench.local_grid import LocalGrid, running_grid
from bench.measuring import processor_s
from bench.redis_ratio import running_redis
from kubegrid.client.batch import Request as Write
from kubegrid.client.batch import run_batch
from kubegrid.load import Request, describe, prepare
from kubegrid.wire.arrow_rows import ArrowRows

LOAD_AT_LEAST = 5.0
LOAD_AIM = 10.0
MEMORY_AT_MOST = 1.0
INDEX_AT_MOST = 1.25
PIPELINE = 1000
BATCH = 500
SETTLE_S = 1.0
THAW_S = 5.0
"""For housekeeping to free what is left of the columns of rows that became records."""
FEW_ROWS = 1000

Fields = dict[bytes | bytearray | memoryview | str | int | float, Any]
"""Of a hash, as redis-py takes them."""


def hashes(source: Source) -> list[tuple[str, Fields]]:
    """Key and fields of every flight, as an application would give them to redis-py."""
    made = []
    for batch in source.rows.to_batches(max_chunksize=20_000):
        for row in batch.to_pylist():
            fields: Fields = {name: value for name, value in row.items() if value is not None}
            fields["time_hour"] = row["time_hour"].strftime("%Y-%m-%dT%H:%M:%SZ")
            made.append((f"flights:{row['carrier']}:{row['flight']}:{fields['time_hour']}", fields))
    return made


def load_redis(client: redis.Redis, rows: list[tuple[str, Fields]]) -> float:
    """Rows a second."""
    started = time.perf_counter()
    for start in range(0, len(rows), PIPELINE):
        pipe = client.pipeline(transaction=False)
        for key, fields in rows[start : start + PIPELINE]:
            pipe.hset(key, mapping=fields)
        pipe.execute()
    return len(rows) / (time.perf_counter() - started)


def load_ours(grid: kubegrid.Grid, file: Path, table: str) -> float:
    """Rows a second, of a load into a table that it makes."""
    started = time.perf_counter()
    outcome = prepare(grid.caller, "bench", Request(table, file, KEY)).load.run()
    if outcome.failure is not None:
        raise outcome.failure
    return outcome.counts.written / (time.perf_counter() - started)


def compare_load(grid: kubegrid.Grid, theirs: redis.Redis, file: Path, source: Source, rounds: int) -> bool:
    rows = hashes(source)
    ours_rates, their_rates = [], []
    for number in range(rounds + 1):
        theirs.flushall()
        their_rate = load_redis(theirs, rows)
        ours_rate = load_ours(grid, file, f"flights_{number}")
        grid.table(f"flights_{number}").drop()
        if number:  # the first round warms both up
            ours_rates.append(ours_rate)
            their_rates.append(their_rate)
    ratios = [a / b for a, b in zip(ours_rates, their_rates, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"load: {len(source):,} flights: KubeGrid {statistics.median(ours_rates):,.0f} rows/s, redis-py into Redis "
        f"{statistics.median(their_rates):,.0f} rows/s, ratio {ratio:.1f} ({min(ratios):.1f}–{max(ratios):.1f}; "
        f"at least {LOAD_AT_LEAST:.0f}, aim {LOAD_AIM:.0f})",
        flush=True,
    )
    return ratio >= LOAD_AT_LEAST


def compare_arrow(grid: kubegrid.Grid, source: Source, rounds: int) -> None:
    records = source.rows.to_pylist()

    def write_arrow(table: kubegrid.Table[Any]) -> None:
        table.write_arrow(source.rows)

    def write_many(table: kubegrid.Table[Any]) -> None:
        table.write_many(records)

    rates: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        taken = []
        for write in (write_arrow, write_many):
            grid.table(Flight, name="rows", key=KEY)
            table = grid.table("rows")
            started = time.perf_counter()
            write(table)
            taken.append(len(source) / (time.perf_counter() - started))
            table.drop()
        if number:
            rates.append((taken[0], taken[1]))
    ratios = [a / b for a, b in rates]
    print(
        f"arrow: {len(source):,} flights: write_arrow {statistics.median(a for a, _ in rates):,.0f} rows/s, write_many "
        f"{statistics.median(b for _, b in rates):,.0f} rows/s, ratio {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f}–{max(ratios):.1f})",
        flush=True,
    )


def resident(pid: int) -> int:
    time.sleep(SETTLE_S)
    return int(psutil.Process(pid).memory_info().rss)


def compare_memory(
    grid: kubegrid.Grid, pid: int, theirs: redis.Redis, their_pid: int, file: Path, source: Source
) -> bool:
    """On processes that have held next to nothing yet: a table that was dropped leaves its memory to the next one. A few rows
    come first, and with them the libraries that a first load loads, which are the same for any number of rows."""
    rows = hashes(source)
    few = file.with_name("few.parquet")
    pq.write_table(source.rows.slice(0, FEW_ROWS), few)
    load_ours(grid, few, "few")
    before = resident(pid), resident(their_pid)
    load_ours(grid, file, "flights")
    load_redis(theirs, rows)
    ours, redis_bytes = ((resident(p) - b) / len(source) for p, b in zip((pid, their_pid), before, strict=True))
    flights = grid.table("flights")
    keys = list(zip(*(source.rows.column(name).to_pylist() for name in KEY), strict=True))
    for start in range(0, len(keys), PIPELINE):
        assert None not in flights.read_many(keys[start : start + PIPELINE])
    time.sleep(THAW_S)
    touched = (resident(pid) - before[0]) / len(source)
    print(
        f"memory: a flight takes {ours:,.0f} bytes as it was loaded, {touched:,.0f} bytes as a record, once it was read, and "
        f"{redis_bytes:,.0f} bytes as a Redis hash, ratio {touched / redis_bytes:.2f} (at most {MEMORY_AT_MOST})",
        flush=True,
    )
    return max(ours, touched) / redis_bytes <= MEMORY_AT_MOST


def write_all(grid: kubegrid.Grid, pid: int, table: str, source: Source, index: Any) -> float:
    """Processor seconds of the member for all rows in batches of `BATCH`, as new records."""
    grid.table(Flight, name=table, key=KEY, index=index)
    definition = describe(grid.caller, table)
    assert definition is not None
    rows = ArrowRows(definition).encode(source.rows).rows
    head = (b"KG.WRITE", table, definition.schema, "REPLACE")
    batches = [Write((*head, *rows[start : start + BATCH]), 0, True) for start in range(0, len(rows), BATCH)]
    before = processor_s(pid)
    for start in range(0, len(batches), 10):
        replies = run_batch(grid.caller, batches[start : start + 10])
        assert sum(reply[1] for reply in replies) > 0
    used = processor_s(pid) - before
    grid.table(table).drop()
    return used


def compare_index(grid: kubegrid.Grid, pid: int, source: Source, rounds: int) -> bool:
    ratios = []
    for number in range(rounds + 1):
        without = write_all(grid, pid, f"plain_{number}", source, ())
        indexed = write_all(grid, pid, f"indexed_{number}", source, INDEXES)
        if number:
            ratios.append(indexed / without)
    ratio = statistics.median(ratios)
    print(
        f"index: a write of a flight with a hash index on {INDEX} takes {ratio:.2f} times the member's processor time "
        f"({min(ratios):.2f}–{max(ratios):.2f}; at most {INDEX_AT_MOST})",
        flush=True,
    )
    return ratio <= INDEX_AT_MOST


@contextlib.contextmanager
def both() -> Iterator[tuple[kubegrid.Grid, int, redis.Redis, int]]:
    """A partition without a backup and a Redis, each with its pid, both empty."""

    def pid_of(running: LocalGrid) -> int:
        return int(running.member("p0-0")["pid"])

    with (
        running_redis(replica=False) as (port, pids),
        running_grid(partitions=1, backups=0) as running,
        kubegrid.connect(f"127.0.0.1:{running.port}", timeout=60.0) as grid,
    ):
        yield grid, pid_of(running), redis.Redis(port=port), pids[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", choices=["load", "arrow", "memory", "index"])
    args = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("redis-server is missing: install Debian's redis-server", file=sys.stderr)
        return 1
    source = flights_source.source(args.rows)
    reached = True
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        file = Path(folder) / "flights.parquet"
        source.write_parquet(file)
        if args.only in (None, "memory"):
            with both() as (grid, pid, theirs, their_pid):
                reached &= compare_memory(grid, pid, theirs, their_pid, file, source)
        if args.only in (None, "load"):
            with both() as (grid, _, theirs, _):
                reached &= compare_load(grid, theirs, file, source, args.rounds)
        if args.only in (None, "arrow"):
            with both() as (grid, _, _, _):
                compare_arrow(grid, source, args.rounds)
        if args.only in (None, "index"):
            with both() as (grid, pid, _, _):
                reached &= compare_index(grid, pid, source, args.rounds)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
