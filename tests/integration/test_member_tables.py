"""Tables in a real grid: made on any member, in force everywhere, across failovers and without a manager."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until

FLIGHTS = json.dumps({"columns": [{"name": "id", "type": "INTEGER"}, {"name": "n", "type": "INTEGER"}], "key": ["id"]})
FIRST = "{a}"
"""Of slot 15495: partition 1 of two; `{b}` is in partition 0."""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("tables"), partitions=2, replication=PATIENT) as started:
        yield started.start()


def ask(grid: GridProcesses, name: str, *words: Any) -> Any:
    connection = grid.client(name)
    try:
        return connection.execute_command(*words)
    finally:
        connection.close()


def tables(grid: GridProcesses, name: str) -> list[bytes]:
    return ask(grid, name, "KG.TABLES")


def test_a_table_made_on_a_backup_is_in_force_on_every_primary_when_that_is_answered(grid: GridProcesses) -> None:
    primary = grid.wait_whole(1)
    backup = next(name for name in grid.members(1) if name != primary)
    assert ask(grid, backup, "KG.CREATE", "made", FLIGHTS) == b"OK"
    for partition in range(2):
        assert b"made" in tables(grid, grid.wait_primary(partition))
    for name in grid.names:
        wait_until(lambda name=name: b"made" in tables(grid, name), what=f"the table on {name}")
    assert ask(grid, backup, "KG.CREATE", "made", FLIGHTS) == b"OK"
    other = FLIGHTS.replace('"n"', '"m"')
    with pytest.raises(redis.ResponseError, match="TABLECONFLICT table made exists with another definition"):
        ask(grid, backup, "KG.CREATE", "made", other)
    with pytest.raises(redis.ResponseError, match="BADDEFINITION"):
        ask(grid, backup, "KG.CREATE", "bad", FLIGHTS.replace("INTEGER", "INTEGRE"))


def test_dropping_a_table_that_is_being_written_is_safe(grid: GridProcesses) -> None:
    primaries = [grid.wait_whole(0), grid.wait_whole(1)]
    assert ask(grid, primaries[0], "KG.CREATE", "busy", FLIGHTS) == b"OK"
    ended = threading.Event()
    said: list[str] = []

    def write(name: str) -> None:
        connection = grid.client(name)
        number = 0
        while not ended.is_set():
            number += 1
            try:
                connection.execute_command("JSON.SET", f"busy:{number}", "$", json.dumps({"id": number, "n": 1}))
            except redis.ResponseError as error:
                if not str(error).startswith("MOVED"):
                    said.append(str(error))
        connection.close()

    writers = [threading.Thread(target=write, args=(name,)) for name in primaries]
    for writer in writers:
        writer.start()
    time.sleep(0.3)
    assert ask(grid, primaries[0], "KG.DROP", "busy") == b"OK"
    refused = len(said)
    wait_until(lambda: len(said) > refused, what="writers that are refused")
    ended.set()
    for writer in writers:
        writer.join()
    assert ask(grid, primaries[0], "KG.CREATE", "busy", FLIGHTS) == b"OK", "another one, with another number"
    for partition, name in enumerate(primaries):
        wait_until(lambda name=name: ask(grid, name, "DBSIZE") == 0, what=f"partition {partition} without leftovers")
        grid.wait_whole(partition)


def test_after_a_failover_the_new_primary_knows_every_table(grid: GridProcesses) -> None:
    old = grid.wait_whole(0)
    assert ask(grid, old, "KG.CREATE", "early", FLIGHTS) == b"OK"
    grid.kill(old)
    new = grid.wait_primary(0, other_than=old)
    assert b"early" in tables(grid, new)
    code, _ = told(grid, "POST", "/v1/members/dead", {"name": old, "incarnation": incarnation(grid, old)})
    assert code == 200
    assert ask(grid, new, "KG.CREATE", "late", FLIGHTS) == b"OK"
    grid.start_member(old)
    grid.wait_whole(0)
    wait_until(lambda: {b"early", b"late"} <= set(tables(grid, old)), what="the tables on who returned")


def test_without_a_manager_a_change_is_refused_at_once_and_tables_stay(grid: GridProcesses) -> None:
    primary = grid.wait_whole(1)
    assert ask(grid, primary, "KG.CREATE", "kept", FLIGHTS) == b"OK"
    grid.kill("m0")
    wait_until(
        lambda: (grid.describe(primary) or {}).get("managers_connected") is False, what="the loss of the manager"
    )
    begun = time.monotonic()
    with pytest.raises(redis.ResponseError, match="NOMANAGER nothing was changed"):
        ask(grid, primary, "KG.CREATE", "other", FLIGHTS)
    assert time.monotonic() - begun < 3
    assert b"kept" in tables(grid, primary)
    grid.start_manager()
    wait_until(lambda: (grid.describe(primary) or {}).get("managers_connected"), what="the manager's return")
    assert ask(grid, primary, "KG.CREATE", "other", FLIGHTS) == b"OK"


def test_a_manager_that_hangs_leaves_the_outcome_open_within_seconds(grid: GridProcesses) -> None:
    primary = grid.wait_whole(1)
    grid.signal("m0", signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with pytest.raises(redis.ResponseError, match="INDOUBT"):
            ask(grid, primary, "KG.CREATE", "doubtful", FLIGHTS)
        assert time.monotonic() - begun < 9.0
    finally:
        grid.signal("m0", signal.SIGCONT)
    wait_until(lambda: (grid.describe(primary) or {}).get("managers_connected"), what="a new link to the manager")
    assert ask(grid, primary, "KG.CREATE", "doubtful", FLIGHTS) == b"OK", "the same once more"


def told(grid: GridProcesses, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = httpx.request(method, f"http://127.0.0.1:{grid.manager_http}{path}", json=body, timeout=10)
    return answer.status_code, answer.json()


def incarnation(grid: GridProcesses, name: str) -> str:
    return (grid.folder / name / "incarnation").read_text()


def test_a_coordinator_that_lost_its_data_gets_the_tables_back_from_the_members(tmp_path: Path) -> None:
    with grid_processes(tmp_path, partitions=1, copies=1) as grid:
        grid.start()
        assert ask(grid, "p0-0", "KG.CREATE", "flights", FLIGHTS) == b"OK"
        grid.kill("m0")
        for path in (tmp_path / "m0").glob("coordinator.db*"):
            path.unlink()
        grid.start_manager()

        def rebuilt() -> Any:
            try:
                code, answer = told(grid, "POST", "/v1/rebuild", {})
            except httpx.TransportError:
                return None
            return answer if code == 200 else None

        assert wait_until(rebuilt, what="the rebuild")["tables"]["count"] == 1
        assert ask(grid, "p0-0", "KG.ALTER", "flights", "ADD", "COLUMN", '{"name": "day", "type": "DATE"}') == b"OK"
        assert len(json.loads(ask(grid, "p0-0", "KG.DESCRIBE", "flights"))["columns"]) == 3
