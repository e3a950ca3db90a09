"""The manager dies, loses its data, or cannot store any: the data go on, and nobody makes up what was lost."""

import contextlib
import json
import os
import resource
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until


def ask(grid: LiveGrid, path: str, body: Any = None) -> tuple[int, Any]:
    """One request to the manager's HTTP port."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{grid.port + 1000}{path}", data=data, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def database_files(grid: LiveGrid) -> list[Path]:
    return sorted(grid.places.data("m0").glob("coordinator.db*"))


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LiveGrid]:
    with live_grid(tmp_path, partitions=2) as grid:
        yield grid


def stop_supervision(grid: LiveGrid) -> None:
    """So that a manager that is killed stays dead."""
    grid.kill("supervisor")


def test_the_data_go_on_without_a_manager_and_failover_works_when_it_is_back(grid: LiveGrid) -> None:
    with grid.writers(2) as writers:
        old = grid.kill("m0")
        counts = [len(writer.acknowledged) for writer in writers]
        wait_until(
            lambda: all(len(w.acknowledged) > n + 100 for w, n in zip(writers, counts, strict=True)), what="writes"
        )
        assert all(end - start < 1 for writer in writers for gaps in writer.gaps.values() for start, end in gaps)
        wait_until(lambda: grid.pid("m0") != old and grid.status()["state"] == "serving", what="the manager back")
        victim = grid.primary(0)
        grid.kill(victim)
        grid.wait_new_primary(0, victim)
        grid.wait_whole()
    assert grid.lost(writers) == []


def test_a_failover_that_begins_without_a_manager_ends_when_it_is_back(grid: LiveGrid) -> None:
    stop_supervision(grid)
    with grid.writers(2) as writers:
        grid.kill("m0")
        victim = grid.primary(1)
        grid.kill(victim)
        counts = [sum(w.owner[w.client.keyslot(key)] == 0 for key in list(w.acknowledged)) for w in writers]
        wait_until(
            lambda: all(
                sum(w.owner[w.client.keyslot(key)] == 0 for key in list(w.acknowledged)) > n + 20
                for w, n in zip(writers, counts, strict=True)
            ),
            what="writes of the other partition",
        )
        assert grid.status()["state"] == "degraded"
        assert grid.up_again().returncode == 0
        grid.wait_whole()
        assert grid.primary(1) != victim
    assert grid.lost(writers) == []


def test_status_answers_from_the_members_when_every_manager_is_dead(grid: LiveGrid) -> None:
    stop_supervision(grid)
    grid.kill("m0")
    done = grid.run("status", "--json")
    status = json.loads(done.stdout)
    assert status["state"] == "degraded"
    assert status["managers"][0]["pid"] is None
    assert status["managers"][0]["http"] is None
    for number, partition in enumerate(status["partitions"]):
        assert partition["state"] == "serving"
        assert partition["primary"] == f"p{number}-0"
        assert sorted(partition["in_sync"]) == [f"p{number}-0", f"p{number}-1"]
        assert {member["role"] for member in partition["members"]} == {"primary", "backup"}
        assert all(member["pid"] == grid.pid(member["name"]) for member in partition["members"])
    assert "m0" in grid.run("status").stdout
    done = grid.run("partition", "hand-over", "0", check=False)
    assert done.returncode == 3
    assert "no manager answers" in done.stderr


@pytest.mark.parametrize(
    "way", ["under the running manager", "while the manager is dead", "with all else in its folder"]
)
def test_a_manager_that_lost_its_database_says_so_makes_none_up_and_is_rebuilt(grid: LiveGrid, way: str) -> None:
    with grid.writers(2) as writers:
        before = {p["id"]: (p["epoch"], p["primary"]) for p in grid.status()["partitions"]}
        if way == "under the running manager":
            for file in database_files(grid):
                file.unlink()
        else:
            os.kill(grid.pid("supervisor"), signal.SIGSTOP)
            grid.kill("m0")
            everything = way == "with all else in its folder"
            for file in grid.places.data("m0").iterdir() if everything else database_files(grid):
                file.unlink()
            os.kill(grid.pid("supervisor"), signal.SIGCONT)
        wait_until(
            lambda: grid.status()["managers"][0].get("coordinator_state") == "lost", what="the manager saying lost"
        )
        status = grid.status()
        assert status["state"] == "degraded"
        assert "kubegrid manager rebuild" in status["managers"][0]["advice"]
        assert "rebuild" in grid.run("status").stdout
        # Everybody goes on, and stays in the epoch that the lost data had.
        counts = [len(writer.acknowledged) for writer in writers]
        wait_until(
            lambda: all(len(w.acknowledged) > n + 100 for w, n in zip(writers, counts, strict=True)), what="writes"
        )
        assert {p["id"]: (p["epoch"], p["primary"]) for p in grid.status()["partitions"]} == before
        # A restart of the manager does not make it forget that there was something.
        grid.kill("m0")
        wait_until(
            lambda: grid.status()["managers"][0].get("coordinator_state") == "lost",
            what="the manager saying lost again",
        )
        done = grid.run("manager", "rebuild")
        assert "partition 0" in done.stdout
        wait_until(lambda: grid.status()["state"] == "serving", what="the grid serving, rebuilt")
        assert {p["id"]: (p["epoch"], p["primary"]) for p in grid.status()["partitions"]} == before
        # And it is a coordinator again: a failover works.
        victim = grid.primary(0)
        grid.kill(victim)
        grid.wait_new_primary(0, victim)
        grid.wait_whole()
    assert grid.lost(writers) == []


def test_a_failover_waits_while_the_database_is_lost_and_ends_after_the_rebuild(grid: LiveGrid) -> None:
    with grid.writers(2) as writers:
        for file in database_files(grid):
            file.unlink()
        wait_until(
            lambda: grid.status()["managers"][0].get("coordinator_state") == "lost", what="the manager saying lost"
        )
        victim = grid.primary(0)
        grid.kill(victim)
        wait_until(lambda: grid.partition(0)["state"] != "serving", what="partition 0 not serving")
        # A member of the in-sync set does not report: a person has to know better than the plan of rebuilding.
        done = grid.run("manager", "rebuild", check=False)
        if done.returncode:
            assert done.returncode == 4
            assert victim in done.stderr
            grid.run("manager", "rebuild", "--force")
        grid.wait_whole()
        assert grid.primary(0) != victim
    assert grid.lost(writers) == []


def test_a_rebuild_is_refused_while_the_coordinator_has_its_data(grid: LiveGrid) -> None:
    done = grid.run("manager", "rebuild", check=False)
    assert done.returncode == 4
    assert done.stderr
    assert grid.status()["state"] == "serving"


def test_an_older_copy_of_the_database_is_refused_by_the_members(grid: LiveGrid) -> None:
    """Somebody restores yesterday's backup: its epochs are lower than what the members know (R5)."""
    os.kill(grid.pid("supervisor"), signal.SIGSTOP)
    grid.kill("m0")
    saved = {file: file.read_bytes() for file in database_files(grid)}
    os.kill(grid.pid("supervisor"), signal.SIGCONT)
    wait_until(lambda: grid.status()["managers"][0].get("coordinator_state") == "ok", what="the manager back")
    with grid.writers(2) as writers:
        victim = grid.primary(0)
        grid.kill(victim)
        grid.wait_new_primary(0, victim)
        grid.wait_whole()
        after = {p["id"]: (p["epoch"], p["primary"]) for p in grid.status()["partitions"]}
        os.kill(grid.pid("supervisor"), signal.SIGSTOP)
        grid.kill("m0")
        for file in database_files(grid):
            file.unlink()
        for file, content in saved.items():
            file.write_bytes(content)
        os.kill(grid.pid("supervisor"), signal.SIGCONT)
        wait_until(
            lambda: grid.status()["managers"][0].get("coordinator_state") == "lost", what="the manager saying lost"
        )
        counts = [len(writer.acknowledged) for writer in writers]
        wait_until(
            lambda: all(len(w.acknowledged) > n + 100 for w, n in zip(writers, counts, strict=True)), what="writes"
        )
        assert {p["id"]: (p["epoch"], p["primary"]) for p in grid.status()["partitions"]} == after
        grid.run("manager", "rebuild")
        grid.wait_whole()
    assert grid.lost(writers) == []


