"""The supervisor's duties with real processes: taking over, the orderly end, logs, a start that fails.

What the faults of members, managers and machines do to the data is in `test_faults_*`.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable

from tests.e2e.live_grid import LiveGrid, wait_until

NewGrid = Callable[..., LiveGrid]


def test_what_died_without_a_supervisor_is_started_by_the_next_one(grid: LiveGrid) -> None:
    grid.client().set("a", "1")
    grid.kill("supervisor")
    old = grid.primary()
    grid.kill(old)
    grid.wait_new_primary(0, old)
    assert grid.up_again().returncode == 0
    grid.wait_whole()
    assert grid.client().get("a") == b"1"


def test_down_works_without_a_supervisor(grid: LiveGrid) -> None:
    grid.kill("supervisor")
    done = grid.run("down")
    assert "stopping its processes from here" in done.stderr
    assert grid.processes() == []


def test_down_ends_the_memory_and_the_next_start_says_so(grid: LiveGrid) -> None:
    grid.client().set("a", "1")
    grid.run("down")
    assert grid.processes() == []
    told = grid.run("status", "--json", check=False)
    assert (told.returncode, json.loads(told.stdout)["state"]) == (3, "down")
    assert "does not run" in grid.run("down").stderr
    done = grid.up_again()
    assert done.returncode == 0 and "starts empty" in done.stderr, done.stderr
    assert grid.client().get("a") is None


def test_down_does_not_wait_for_a_manager_that_hangs_nor_a_member_that_does(grid: LiveGrid) -> None:
    grid.signal("m0", signal.SIGSTOP)
    grid.signal(grid.backup(), signal.SIGSTOP)
    done = grid.run("down")
    assert "did not stop within 10 s: killing it" in done.stderr
    assert grid.processes() == []


def test_logs_show_every_process_and_one(grid: LiveGrid) -> None:
    everything = grid.run("logs").stdout
    assert {line.split(" ")[0] for line in everything.splitlines()} >= {"supervisor", "m0", "p0-0", "p0-1"}
    assert grid.run("logs", "p0-0", "-n", "1").stdout.count("\n") == 1
    assert grid.run("logs", "p9-9", check=False).returncode == 2


def test_a_supervisor_killed_while_it_starts_a_grid_is_replaced(new_grid: NewGrid) -> None:
    grid = new_grid()
    words = ["up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", "--dir", str(grid.directory)]
    process = subprocess.Popen([sys.executable, "-m", "kubegrid.cli", *words], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: grid.places.run("p0-1").exists() or grid.places.run("p0-0").exists())
    grid.kill("supervisor")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "the supervisor ended before the grid was up" in said
    done = grid.up_again()
    assert done.returncode == 0, done.stderr
    grid.wait_whole()
    assert len(grid.processes()) == 4


def test_a_manager_can_be_asked_by_its_address_alone(grid: LiveGrid) -> None:
    url = f"http://127.0.0.1:{grid.port + 1000}"
    done = subprocess.run(
        [sys.executable, "-m", "kubegrid.cli", "status", "--json", "--manager", url], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["state"] == "serving"


def test_a_start_that_fails_stops_what_it_started(new_grid: NewGrid) -> None:
    grid = new_grid()
    grid.places.make()
    (grid.places.data("p0-1") / "incarnation.partial").mkdir(parents=True)  # where the member wants to write a file
    done = grid.run("up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", check=False)
    assert done.returncode == 1 and "p0-1 ended 4 times in a row" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "incarnation.partial" in done.stderr
    assert grid.processes() == []
