"""The supervisor: killed, doubled, or asked for what cannot be."""

import json
import os
import signal
import socket
import subprocess
import sys
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


def test_what_died_while_nobody_supervised_is_started_by_the_next_up(grid: LiveGrid) -> None:
    with grid.writers(2) as writers:
        grid.kill("supervisor")
        victim = grid.primary(0)
        grid.kill(victim)
        grid.wait_new_primary(0, victim)
        assert not grid.is_whole()
        assert grid.up_again().returncode == 0
        grid.wait_whole()
    assert grid.lost(writers) == []


def test_down_works_without_a_supervisor(grid: LiveGrid) -> None:
    grid.kill("supervisor")
    grid.run("down")
    assert grid.processes() == []


def test_a_second_up_on_the_folder_is_refused_and_says_who_has_it(grid: LiveGrid) -> None:
    before = grid.pid("supervisor")
    for words in (["up", "--detach"], ["up"], ["up", "--fresh", "--detach"]):
        done = grid.run(*words, check=False)
        assert done.returncode == 4
        assert f"supervised by process {before}" in done.stderr
        assert "Traceback" not in done.stderr
    assert grid.pid("supervisor") == before
    assert grid.status()["state"] == "serving"


def test_of_two_ups_at_once_one_wins(tmp_path: Path) -> None:
    grid = LiveGrid(tmp_path, partitions=1)
    manifest = grid.write_manifest()
    command = [sys.executable, "-m", "kubegrid.cli", "up", str(manifest), "--port", str(grid.port), "--detach"]
    try:
        both = [
            subprocess.Popen(
                [*command, "--dir", str(grid.directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        results = [(process.communicate(timeout=90), process.returncode) for process in both]
        assert sorted(code for _, code in results) == [0, 4], results
        grid.wait_whole()
        assert len([process for process in grid.processes() if "--config" in process.cmdline()]) == 3
    finally:
        grid.close()


def test_fresh_is_refused_while_processes_of_the_old_grid_run(grid: LiveGrid) -> None:
    with grid.raw("p0-0") as raw:
        assert raw.call("SET", grid.key_of(0), "value") == b"OK"
    grid.kill("supervisor")
    done = grid.run("up", "--fresh", "--detach", check=False)
    assert done.returncode == 4
    assert "still runs" in done.stderr
    with grid.raw("p0-0") as raw:
        assert raw.call("GET", grid.key_of(0)) == b"value"


def test_another_shape_for_the_same_folder_is_refused(grid: LiveGrid) -> None:
    grid.kill("supervisor")
    done = grid.run("up", "--partitions", "5", "--detach", check=False)
    assert done.returncode == 4
    assert "partitions is 2, not 5" in done.stderr
    assert grid.up_again().returncode == 0


def test_ports_that_are_taken_are_named_with_who_has_them(tmp_path: Path) -> None:
    grid = LiveGrid(tmp_path, partitions=1)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", grid.port + 1))
        squatter.listen()
        done = grid.run("up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", check=False)
    assert done.returncode == 4
    assert f"port {grid.port + 1} (for p0-1's clients) is taken" in done.stderr
    assert str(os.getpid()) in done.stderr
    assert grid.processes() == []
    assert not grid.places.grid.exists()


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"partions": 3}, ["partions", "partitions"]),
        ({"onLoss": "startempty"}, ["onLoss", "startEmpty"]),
        ({"memory": "512 MB please"}, ["memory"]),
        ({"minInSync": 5}, ["minInSync"]),
        ({"backups": -1}, ["backups"]),
    ],
)
def test_a_manifest_that_does_not_hold_is_answered_with_the_key_and_the_nearest_right_one(
    tmp_path: Path, spec: dict[str, object], complaint: list[str]
) -> None:
    grid = LiveGrid(tmp_path, partitions=1)
    done = grid.run("up", str(grid.write_manifest(**spec)), "--detach", check=False)
    assert done.returncode == 2
    for word in complaint:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not grid.directory.exists()


def test_several_grids_side_by_side_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with live_grid(tmp_path / "a", partitions=1) as one, live_grid(tmp_path / "b", partitions=1) as other:
        assert one.status()["id"] != other.status()["id"]
        with one.raw("p0-0") as a, other.raw("p0-0") as b:
            assert a.call("SET", "key", "one") == b"OK"
            assert b.call("GET", "key") is None
        one.run("down")
        assert other.status()["state"] == "serving"


def test_interrupting_an_attached_up_takes_the_grid_down(tmp_path: Path) -> None:
    grid = LiveGrid(tmp_path, partitions=1)
    command = [sys.executable, "-m", "kubegrid.cli", "up", str(grid.write_manifest()), "--port", str(grid.port)]
    process = subprocess.Popen(
        [*command, "--dir", str(grid.directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: grid.places.grid.exists() and grid.is_whole(), 60, "the grid whole")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert grid.processes() == []
    finally:
        process.kill()
        grid.close()


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
            assert member["flight"] is None
    assert status["managers"][0] == status["managers"][0] | {
        "name": "m0", "pid": grid.pid("m0"), "http": f"127.0.0.1:{grid.port + 1000}", "coordinator": "embedded", "leader": True,
    }  # fmt: skip
    assert status["sql"] == {"flight": None}
