"""Taking a grid down: ask its supervisor, or, where that one was killed, do its last duty in its place."""

import os
import signal
import time
from collections.abc import Callable

import psutil

from kubegrid.base.errors import KubegridError
from kubegrid.runtime import detached
from kubegrid.runtime.folder import Folder, Lock, is_held, supervisor_of
from kubegrid.runtime.plan import Limits
from kubegrid.runtime.preparation import running_names
from kubegrid.runtime.supervisor import Event

POLL_S = 0.05


def take_down(folder: Folder, report: Callable[[Event], None], patience_s: float | None = None) -> bool:
    """Whether anything ran. Raises KubegridError when the supervisor does not come to an end."""
    holder = supervisor_of(folder)
    if holder is not None:
        _ask(folder, holder.pid, holder.started_at, report, patience_s)
        return True
    if not running_names(folder):
        return False
    lock = Lock.take(folder.supervisor_lock)
    if lock is None:  # a supervisor appeared just now
        return take_down(folder, report, patience_s)
    try:
        report(Event("note", "no supervisor runs any more: stopping its processes from here"))
        detached.supervise_here(folder, report, stop_only=True)
    finally:
        lock.release()
    return True


def _ask(
    folder: Folder, pid: int, started_at: float, report: Callable[[Event], None], patience_s: float | None
) -> None:
    """SIGTERM to the supervisor means the orderly down, as Ctrl-C in its terminal does."""
    limits = Limits()
    # Members of a partition in two steps, the managers in a third, and the manager's word before and after.
    patience_s = patience_s or (3 * limits.stop_ms + 2 * limits.closing_ms) / 1000 + 5
    says = detached.EventReader(folder)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while is_held(folder.supervisor_lock):
        for event in says.news():
            report(event)
        if time.monotonic() > deadline:
            stopped = psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_STOPPED
            raise KubegridError(
                f"the supervisor (process {pid}) did not take the grid down within {patience_s:g} s"
                + (": it is stopped (SIGSTOP)" if stopped else ""),
                f"See {folder.log('supervisor')}; `kill -9 {pid}` and another `{folder.command('down')}` stop the processes.",
            )
        time.sleep(POLL_S)
    for event in says.news():
        report(event)
    left = running_names(folder)
    if left:
        raise KubegridError(f"still running: {', '.join(left)}", f"Another `{folder.command('down')}` tries again.")
