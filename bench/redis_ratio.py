"""One partition against one Redis, with `redis-benchmark` as the load: throughput and memory, as ratios of one run.

    python -m bench.redis_ratio [--rounds 3] [--seconds 4] [--only throughput|memory]

Two pairings: a partition without a backup against a Redis alone, and a partition with a synchronous backup against a
Redis with its asynchronous replica. 100,000 random keys, 100-byte values, 50 connections. The two systems are started
together and loaded in turn (A B A B ...), so that a machine whose speed drifts hits both; what is printed is the median
of each and the median of the ratios of neighbouring rounds.
"""

import argparse
import contextlib
import csv
import io
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import hiredis
import psutil

from bench.local_grid import free_port_base, running_grid

KEYS = 100_000
VALUE_BYTES = 100
CLIENTS = 50
PIPELINES = (1, 16, 100)
TARGETS = {"no backup": {1: 0.9, 16: 0.7, 100: 0.6}, "synchronous backup": {1: 0.9, 16: 0.65, 100: 0.5}}
HEADING = (
    "| pairing | command | pipeline | KubeGrid/s | Redis/s | ratio (median) | range | at least |\n" + 8 * "|---" + "|"
)
MEMORY_KEYS = 1_000_000
MEMORY_TARGET = 1.5
RATE_GUESS = {1: 60_000, 16: 350_000, 100: 500_000}
"""Requests per second assumed when a number of requests is chosen for a round's length."""


@contextlib.contextmanager
def running_redis(*, replica: bool) -> Iterator[tuple[int, list[int]]]:
    """A Redis from the distribution, alone or with one replica; its port and the pids."""
    folder = tempfile.mkdtemp(prefix="redis-")
    base = free_port_base(4) + 50
    processes = []
    try:
        for number in range(2 if replica else 1):
            command = [
                "redis-server",
                "--port",
                str(base + number),
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                folder,
            ]
            command += ["--bind", "127.0.0.1", "--daemonize", "no", "--repl-diskless-sync-delay", "0"]
            if number:
                command += ["--replicaof", "127.0.0.1", str(base)]
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        for number in range(len(processes)):
            await_ping(base + number)
        if replica:
            _await_replica(base)
        yield base, [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _call(port: int, *command: str | bytes) -> object:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as conn:
        conn.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub knows tuples of one only
        reader = hiredis.Reader()
        while True:
            reply = reader.gets()
            if reply is not False:
                return reply
            reader.feed(conn.recv(65536))


def await_ping(port: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if _call(port, "PING") == b"PONG":
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing answers PING on port {port}")


def _await_replica(port: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        info = _call(port, "INFO", "replication")
        if isinstance(info, bytes) and b"state=online" in info:
            return
        time.sleep(0.1)
    raise RuntimeError("the Redis replica did not come online")


def benchmark(port: int, test: str, pipeline: int, requests: int) -> float:
    """Requests per second that `redis-benchmark` measured."""
    command = [
        "redis-benchmark",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-t",
        test,
        "-n",
        str(requests),
        "-c",
        str(CLIENTS),
    ]
    command += ["-P", str(pipeline), "-r", str(KEYS), "-d", str(VALUE_BYTES), "--csv"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = list(csv.reader(io.StringIO(printed)))
    for row in rows:
        if row and row[0].upper() == test.upper():
            return float(row[1])
    raise RuntimeError(f"redis-benchmark printed no figure for {test}: {printed!r}")


def fill(port: int, count: int) -> None:
    """SET `count` keys of 16 bytes to values of 100 bytes, pipelined."""
    value = b"x" * VALUE_BYTES
    with socket.create_connection(("127.0.0.1", port), timeout=60) as conn:
        reader = hiredis.Reader()
        for start in range(0, count, 1000):
            batch = [
                hiredis.pack_command((b"SET", b"key:%012d" % n, value))  # type: ignore[arg-type]  # as above
                for n in range(start, min(start + 1000, count))
            ]
            conn.sendall(b"".join(batch))
            missing = len(batch)
            while missing:
                reply = reader.gets()
                if reply is False:
                    reader.feed(conn.recv(262144))
                elif isinstance(reply, hiredis.ReplyError):
                    raise RuntimeError(f"SET was refused: {reply}")
                else:
                    missing -= 1


def has_redis() -> bool:
    """Whether the programs of Redis are installed; says what to do if not."""
    for program in ("redis-server", "redis-benchmark"):
        if shutil.which(program) is None:
            print(f"{program} is missing: install Debian's redis-server and redis-tools", file=sys.stderr)
            return False
    return True


def throughput(label: str, ours: int, theirs: int, rounds: int, seconds: float) -> bool:
    """Print the table of one pairing; whether every target was reached."""
    reached = True
    for test in ("set", "get"):
        for pipeline in PIPELINES:
            requests = int(RATE_GUESS[pipeline] * seconds)
            a_rates, b_rates, ratios = [], [], []
            for number in range(rounds + 1):
                b = benchmark(theirs, test, pipeline, requests)
                a = benchmark(ours, test, pipeline, requests)
                if number:  # the first round warms both up
                    a_rates.append(a)
                    b_rates.append(b)
                    ratios.append(a / b)
            ratio = statistics.median(ratios)
            target = TARGETS[label][pipeline]
            reached &= ratio >= target
            print(
                f"| {label} | {test.upper()} | {pipeline} "
                f"| {statistics.median(a_rates):,.0f} | {statistics.median(b_rates):,.0f} "
                f"| {ratio:.2f} | {min(ratios):.2f}–{max(ratios):.2f} | {target} |",
                flush=True,
            )
    return reached


def memory(ours: int, our_pid: int, theirs: int, their_pid: int) -> bool:
    """Print how much the two processes grow by 1M keys; whether the target was reached."""
    grown = {}
    for name, port, pid in (("kubegrid", ours, our_pid), ("redis", theirs, their_pid)):
        _call(port, "FLUSHALL")
        time.sleep(1)
        before = psutil.Process(pid).memory_info().rss
        fill(port, MEMORY_KEYS)
        time.sleep(1)
        grown[name] = psutil.Process(pid).memory_info().rss - before
    ratio = grown["kubegrid"] / grown["redis"]
    print(
        f"\nmemory: 1M keys of 16 bytes with 100-byte values: KubeGrid {grown['kubegrid'] / 2**20:.0f} MiB, "
        f"Redis {grown['redis'] / 2**20:.0f} MiB, ratio {ratio:.2f} (at most {MEMORY_TARGET})"
    )
    return ratio <= MEMORY_TARGET


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="about how long one round of one figure takes")
    parser.add_argument("--only", choices=["throughput", "memory"])
    args = parser.parse_args()
    if not has_redis():
        return 1
    reached = True
    if args.only != "memory":
        print(HEADING)
        for label, backups in (("no backup", 0), ("synchronous backup", 1)):
            with running_redis(replica=backups > 0) as (theirs, _), running_grid(partitions=1, backups=backups) as grid:
                reached &= throughput(label, grid.port, theirs, args.rounds, args.seconds)
    if args.only != "throughput":
        with running_redis(replica=False) as (theirs, pids), running_grid(partitions=1, backups=0) as grid:
            reached &= memory(grid.port, int(grid.member("p0-0")["pid"]), theirs, pids[0])
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
