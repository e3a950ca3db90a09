"""The supervisor as a process of its own, outside the terminal's session, and the pipe on which it says how it begins.

The folder's lock is handed over as an open file, so that there is no moment in which nobody holds it. `up --detach`
reads the pipe until the grid serves or has failed; a reader that went away disturbs nobody.

    python -m kubegrid.runtime.detached DIR LOCK_FD REPORT_FD
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from kubegrid.base.errors import KubegridError
from kubegrid.runtime import secret, state
from kubegrid.runtime.errors import StartError, told_as_disk_error
from kubegrid.runtime.folder import Folder, Lock
from kubegrid.runtime.supervisor import Event, Supervisor

STATUS_FAILED = 1
LINE_BYTES_MAX = 64 * 1024


def supervise_here(folder: Folder, report: Callable[[Event], None], stop_only: bool = False) -> Supervisor:
    """Run the supervisor in this process until the grid is down; its lock must be held. Returns it, to be asked how."""
    grid = state.load(folder)
    log = _EventLog(folder)

    def tell(event: Event) -> None:
        log.write(event)
        with contextlib.suppress(OSError):  # a terminal that was closed must not end the supervision
            report(event)

    supervisor = Supervisor(folder, grid, secret.stored(folder), tell)
    if stop_only:
        supervisor.stop()
    asyncio.run(supervisor.run())
    return supervisor


def start(folder: Folder, lock: Lock, report: Callable[[Event], None]) -> None:
    """Start the supervisor apart and wait until its grid serves. Raises StartError; Ctrl-C takes the start back."""
    reading, writing = os.pipe()
    with told_as_disk_error(folder.root), open(folder.log("supervisor"), "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(folder.root), str(lock.descriptor), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.root,
            start_new_session=True,
            pass_fds=(lock.descriptor, writing),
        )
    os.close(writing)
    lock.release()
    with open(reading, "rb") as pipe:
        try:
            last = _follow(pipe.readline, report)
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            _follow(pipe.readline, report)
            child.wait()
            raise
    if last is not None and (last.kind == "ready" or last.stays):
        child.returncode = 0  # it lives on, and is not ours to wait for
    else:
        child.wait()  # it closed the pipe a moment before it ends, and has the folder's lock until then
    if last is None:
        raise StartError("the supervisor ended before the grid was up", f"See {folder.log('supervisor')}.")
    if last.kind != "ready":
        error = StartError(last.text or "the grid was stopped before it was up", last.remedy)
        error.exit_status = last.exit_status
        raise error


def _follow(readline: Callable[[int], bytes], report: Callable[[Event], None]) -> Event | None:
    """The event that settled the start: ready, failed, or else the last word of a supervisor that was told to stop."""
    settled: Event | None = None
    while line := readline(LINE_BYTES_MAX):
        event = msgspec.json.decode(line, type=Event)
        if event.kind in ("ready", "failed") or (event.kind == "stopped" and settled is None):
            settled = event if event.kind != "stopped" else Event("stopped")
        else:
            report(event)
    return settled


class _EventLog:
    """logs/supervisor.log: one line per event, a repeated one only once. A full disk does not end the supervision."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.log("supervisor")
        self._last: Event | None = None

    def write(self, event: Event) -> None:
        if event == self._last:
            return
        self._last = event
        text = " | ".join(part for part in (event.text, event.remedy) if part).replace("\n", "\n    ")
        with contextlib.suppress(OSError), open(self._path, "a", encoding="utf-8") as log:
            log.write(f"{datetime.now().astimezone().isoformat(timespec='milliseconds')} {event.kind}: {text}\n")


class EventReader:
    """What the supervisor writes into its log from now on, for `down` in another process."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.log("supervisor")
        self._offset = self._path.stat().st_size if self._path.exists() else 0

    def news(self) -> list[Event]:
        with contextlib.suppress(OSError), open(self._path, "rb") as log:
            log.seek(self._offset)
            whole, _, _ = log.read(LINE_BYTES_MAX).rpartition(b"\n")
            self._offset += len(whole) + bool(whole)
            return [event for line in whole.decode(errors="replace").splitlines() if (event := _event_of(line))]
        return []


def _event_of(line: str) -> Event | None:
    """The event that `_EventLog` wrote; None for a line that goes on with the one before, or is somebody else's."""
    _, _, rest = line.partition(" ")
    kind, colon, text = rest.partition(": ")
    return Event(kind, text) if colon and kind in ("note", "stopping", "stopped") else None


class _Pipe:
    """The way back to `up --detach`, until the start is settled or the other end is gone."""

    def __init__(self, descriptor: int) -> None:
        self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115  closed when the start is settled
        self._last: Event | None = None

    def write(self, event: Event) -> None:
        if self._file.closed or event == self._last:
            return
        self._last = event
        try:
            self._file.write(msgspec.json.encode(event) + b"\n")
        except OSError:
            self._file.close()
        if event.kind == "ready" or (event.kind == "failed" and event.stays):
            self._file.close()


def _main(arguments: list[str]) -> int:
    root, lock, report = arguments
    lock_descriptor = int(lock)
    os.set_inheritable(lock_descriptor, False)
    pipe = _Pipe(int(report))
    try:
        return supervise_here(Folder(Path(root)), pipe.write).exit_status
    except KubegridError as error:
        print(error, file=sys.stderr)
        pipe.write(Event("failed", error.message, error.remedy))
        return STATUS_FAILED


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
