"""A running grid whose processes, supervisor or whole machine are hurt; and its orderly end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.e2e.live_grid import LiveGrid, wait_until

NewGrid = Callable[..., LiveGrid]


def pids(grid: LiveGrid) -> dict[str, int]:
    return {name: grid.pid(name) for name in ("m0", *grid.names())}


def test_a_killed_member_comes_back_and_nothing_is_lost(grid: LiveGrid) -> None:
    with grid.writers() as writers:
        old = grid.primary()
        before = grid.kill(old)
        grid.wait_new_primary(0, old)
        grid.wait_whole()
    assert grid.pid(old) != before
    assert grid.lost(writers) == []


def test_a_killed_manager_harms_nobody_and_comes_back(grid: LiveGrid) -> None:
    client = grid.client()
    client.set("a", "1")
    before = grid.pid("m0")
    with grid.writers() as writers:
        grid.kill("m0")
        wait_until(lambda: grid.pid("m0") != before and grid.status()["state"] == "serving", what="the manager is back")
    assert grid.lost(writers) == [] and all(writer.unknown == 0 for writer in writers)


def test_with_all_managers_dead_status_answers_from_the_members(grid: LiveGrid) -> None:
    grid.kill("supervisor")  # or it would start the manager again
    grid.kill("m0")
    told = json.loads(grid.run("status", "--json").stdout)
    partition = told["partitions"][0]
    assert (told["state"], partition["state"]) == ("degraded", "serving")
    assert sorted(partition["in_sync"]) == ["p0-0", "p0-1"] and partition["primary"] in partition["in_sync"]
    assert sorted(member["role"] for member in partition["members"]) == ["backup", "primary"]
    assert told["managers"] == [
        {"name": "m0", "http": None, "coordinator": "embedded", "leader": False, "pid": None},
    ]


def test_a_killed_supervisor_is_replaced_by_one_that_adopts_everything(grid: LiveGrid) -> None:
    before = pids(grid)
    with grid.writers() as writers:
        grid.kill("supervisor")
        done = grid.up_again()
        assert done.returncode == 0, done.stderr
    assert "taking over what runs already" in done.stderr and "starts empty" not in done.stderr
    assert pids(grid) == before and len(grid.processes()) == 4
    assert grid.lost(writers) == [] and all(writer.unknown == 0 for writer in writers)
    grid.kill("p0-1")  # and it does its work
    wait_until(lambda: grid.pid("p0-1") != before["p0-1"] and grid.is_whole(), 60, "the member is back")


def test_what_died_without_a_supervisor_is_started_by_the_next_one(grid: LiveGrid) -> None:
    grid.client().set("a", "1")
    grid.kill("supervisor")
    old = grid.primary()
    grid.kill(old)
    grid.wait_new_primary(0, old)
    assert grid.up_again().returncode == 0
    assert grid.is_whole() and grid.client().get("a") == b"1"


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


def test_a_sleeping_laptop_wakes_up_with_the_same_processes_and_all_data(grid: LiveGrid) -> None:
    client = grid.client()
    for number in range(100):
        client.set(f"key:{number}", number)
    before = pids(grid)
    for name in ("supervisor", *before):
        grid.signal(name, signal.SIGSTOP)
    time.sleep(5.0)
    for name in ("supervisor", *before):
        grid.signal(name, signal.SIGCONT)
    woken = time.monotonic()
    grid.wait_serving()
    assert time.monotonic() - woken < 5.0
    grid.wait_whole()
    assert pids(grid) == before
    assert [grid.client().get(f"key:{number}") for number in range(100)] == [str(n).encode() for n in range(100)]


def test_the_loss_of_every_copy_waits_for_a_person_and_is_recorded(grid: LiveGrid) -> None:
    grid.client().set("a", "1")
    for name in grid.names():
        grid.kill(name)
    wait_until(lambda: grid.partition().get("waiting_for") == "accept-loss", what="the question")
    refused = grid.run("partition", "hand-over", "0", check=False)
    assert refused.returncode in (1, 4) and "Traceback" not in refused.stderr
    done = grid.run("partition", "accept-loss", "0", "--json")
    answer = json.loads(done.stdout)[0]
    assert answer["partition"] == 0 and "the loss was accepted" in answer["note"]
    grid.wait_whole()
    assert grid.client().get("a") is None


def test_a_cache_starts_empty_by_itself_and_says_so(new_grid: NewGrid) -> None:
    grid = new_grid().up(onLoss="startEmpty")
    for name in grid.names():
        grid.kill(name)
    grid.wait_whole()
    assert "starts empty" in grid.log("m0")


def test_accepting_a_loss_that_did_not_happen_is_refused(grid: LiveGrid) -> None:
    grid.client().set("a", "1")
    done = grid.run("partition", "accept-loss", "0", check=False)
    assert done.returncode == 4 and grid.client().get("a") == b"1", done.stderr


def test_a_hand_over_fails_no_write(grid: LiveGrid) -> None:
    target = grid.backup()
    with grid.writers() as writers:
        done = grid.run("partition", "hand-over", "0", "--to", target)
        assert f"the primary is {target}" in done.stdout
        assert grid.primary() == target
    assert grid.lost(writers) == [] and all(writer.unknown == 0 for writer in writers)
    assert grid.run("partition", "hand-over", "9", check=False).returncode == 2
    assert grid.run("partition", "hand-over", "0", "--to", "p7-7", check=False).returncode in (2, 4)


def test_logs_show_every_process_and_one(grid: LiveGrid) -> None:
    everything = grid.run("logs").stdout
    assert {line.split(" ")[0] for line in everything.splitlines()} >= {"supervisor", "m0", "p0-0", "p0-1"}
    assert grid.run("logs", "p0-0", "-n", "1").stdout.count("\n") == 1
    assert grid.run("logs", "p9-9", check=False).returncode == 2


def test_a_manager_that_lost_its_database_says_so_and_is_rebuilt_from_the_members(grid: LiveGrid) -> None:
    with grid.writers() as writers:
        for file in (grid.places.data("m0")).iterdir():
            file.unlink()
        grid.kill("m0")
        wait_until(lambda: grid.status()["managers"][0].get("coordinator_state") == "lost", what="the loss is told")
        told = grid.run("status")
        assert "kubegrid manager rebuild" in told.stdout and "degraded" in told.stdout
        grid.run("manager", "rebuild")
        wait_until(lambda: grid.status()["state"] == "serving", what="the rebuilt coordinator")
    assert grid.lost(writers) == [] and all(writer.unknown == 0 for writer in writers)
    assert grid.run("manager", "rebuild", check=False).returncode == 4


def test_a_supervisor_killed_while_it_starts_a_grid_is_replaced(new_grid: NewGrid) -> None:
    grid = new_grid()
    words = ["up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", "--dir", str(grid.directory)]
    process = subprocess.Popen([sys.executable, "-m", "kubegrid.cli", *words], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: grid.places.run("p0-1").exists() or grid.places.run("p0-0").exists(), 60)
    grid.kill("supervisor")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "the supervisor ended before the grid was up" in said
    done = grid.up_again()
    assert done.returncode == 0, done.stderr
    assert grid.is_whole() and len(grid.processes()) == 4


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
