"""From a request to a state folder: ports, secret, configuration files, and what an existing folder keeps."""

import errno
import json
import stat
from pathlib import Path

import pytest

from kubegrid.base import manifest
from kubegrid.base.errors import RefusedError, UsageError
from kubegrid.base.settings import NodeConfig
from kubegrid.cli.target import LocalGrid
from kubegrid.runtime import layout, ports, preparation, secret, state
from kubegrid.runtime.errors import DifferentGridError, DiskError, NoGridError, reading_error
from kubegrid.runtime.folder import Folder, Lock, default_folder, existing, is_held
from kubegrid.runtime.preparation import Request

HEAD = "apiVersion: kubegrid.io/v1alpha1\nkind: DataGrid\nspec:\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "state")


def free_base() -> int:
    return next(
        p for p in range(31_000, 32_500, 20) if all(ports.is_free("127.0.0.1", q) for q in (p, p + 1, p + 1000))
    )


def request(spec: str = "", **given: object) -> Request:
    return Request(manifest.parse(HEAD + "  partitions: 1\n" + spec), **{"port": free_base(), **given})  # type: ignore[arg-type]


def test_each_member_gets_its_place_and_settings(folder: Folder) -> None:
    port = free_base()
    spec = "  memory: 128Mi\n  minInSync: 2\n  primaries: {0: p0-1}\n  failback: manual\n  failbackAfter: 5s\n  busyWait: false\n"
    prepared = preparation.prepare(folder, request(spec, port=port))
    config = json.loads(folder.config("p0-1").read_text())
    assert (config["resp_port"], config["preferred"], config["memory_bytes"]) == (port + 1, True, 128 * 2**20)
    assert (config["failback"], config["on_loss"], config["secret_file"]) == (False, "wait", None)
    assert config["busy_wait"] is False
    assert config["replication"]["min_in_sync"] == 2 and config["replication"]["failback_after_ms"] == 5000
    assert not json.loads(folder.config("p0-0").read_text())["preferred"]
    told = json.loads(folder.config("m0").read_text())
    assert (told["http_port"], told["first_primaries"], told["copies"]) == (port + 1000, {"0": "p0-1"}, 2)
    listening = [number for _, number, _ in layout.listening(prepared.grid)]
    assert len(set(listening)) == len(listening) == 8
    assert NodeConfig.__struct_fields__[0] in config


def test_only_a_new_grid_may_be_bootstrapped(folder: Folder) -> None:
    asked = request()
    grid = preparation.prepare(folder, asked).grid
    permission = folder.data("m0") / "new-grid"
    assert permission.read_text() == grid.id
    permission.unlink()
    again = preparation.prepare(folder, asked)
    assert again.grid.id == grid.id and not permission.exists()
    anew = preparation.prepare(folder, Request(asked.manifest, port=asked.port, fresh=True))
    assert anew.grid.id != grid.id and permission.read_text() == anew.grid.id


def test_chosen_ports_are_kept_and_only_those_taken_meanwhile_move(folder: Folder) -> None:
    import socket

    asked = request()
    first = preparation.prepare(folder, asked).grid
    assert preparation.prepare(folder, asked).grid.members == first.members
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", first.members[0].http_port))
        squatter.listen()
        moved = preparation.prepare(folder, asked).grid
    assert moved.members[0].http_port != first.members[0].http_port
    assert moved.members[0].resp_port == first.members[0].resp_port and moved.id == first.id


def test_a_folder_of_another_name_or_shape_is_refused(folder: Folder) -> None:
    preparation.prepare(folder, request())
    with pytest.raises(DifferentGridError, match="backups is 1, not 0"):
        preparation.prepare(folder, request("  backups: 0\n"))
    other = manifest.parse("", options={"partitions": 1}, name="other")
    with pytest.raises(DifferentGridError, match="holds the grid 'local', not 'other'"):
        preparation.prepare(folder, Request(other))


@pytest.mark.parametrize(("port", "members", "managers"), [(0, 1, 1), (65_000, 1, 1), (70_000, 1, 1), (7000, 1001, 1)])
def test_ports_that_cannot_be_are_wrong_usage(port: int, members: int, managers: int) -> None:
    with pytest.raises(UsageError):
        ports.check_range(port, members, managers)