@contextlib.contextmanager
def full_disk(grid: LiveGrid) -> Iterator[Callable[[], None]]:
    """The manager's folder on a file system with nothing left, if we may mount one; else no file of it may grow.

    Yields what makes room again.
    """
    place = grid.places.data("m0")
    pid = grid.pid("m0")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield (
        lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)) and None
    )
    assert place.exists()


def test_a_manager_that_cannot_write_says_so_and_the_data_go_on(grid: LiveGrid) -> None:
    with grid.writers(2) as writers, full_disk(grid) as make_room:
        backup = grid.backup(0)
        grid.kill(backup)  # its removal has to be stored
        wait_until(
            lambda: grid.status()["managers"][0].get("coordinator_state") == "storage-failing",
            what="the manager saying so",
        )
        assert grid.status()["managers"][0]["advice"]
        assert grid.status()["state"] == "degraded"
        counts = [sum(w.owner[w.client.keyslot(key)] == 1 for key in list(w.acknowledged)) for w in writers]
        wait_until(
            lambda: all(
                sum(w.owner[w.client.keyslot(key)] == 1 for key in list(w.acknowledged)) > n + 20
                for w, n in zip(writers, counts, strict=True)
            ),
            what="writes of the partition whose membership does not change",
        )
        make_room()
        grid.wait_whole()
    assert grid.lost(writers) == []
    assert grid.status()["managers"][0]["coordinator_state"] == "ok"
