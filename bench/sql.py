"""SQL over a grid of 3 partitions with backups, against DuckDB, PostgreSQL and ClickHouse on the same rows in one run.

    python -m bench.sql [--rows 1000000] [--rounds 5] [--peers duckdb,postgres,clickhouse] [--seconds 10]

For the figures of `README.md`: a machine with nothing else running, `python -m bench.sql --rows 10000000` (about 5 minutes).
Every system answers each statement once per round, in turn, and the medians count; all answers must be equal. Ours is timed
in this process from the statement to the Arrow table, through Flight connections to the primaries, in turn, each of which has
answered the statement before; the others are timed where they run, so they have no way to go.

* statements: alone, and while four writers change 20,000 rows a second (ClickHouse's tables are not made for that: alone only).
* load: the rows of a Parquet file into a table with a primary key (PostgreSQL: of a CSV file, by COPY).
* first answer: with the processor time of the members, because its wall time hangs on what else the machine does, and on what
  fresh memory costs there: a third of it may be the kernel's.
* delta: what a query takes longer after 10,000 rows were changed, at once and a moment later. The change itself is not in it.
* point operations: reads and writes of single records by one client while two others ask for scans without a pause.
"""

import argparse
import contextlib
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psutil

import kubegrid
from bench.java_peers import PeerMissing
from bench.local_grid import LocalGrid, running_grid
from bench.sql_peers import Peer, running_peers
from bench.sql_statements import BROADCAST, COLUMNS, GENERATE, STATEMENTS, same
from kubegrid.load import Request, prepare

PARTITIONS = 3
WRITERS = 4
UPDATES_S = 20_000
BATCH = 500
DELTA_ROWS = 10_000
DELTA_MS_MAX = 30
DELTA_REST_S = 0.4
"""Time for the copies to be brought up to date by themselves."""
POINT_P99_MS_MAX = 10
LOOP_TURN_MS_MAX = 50
LOAD_AT_LEAST = 0.4
WARM_UP_S = 5.0
TIMEOUT_S = 600.0


def make_files(folder: Path, rows: int) -> dict[str, Path]:
    """A Parquet file for each table, and a CSV file beside it."""
    connection = duckdb.connect()
    files = {}
    for table, sql in GENERATE.items():
        files[table] = folder / f"{table}.parquet"
        connection.execute(f"COPY ({sql.format(rows=rows)}) TO '{files[table]}' (FORMAT parquet)")
        connection.execute(f"COPY (FROM '{files[table]}') TO '{folder / table}.csv' (FORMAT csv, HEADER false)")
    return files


def load_ours(grid: kubegrid.Grid, files: dict[str, Path], folder: Path) -> float:
    """Seconds that the rows of trades took."""
    seconds = 0.0
    for table, columns in COLUMNS.items():
        definition: dict[str, Any] = {
            "name": table,
            "columns": [{"name": name, "type": kind, "nullable": name != columns[0][0]} for name, kind in columns],
            "key": [columns[0][0]],
            "broadcast": table in BROADCAST,
        }
        grid.table(definition)
        started = time.perf_counter()
        outcome = prepare(grid.caller, "bench", Request(table, files[table], (columns[0][0],))).load.run()
        if outcome.failure is not None:
            raise outcome.failure
        if table == "trades":
            seconds = time.perf_counter() - started
    return seconds


def ask(grid: kubegrid.Grid, sql: str) -> tuple[float, list[tuple[Any, ...]]]:
    started = time.perf_counter()
    table = grid.sql(sql, timeout=TIMEOUT_S).arrow()
    seconds = time.perf_counter() - started
    return seconds, [tuple(row.values()) for row in table.to_pylist()]


def processor_s(running: LocalGrid) -> tuple[float, float]:
    """Of all members since their start: in all, and in the kernel."""
    members = [member for partition in running.status()["partitions"] for member in partition["members"]]
    times = [psutil.Process(member["pid"]).cpu_times() for member in members]
    return sum(each.user + each.system for each in times), sum(each.system for each in times)


