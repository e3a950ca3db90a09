"""The client while members die, freeze and hand over: nothing of it reaches the application, and every write happens once."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.member_processes import GridProcesses, grid_processes, wait_until

from kubegrid import client
from kubegrid.client import errors


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path, partitions=1, copies=2) as processes:
        yield processes.start()


def address(grid: GridProcesses) -> str:
    return ",".join(f"127.0.0.1:{grid.ports[name][0]}" for name in grid.names)


class Incrementers:
    """Threads that increment one counter until they are told to stop, through one client."""

    def __init__(self, grid: client.Grid, threads: int) -> None:
        self.grid = grid
        self.counts = [0] * threads
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        try:
            while not self._stop.is_set():
                self.grid.incr("counter")
                self.counts[number] += 1
        except Exception as error:
            self.errors.append(error)

    def wait_for_more(self, count: int) -> None:
        """Until that many more increments were answered."""
        start = sum(self.counts)
        wait_until(lambda: self.errors or sum(self.counts) >= start + count, what="more increments")

    def stop(self) -> int:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]
        return sum(self.counts)


def test_increments_are_counted_once_each_while_primaries_are_killed(grid: GridProcesses) -> None:
    with client.connect(address(grid), timeout=30) as kubegrid:
        incrementers = Incrementers(kubegrid, threads=4)
        for _ in range(2):
            incrementers.wait_for_more(200)
            primary = grid.wait_whole()
            grid.kill(primary)
            incrementers.wait_for_more(200)
            grid.start_member(primary)
            grid.wait_whole()
        count = incrementers.stop()
        assert kubegrid.get("counter") == b"%d" % count


async def test_a_thousand_increments_in_flight_are_counted_once_each_when_the_primary_is_killed(
    grid: GridProcesses,
) -> None:
    async with await client.connect_async(address(grid), timeout=30) as kubegrid:
        done = 0
        killed = False
        for round_ in range(12):
            futures = [kubegrid.incr("counter") for _ in range(1000)]
            if round_ == 3:
                await asyncio.sleep(0.005)
                grid.kill(grid.wait_whole())
                killed = True
            answers = await asyncio.gather(*futures)
            done += len(answers)
            assert len(set(answers)) == 1000
        assert killed
        assert await kubegrid.get("counter") == b"%d" % done


def test_a_pipeline_that_is_on_its_way_when_the_primary_is_killed_is_applied_once(grid: GridProcesses) -> None:
    with client.connect(address(grid), timeout=30) as kubegrid:
        kubegrid.incr("counter")
        killer = threading.Timer(0.05, lambda: grid.kill(grid.wait_whole()))
        killer.start()
        rounds = 0
        while rounds < 5 or killer.is_alive():
            with kubegrid.pipeline() as pipe:
                answers = [pipe.incr("counter") for _ in range(1000)]
            rounds += 1
        assert answers[-1].result() == 1 + 1000 * rounds
        assert kubegrid.get("counter") == b"%d" % (1 + 1000 * rounds)


def test_a_frozen_primary_is_left_for_its_successor(grid: GridProcesses) -> None:
    with client.connect(address(grid), silence=1.0) as kubegrid:
        kubegrid.incr("counter")
        primary = grid.wait_whole()
        grid.signal(primary, signal.SIGSTOP)
        try:
            assert kubegrid.incr("counter") == 2
            assert kubegrid.get("counter") == b"2"
        finally:
            grid.signal(primary, signal.SIGCONT)
        assert kubegrid.incr("counter") == 3


def test_a_hand_over_is_not_noticed(grid: GridProcesses) -> None:
    with client.connect(address(grid)) as kubegrid:
        incrementers = Incrementers(kubegrid, threads=2)
        incrementers.wait_for_more(100)
        grid.hand_over(grid.wait_whole())
        incrementers.wait_for_more(100)
        count = incrementers.stop()
        assert kubegrid.get("counter") == b"%d" % count


def test_without_a_primary_the_deadline_ends_a_request_that_says_so(grid: GridProcesses) -> None:
    with client.connect(address(grid)) as kubegrid:
        kubegrid.set("a", 1)
        for name in grid.names:
            grid.kill(name)
        with pytest.raises(errors.GridNotReachableError) as raised, client.deadline(0.5):
            kubegrid.get("a")
        assert len(raised.value.attempts) == 2
        assert "connection refused" in str(raised.value)


async def test_the_async_client_says_the_same(grid: GridProcesses) -> None:
    async with await client.connect_async(address(grid), timeout=0.6) as kubegrid:
        await kubegrid.set("a", 1)
        for name in grid.names:
            grid.kill(name)
        with pytest.raises(errors.ClientError, match=r"connection refused|closed the connection"):
            await kubegrid.get("a")
