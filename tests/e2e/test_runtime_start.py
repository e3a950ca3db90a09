"""Starting a grid: what is refused, with which exit status, and that nothing is left of what was refused."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.e2e.live_grid import LiveGrid, wait_until

NewGrid = Callable[..., LiveGrid]


def test_a_typo_in_the_manifest_is_told_with_line_and_remedy_and_nothing_is_made(new_grid: NewGrid) -> None:
    grid = new_grid()
    manifest = grid.root / "grid.yaml"
    manifest.write_text("apiVersion: kubegrid.io/v1alpha1\nkind: DataGrid\nspec:\n  partitons: 4\n")
    done = grid.run("up", str(manifest), "--detach", check=False)
    assert done.returncode == 2
    assert f"{manifest}: line 4: spec.partitons is not a known key; did you mean 'partitions'?" in done.stderr
    assert "Traceback" not in done.stderr and not grid.directory.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such.yaml"], "cannot be read"),
        (["--partitions", "0"], "--partitions is 0"),
        (["--port", "65000"], "--port 65000 is too high"),
        (["--bind", "nowhere"], "is not an IP address"),
        (["--bind", "0.0.0.0"], "needs a secret"),
        (["--advertise", ""], "--advertise '' is not the name"),
        (["--advertise", "127.0.0.1:7000"], "--advertise '127.0.0.1:7000' is not the name"),
        (["--advertise", "no-such-host.invalid"], "--advertise no-such-host.invalid cannot be found"),
        (["--name", "Not A Name"], "--name is 'Not A Name'"),
        (["--secret-file", "no-such-file"], "the secret cannot be read"),
        (["--managers", "3"], "managers: 3 is not supported yet"),
    ],
)
def test_wrong_usage_ends_with_2_and_makes_nothing(new_grid: NewGrid, words: list[str], said: str) -> None:
    grid = new_grid()
    done = grid.run("up", *words, "--detach", check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr and not grid.places.grid.exists()


def test_commands_on_a_grid_that_is_not_there_end_with_3(new_grid: NewGrid) -> None:
    grid = new_grid()
    for command in (["status"], ["status", "--json"], ["down"], ["logs"], ["members"], ["partition", "hand-over", "0"]):
        done = grid.run(*command, check=False)
        assert (done.returncode, "there is no grid" in done.stderr) == (3, True), command


def test_taken_ports_are_all_named_with_their_holder_before_anything_starts(new_grid: NewGrid) -> None:
    grid = new_grid()
    with socket.socket() as first, socket.socket() as second:
        for squatter, port in ((first, grid.port + 1), (second, grid.port + 1000)):
            squatter.bind(("127.0.0.1", port))
            squatter.listen()
        done = grid.run("up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", check=False)
    assert done.returncode == 4
    assert f"port {grid.port + 1} (for p0-1's clients) is taken by process {os.getpid()}" in done.stderr
    assert f"port {grid.port + 1000} (for m0's HTTP) is taken by process {os.getpid()}" in done.stderr
    assert "--port" in done.stderr and grid.processes() == [] and not grid.places.grid.exists()


@pytest.mark.parametrize("file", ["config/p0-0.json", "grid.json", "data/m0/new-grid"])
def test_a_full_disk_is_called_by_its_name(new_grid: NewGrid, file: str) -> None:
    """/dev/full answers every write as a full disk does."""
    grid = new_grid()
    partial = grid.directory / f"{file}.partial"
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    done = grid.run("up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", check=False)
    assert (done.returncode, "the disk is full" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr and grid.processes() == []


def test_a_running_grid_keeps_its_folder_to_itself(grid: LiveGrid) -> None:
    for words in (["--detach"], ["--fresh", "--detach"], ["--partitions", "2"], ["--port", "9000"]):
        done = grid.run("up", *words, check=False)
        assert (done.returncode, "is in use" in done.stderr) == (4, True), done.stderr
    grid.wait_whole()


def test_two_starts_at_once_make_one_grid(new_grid: NewGrid) -> None:
    grid = new_grid()
    words = ["up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", "--dir", str(grid.directory)]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "kubegrid.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in both]
    assert sorted(process.returncode for process in both) == [0, 4], said
    grid.wait_whole()
    assert len(grid.processes()) == 4  # two members, a manager, one supervisor


def test_a_folder_with_a_grid_of_another_shape_is_refused_and_fresh_starts_anew(grid: LiveGrid) -> None:
    first = grid.status()["id"]
    grid.run("down")
    done = grid.run("up", "--partitions", "2", "--detach", check=False)
    assert (done.returncode, "partitions is 1, not 2" in done.stderr) == (4, True), done.stderr
    grid.backups = 0
    grid.run("up", str(grid.write_manifest()), "--port", str(grid.port), "--fresh", "--detach")
    grid.wait_serving()
    assert grid.status()["id"] != first and len(grid.processes()) == 3


def test_two_grids_run_side_by_side(new_grid: NewGrid) -> None:
    one, other = new_grid(backups=0), new_grid(backups=0)
    while abs(one.port - other.port) % 1000 < 20:
        other = new_grid(backups=0)
    for grid in (one, other):
        grid.up()
    one.client().set("who", "one")
    other.client().set("who", "other")
    assert (one.client().get("who"), other.client().get("who")) == (b"one", b"other")
    one.run("down")
    assert one.processes() == [] and other.is_whole()


def test_with_a_secret_clients_must_authenticate_and_files_are_private(new_grid: NewGrid) -> None:
    grid = new_grid(secret="open sesame").up()
    with grid.raw("p0-0") as stranger:
        assert str(stranger.call("GET", "x")).startswith("NOAUTH")
    assert grid.client().set("x", "1")
    grid.secret = None  # from now on the stored one has to do
    assert json.loads(grid.run("status", "--json").stdout)["state"] == "serving"
    private = [grid.places.secret, grid.places.config("p0-0"), grid.places.config("m0"), grid.places.grid]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE(grid.directory.stat().st_mode) == 0o700
    assert all("open sesame" not in word for process in grid.processes() for word in process.cmdline())
    assert "open sesame" not in grid.run("status", "--json").stdout


def test_ctrl_c_in_the_foreground_takes_the_grid_down(new_grid: NewGrid) -> None:
    grid = new_grid()
    words = ["up", str(grid.write_manifest()), "--port", str(grid.port), "--dir", str(grid.directory)]
    process = subprocess.Popen(
        [sys.executable, "-m", "kubegrid.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: grid.places.grid.exists() and grid.is_whole())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopped; what the members held in memory ended with them" in said and grid.processes() == []


def test_ctrl_c_while_waiting_for_a_detached_start_takes_it_back(new_grid: NewGrid) -> None:
    grid = new_grid()
    words = ["up", str(grid.write_manifest()), "--port", str(grid.port), "--detach", "--dir", str(grid.directory)]
    process = subprocess.Popen([sys.executable, "-m", "kubegrid.cli", *words], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: grid.places.run("p0-0").exists())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert grid.processes() == []
