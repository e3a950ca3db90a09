"""What a backup shows of what its primary does by itself or in a hurry: expiry, and scanning while keys change."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until

STEADY = 3000
"""Keys that are there all the time."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("backups"), copies=2, replication=PATIENT) as grid:
        yield grid.start()


def backup_of(pair: GridProcesses) -> "redis.Redis[bytes]":
    primary = pair.wait_whole()
    client = pair.client(next(name for name in pair.members() if name != primary))
    client.execute_command("READONLY")
    return client


def test_what_expired_leaves_a_backup_without_being_asked_for(pair: GridProcesses) -> None:
    primary, backup = pair.client(pair.wait_whole()), backup_of(pair)
    primary.flushall()
    pipeline = primary.pipeline(transaction=False)
    for number in range(300):
        pipeline.set(f"string:{number}", "v", px=600_000)
        pipeline.hset(f"hash:{number}", "f", "v")
        pipeline.pexpire(f"hash:{number}", 600_000)
    pipeline.execute()
    wait_until(lambda: backup.dbsize() == 600, what="the keys on the backup")
    assert 0 < backup.pttl("string:7") <= 600_000
    assert backup.info("keyspace")["db0"]["expires"] == 600
    for number in range(300):
        pipeline.pexpire(f"string:{number}", 200)
        pipeline.pexpire(f"hash:{number}", 200)
    pipeline.execute()
    wait_until(lambda: backup.dbsize() == 0, what="the end of the keys on the backup")
    assert backup.info("keyspace") == {}
    assert primary.info("stats")["expired_keys"] >= 600
    assert backup.info("stats")["expired_keys"] == 0  # the primary alone decides


class Changing(threading.Thread):
    """Adds and deletes other keys until told to stop, so that every slot's dictionary grows and shrinks."""

    def __init__(self, client: "redis.Redis[bytes]") -> None:
        super().__init__(daemon=True)
        self.client = client
        self.ending = threading.Event()
        self.rounds = 0

    def run(self) -> None:
        while not self.ending.is_set():
            names = [f"passing:{self.rounds}:{number}" for number in range(500)]
            pipeline = self.client.pipeline(transaction=False)
            for name in names:
                pipeline.set(name, "v")
            for name in names[::2] if self.rounds % 2 else names:
                pipeline.delete(name)
            pipeline.execute()
            self.rounds += 1


def scanned(client: "redis.Redis[bytes]", **options: Any) -> list[bytes]:
    found: list[bytes] = []
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, **options)
        found += keys
        if cursor == 0:
            return found


@pytest.mark.parametrize("who", ["primary", "backup"])
def test_a_scan_finds_what_is_there_all_the_time_whatever_comes_and_goes(pair: GridProcesses, who: str) -> None:
    primary, backup = pair.client(pair.wait_whole()), backup_of(pair)
    primary.flushall()
    pipeline = primary.pipeline(transaction=False)
    for number in range(STEADY):
        pipeline.set(f"steady:{number}", "v")
    pipeline.execute()
    changing = Changing(pair.client(pair.wait_whole(), socket_timeout=30))
    changing.start()
    try:
        wait_until(lambda: changing.rounds > 2 and backup.dbsize() >= STEADY, what="changes")
        client = primary if who == "primary" else backup
        for options in ({"count": 40}, {"count": 500, "match": "steady:*"}, {"count": 100, "_type": "string"}):
            steady = [key for key in scanned(client, **options) if key.startswith(b"steady:")]
            assert len(set(steady)) == STEADY
    finally:
        changing.ending.set()
        changing.join(30)
