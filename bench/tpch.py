"""TPC-H's 22 queries over a grid of 3 partitions with backups: the same answers as DuckDB's on the same rows, and the times.

    python -m bench.tpch [--scale 0.1] [--rounds 3]

For the figures of `README.md`: a machine with nothing else running, `python -m bench.tpch --scale 1` (about 10 minutes, 12 GiB).
The rows come from `tpchgen-cli`, a dependency of the tests. Orders and line items of one order lie in one partition; nations and
regions are in all of them. DuckDB runs in this process with both cores on one table of each. The first query of ours, which
makes the columns, is not counted.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

import kubegrid
from bench.local_grid import running_grid
from bench.sql_statements import same
from bench.tpch_statements import QUERIES, TABLES, create
from kubegrid.load import Request, prepare

PARTITIONS = 3
TIMEOUT_S = 600.0


def make_files(folder: Path, scale: float) -> dict[str, Path]:
    """A Parquet file of each table."""
    program = Path(sys.executable).with_name("tpchgen-cli")
    command = [str(program), "parquet", "-s", f"{scale:g}", "--output-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"tpchgen-cli failed: {done.stderr.strip().splitlines()[-1:]}")
    return {table["name"]: folder / f"{table['name']}.parquet" for table in TABLES}


@contextmanager
def filled(scale: float) -> Iterator[tuple[kubegrid.Grid, "duckdb.DuckDBPyConnection"]]:
    """A grid and a DuckDB with the same rows."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-tpch-") as folder,
        running_grid(partitions=PARTITIONS, backups=1, memory="8Gi") as running,
        kubegrid.connect(f"127.0.0.1:{running.port}", timeout=60.0) as grid,
    ):
        files = make_files(Path(folder), scale)
        connection = duckdb.connect()
        for table in TABLES:
            name, key = table["name"], tuple(table["key"])
            connection.execute(create(table))
            connection.execute(f"INSERT INTO {name} SELECT * FROM '{files[name]}'")
            grid.table(table)
            started = time.perf_counter()
            outcome = prepare(grid.caller, "bench", Request(name, files[name], key)).load.run()
            if outcome.failure is not None:
                raise outcome.failure
            rows = outcome.counts.written
            print(f"loaded {name}: {rows:,} rows, {rows / (time.perf_counter() - started):,.0f} rows/s", flush=True)
        yield grid, connection


def sorted_rows(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """In an order that does not depend on the last digits of a floating point number."""
    return sorted(rows, key=lambda row: [str(value) for value in row if not isinstance(value, float)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    equal = 0
    ours_all, theirs_all = 0.0, 0.0
    with filled(args.scale) as (grid, connection):
        print("| query | KubeGrid ms | DuckDB ms | × DuckDB | rows | equal |\n|---|---|---|---|---|---|")
        for number, sql in sorted(QUERIES.items()):
            ours, theirs = [], []
            mine: list[tuple[Any, ...]] = []
            other: list[tuple[Any, ...]] = []
            for turn in range(args.rounds + 1):
                started = time.perf_counter()
                mine = grid.sql(sql, timeout=TIMEOUT_S).rows()
                middle = time.perf_counter()
                other = connection.execute(sql).fetchall()
                if turn:
                    ours.append((middle - started) * 1000)
                    theirs.append((time.perf_counter() - middle) * 1000)
            alike = same(sorted_rows(mine), sorted_rows(other))
            equal += alike
            one, two = statistics.median(ours), statistics.median(theirs)
            ours_all, theirs_all = ours_all + one, theirs_all + two
            print(
                f"| {number} | {one:,.0f} | {two:,.0f} | {one / two:.1f} | {len(mine)} | {'yes' if alike else 'NO'} |",
                flush=True,
            )
    print(f"all: {ours_all:,.0f} ms, DuckDB {theirs_all:,.0f} ms; {equal} of {len(QUERIES)} answers equal")
    return 0 if equal == len(QUERIES) else 1


if __name__ == "__main__":
    sys.exit(main())
