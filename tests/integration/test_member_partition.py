"""One partition of real processes with a real manager: copies, failover, hand-over, and members that were away."""

import json
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.cluster import RedisCluster
from tests.integration.half_wire import HalfWire
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until

OUTAGE_MAX_S = 10
"""About one, on a machine that has the time; that is for `bench.failover`."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path, copies=2) as grid:
        yield grid.start()


@pytest.fixture
def patient_pair(tmp_path: Path) -> Iterator[GridProcesses]:
    """Where a failover that nobody caused would be the end of the test."""
    with grid_processes(tmp_path, copies=2, replication=PATIENT) as grid:
        yield grid.start()


class Writer(threading.Thread):
    """Writes counting values through an unmodified cluster client and remembers what was acknowledged."""

    def __init__(self, grid: GridProcesses, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.acknowledged: dict[str, int] = {}
        self.failed: list[str] = []
        self.longest_s = 0.0
        self._client = RedisCluster(
            startup_nodes=[redis.cluster.ClusterNode("127.0.0.1", grid.ports[name][0]) for name in grid.members()],
            socket_timeout=10,
        )
        self._ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            key = f"{self.name}:{number % 500}"
            begun = time.monotonic()
            try:
                self._client.set(key, number)
                self.acknowledged[key] = number
            except redis.RedisError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            self.longest_s = max(self.longest_s, time.monotonic() - begun)

    def finish(self) -> "Writer":
        self._ending.set()
        self.join(30)
        assert not self.is_alive()
        return self

    def lost(self) -> list[str]:
        """Keys whose acknowledged value is gone. A later one is fine: its outcome was unknown."""
        found = {key: self._client.get(key) for key in self.acknowledged}
        return [key for key, value in self.acknowledged.items() if int(found[key] or -1) < value]


def writers(grid: GridProcesses, count: int = 2) -> list[Writer]:
    made = [Writer(grid, f"w{number}") for number in range(count)]
    for writer in made:
        writer.start()
    return made


def keys_of(grid: GridProcesses, name: str) -> dict[bytes, object]:
    """What a member holds, read on the member itself."""
    client = grid.client(name)
    client.execute_command("READONLY")
    keys: set[bytes] = set()
    cursor = 0
    while True:
        cursor, found = client.execute_command("SCAN", cursor, "COUNT", 1000)
        keys.update(found)
        cursor = int(cursor)
        if not cursor:
            break
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command("READONLY")  # a pipeline takes a connection of its own
    for key in sorted(keys):
        if key.startswith(b"hash:"):
            pipeline.hgetall(key)
        else:
            pipeline.get(key)
    return dict(zip(sorted(keys), pipeline.execute()[1:], strict=True))


def raise_if_error(answer: object) -> None:
    if isinstance(answer, Exception):
        raise answer


def equal_copies(grid: GridProcesses, members: list[str]) -> bool:
    first, *others = [keys_of(grid, name) for name in members]
    return all(other == first for other in others)


def test_writes_reach_the_backup_and_can_be_read_there(patient_pair: GridProcesses) -> None:
    pair = patient_pair
    primary = pair.wait_whole()
    backup = next(name for name in pair.members() if name != primary)
    client = pair.client(primary)
    pipeline = client.pipeline(transaction=False)
    for number in range(2000):
        pipeline.set(f"key:{number}", f"value:{number}")
        pipeline.hset(f"hash:{number % 10}", f"field:{number}", number)
    assert all(answer in (True, 1, 0) for answer in pipeline.execute())
    with pytest.raises(redis.exceptions.MovedError):
        pair.client(backup).get("key:7")
    wait_until(lambda: equal_copies(pair, pair.members()), what="equal copies")
    assert len(keys_of(pair, backup)) == 2010
    for name in pair.members():
        assert pair.get(name, "/readyz")[0] == 200
        assert pair.get(name, "/livez")[0] == 200
    metrics = pair.get(primary, "/metrics")[1].decode()
    assert 'kubegrid_operations_total{command="set"} 2000.0' in metrics
    assert "kubegrid_in_sync_members 2.0" in metrics


def test_a_killed_primary_is_replaced_and_comes_back_as_a_copy(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    written = writers(pair)
    time.sleep(1)
    killed = time.monotonic()
    pair.kill(primary)
    pair.wait_primary(other_than=primary)
    assert time.monotonic() - killed < OUTAGE_MAX_S
    pair.start_member(primary)
    pair.wait_whole()
    time.sleep(0.5)
    for writer in written:
        writer.finish()
        assert writer.lost() == []
    wait_until(lambda: equal_copies(pair, pair.members()), what="equal copies")


def test_a_member_joins_by_snapshot_while_others_write(tmp_path: Path) -> None:
    with grid_processes(tmp_path, copies=2, replication=PATIENT) as grid:
        grid.start_manager()
        grid.start_member("p0-0")
        grid.wait_whole(copies=1)
        client = grid.client("p0-0")
        for start in range(0, 50_000, 5000):
            pipeline = client.pipeline(transaction=False)
            for number in range(start, start + 5000):
                pipeline.set(f"old:{number}", b"x" * 100)
            pipeline.execute()
        written = writers(grid)
        grid.start_member("p0-1")
        grid.wait_whole(copies=2)
        time.sleep(0.5)
        for writer in written:
            writer.finish()
            assert writer.failed == []
            assert writer.lost() == []
        wait_until(lambda: equal_copies(grid, grid.members()), what="equal copies")
        assert len(keys_of(grid, "p0-1")) == 50_000 + sum(len(writer.acknowledged) for writer in written)


def test_sigterm_hands_over_without_a_failed_request(patient_pair: GridProcesses) -> None:
    pair = patient_pair
    primary = pair.wait_whole()
    written = writers(pair)
    time.sleep(0.5)
    pair.signal(primary, signal.SIGTERM)
    assert pair.processes[primary].wait(60) == 0
    time.sleep(0.5)
    pair.wait_primary(other_than=primary)
    for writer in written:
        writer.finish()
        assert writer.failed == []
        assert writer.lost() == []


def test_a_hand_over_that_a_person_asks_for(patient_pair: GridProcesses) -> None:
    pair = patient_pair
    primary = pair.wait_whole()
    backup = next(name for name in pair.members() if name != primary)
    assert pair.get(backup, f"/v1/hand-over?to={primary}", "POST")[0] == 409
    assert pair.get(primary, "/v1/hand-over?to=nobody", "POST")[0] == 409
    written = writers(pair)
    time.sleep(0.3)
    assert pair.get(primary, f"/v1/hand-over?to={backup}", "POST")[0] == 202
    wait_until(lambda: pair.whole() == backup, what="the backup serves")
    for writer in written:
        writer.finish()
        assert writer.failed == []
        assert writer.lost() == []


def test_a_primary_that_was_stopped_never_answers_from_its_old_state(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    client = pair.client(primary)
    client.set("key", "old")
    pair.signal(primary, signal.SIGSTOP)
    backup = next(name for name in pair.members() if name != primary)
    wait_until(lambda: (pair.describe(backup) or {}).get("open"), what="the backup serves")
    pair.client(backup).set("key", "new")
    # A request that reaches the stopped member waits in its socket, and is the first thing it reads.
    connection = client.connection
    assert connection is not None
    connection.send_command("GET", "key")
    pair.signal(primary, signal.SIGCONT)
    with pytest.raises((redis.exceptions.MovedError, redis.exceptions.ClusterDownError, redis.ConnectionError)):
        raise_if_error(connection.read_response())
    pair.wait_whole()
    assert pair.client(backup).get("key") == b"new"
    wait_until(lambda: equal_copies(pair, pair.members()), what="equal copies")


def test_all_members_stopped_together_serve_again_and_lose_nothing(pair: GridProcesses) -> None:
    client = pair.client(pair.wait_whole())
    for number in range(100):
        client.set(f"key:{number}", number)
    for name in pair.members():
        pair.signal(name, signal.SIGSTOP)
    time.sleep(3)
    for name in pair.members():
        pair.signal(name, signal.SIGCONT)
    primary = pair.wait_primary()
    assert [int(pair.client(primary).get(f"key:{number}") or -1) for number in range(100)] == list(range(100))
    pair.wait_whole()


def test_the_data_go_on_while_the_manager_is_dead(patient_pair: GridProcesses) -> None:
    pair = patient_pair
    primary = pair.wait_whole()
    pair.kill("m0")
    client = pair.client(primary)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert client.set("key", "value")
    wait_until(lambda: (pair.describe(primary) or {}).get("managers_connected") is False, what="the manager's end")
    pair.start_manager()
    wait_until(lambda: (pair.describe(primary) or {}).get("managers_connected"), what="the manager is back")
    assert pair.wait_whole() == primary


def in_sync_by_record(grid: GridProcesses, name: str) -> bool:
    described = grid.describe(name)
    return bool(described and described["role"] == "backup" and described["configuration_version"] is not None)


def test_a_member_that_does_not_hear_the_manager_changes_nothing_there(tmp_path: Path) -> None:
    """What it sends gets there: a swap would apply, and the partition would have a primary that never learns of it.
    Without the version of the record, which only the manager tells, it would not even try."""
    with grid_processes(tmp_path, copies=2, replication=PATIENT) as grid:
        wire = HalfWire(grid.manager_port)
        try:
            grid.start_manager()
            grid.start_member("p0-0")
            grid.start_member("p0-1", managers=[f"127.0.0.1:{wire.port}"])
            assert grid.wait_whole() == "p0-0"
            grid.client("p0-0").set("a", "1")
            wait_until(lambda: in_sync_by_record(grid, "p0-1"), what="the backup's look at the record")
            wire.mute = True
            grid.kill("p0-0")
            wait_until(lambda: "outcome=UNKNOWN" in grid.log("p0-1"), what="a swap without an answer")
            status = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{grid.manager_http}/v1/status").read())
            assert status["partitions"][0]["primary"] == "p0-0"
            wire.mend()
            assert grid.wait_primary() == "p0-1"
            assert grid.client("p0-1").get("a") == b"1"
        finally:
            wire.close()


def test_a_write_that_is_not_confirmed_in_time_ends_its_connection_and_new_ones_are_refused_at_once(
    pair: GridProcesses,
) -> None:
    primary = pair.wait_whole()
    backup = next(name for name in pair.members() if name != primary)
    waiting = pair.client(primary, socket_timeout=60)
    waiting.set("key", "before")
    pair.kill("m0")
    pair.signal(backup, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(redis.ConnectionError):
        waiting.set("key", "after")
    assert 4.5 < time.monotonic() - begun < 30
    begun = time.monotonic()
    with pytest.raises(redis.exceptions.ClusterDownError):
        pair.client(primary).get("key")
    assert time.monotonic() - begun < 3
    assert pair.get(primary, "/readyz")[0] == 503
    assert pair.get(primary, "/livez")[0] == 200
    pair.signal(backup, signal.SIGCONT)
    pair.start_manager()
    serving = pair.wait_whole()
    assert pair.client(serving).get("key") in (b"before", b"after")


def test_three_copies_survive_two_failures_in_turn(tmp_path: Path) -> None:
    with grid_processes(tmp_path, copies=3) as grid:
        grid.start()
        written = writers(grid)
        time.sleep(0.5)
        first = grid.wait_whole()
        grid.kill(first)
        grid.wait_primary(other_than=first)
        second = grid.wait_whole(copies=2)
        grid.kill(second)
        third = next(name for name in grid.members() if name not in (first, second))
        wait_until(lambda: grid.primary() == third, what="the third serves")
        time.sleep(0.3)
        for writer in written:
            writer.finish()
            assert writer.lost() == []


def test_a_lone_member_waits_for_a_successor_until_it_is_told_a_second_time(tmp_path: Path) -> None:
    with grid_processes(tmp_path, copies=1) as grid:
        client = grid.start().client("p0-0")
        grid.signal("p0-0", signal.SIGTERM)
        wait_until(lambda: "told to end" in grid.log("p0-0"), what="the signal arrived")
        assert client.set("key", "value")
        grid.signal("p0-0", signal.SIGTERM)
        assert grid.processes["p0-0"].wait(60) == 0


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with grid_processes(tmp_path, copies=1) as grid:
        grid.start()
        grid.start_member("p0-0", state_dir=str(tmp_path / "second"))
        assert grid.processes["p0-0"].wait(60) == 1
        # The other process of this name writes to the same log.
        (told,) = [line for line in grid.log("p0-0").splitlines() if line.startswith("kubegrid node: ")]
        assert "in use" in told


def test_filled_to_the_brim_it_refuses_writes_answers_reads_and_stays_inside_its_memory(tmp_path: Path) -> None:
    memory_bytes = 128 * 2**20
    with grid_processes(tmp_path, copies=2, memory_bytes=memory_bytes, replication=PATIENT) as grid:
        grid.start()
        primary = grid.wait_whole()
        client = grid.client(primary)
        written = 0
        refused = 0
        while not refused:
            pipeline = client.pipeline(transaction=False)
            for number in range(written, written + 2000):
                pipeline.set(f"key:{number}", b"x" * 500)
            answers = pipeline.execute(raise_on_error=False)
            written += sum(answer is True for answer in answers)
            refused = sum(answer is not True for answer in answers)
            assert written < 250_000
        assert all(isinstance(answer, redis.exceptions.OutOfMemoryError) for answer in answers if answer is not True)
        for name in grid.members():
            described = grid.describe(name)
            assert described is not None
            assert described["rss_bytes"] < memory_bytes
        assert client.get("key:0") == b"x" * 500
        for start in range(0, written // 2, 1000):
            pipeline = client.pipeline(transaction=False)
            for number in range(start, start + 1000):
                pipeline.delete(f"key:{number}")
            assert sum(pipeline.execute()) == 1000
        wait_until(lambda: try_set(client), what="room again")
        assert grid.wait_whole() == primary


def try_set(client: "redis.Redis[bytes]") -> bool:
    try:
        return bool(client.set("again", b"x" * 500))
    except redis.exceptions.OutOfMemoryError:
        return False
