"""Small statements, of which nearly all is overhead: medians at the client, on a table of 1,000 rows.

    python -m bench.small_sql [--rounds 200] [ADDRESS …]

Without an address a grid of 3 partitions with backups is started. Several addresses of empty grids, of two commits for example,
are asked in turn, statement by statement, so that what else the machine does hits all of them alike. Each statement is asked
ten times before it is measured.
"""

import argparse
import contextlib
import time

import kubegrid
from bench.local_grid import running_grid

PARTITIONS = 3
ROWS = 1000
WARM_UPS = 10
STATEMENTS = {
    "`SELECT 1`": "SELECT 1",
    "by key": "SELECT * FROM small WHERE id = 7",
    "count": "SELECT count(*) FROM small",
    "filter and sum": "SELECT sum(v) FROM small WHERE n > 500",
    "5 groups": "SELECT g, count(*), sum(n) FROM small GROUP BY g",
    "first 5": "SELECT id, v FROM small ORDER BY v LIMIT 5",
    "join with 10 rows": "SELECT t.name, sum(s.n) FROM small s JOIN ten t ON s.k = t.k GROUP BY t.name",
}


def fill(grid: kubegrid.Grid) -> None:
    grid.sql("CREATE TABLE small (id BIGINT PRIMARY KEY, g INTEGER, k INTEGER, n BIGINT, v DOUBLE)")
    grid.sql("CREATE TABLE ten (k INTEGER PRIMARY KEY, name VARCHAR) BROADCAST")
    rows = [{"id": n, "g": n % 5, "k": n % 10, "n": n, "v": n * 7919 % ROWS / 8} for n in range(ROWS)]
    grid.table("small").write_many(rows)
    grid.table("ten").write_many([{"k": n, "name": f"name {n}"} for n in range(10)])


def measure(grids: list[kubegrid.Grid], sql: str, rounds: int) -> list[list[float]]:
    """Milliseconds of each grid's answers, sorted."""
    times: list[list[float]] = [[] for _ in grids]
    answers = [sorted(grid.sql(sql).rows()) for grid in grids for _ in range(WARM_UPS)]
    if any(answer != answers[0] for answer in answers):
        raise SystemExit(f"the answers differ: {sql}")
    for _ in range(rounds):
        for grid, mine in zip(grids, times, strict=True):
            started = time.perf_counter()
            grid.sql(sql)
            mine.append((time.perf_counter() - started) * 1000)
    return [sorted(mine) for mine in times]


def run(addresses: list[str], rounds: int) -> None:
    with contextlib.ExitStack() as open_ones:
        grids = [open_ones.enter_context(kubegrid.connect(each, timeout=60.0)) for each in addresses]
        for grid in grids:
            fill(grid)
        print("| p50 (p10), ms | " + " | ".join(addresses) + " |")
        print("|---|" + "---|" * len(grids))
        for name, sql in STATEMENTS.items():
            times = measure(grids, sql, rounds)
            cells = [f"{mine[rounds // 2]:.1f} ({mine[rounds // 10]:.1f})" for mine in times]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Small statements, of which nearly all is overhead.")
    parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help="host:port of an empty grid that runs")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    if given.addresses:
        run(given.addresses, given.rounds)
        return
    with running_grid(partitions=PARTITIONS, backups=1) as running:
        run([f"127.0.0.1:{running.port}"], given.rounds)


if __name__ == "__main__":
    main()
