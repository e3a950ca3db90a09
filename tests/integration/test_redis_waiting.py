"""Clients that wait, on real members: for records, through pauses, and over a hand-over, which they must not hold up."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until
from tests.unit.node.table_rows import JOBS, packed

TAKE = ("KG.TAKE", "jobs", "state = 'new'", "BLOCK")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("waiting"), copies=2, replication=PATIENT) as grid:
        grid.start()
        grid.client(grid.wait_whole()).execute_command("KG.CREATE", "jobs", json.dumps(JOBS))
        yield grid


class Asked(threading.Thread):
    """One request on a connection of its own; `answer` is what came, an error included."""

    def __init__(self, client: "redis.Redis[bytes]", *words: Any) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.client.ping()
        self.words = words
        self.answer: Any = None
        self.took_s = 0.0
        self.start()

    def run(self) -> None:
        begun = time.monotonic()
        try:
            self.answer = self.client.execute_command(*self.words)
        except redis.RedisError as error:
            self.answer = error
        self.took_s = time.monotonic() - begun

    def result(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        return self.answer


def put(grid: GridProcesses, name: str, state: str = "new") -> None:
    client = grid.client(grid.wait_primary())
    assert client.execute_command("KG.WRITE", "jobs", 0, "REPLACE", packed(name, state, 1))[1:] == [1, 0]


def waiting(grid: GridProcesses, count: int) -> None:
    """Until so many clients wait on the primary."""
    client = grid.client(grid.wait_primary())
    wait_until(lambda: client.info("clients")["blocked_clients"] == count, what=f"{count} waiting clients")


def test_waiting_clients_are_served_in_the_order_of_their_coming(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    takers = []
    for number in range(3):
        takers.append(Asked(pair.client(primary, socket_timeout=60), *TAKE, 0))
        waiting(pair, number + 1)
    metrics = pair.get(primary, "/metrics")[1].decode()
    assert "kubegrid_waiting_takers 3.0" in metrics and 'kubegrid_records{table="jobs"} 0.0' in metrics
    for name in ("a", "b", "c"):
        put(pair, name)
    assert [json.loads(taker.result())["id"] for taker in takers] == ["a", "b", "c"]
    assert pair.client(primary).execute_command("KG.COUNT", "jobs", "TRUE") == 0
    assert "kubegrid_records_taken_after_waiting_total 3.0" in pair.get(primary, "/metrics")[1].decode()


def test_the_time_ends_with_a_null_and_other_requests_of_the_client_wait_for_that(pair: GridProcesses) -> None:
    client = pair.client(pair.wait_whole())
    begun = time.monotonic()
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command(*TAKE, 100)
    pipeline.ping()
    assert pipeline.execute() == [None, True]
    assert 0.1 <= time.monotonic() - begun < 30


def test_another_client_ends_the_waiting_for_records_and_for_copies(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    admin = pair.client(primary)
    for request in ((*TAKE, 0), ("WAIT", 5, 0)):
        client = pair.client(primary, socket_timeout=60)
        number = client.client_id()
        asked = Asked(client, *request)
        waiting(pair, 1)
        assert admin.execute_command("CLIENT", "UNBLOCK", number, "ERROR") == 1
        assert str(asked.result()) == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
        asked = Asked(client, *request)
        waiting(pair, 1)
        assert admin.execute_command("CLIENT", "UNBLOCK", number) == 1
        assert asked.result() in (None, 1)


def test_a_table_searched_in_slices_ends_in_waiting(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    client = pair.client(primary)
    client.execute_command("KG.WRITE", "jobs", 0, "REPLACE", *[packed(f"s{n}", "done", 1) for n in range(5000)])
    taker = Asked(pair.client(primary, socket_timeout=60), "KG.TAKE", "jobs", "priority = 7", "BLOCK", 0)
    waiting(pair, 1)
    client.execute_command("KG.WRITE", "jobs", 0, "REPLACE", packed("lucky", "done", 7))
    assert json.loads(taker.result())["id"] == "lucky"


def test_a_pause_holds_everything_or_writes_only(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    client, other = pair.client(primary), pair.client(primary)
    other.set("k", "1")
    keys = other.dbsize()
    begun = time.monotonic()
    both = client.pipeline(transaction=False)  # the key's time is not over before the pause begins
    both.set("over", "v", px=100)
    both.execute_command("CLIENT", "PAUSE", 2000, "WRITE")
    both.execute()
    assert other.get("k") == b"1"
    read_s = time.monotonic() - begun
    wait_until(lambda: other.get("over") is None, what="the end of a key's time")
    assert other.dbsize() == keys + 1  # it is kept as long as the pause lasts
    assert other.incr("k") == 2
    assert read_s < 1.9 < time.monotonic() - begun
    wait_until(lambda: other.dbsize() == keys, what="the end of what expired during the pause")
    begun = time.monotonic()
    client.execute_command("CLIENT", "PAUSE", 300)
    assert other.get("k") == b"2"
    assert time.monotonic() - begun > 0.2
    client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    client.execute_command("CLIENT", "UNPAUSE")
    assert other.incr("k") == 3


def test_a_hand_over_is_not_held_up_and_ends_the_waiting_with_an_error(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    taker = Asked(pair.client(primary, socket_timeout=60), *TAKE, 0)
    waiting(pair, 1)
    successor = pair.hand_over(primary)
    assert str(taker.result()).startswith("UNBLOCKED ") or isinstance(taker.answer, redis.ConnectionError)
    assert taker.took_s < 20, "its time is endless"
    again = Asked(pair.client(successor, socket_timeout=60), *TAKE, 0)
    waiting(pair, 1)
    put(pair, "after")
    assert json.loads(again.result())["id"] == "after"


def test_a_numbered_write_is_known_to_the_new_primary(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    once = ("KG.ONCE", b"0123456789abcdef", 1, 0, "INCR", "counted")
    assert pair.client(primary).execute_command(*once) == 1
    successor = pair.hand_over(primary)
    assert pair.client(successor).execute_command(*once) == 1
    assert pair.client(successor).get("counted") == b"1"
