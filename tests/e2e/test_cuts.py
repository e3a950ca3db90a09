"""Cuts of the network: in one direction, where connections stay up and say nothing, and for longer than connections bear."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import cut_grid
from tests.e2e.cut_grid import SECRET, CutGrid
from tests.integration.member_processes import wait_until

import kubegrid

reason = cut_grid.cannot()
if reason:
    pytest.skip(reason, allow_module_level=True)


class Counter(threading.Thread):
    """Increments one counter through our client, which sends again what was not answered and is counted once."""

    def __init__(self, grid: CutGrid) -> None:
        super().__init__(daemon=True)
        places = ",".join(f"{grid.host(name)}:{grid.ports[name][0]}" for name in grid.names)
        self.client = kubegrid.connect(places, password=SECRET, timeout=60)
        self.answers: list[int] = []
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            self.answers.append(self.client.incr("counter"))

    def goes_on(self) -> None:
        """Wait for what was begun after this call."""
        done = len(self.answers)
        wait_until(lambda: len(self.answers) > done + 1, what="increments")

    def finish(self) -> list[int]:
        self._ending.set()
        self.join(90)
        assert not self.is_alive()
        return self.answers


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[CutGrid]:
    with CutGrid(tmp_path, copies=2) as grid:
        grid.start()
        yield grid


def test_whoever_is_cut_off_somebody_serves_and_all_are_back_when_it_has_healed(grid: CutGrid) -> None:
    counter = Counter(grid)
    counter.start()
    counter.goes_on()
    # The primary is heard, also by the manager, and hears nobody.
    first = grid.wait_whole()
    second = next(name for name in grid.names if name != first)
    grid.cut("m0", first)
    grid.cut(second, first)
    assert grid.wait_primary(other_than=first) == second
    counter.goes_on()
    grid.heal()
    grid.wait_whole()
    # Nobody hears a backup, nor it anybody, until both sides have given up the connection.
    lost = {name: grid.log(name).count("peer disconnected") for name in grid.names}
    grid.isolate(first)
    wait_until(
        lambda: all(grid.log(name).count("peer disconnected") > lost[name] for name in grid.names),
        what="connections given up",
    )
    counter.goes_on()
    grid.heal()
    grid.wait_whole()
    # And a primary.
    grid.isolate(second)
    assert grid.wait_primary(other_than=second) == first
    counter.goes_on()
    grid.heal()
    grid.wait_whole()
    answers = counter.finish()
    assert answers == list(range(1, len(answers) + 1))


def test_what_a_cut_costs_is_measured() -> None:
    words = [
        "bench.cuts",
        "--rounds",
        "1",
        "--only",
        "primary and all others",
        "--megabits",
        "20",
        "--megabytes",
        "0.1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert re.search(r"^\| primary and all others \| [1-9]\d*, \d+ \| \d+, \d+ \|", done.stdout, re.MULTILINE), (
        done.stderr
    )
    assert re.search(r"^0.1 MB over 20 Mbit/s: in sync after \d+ s$", done.stdout, re.MULTILINE)
