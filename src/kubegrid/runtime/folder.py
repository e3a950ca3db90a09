"""The state folder of one grid: where things lie in it, and the locks that say who may touch them.

    DIR/grid.json             what this grid is: its id, shape and ports (`state`)
    DIR/supervisor.lock       held (flock) by the one supervisor; never deleted, or two could hold one each
    DIR/supervisor.json       the supervisor's pid, for `down` and `status`
    DIR/secret                0600
    DIR/config/NAME.json      what the process reads, 0600
    DIR/run/NAME.lock         held by the process itself as long as it lives (`processes` says how)
    DIR/run/NAME.json         its pid and start time
    DIR/run/deaths.json       deaths that the manager has not confirmed to have heard of
    DIR/data/NAME/            the process's own state
    DIR/logs/NAME.log

A lock of the kernel, unlike a pid file, cannot outlive its holder or be believed wrongly after a reboot.
"""

import fcntl
import os
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from kubegrid.base.ids import command_line
from kubegrid.runtime.errors import BusyError, DiskError, NoGridError, reading_error, told_as_disk_error

ROOM_BYTES = 64 * 1024
"""A process that begins writes about as much beside its log."""
TAKE_ATTEMPTS = 5
TAKE_PAUSE_S = 0.01


def default_folder(name: str) -> Path:
    """`$XDG_STATE_HOME/kubegrid/NAME`, or below `~/.local/state`. The variable counts only if absolute, as XDG says."""
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return base / "kubegrid" / name


class Folder:
    """Paths and small files of one state folder. Making one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.grid = self.root / "grid.json"
        self.supervisor = self.root / "supervisor.json"
        self.supervisor_lock = self.root / "supervisor.lock"
        self.secret = self.root / "secret"
        self.deaths = self.root / "run" / "deaths.json"
        self.logs = self.root / "logs"

    def config(self, name: str) -> Path:
        return self.root / "config" / f"{name}.json"

    def lock(self, name: str) -> Path:
        return self.root / "run" / f"{name}.lock"

    def run(self, name: str) -> Path:
        return self.root / "run" / f"{name}.json"

    def data(self, name: str) -> Path:
        return self.root / "data" / name

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def has_grid(self) -> bool:
        """Raises DiskError where nobody may look."""
        try:
            return self.grid.exists()
        except OSError as error:
            raise reading_error(error, self.root) from error

    def command(self, words: str) -> str:
        """A command line about this grid; that the usual one is meant need not be said."""
        name = self.root.name
        if self.root != default_folder(name):
            return f"kubegrid {words} --dir {shlex.quote(str(self.root))}"
        return command_line(words, name)

    def make(self) -> None:
        with told_as_disk_error(self.root):
            for path in (self.root, *(self.root / part for part in ("config", "run", "data", "logs"))):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file as a whole, durably, readable by the owner only."""
        with told_as_disk_error(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = path.with_name(path.name + ".partial")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise

    def write_json(self, path: Path, value: Any) -> None:
        self.write(path, msgspec.json.format(msgspec.json.encode(value), indent=1))

    def lack_of_room(self) -> DiskError | None:
        """Why processes cannot write here: a full disk, above all, which leaves no line in their logs."""
        trial = self.root / "run" / "room"
        try:
            self.write(trial, bytes(ROOM_BYTES))
            trial.unlink()
        except DiskError as error:
            return error
        return None

    def discard(self) -> None:
        """Throw everything away except the supervisor's lock, which the caller holds."""
        with told_as_disk_error(self.root):
            for entry in self.root.iterdir() if self.root.exists() else ():
                if entry == self.supervisor_lock:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()


class Lock:
    """An exclusive flock. It is held by the open file, so a child that inherits the file holds it as well."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "Lock | None":
        """None when somebody else holds it: for longer, that is, than `is_held` does for asking."""
        with told_as_disk_error(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for attempt in range(TAKE_ATTEMPTS):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return cls(descriptor)
                except BlockingIOError:
                    if attempt + 1 < TAKE_ATTEMPTS:
                        time.sleep(TAKE_PAUSE_S)
                except BaseException:
                    os.close(descriptor)
                    raise
            os.close(descriptor)
        return None

    def release(self) -> None:
        os.close(self.descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock, without leaving a file behind where there is none.

    A shared lock asks the question, so that askers do not see each other.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class SupervisorRecord(msgspec.Struct):
    pid: int
    started_at: float
    """psutil's create_time: a pid alone may be somebody else's by now."""


def supervisor_of(folder: Folder) -> SupervisorRecord | None:
    """The running supervisor, or None. The lock is the truth; the record only says which process holds it."""
    if not is_held(folder.supervisor_lock):
        return None
    try:
        return msgspec.json.decode(folder.supervisor.read_bytes(), type=SupervisorRecord)
    except (OSError, msgspec.DecodeError):
        raise BusyError(
            f"{folder.root} is being set up or taken down by another kubegrid", "Try again in a moment."
        ) from None


def existing(root: Path, name: str) -> Folder:
    """The folder of a grid that is there. Raises NoGridError."""
    folder = Folder(root)
    if not folder.has_grid():
        others = sorted(grid.parent.name for grid in default_folder("any").parent.glob("*/grid.json"))
        there = f" There is: {', '.join(others)}." if others else ""
        raise NoGridError(
            f"there is no grid {name!r}: nothing in {folder.root}",
            f"`kubegrid up` makes one; --name or --dir says which one is meant.{there}",
        )
    return folder