def measure_first_answer(running: LocalGrid, grid: kubegrid.Grid) -> None:
    """Until the columns of trades are made. Of many rows that takes longer than a statement may, and goes on."""
    before = processor_s(running)
    started = time.perf_counter()
    while True:
        try:
            ask(grid, "SELECT count(*) FROM trades")
            break
        except (kubegrid.SqlTimeoutError, kubegrid.SqlCancelledError):
            if time.perf_counter() - started > TIMEOUT_S:
                raise
    seconds = time.perf_counter() - started
    used, in_kernel = (now - then for now, then in zip(processor_s(running), before, strict=True))
    print(
        f"first query, which makes the columns: {seconds * 1000:,.0f} ms; {used:.1f} s of processor time in the members, "
        f"{in_kernel:.1f} of them in the kernel",
        flush=True,
    )


@contextlib.contextmanager
def writing(address: str, rows: int) -> Iterator[list[int]]:
    """Four writers, `UPDATES_S` rows a second together; how many were acknowledged so far, one number each."""
    resting = threading.Event()
    done = [0] * WRITERS

    def write(number: int) -> None:
        chance = random.Random(number)
        with kubegrid.connect(address, timeout=60.0) as grid:
            trades = grid.table("trades")
            due = time.perf_counter()
            while not resting.is_set():
                changed = [
                    {
                        "trade": chance.randrange(rows),
                        "book": f"B{chance.randrange(50)}",
                        "instrument": chance.randrange(1000),
                        "account": chance.randrange(100_000),
                        "price": chance.random() * 100_000,
                        "volume": chance.randrange(10_000),
                        "traded": None,
                    }
                    for _ in range(BATCH)
                ]
                trades.write_many(changed)
                done[number] += BATCH
                due += BATCH / (UPDATES_S / WRITERS)
                resting.wait(max(0.0, due - time.perf_counter()))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        resting.set()
        for thread in threads:
            thread.join()


def compare_statements(grid: kubegrid.Grid, peers: list[Peer], rows: int, rounds: int) -> bool:
    """All systems in turn, all answers compared with DuckDB's; whether the goals were reached."""
    chance = random.Random(1)
    times: dict[str, list[list[float]]] = {name: [] for name in ["KubeGrid", *(peer.name for peer in peers)]}
    for statement in STATEMENTS:
        for measured in times.values():
            measured.append([])
        for _ in range(PARTITIONS - 1):  # each primary in turn: its first statement loads what plans statements
            ask(grid, statement.sql.format(key=chance.randrange(rows)))
        for number in range(rounds + 1):
            sql = statement.sql.format(key=chance.randrange(rows))
            seconds, answer = ask(grid, sql)
            if number:  # the first round warms all up
                times["KubeGrid"][-1].append(seconds)
            for peer in peers:
                seconds, other = peer.query(sql)
                if number:
                    times[peer.name][-1].append(seconds)
                if peer.name == "duckdb" and not same(answer, other):
                    raise SystemExit(f"{peer.name} answers otherwise: {sql}\n{answer[:3]}\n{other[:3]}")
    return show({name: [statistics.median(one) for one in measured] for name, measured in times.items()}, goals=True)


def compare_while_writing(grid: kubegrid.Grid, address: str, peers: list[Peer], rows: int, rounds: int) -> None:
    """One system after the other, each with its own writers only."""
    medians: dict[str, list[float]] = {}
    changed: dict[str, float] = {}
    with writing(address, rows) as done:
        time.sleep(WARM_UP_S)
        started, before = time.perf_counter(), sum(done)
        medians["KubeGrid"] = medians_of(lambda sql: ask(grid, sql)[0], rows, rounds)
        changed["KubeGrid"] = (sum(done) - before) / (time.perf_counter() - started)
    for peer in peers:
        started = time.perf_counter()
        peer.ask(do="update", rate=UPDATES_S, rows=rows, writers=WRITERS)
        time.sleep(WARM_UP_S)
        medians[peer.name] = medians_of(lambda sql, peer=peer: peer.query(sql)[0], rows, rounds)  # type: ignore[misc]
        changed[peer.name] = peer.ask(do="rest")["changed"] / (time.perf_counter() - started)
    show(medians, goals=False)
    print("changed meanwhile: " + ", ".join(f"{name} {rate:,.0f} rows/s" for name, rate in changed.items()), flush=True)


