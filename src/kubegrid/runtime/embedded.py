"""A grid inside this very process, for tests and notebooks: `kubegrid.local()`.

One partition without backups. It is the real data pod with the real store and the real Redis protocol, on a port that
the kernel chose on loopback, and another one for SQL as soon as somebody asks for it; only the coordinator is in memory.
Its event loop runs in a daemon thread, so it ends with the process, or with `close`; what it held ends then, too.
Nothing is written to disk.

After a fork it is the parent's: the child has none of its threads. There every use is refused (`check`), and the child
lets go of the listening socket, or clients would wait for ever at a port that nobody serves once the parent is gone.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from kubegrid.base.errors import KubegridError
from kubegrid.base.settings import MIB, NodeConfig, ReplicationSettings
from kubegrid.coordination import MemoryManagers
from kubegrid.node.main import FATAL_IN, passed_through
from kubegrid.node.pod import DataPod

log = logging.getLogger("kubegrid.runtime.embedded")

LOOPBACK = "127.0.0.1"
MEMORY_BYTES = 1024 * MIB
MEMORY_BYTES_MIN = 16 * MIB
START_TIMEOUT_S = 20.0
"""For a machine that is very busy; it takes some ten milliseconds."""
STOP_TIMEOUT_S = 5.0
POLL_S = 0.001

Result = TypeVar("Result")
_living: "weakref.WeakSet[EmbeddedGrid]" = weakref.WeakSet()


class EmbeddedError(KubegridError):
    """The embedded grid cannot be started, or cannot be used here or any more."""


def start(memory_bytes: int = MEMORY_BYTES) -> "EmbeddedGrid":
    """A grid that serves. `memory_bytes` is what its records may take, and a little more. Raises EmbeddedError."""
    return EmbeddedGrid(memory_bytes)


class EmbeddedGrid:
    """One grid. `close` may be called twice, and from any thread of the process that started it."""

    def __init__(self, memory_bytes: int) -> None:
        if memory_bytes < MEMORY_BYTES_MIN:
            raise EmbeddedError(f"an embedded grid needs {MEMORY_BYTES_MIN} bytes at least, not {memory_bytes}")
        self.secret: str | None = None
        self.addresses: list[str] = []
        self.closed = False
        self._process = os.getpid()
        self._closing = threading.Lock()
        self._bug = ""
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._failed)
        self._thread = threading.Thread(target=self._run, name="kubegrid-embedded", daemon=True)
        self._thread.start()
        try:
            self._pod = self._in_loop(_serve(memory_bytes), START_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            self._end_loop()
            raise EmbeddedError(f"the embedded grid does not start: {error or type(error).__name__}") from error
        self.addresses = [f"{LOOPBACK}:{self._pod.resp_port}"]
        self._listening = self._pod.server.descriptors()
        _living.add(self)

    def check(self) -> None:
        """Raise EmbeddedError if the grid cannot be used here."""
        if os.getpid() != self._process:
            raise EmbeddedError(
                f"this embedded grid is of process {self._process}, from which this process was forked",
                "Start one of its own with kubegrid.local(), or run `kubegrid up` and connect to that grid from both.",
            )
        if self._bug:
            raise EmbeddedError(
                f"this embedded grid ended because of a mistake in it: {self._bug}", "Please report it."
            )
        if self.closed:
            raise EmbeddedError("this embedded grid was closed", "Start another with kubegrid.local().")

    def close(self) -> None:
        """End it, and what it holds. In a forked child this does nothing."""
        if os.getpid() != self._process:
            return
        with self._closing:
            if self.closed:
                return
            self.closed = True
            if not self._bug:
                with contextlib.suppress(TimeoutError):
                    self._in_loop(self._pod.stop(), STOP_TIMEOUT_S)
            self._end_loop()

    def __enter__(self) -> "EmbeddedGrid":
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<embedded grid {'closed' if self.closed else self.addresses[0]}>"

    def leave_to_parent(self) -> None:
        """In a forked child: let go of the listening sockets. Their numbers stay taken, for the parent's threads own them."""
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        for descriptor in self._listening:
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)
        self._pod.flight.leave_to_parent()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error in the loop. After one in the state machine the grid falls silent; the process is not ours to end."""
        error = context.get("exception")
        log.error("error in the embedded grid: %s", context.get("message", ""), exc_info=error)
        if error is not None and passed_through(error.__traceback__, FATAL_IN) and not self._bug:
            self._bug = repr(error)
            loop.call_soon(loop.stop)

    def _in_loop(self, work: Coroutine[Any, Any, Result], timeout_s: float) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def _end_loop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _serve(memory_bytes: int) -> DataPod:
    """A pod that serves every slot."""
    grid = str(uuid.uuid4())
    config = NodeConfig(
        grid="embedded",
        grid_id=grid,
        name="p0-0",
        partition=0,
        ordinal=0,
        partitions=1,
        preferred=True,
        bind=LOOPBACK,
        advertise=LOOPBACK,
        resp_port=0,
        http_port=0,
        replication_port=0,
        managers=[],
        memory_bytes=memory_bytes,
        state_dir="",
        on_loss="startEmpty",
        replication=ReplicationSettings(copies=1),
    )
    pod = DataPod(config, embedded=MemoryManagers(grid))
    await pod.start()
    while not pod.serving():
        await asyncio.sleep(POLL_S)
    return pod


def _close_all() -> None:
    for grid in list(_living):
        grid.close()


def _in_child() -> None:
    for grid in list(_living):
        grid.leave_to_parent()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_in_child)
