"""Reads with a bound on staleness: a backup answers them when it is sure, and the primary otherwise."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until

from kubegrid import client
from kubegrid.base.errors import UsageError

PRICES = {"columns": [{"name": "symbol", "type": "VARCHAR"}, {"name": "price", "type": "DOUBLE"}]}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    folder: Path = tmp_path_factory.mktemp("grid")
    with grid_processes(folder, partitions=1, copies=2, replication=PATIENT) as processes:
        yield processes.start()


def reads_of(grid: GridProcesses, name: str) -> int:
    """How many KG.READs a member has executed."""
    with grid.client(name) as member:
        text: Any = member.execute_command("INFO", "commandstats")
    stats = text if isinstance(text, dict) else {}
    found = stats.get("cmdstat_kg.read", {})
    return int(found.get("calls", 0)) if isinstance(found, dict) else 0


def test_a_backup_that_is_fresh_enough_answers(grid: GridProcesses) -> None:
    with client.connect(f"127.0.0.1:{grid.ports['p0-0'][0]}") as kubegrid:
        prices = kubegrid.table(PRICES, name="prices", key="symbol")
        prices.write({"symbol": "EURUSD", "price": 1.1})
        primary = grid.wait_primary()
        backup = next(name for name in grid.names if name != primary)

        def by_the_backup() -> bool:
            before = reads_of(grid, backup)
            assert prices.read("EURUSD", max_staleness_ms=5000) in ({"symbol": "EURUSD", "price": 1.1}, None)
            return reads_of(grid, backup) > before

        wait_until(by_the_backup, what="a read answered by the backup")


def test_a_bound_that_no_backup_can_promise_is_answered_by_the_primary(grid: GridProcesses) -> None:
    with client.connect(f"127.0.0.1:{grid.ports['p0-0'][0]}") as kubegrid:
        prices = kubegrid.table(PRICES, name="prices", key="symbol")
        for number in range(20):
            prices.write({"symbol": "EURUSD", "price": float(number)})
            found = prices.read("EURUSD", max_staleness_ms=0)
            assert found is not None
            assert found["price"] == number


def test_what_was_acknowledged_longer_ago_than_the_bound_is_never_missing(grid: GridProcesses) -> None:
    with client.connect(f"127.0.0.1:{grid.ports['p0-0'][0]}") as kubegrid:
        prices = kubegrid.table(PRICES, name="prices", key="symbol")
        acknowledged: list[float] = []
        until = time.monotonic() + 2
        while time.monotonic() < until:
            prices.write({"symbol": "GBPUSD", "price": float(len(acknowledged))})
            acknowledged.append(time.monotonic())
            asked = time.monotonic()
            found = prices.read("GBPUSD", max_staleness_ms=200)
            old_enough = [number for number, at in enumerate(acknowledged) if at <= asked - 0.2]
            if old_enough:
                assert found is not None
                assert found["price"] >= old_enough[-1]


def test_a_backup_that_does_not_answer_is_passed_over(grid: GridProcesses) -> None:
    with client.connect(f"127.0.0.1:{grid.ports['p0-0'][0]}") as kubegrid:
        prices = kubegrid.table(PRICES, name="prices", key="symbol")
        prices.write({"symbol": "EURUSD", "price": 7.0})
        primary = grid.wait_primary()
        backup = next(name for name in grid.names if name != primary)
        grid.signal(backup, signal.SIGSTOP)
        try:
            assert prices.read("EURUSD", max_staleness_ms=60_000) == {"symbol": "EURUSD", "price": 7.0}
        finally:
            grid.signal(backup, signal.SIGCONT)
        grid.wait_whole()


async def test_the_async_client_does_the_same(grid: GridProcesses) -> None:
    async with await client.connect_async(f"127.0.0.1:{grid.ports['p0-0'][0]}") as kubegrid:
        prices = await kubegrid.table(PRICES, name="prices", key="symbol")
        await prices.write({"symbol": "EURUSD", "price": 8.0})
        assert await prices.read("EURUSD", max_staleness_ms=0) == {"symbol": "EURUSD", "price": 8.0}
        assert await prices.read("EURUSD", max_staleness_ms=5000) is not None


def test_a_bound_that_is_none_is_wrong_usage(grid: GridProcesses) -> None:
    with client.connect(f"127.0.0.1:{grid.ports['p0-0'][0]}") as kubegrid:
        prices = kubegrid.table(PRICES, name="prices", key="symbol")
        with pytest.raises(UsageError, match="max_staleness_ms"):
            prices.read("EURUSD", max_staleness_ms=-1)
