"""What clients see when the network is cut, and how long a slow link takes to fill a backup.

    python -m bench.cuts [--rounds 5] [--only CUT] [--megabits 0.25 0.5 1] [--megabytes 2]

A partition with one backup and a manager, each in a network namespace of its own, on the default times. It needs root and
iproute2. Clients reach all of them, whatever is cut: one for each member and command, which gives up after 0.1 s and asks
again. Writes (or reads) stand still from the cut, or from an acknowledgement, to the next one by whatever member.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from redis.exceptions import RedisError
from tests.e2e import cut_grid
from tests.e2e.cut_grid import CutGrid

PATIENCE_S = 0.1
PAUSE_S = 0.002
HELD_S = 4.0
"""How long a cut lasts: longer than a takeover, or than a link bears silence."""
FILLED_LIMIT_S = 240.0
CHUNK = b"x" * 10_000

Cut = Callable[[CutGrid, str, str], None]


def one_way(grid: CutGrid, primary: str, backup: str) -> None:
    grid.cut(primary, backup)


def other_way(grid: CutGrid, primary: str, backup: str) -> None:
    grid.cut(backup, primary)


def both_ways(grid: CutGrid, primary: str, backup: str) -> None:
    grid.cut(primary, backup)
    grid.cut(backup, primary)


def alone(grid: CutGrid, primary: str, backup: str) -> None:
    grid.isolate(primary)


def deaf(grid: CutGrid, primary: str, backup: str) -> None:
    grid.cut("m0", primary)
    grid.cut(backup, primary)


def manager(grid: CutGrid, primary: str, backup: str) -> None:
    grid.isolate("m0")


CUTS: dict[str, Cut] = {
    "primary and backup": both_ways,
    "from the primary to the backup": one_way,
    "from the backup to the primary": other_way,
    "primary and all others": alone,
    "primary heard, hearing nobody": deaf,
    "manager and all others": manager,
}


class Clients:
    """Writers and readers of every member; `stood_still` tells what they saw."""

    def __init__(self, grid: CutGrid) -> None:
        self._grid = grid
        self._answered: dict[str, list[float]] = {"SET": [], "GET": []}
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(name, words), daemon=True)
            for name in grid.names
            for words in (("SET", "key", "value"), ("GET", "key"))
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, name: str, words: tuple[str, ...]) -> None:
        answered = self._answered[words[0]]
        with self._grid.client(name, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S) as client:
            while not self._ending.wait(PAUSE_S):
                try:
                    client.execute_command(*words)
                except RedisError:
                    continue
                answered.append(time.monotonic())

    def stood_still_ms(self, command: str, start: float, end: float) -> float:
        """The longest time without an answer."""
        moments = [start, *sorted(moment for moment in self._answered[command] if start < moment < end), end]
        return max(after - before for before, after in pairwise(moments)) * 1000

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()


def measure(grid: CutGrid, cut: Cut) -> tuple[float, float, float]:
    """Milliseconds without writes and without reads, and seconds from the healing until all are in sync."""
    primary = grid.wait_whole()
    backup = next(name for name in grid.names if name != primary)
    clients = Clients(grid)
    time.sleep(1)
    start = time.monotonic()
    cut(grid, primary, backup)
    time.sleep(HELD_S)
    end = time.monotonic()
    grid.heal()
    grid.wait_whole()
    back_s = time.monotonic() - end
    clients.stop()
    return clients.stood_still_ms("SET", start, end), clients.stood_still_ms("GET", start, end), back_s


def cuts(rounds: int, chosen: Sequence[str]) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {what: [] for what in chosen}
    with tempfile.TemporaryDirectory() as folder, CutGrid(Path(folder)) as grid:
        grid.start()
        for _ in range(rounds):
            for what in chosen:
                found[what].append(measure(grid, CUTS[what]))
    print(
        "| cut | ms without writes: median, most | without reads | s until all are in sync again |\n|---|---|---|---|"
    )
    for what, rows in found.items():
        writes, reads, back = zip(*rows, strict=True)
        print(
            f"| {what} | {statistics.median(writes):.0f}, {max(writes):.0f} | {statistics.median(reads):.0f}, "
            f"{max(reads):.0f} | {statistics.median(back):.1f}, {max(back):.1f} |",
            flush=True,
        )


def fill(megabits: float, megabytes: float) -> float | None:
    """Seconds until an empty backup is in sync; None if it was not within the limit."""
    with tempfile.TemporaryDirectory() as folder, CutGrid(Path(folder)) as grid:
        grid.start()
        primary = grid.wait_whole()
        backup = next(name for name in grid.names if name != primary)
        grid.kill(backup)
        grid.wait_whole(copies=1)
        with grid.client(primary) as client:
            for number in range(round(megabytes * 1e6 / len(CHUNK))):
                client.set(f"key:{number}", CHUNK)
        for name in grid.names:
            grid.slow_down(name, megabits)
        start = time.monotonic()
        grid.start_member(backup)
        while grid.whole() is None:
            if time.monotonic() - start > FILLED_LIMIT_S:
                return None
            time.sleep(0.1)
        return time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(CUTS))
    parser.add_argument("--megabits", type=float, nargs="*", default=[0.25, 0.5, 1])
    parser.add_argument("--megabytes", type=float, default=2)
    args = parser.parse_args()
    reason = cut_grid.cannot()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    if args.rounds:
        cuts(args.rounds, [args.only] if args.only else list(CUTS))
    for megabits in args.megabits:
        took_s = fill(megabits, args.megabytes)
        told = f"in sync after {took_s:.0f} s" if took_s is not None else f"not in sync after {FILLED_LIMIT_S:.0f} s"
        print(f"{args.megabytes:g} MB over {megabits:g} Mbit/s: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
