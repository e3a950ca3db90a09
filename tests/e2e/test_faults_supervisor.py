"""The supervisor is killed under load. What else can go wrong at a start is in `test_runtime_start`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, runs, wait_until


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LiveGrid]:
    with live_grid(tmp_path, partitions=2) as grid:
        yield grid


def test_a_killed_supervisor_is_replaced_by_a_new_up_that_loses_nothing(grid: LiveGrid) -> None:
    names = ["m0", *grid.names()]
    with grid.writers(2) as writers:
        before = {name: grid.pid(name) for name in names}
        epochs = [partition["epoch"] for partition in grid.status()["partitions"]]
        grid.kill("supervisor")
        counts = [len(writer.acknowledged) for writer in writers]
        wait_until(
            lambda: all(len(w.acknowledged) > n + 50 for w, n in zip(writers, counts, strict=True)), what="writes"
        )
        assert {name: grid.pid(name) for name in names} == before
        assert all(runs(pid) for pid in before.values())
        done = grid.up_again()
        assert done.returncode == 0, done.stderr
        assert "taking over" in done.stderr + done.stdout
        assert {name: grid.pid(name) for name in names} == before
        assert [partition["epoch"] for partition in grid.status()["partitions"]] == epochs
        # One process per name and no more.
        kinds = [process for process in grid.processes() if "--config" in process.cmdline()]
        assert len(kinds) == len(names)
        # And it supervises: an adopted process that dies is started again.
        victim = grid.primary(1)
        grid.kill(victim)
        grid.wait_new_primary(1, victim)
        grid.wait_whole()
    assert grid.lost(writers) == []


def test_fresh_is_refused_while_processes_of_the_old_grid_run(grid: LiveGrid) -> None:
    with grid.raw("p0-0") as raw:
        assert raw.call("SET", grid.key_of(0), "value") == b"OK"
    grid.kill("supervisor")
    done = grid.run("up", "--fresh", "--detach", check=False)
    assert done.returncode == 4
    assert "still runs" in done.stderr
    with grid.raw("p0-0") as raw:
        assert raw.call("GET", grid.key_of(0)) == b"value"


def test_status_in_json_is_what_the_contract_says(grid: LiveGrid) -> None:
    status = json.loads(grid.run("status", "--json").stdout)
    assert status["grid"] == "test"
    assert status["state"] == "serving"
    assert [partition["slots"] for partition in status["partitions"]] == [[[0, 8191]], [[8192, 16383]]]
    for number, partition in enumerate(status["partitions"]):
        assert partition["id"] == number
        assert partition["state"] == "serving"
        assert partition["epoch"] >= 1
        assert partition["primary"] in partition["in_sync"]
        for ordinal, member in enumerate(partition["members"]):
            assert member.keys() >= {
                "name",
                "role",
                "pid",
                "host",
                "zone",
                "resp",
                "http",
                "flight",
                "commit",
                "memory",
            }
            assert member["name"] == f"p{number}-{ordinal}"
            assert member["resp"] == f"127.0.0.1:{grid.port + 2 * number + ordinal}"
            assert member["flight"] is None or member["flight"].startswith("127.0.0.1:")
    assert status["managers"][0] == status["managers"][0] | {
        "name": "m0", "pid": grid.pid("m0"), "http": f"127.0.0.1:{grid.port + 1000}", "coordinator": "embedded", "leader": True,
    }  # fmt: skip
    listening = [member["flight"] for partition in status["partitions"] for member in partition["members"]]
    assert status["sql"]["flight"] is not None and status["sql"]["flight"] in listening