def medians_of(query: Callable[[str], float], rows: int, rounds: int) -> list[float]:
    """Seconds of each statement."""
    chance = random.Random(1)
    return [
        statistics.median([query(statement.sql.format(key=chance.randrange(rows))) for _ in range(rounds)])
        for statement in STATEMENTS
    ]


def show(medians: dict[str, list[float]], *, goals: bool) -> bool:
    """A table, a line for each statement; whether the goals were reached."""
    print("| statement, ms | " + " | ".join(medians) + " | × DuckDB | at most |")
    print("|---|" + "---|" * len(medians) + "---|---|")
    reached = True
    for number, statement in enumerate(STATEMENTS):
        ours, raw = medians["KubeGrid"][number], medians["duckdb"][number]
        cells = " | ".join(f"{times[number] * 1000:,.1f}" for times in medians.values())
        goal = (goals and statement.at_most) or ""
        print(f"| {statement.name} | {cells} | {ours / raw:.2f} | {goal} |", flush=True)
        if statement.at_most is not None:
            reached &= ours / raw <= statement.at_most
        if statement.over_postgres is not None and "postgres" in medians:
            reached &= medians["postgres"][number] / ours >= statement.over_postgres
    return reached


def measure_delta(grid: kubegrid.Grid, rows: int, rounds: int) -> bool:
    """The same query with and without 10,000 rows changed before it, in turn; and with some time in between."""
    more = delta_ms(grid, rows, rounds, 0.0)
    print(
        f"delta: {DELTA_ROWS:,} changed rows cost the next query {more:.1f} ms more (at most {DELTA_MS_MAX})",
        flush=True,
    )
    for count in (DELTA_ROWS, DELTA_ROWS // 10):
        later = delta_ms(grid, rows, rounds, DELTA_REST_S, count)
        print(f"delta: {count:,} changed rows and {DELTA_REST_S} s later: {later:.1f} ms more", flush=True)
    return more <= DELTA_MS_MAX


def delta_ms(grid: kubegrid.Grid, rows: int, rounds: int, rest_s: float, count: int = DELTA_ROWS) -> float:
    """How much longer a query takes `rest_s` after so many rows were changed. The median."""
    sql = STATEMENTS[0].sql
    trades = grid.table("trades")
    chance = random.Random(2)
    with_delta, without = [], []
    for _ in range(rounds):
        chosen = chance.sample(range(rows), min(count, rows))
        records = [
            {
                "trade": key,
                "book": "B1",
                "instrument": 1,
                "account": 1,
                "price": 1.0,
                "volume": key % 10_000,
                "traded": None,
            }
            for key in chosen
        ]
        ask(grid, sql)
        trades.write_many(records)
        time.sleep(rest_s)
        with_delta.append(ask(grid, sql)[0])
        without.append(ask(grid, sql)[0])
    return (statistics.median(with_delta) - statistics.median(without)) * 1000


def longest_turn_ms(running: LocalGrid) -> float:
    """The longest loop turn of any primary since it was last asked for its metrics."""
    longest = 0.0
    for partition in running.status()["partitions"]:
        http = running.member(partition["primary"])["http"]
        text = urllib.request.urlopen(f"http://{http}/metrics").read().decode()
        for line in text.splitlines():
            if line.startswith("kubegrid_loop_turn_longest_seconds"):
                longest = max(longest, float(line.split()[-1]) * 1000)
    return longest


def scan(address: str, number: int, resting: Any, scans: Any) -> None:
    """One of two processes that ask for scans without a pause."""
    with kubegrid.connect(address, timeout=60.0) as grid:
        while not resting.is_set():
            grid.sql(STATEMENTS[number].sql, timeout=TIMEOUT_S).arrow()
            with scans.get_lock():
                scans.value += 1


def operate(grid: kubegrid.Grid, rows: int, span: float) -> list[float]:
    """Milliseconds of each read and write, sorted."""
    trades = grid.table("trades")
    chance = random.Random(3)
    times: list[float] = []
    end = time.perf_counter() + span
    while (started := time.perf_counter()) < end:
        key = chance.randrange(rows)
        if len(times) % 2:
            trades.read((key,))
        else:
            trades.change((key,), increment={"volume": 1})
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)


