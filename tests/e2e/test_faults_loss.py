"""Primary and backup of a partition die at once: what was in them is gone, and the grid does not pretend otherwise."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[LiveGrid]:
    with live_grid(tmp_path, partitions=2, onLoss="wait") as grid:
        yield grid


def lose(grid: LiveGrid, number: int) -> None:
    """SIGKILL both copies, with nothing in between that could save one."""
    pids = [grid.pid(name) for name in grid.names() if name.startswith(f"p{number}-")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def fill(grid: LiveGrid, count: int = 200) -> dict[str, str]:
    client = grid.client()
    wanted = {f"kept:{number}": str(number) for number in range(count)}
    for key, value in wanted.items():
        client.set(key, value)
    client.close()
    return wanted


def wait_for_person(grid: LiveGrid, number: int) -> dict[str, object]:
    def waits() -> dict[str, object] | None:
        partition = grid.partition(number)
        return partition if partition.get("waiting_for") == "accept-loss" else None

    found: dict[str, object] = wait_until(waits, what=f"partition {number} waiting for accept-loss")
    return found


def test_a_lost_partition_says_what_happened_and_waits_until_the_loss_is_accepted(waiting: LiveGrid) -> None:
    grid = waiting
    wanted = fill(grid)
    kept_by = [list_of(grid, number, wanted) for number in (0, 1)]
    epoch = grid.partition(1)["epoch"]
    lose(grid, 1)
    partition = wait_for_person(grid, 1)
    assert partition["state"] == "down"
    assert partition["primary"] is None or partition["epoch"] == epoch
    explanation = str(partition["explanation"])
    assert "p1-0" in explanation
    assert "p1-1" in explanation
    assert "kubegrid partition accept-loss 1" in explanation
    assert grid.status()["state"] == "degraded"
    assert "accept-loss 1" in grid.run("status").stdout

    # It stays down although its members run again, and says so to clients at once.
    wait_until(lambda: all(member["pid"] for member in grid.partition(1)["members"]), what="new processes")
    time.sleep(2)
    assert grid.partition(1)["state"] == "down"
    with grid.raw("p1-0") as raw:
        asked_at = time.monotonic()
        answer = raw.call("GET", grid.key_of(1))
        assert isinstance(answer, hiredis.ReplyError)
        assert str(answer).startswith("CLUSTERDOWN")
        assert time.monotonic() - asked_at < 3

    # The other partition never noticed; asked for a lost key, it says what Redis would.
    with grid.raw(grid.primary(0)) as raw:
        for key in kept_by[0]:
            assert raw.call("GET", key) == wanted[key].encode()
        assert str(raw.call("GET", kept_by[1][0])).startswith(("MOVED", "CLUSTERDOWN"))

    answers = json.loads(grid.run("partition", "accept-loss", "1", "--json").stdout)
    assert answers[0]["partition"] == 1
    assert answers[0]["epoch"] > epoch
    grid.wait_whole()
    assert "accepted" in grid.partition(1)["note"]
    client = grid.client()
    assert all(client.get(key) is None for key in kept_by[1])
    assert all(client.get(key) == wanted[key].encode() for key in kept_by[0])
    assert client.set(grid.key_of(1), "again")
    client.close()


def list_of(grid: LiveGrid, partition: int, keys: dict[str, str]) -> list[str]:
    owners = grid.owners()
    client = grid.client()
    found = [key for key in keys if owners[client.keyslot(key)] == partition]
    client.close()
    return found


def test_accept_loss_of_all_takes_those_that_wait_and_no_others(waiting: LiveGrid) -> None:
    grid = waiting
    fill(grid)
    lose(grid, 0)
    wait_for_person(grid, 0)
    done = grid.run("partition", "accept-loss", "--all")
    assert "partition 0" in done.stdout
    assert "partition 1" not in done.stdout
    grid.wait_whole()
    assert "no partition waits" in grid.run("partition", "accept-loss", "--all").stdout


def test_accept_loss_of_a_partition_that_serves_is_refused(waiting: LiveGrid) -> None:
    fill(waiting)
    done = waiting.run("partition", "accept-loss", "0", check=False)
    assert done.returncode == 4
    assert "not lost" in done.stderr
    assert waiting.status()["state"] == "serving"


def test_accept_loss_is_refused_while_a_copy_only_sleeps(waiting: LiveGrid) -> None:
    """The primary is dead, the backup stopped: its memory has everything, and its death is not proven."""
    grid = waiting
    wanted = fill(grid)
    os.kill(grid.pid("p0-1"), signal.SIGSTOP)
    grid.kill("p0-0")
    try:
        wait_until(lambda: grid.partition(0)["state"] != "serving", what="partition 0 not serving")
        done = grid.run("partition", "accept-loss", "0", check=False)
        assert done.returncode == 4
        assert "p0-1" in done.stderr
    finally:
        os.kill(grid.pid("p0-1"), signal.SIGCONT)
    grid.wait_whole()
    client = grid.client()
    assert all(client.get(key) == value.encode() for key, value in wanted.items())
    client.close()


def test_with_start_empty_a_lost_partition_starts_empty_by_itself_and_says_so(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=2, onLoss="startEmpty") as grid:
        wanted = fill(grid)
        epoch = grid.partition(1)["epoch"]
        lose(grid, 1)
        wait_until(
            lambda: grid.partition(1)["epoch"] > epoch and grid.partition(1)["state"] == "serving",
            what="a new beginning",
        )
        grid.wait_whole()
        note = grid.partition(1)["note"]
        assert "all copies were lost" in note
        assert "startEmpty" in note
        assert "startEmpty" in grid.run("status").stdout
        client = grid.client()
        assert all(client.get(key) is None for key in list_of(grid, 1, wanted))
        assert client.set(grid.key_of(1), "again")
        client.close()


def test_a_lone_member_without_backups_starts_empty_when_it_is_killed(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1, backups=0) as grid, grid.raw("p0-0") as raw:
        assert raw.call("SET", "key", "value") == b"OK"
        grid.kill("p0-0")
        wait_until(
            lambda: grid.partition()["epoch"] > 1 and grid.partition()["state"] == "serving", what="a new beginning"
        )
        with grid.raw("p0-0") as again:
            assert again.call("GET", "key") is None
            assert again.call("SET", "key", "value") == b"OK"


def test_an_orderly_down_ends_the_memory_and_the_next_up_says_so(waiting: LiveGrid) -> None:
    grid = waiting
    wanted = fill(grid)
    grid.run("down")
    assert grid.processes() == []
    done = grid.run("status", check=False)
    assert done.returncode == 3
    done = grid.up_again()
    assert done.returncode == 0, done.stderr
    assert "starts empty" in done.stderr + done.stdout
    grid.wait_whole()
    client = grid.client()
    assert all(client.get(key) is None for key in wanted)
    client.close()
