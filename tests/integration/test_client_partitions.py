"""Tables of a grid of several partitions through the client: every partition is asked, and one may lose its primary."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes

from kubegrid import client
from kubegrid.client import errors
from kubegrid.client.grid import Grid
from kubegrid.client.table import Table


@dataclass
class Order:
    customer: str
    id: int
    amount: int
    state: str = "open"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=2, copies=2, replication=PATIENT) as grid:
        yield grid.start()


@pytest.fixture
def grid(processes: GridProcesses) -> Iterator[Grid]:
    with client.connect(f"127.0.0.1:{processes.ports['p0-0'][0]}", timeout=30) as connected:
        yield connected


@pytest.fixture
def orders(grid: Grid) -> "Iterator[Table[Order]]":
    table = grid.table(Order, key=["customer", "id"], partition_by=["customer"], index=["state"])
    yield table
    table.drop()


def some(count: int) -> list[Order]:
    return [Order(f"c{number % 50}", number, number) for number in range(count)]


def test_records_of_all_partitions_are_written_read_found_and_removed(grid: Grid, orders: "Table[Order]") -> None:
    assert orders.write_many(some(3000)) == 3000
    keys = [(order.customer, order.id) for order in some(3000)]
    assert orders.read_many(keys) == some(3000)
    assert orders.count() == 3000
    assert orders.count("amount >= 2990") == 10
    assert sorted(order.id for order in orders.find("amount >= 2990")) == list(range(2990, 3000))
    assert len(orders.find(limit=7)) == 7
    assert orders.remove_many(keys[:100]) == 100
    assert orders.count() == 2900
    assert len(set(grid.scan(match="orders:*"))) == 2900


def test_a_take_looks_in_every_partition_and_waits_for_any(orders: "Table[Order]") -> None:
    orders.write_many(some(50))
    taken = [orders.take("state = 'open'") for _ in range(50)]
    assert sorted(order.id for order in taken if order is not None) == list(range(50))
    assert orders.take("state = 'open'") is None
    for customer in ("c1", "c2", "c3"):  # of both partitions
        writer = threading.Timer(0.1, orders.write, [Order(customer, 1, 1)])
        writer.start()
        assert orders.take("state = 'open'", timeout=20) == Order(customer, 1, 1)
        writer.join()


def test_keep_and_fail_are_told_for_each_record(orders: "Table[Order]") -> None:
    orders.write_many(some(10))
    assert orders.write_many([Order(o.customer, o.id, -1) for o in some(20)], on_duplicate="keep") == 10
    assert orders.count("amount = -1") == 10
    with pytest.raises(errors.PartlyDoneError) as raised:
        orders.write_many(some(30), on_duplicate="fail")
    assert raised.value.outcome.value in ("not done", "partly done")


def test_tables_are_whole_after_a_primary_was_killed_while_they_were_written(
    processes: GridProcesses, grid: Grid, orders: "Table[Order]"
) -> None:
    orders.write(Order("c1", 0, 0))
    with grid.transaction("c1") as t:
        t.execute("SET", "{c1}:commits", 0)
    killer = threading.Timer(0.3, lambda: processes.kill(processes.wait_whole(1)))
    killer.start()
    rounds = 0
    while killer.is_alive() or rounds < 20:
        assert orders.write_many([Order(o.customer, 1000 * rounds + o.id + 1, o.id) for o in some(500)]) == 500
        changed = orders.change(("c1", 0), increment={"amount": 1})
        assert changed is not None
        with grid.transaction("c1") as t:
            seen = t.read(orders, ("c1", 0))
            assert seen is not None
            t.change(orders, ("c1", 0), set={"state": f"round {rounds}"})
            t.execute("INCRBY", "{c1}:commits", 1)
        rounds += 1
    found = orders.read(("c1", 0))
    assert found == Order("c1", 0, rounds, f"round {rounds - 1}")
    assert grid.get("{c1}:commits") == b"%d" % rounds
    assert orders.count() == 1 + 500 * rounds