def measure_point_operations(running: LocalGrid, address: str, rows: int, seconds: float) -> bool:
    """Latencies of one client's reads and writes while two others scan, each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    resting, scans = spawn.Event(), spawn.Value("i", 0)
    processes = [spawn.Process(target=scan, args=(address, number, resting, scans), daemon=True) for number in range(2)]
    with kubegrid.connect(address, timeout=60.0) as grid:
        quiet = operate(grid, rows, seconds)
        for process in processes:
            process.start()
        try:
            while scans.value < 2 * len(processes):
                time.sleep(0.1)
            before = scans.value
            longest_turn_ms(running)
            busy = operate(grid, rows, seconds)
            scanned = scans.value - before
        finally:
            resting.set()
            for process in processes:
                process.join()
    turn = longest_turn_ms(running)

    def quantile(times: list[float], part: float) -> float:
        return times[min(len(times) - 1, int(len(times) * part))]

    print(
        f"point operations: alone p50 {quantile(quiet, 0.5):.2f} ms, p99 {quantile(quiet, 0.99):.2f} ms; while scans run "
        f"({scanned} in {seconds:.0f} s) p50 {quantile(busy, 0.5):.2f} ms, p99 {quantile(busy, 0.99):.2f} ms, most "
        f"{busy[-1]:.1f} ms (p99 at most {POINT_P99_MS_MAX}); longest loop turn {turn:.0f} ms (at most {LOOP_TURN_MS_MAX})",
        flush=True,
    )
    return quantile(busy, 0.99) <= POINT_P99_MS_MAX and turn <= LOOP_TURN_MS_MAX


def run(args: argparse.Namespace) -> bool:
    rows = args.rows
    names = args.peers.split(",")
    reached = True
    with (
        tempfile.TemporaryDirectory(prefix="bench-sql-") as folder,
        running_peers(names) as peers,
        running_grid(partitions=PARTITIONS, backups=1, memory="8Gi") as running,
    ):
        Path(folder).chmod(0o755)
        files = make_files(Path(folder), rows)
        address = f"127.0.0.1:{running.port}"
        with kubegrid.connect(address, timeout=60.0) as grid:
            loads = {"KubeGrid": load_ours(grid, files, Path(folder))}
            for peer in peers:
                loads[peer.name] = {table: peer.load(table, files[table]) for table in COLUMNS}["trades"]
            for name, seconds in loads.items():
                print(f"load: {name} {rows / seconds:,.0f} rows/s")
            part = loads["duckdb"] / loads["KubeGrid"]
            print(f"load: {part:.2f} of DuckDB's rate (at least {LOAD_AT_LEAST})", flush=True)
            reached &= part >= LOAD_AT_LEAST
            measure_first_answer(running, grid)
            print(f"\nalone, {rows:,} rows:")
            reached &= compare_statements(grid, peers, rows, args.rounds)
            reached &= measure_delta(grid, rows, args.rounds)
            reached &= measure_point_operations(running, address, rows, args.seconds)
            print(f"\nwhile {WRITERS} writers change {UPDATES_S:,} rows a second:")
            compare_while_writing(
                grid, address, [peer for peer in peers if peer.name != "clickhouse"], rows, args.rounds
            )
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="duckdb,postgres,clickhouse", help="duckdb is always among them")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement of point operations")
    args = parser.parse_args()
    if "duckdb" not in args.peers.split(","):
        parser.error("--peers must name duckdb: the others are compared with it")
    try:
        return 0 if run(args) else 1
    except PeerMissing as missing:
        print(missing, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
