"""What an application sees when primaries die, hand over, and when the machine is saturated.

    python -m bench.failover [--kills 50] [--hand-overs 50] [--saturate-seconds 600]

Three measurements on a local grid of 3 partitions with one backup each, all seen by redis-py's `RedisCluster`:

* *kills*: SIGKILL of a primary under load, again and again. Outage: from the kill to the next acknowledged write of that
  partition by any writer, whose client reports errors at once instead of waiting out redis-py's back-off of a second and
  more. At the end every acknowledged write is read.
* *hand-overs*: asked of the manager under load, the clients with redis-py's default settings. A failed request is an
  error that reaches the application; the pause is the longest gap between two acknowledgements of the partition.
* *saturation*: `redis-benchmark` keeps both cores busy. No epoch may change: a failover or removal that nobody asked for.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from demo.writers import Writer, connect, lost_writes, outage_ms
from redis.exceptions import RedisClusterException, RedisError

from bench.local_grid import LocalGrid, running_grid

WRITERS = 4
WHOLE_LIMIT_S = 60.0
OUTAGE_P50_MAX_MS = 1000
OUTAGE_MAX_MS = 3000
HAND_OVER_PAUSE_MAX_MS = 100


def slot_owner(grid: LocalGrid) -> dict[int, int]:
    return {
        slot: partition["id"]
        for partition in grid.status()["partitions"]
        for first, last in partition["slots"]
        for slot in range(first, last + 1)
    }


def await_whole(grid: LocalGrid, *, at_home: bool = False) -> None:
    """Wait until every partition has both copies in sync and a serving primary; `at_home`: the one that it goes back to."""
    end = time.monotonic() + WHOLE_LIMIT_S
    while time.monotonic() < end:
        if all(
            p["state"] == "serving" and len(p["in_sync"]) == 2 and (not at_home or p["primary"] == f"p{p['id']}-0")
            for p in grid.status()["partitions"]
        ):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the grid was not whole again within {WHOLE_LIMIT_S:.0f} s: {grid.status()['partitions']}")


def kills(grid: LocalGrid, count: int) -> bool:
    owner = slot_owner(grid)
    writers = [Writer(number, grid.port, owner) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(1)
    outages: list[float] = []
    for number in range(count):
        await_whole(grid)
        partition = grid.status()["partitions"][number % 3]
        victim = next(m for m in partition["members"] if m["name"] == partition["primary"])
        killed_at = time.monotonic()
        grid.kill(victim["pid"])
        while (outage := outage_ms(writers, partition["id"], killed_at)) is None:
            if time.monotonic() - killed_at > WHOLE_LIMIT_S:
                raise RuntimeError(f"partition {partition['id']} did not come back")
            time.sleep(0.02)
        outages.append(outage)
        print(f"  kill {number + 1}/{count}: {victim['name']}, outage {outage:.0f} ms", flush=True)
    await_whole(grid)
    for writer in writers:
        writer.stop()
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    lost = lost_writes(connect(grid.port), writers)
    p50 = statistics.median(outages)
    print(
        f"kills: {count}, outage p50 {p50:.0f} ms, max {max(outages):.0f} ms, "
        f"{acknowledged:,} writes acknowledged, {len(lost)} lost"
    )
    return p50 <= OUTAGE_P50_MAX_MS and max(outages) <= OUTAGE_MAX_MS and not lost


@dataclass
class Application(threading.Thread):
    """Reads and writes with redis-py's defaults; any error that comes out is a failed request."""

    number: int
    port: int
    owner: dict[int, int]

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.client = connect(self.port)
        self.stopping = threading.Event()
        self.failed: list[str] = []
        self.done = 0
        self.slowest_ms = 0.0

    def __hash__(self) -> int:
        return self.number

    def run(self) -> None:
        n = 0
        while not self.stopping.is_set():
            key = f"app:{self.number}:{n % 5000}"
            n += 1
            started = time.monotonic()
            try:
                self.client.set(key, str(n))
                if self.client.get(key) != str(n).encode():
                    self.failed.append(f"{key} did not read back as written")
            except (RedisError, RedisClusterException, OSError) as error:
                self.failed.append(f"{key}: {error!r}")
            self.done += 2
            self.slowest_ms = max(self.slowest_ms, (time.monotonic() - started) * 1000)


def hand_overs(grid: LocalGrid, count: int) -> bool:
    """Pauses are seen by a probe of one partition; failures by applications on all of them."""
    owner = slot_owner(grid)
    applications = [Application(number, grid.port, owner) for number in range(2)]
    for application in applications:
        application.start()
    time.sleep(1)
    pauses: list[float] = []
    for number in range(count):
        await_whole(grid)
        for application in applications:
            application.slowest_ms = 0.0
        grid.command("partition", "hand-over", str(number % 3))
        time.sleep(0.2)
        pauses.append(max(application.slowest_ms for application in applications))
        print(f"  hand-over {number + 1}/{count}: slowest set and get {pauses[-1]:.0f} ms", flush=True)
    for application in applications:
        application.stopping.set()
    for application in applications:
        application.join(30)
    failed = [failure for application in applications for failure in application.failed]
    print(
        f"hand-overs: {count}, {sum(a.done for a in applications):,} requests, {len(failed)} failed, "
        f"longest pause {max(pauses):.0f} ms (median {statistics.median(pauses):.0f} ms)"
    )
    for failure in failed[:5]:
        print(f"  failed: {failure}")
    return not failed and max(pauses) <= HAND_OVER_PAUSE_MAX_MS


def saturation(grid: LocalGrid, seconds: float) -> bool:
    await_whole(grid, at_home=True)
    before = {p["id"]: (p["epoch"], p["primary"], p["in_sync"]) for p in grid.status()["partitions"]}
    end = time.monotonic() + seconds
    command = ["redis-benchmark", "--cluster", "-h", "127.0.0.1", "-p", str(grid.port), "-t", "set,get", "-c", "50"]
    command += ["-P", "16", "-r", "100000", "-d", "100", "-n", "2000000", "-q"]
    rounds = failed = 0
    while time.monotonic() < end:
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=seconds + 600
        )
        rounds += 1
        failed += done.returncode != 0
    after = {p["id"]: (p["epoch"], p["primary"], p["in_sync"]) for p in grid.status()["partitions"]}
    changed = [p for p in before if before[p] != after[p]]
    print(
        f"saturation: {seconds:.0f} s, {rounds} runs of redis-benchmark, {failed} of them failed, "
        f"configuration changes: {len(changed)}"
    )
    for p in changed:
        print(f"  partition {p}: {before[p]} became {after[p]}")
    return not changed and not failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--hand-overs", type=int, default=50)
    parser.add_argument("--saturate-seconds", type=float, default=600)
    args = parser.parse_args()
    good = True
    with running_grid(partitions=3, backups=1) as grid:
        if args.hand_overs:
            good &= hand_overs(grid, args.hand_overs)
        if args.kills:
            good &= kills(grid, args.kills)
        if args.saturate_seconds:
            good &= saturation(grid, args.saturate_seconds)
    print("every limit held" if good else "a limit was missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