def test_secret_from_the_most_deliberate_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("of the file\n")
    plain = manifest.parse("")
    declared = manifest.parse(HEAD + "  auth: {secret: of the manifest}\n")
    by_place = manifest.parse(HEAD + "  auth: {secretFile: secret}\n")
    switched_off = manifest.parse(HEAD + "  auth: {enabled: false}\n")
    assert secret.given(plain, None, tmp_path) is None
    monkeypatch.setenv(secret.ENVIRONMENT, "of the environment")
    assert secret.given(plain, None, tmp_path) == "of the environment"
    assert secret.given(declared, None, tmp_path) == "of the manifest"
    assert secret.given(by_place, None, tmp_path) == "of the file"
    assert secret.given(declared, file, tmp_path) == "of the file"
    assert secret.given(switched_off, None, tmp_path) is None
    with pytest.raises(UsageError, match="enabled is false"):
        secret.given(switched_off, file, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe", b"x" * 600])
def test_a_secret_that_cannot_be_typed_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        secret.read_file(file)


def test_a_stored_secret_is_private_kept_and_not_changed_under_running_processes(folder: Folder) -> None:
    asked = request(secret="one")
    preparation.prepare(folder, asked)
    assert stat.S_IMODE(folder.secret.stat().st_mode) == 0o600
    assert json.loads(folder.config("p0-0").read_text())["secret_file"] == str(folder.secret)
    preparation.prepare(folder, request(port=asked.port))
    assert secret.stored(folder) == "one"
    with pytest.raises(RefusedError, match="another secret"):
        secret.keep(folder, "two", running=True)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.1"])
def test_only_loopback_without_a_secret(address: str) -> None:
    with pytest.raises(UsageError, match="needs a secret"):
        secret.check_bind(address, None)
    secret.check_bind(address, "a secret")


@pytest.mark.parametrize("address", ["::", "nowhere", ""])
def test_what_cannot_be_bound_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        secret.check_bind(address, "a secret")


def test_a_full_disk_leaves_the_old_file_as_it_was(folder: Folder) -> None:
    folder.make()
    folder.write(folder.grid, b"old")
    (folder.root / "grid.json.partial").symlink_to("/dev/full")
    with pytest.raises(DiskError, match="the disk is full"):
        folder.write(folder.grid, b"new")
    assert folder.grid.read_bytes() == b"old"


def test_a_lock_is_seen_by_who_asks_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    lock = Lock.take(path)
    assert lock is not None and is_held(path) and Lock.take(path) is None
    lock.release()
    assert not is_held(path)


def test_a_grid_that_nobody_watches_over_is_said_with_the_command_that_does(folder: Folder) -> None:
    prepared = preparation.prepare(folder, request())
    grid = LocalGrid(folder, prepared.grid, None)
    assert f"`kubegrid up --detach --dir {folder.root}` takes it over" in grid.unwatched()
    lock = Lock.take(folder.supervisor_lock)
    assert lock is not None
    assert grid.unwatched() == ""
    lock.release()


def test_a_command_line_says_which_grid_is_meant_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    assert Folder(default_folder("local")).command("down") == "kubegrid down"
    assert Folder(default_folder("demo")).command("down") == "kubegrid down --name demo"
    assert Folder(tmp_path / "a grid").command("down") == f"kubegrid down --dir '{tmp_path}/a grid'"


def test_the_default_folder_follows_xdg_only_if_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_folder("demo") == Path("/var/state/kubegrid/demo")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_folder("demo") == Path.home() / ".local/state/kubegrid/demo"


def test_a_folder_that_cannot_be_read_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    place = tmp_path / ("long" * 100)
    with pytest.raises(DiskError, match="cannot be read: File name too long"):
        existing(place, "local")
    told = reading_error(PermissionError(errno.EACCES, "Permission denied"), tmp_path)
    assert told.message == f"{tmp_path} cannot be read: Permission denied"
    assert told.remedy == "It is another user's: be that user, or choose another folder with --dir."


def test_a_grid_that_is_another_users_is_not_said_to_be_thrown_away(folder: Folder) -> None:
    folder.grid.mkdir(parents=True)  # the one thing that root cannot read as a file either
    with pytest.raises(DiskError, match="cannot be read: Is a directory") as refused:
        state.load(folder)
    assert "--fresh" not in refused.value.remedy


def test_a_grid_that_is_not_there_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(NoGridError, match="no grid 'demo'"):
        existing(tmp_path, "demo")
