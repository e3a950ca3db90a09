"""Small SQL statements, one after the other: what a statement takes whose rows are few.

    python -m bench.small_sql [--rounds 120] [--other CHECKOUT]

For the figures of `README.md`: a machine with nothing else running. A table of 1,000 rows in 3 partitions with backups; each
statement is asked once a round and its median counts, with the processor time that all members took for it. `--other`: a second
grid runs the code of that folder (`CHECKOUT/src`), and both are asked in turn, so that they share whatever else the machine does.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

import kubegrid
from bench.local_grid import LocalGrid, running_grid

ROWS = 1000
PORT = 23000
WARM_UP = 10
STATEMENTS: dict[str, Callable[[int], str]] = {
    "SELECT 1": lambda number: "SELECT 1",
    "by key": lambda number: f"SELECT * FROM small WHERE id = {number % ROWS}",
    "count(*)": lambda number: "SELECT count(*) FROM small",
    "filter and sum": lambda number: "SELECT sum(v), count(*) FROM small WHERE volume > 300",
    "filter and sum, another value": lambda number: f"SELECT sum(v), count(*) FROM small WHERE volume > {number}",
    "5 groups": lambda number: "SELECT book, count(*), sum(volume), avg(v) FROM small GROUP BY book",
    "5 groups, ordered": lambda number: "SELECT book, max(v) FROM small GROUP BY book ORDER BY book",
    "ORDER BY LIMIT 5": lambda number: "SELECT id, v FROM small ORDER BY v LIMIT 5",
    "join with 10 rows": lambda number: (
        "SELECT d.name, sum(s.volume) FROM small s JOIN desks d ON s.desk = d.id GROUP BY d.name"
    ),
}


def fill(grid: kubegrid.Grid) -> None:
    grid.sql("CREATE TABLE small (id INTEGER PRIMARY KEY, book VARCHAR, desk INTEGER, volume BIGINT, v DOUBLE)").arrow()
    grid.table(
        {
            "name": "desks",
            "columns": [{"name": "id", "type": "INTEGER", "nullable": False}, {"name": "name", "type": "VARCHAR"}],
            "key": ["id"],
            "broadcast": True,
        }
    ).write_many([{"id": number, "name": f"desk {number}"} for number in range(10)])
    grid.table("small").write_many(
        [
            {
                "id": number,
                "book": f"B{number % 5}",
                "desk": number % 10,
                "volume": number * 7 % 1000,
                "v": number * 37 % 1009 / 4,
            }
            for number in range(ROWS)
        ]
    )


def processor_s(members: list[psutil.Process]) -> float:
    times = [member.cpu_times() for member in members]
    return sum(each.user + each.system for each in times)


def members_of(running: LocalGrid) -> list[psutil.Process]:
    return [
        psutil.Process(member["pid"]) for partition in running.status()["partitions"] for member in partition["members"]
    ]


def measure(grids: dict[str, kubegrid.Grid], members: dict[str, list[psutil.Process]], rounds: int) -> None:
    print(f"{'p50 (p10) ms; members processor ms':34}" + "".join(f"{name:>26}" for name in grids))
    for name, statement in STATEMENTS.items():
        seconds: dict[str, list[float]] = {each: [] for each in grids}
        used = dict.fromkeys(grids, 0.0)
        for number in range(WARM_UP + rounds):
            for each, grid in grids.items():
                before = processor_s(members[each])
                started = time.perf_counter()
                grid.sql(statement(number)).arrow()
                took = time.perf_counter() - started
                if number >= WARM_UP:
                    seconds[each].append(took)
                    used[each] += processor_s(members[each]) - before
        cells = []
        for each in grids:
            p50 = statistics.median(seconds[each]) * 1000
            p10 = statistics.quantiles(seconds[each], n=10)[0] * 1000
            cells.append(f"{p50:.1f} ({p10:.1f}); {used[each] / rounds * 1000:.1f}")
        print(f"{name:34}" + "".join(f"{cell:>26}" for cell in cells), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--other", type=Path, help="a checkout whose grid is asked in turn with this one's")
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args()
    sources: dict[str, Path | None] = {"this": None}
    if given.other is not None:
        sources = {"other": given.other / "src", "this": None}
    with contextlib.ExitStack() as stack:
        grids, members = {}, {}
        for place, (name, source) in enumerate(sources.items()):
            port = given.port + 20 * place
            running = stack.enter_context(running_grid(partitions=3, backups=1, name=name, port=port, source=source))
            grids[name] = stack.enter_context(kubegrid.connect(f"127.0.0.1:{port}", timeout=60.0))
            fill(grids[name])
            members[name] = members_of(running)
        measure(grids, members, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
