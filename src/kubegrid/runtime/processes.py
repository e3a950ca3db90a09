"""One operating system process of a grid: started, found again, signalled; and the certainty that there is only one.

The process inherits an open, locked file (`run/NAME.lock`) and keeps it until it ends, however it ends: the kernel
releases the lock then and not before. So a free lock is the proof that no process of that name lives, a held one that
it does, and starting a second one is impossible, whatever became of the supervisor between any two lines. The pid file
only tells where to send signals; if the supervisor died before it was written, the process is found by its arguments,
which name the configuration file in this very folder.

A child has a session of its own: neither Ctrl-C nor the supervisor's death reaches it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

import msgspec
import psutil

from kubegrid.runtime.errors import BusyError, DiskError, told_as_disk_error
from kubegrid.runtime.folder import Folder, Lock, is_held
from kubegrid.runtime.state import Kind

LOG_BYTES_MAX = 32 * 2**20
"""A longer log is copied aside, replacing the copy made before, and begins anew."""
CREATE_TIME_SLACK_S = 10.0
"""psutil derives start times from the boot time, which moves when the wall clock is set."""

Command = Callable[[Kind, str], list[str]]
"""From the kind of a process and the path of its configuration to what is executed."""


def kubegrid_command(kind: Kind, config: str) -> list[str]:
    """`-P`: nothing that lies in the working directory can stand in for a module."""
    word = "node" if kind is Kind.MEMBER else "manager"
    return [sys.executable, "-P", "-m", "kubegrid.cli", word, "--config", config]


class RunRecord(msgspec.Struct):
    pid: int
    started_at: float


class RunningProcess:
    """A live process of this grid, ours by birth or by adoption."""

    def __init__(
        self, name: str, folder: Folder, process: psutil.Process, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._child = child
        self._lock = folder.lock(name)

    @property
    def adopted(self) -> bool:
        return self._child is None

    def is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return is_held(self._lock)

    def exit_text(self) -> str:
        """How it ended, as far as its parent is told."""
        code = self._child.returncode if self._child is not None else None
        if code is None:
            return "ended"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"

    def send(self, number: signal.Signals) -> None:
        """psutil compares the start time first: a pid that was given to somebody else is never signalled."""
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if self._child is not None:
                self._child.send_signal(number)
            else:
                self._process.send_signal(number)


def start(name: str, kind: Kind, folder: Folder, command: Command = kubegrid_command) -> RunningProcess:
    """Raises BusyError if one of that name lives, DiskError if its log or its record cannot be written."""
    lock = Lock.take(folder.lock(name))
    if lock is None:
        raise BusyError(f"a process of {name} runs already in {folder.root}")
    try:
        with told_as_disk_error(folder.root):
            log = os.open(folder.log(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                child = subprocess.Popen(
                    command(kind, str(folder.config(name))),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder.root,
                    env={key: value for key, value in os.environ.items() if key != "KUBEGRID_SECRET"},
                    # Signals of a terminal go past it. Not a session of its own: Linux would share the processor out among
                    # sessions, and a thread of one member that gives way would give way to that member only.
                    process_group=0,
                    pass_fds=(lock.descriptor,),
                )
            finally:
                os.close(log)
    finally:
        lock.release()  # the child has its own copy of the open file, and with it the lock
    process = psutil.Process(child.pid)
    try:
        folder.write_json(folder.run(name), RunRecord(child.pid, process.create_time()))
    except psutil.Error:  # it has ended already
        pass
    except DiskError:  # who looks for it will search
        folder.run(name).unlink(missing_ok=True)
    return RunningProcess(name, folder, process, child)


def find(name: str, kind: Kind, folder: Folder, command: Command = kubegrid_command) -> RunningProcess | None:
    """The process of that name which an earlier supervisor started; None if none lives.

    Raises BusyError when one lives that cannot be told apart, so that nobody signals or doubles it.
    """
    if not is_held(folder.lock(name)):
        return None
    arguments = command(kind, str(folder.config(name)))[1:]
    process = _recorded(name, folder, arguments) or _searched(arguments)
    if process is not None:
        return RunningProcess(name, folder, process)
    if not is_held(folder.lock(name)):  # it ended while we looked
        return None
    raise BusyError(
        f"{folder.lock(name)} is held by a process that cannot be found",
        f"`fuser {folder.lock(name)}` names it; end it, or use another --dir.",
    )


def pid_of(name: str, folder: Folder) -> int | None:
    """For showing: the pid of the process of that name, if it lives."""
    if not is_held(folder.lock(name)):
        return None
    arguments = ["--config", str(folder.config(name))]
    found = _recorded(name, folder, arguments) or _searched(arguments)
    return found.pid if found is not None else None


def _recorded(name: str, folder: Folder, arguments: list[str]) -> psutil.Process | None:
    """The process that the record names, if its last arguments are these."""
    with contextlib.suppress(OSError, msgspec.DecodeError, psutil.Error):
        record = msgspec.json.decode(folder.run(name).read_bytes(), type=RunRecord)
        process = psutil.Process(record.pid)
        same_time = abs(process.create_time() - record.started_at) <= CREATE_TIME_SLACK_S
        if same_time and process.cmdline()[-len(arguments) :] == arguments:
            return process
    return None


def _searched(arguments: list[str]) -> psutil.Process | None:
    """The process whose last arguments are these."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-len(arguments) :] == arguments and process.status() != psutil.STATUS_ZOMBIE:
                return process
    return None


def bound_log(folder: Folder, name: str) -> None:
    """Keep a log within its limit. It is cut, not renamed: the process has it open, for appending."""
    log = folder.log(name)
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
