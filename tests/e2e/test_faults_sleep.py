"""Everything stops at once and goes on later, as when a laptop's lid is closed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.live_grid import LiveGrid, live_grid

SERVING_AGAIN_S = 5.0


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("sleep")) as grid:
        yield grid


@contextlib.contextmanager
def asleep(grid: LiveGrid, seconds: float) -> Iterator[None]:
    """All processes of the grid SIGSTOPped; they go on when the block ends."""
    pids = [grid.pid(name) for name in ["supervisor", "m0", *grid.names()]]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("seconds", [1, 5, 30])
def test_a_grid_that_slept_serves_again_within_five_seconds_and_lost_nothing(grid: LiveGrid, seconds: float) -> None:
    grid.wait_whole()
    pids = [grid.pid(name) for name in grid.names()]
    with grid.writers(2) as writers:
        with asleep(grid, seconds):
            pass
        woken_at = time.monotonic()
        grid.wait_serving(SERVING_AGAIN_S)
        took = time.monotonic() - woken_at
        assert took <= SERVING_AGAIN_S
        grid.wait_whole()
    assert grid.lost(writers) == []
    assert [grid.pid(name) for name in grid.names()] == pids
    assert grid.status()["state"] == "serving"


def test_a_sleeping_manager_holds_up_nobody(grid: LiveGrid) -> None:
    grid.wait_whole()
    with grid.writers(2) as writers:
        pid = grid.signal("m0", signal.SIGSTOP)
        try:
            counts = [len(writer.acknowledged) for writer in writers]
            time.sleep(3)
            assert all(len(w.acknowledged) > n + 50 for w, n in zip(writers, counts, strict=True))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert all(end - start < 1 for writer in writers for gaps in writer.gaps.values() for start, end in gaps)
    assert grid.lost(writers) == []
    grid.wait_whole()


def test_a_grid_without_backups_sleeps_as_well(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1, backups=0) as grid, grid.raw("p0-0") as raw:
        assert raw.call("SET", "key", "value") == b"OK"
        with asleep(grid, 3):
            raw.send("GET", "key")
        assert raw.reply() == b"value"
        assert grid.partition()["epoch"] == 1
