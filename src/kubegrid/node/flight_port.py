"""The member's Arrow Flight port: opened by a thread when the pod has started, closed in bounded time.

Arrow and its Flight server take a good part of a second to import and some fifty MiB. The process of a member does that before
the pod starts (`node.main`); an embedded grid opens its port when somebody asks for it first, and imports them then. Until it
listens `port` is None, and so is `flight` in the member's record.

The calls run in gRPC's threads, never in the loop, and give way to it: the thread that opens the port does, so all that come
of it do. What they do is in `kubegrid.flight`; what they may ask of the member in `sql_service`.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from kubegrid.node.precedence import give_way

if TYPE_CHECKING:
    from kubegrid.flight.calls import Calls
    from kubegrid.flight.server import FlightServer
    from kubegrid.node.sql_service import SqlService

log = logging.getLogger("kubegrid.node.flight")

CLOSE_DEADLINE_S = 3.0
"""What runs is cancelled when the port closes; who does not end within this, a client that does not read, is left behind."""


def import_arrow() -> None:
    """Whatever this member will need of it: a backup's loop would import `arrow_blocks` with the first block, and the first load
    would wait for `sql_ingest`."""
    from kubegrid.flight import server  # noqa: F401
    from kubegrid.node import sql_ingest  # noqa: F401
    from kubegrid.wire import arrow_blocks  # noqa: F401


class FlightPort:
    """Invariant: `port` is set exactly while it listens. Its methods are called in the serving loop."""

    def __init__(self, service: "SqlService", host: str, port: int, changed: Callable[[], None]) -> None:
        """`changed` is called when it has begun to listen, or it is known that it will not."""
        self.port: int | None = None
        self.complaint = ""
        """Why it does not listen though it was tried; empty else."""
        self._service = service
        self._host = host
        self._wanted_port = port
        self._changed = changed
        self._server: FlightServer | None = None
        self._begun = False
        self._closed = False
        self._tried = asyncio.Event()

    @property
    def settled(self) -> bool:
        """Whether it listens, or never will."""
        return self._tried.is_set() or self._closed

    @property
    def calls(self) -> "Calls | None":
        """What it counts of the calls; None while it does not listen."""
        return None if self._server is None else self._server.calls

    def begin(self) -> None:
        """Open it, unless that was begun before."""
        if not self._begun and not self._closed:
            self._begun = True
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._open, args=(loop,), name="kubegrid-flight-open", daemon=True).start()

    async def tried(self) -> None:
        """Until it listens, or it is known why not."""
        await self._tried.wait()

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread."""
        give_way()
        server: FlightServer | None = None
        complaint = ""
        try:
            import_arrow()
            from kubegrid.flight import server as flight_server

            server = flight_server.FlightServer(self._service, self._host, self._wanted_port)
        except Exception as error:  # whatever it is: the pod serves its Redis clients without SQL
            complaint = f"no Arrow Flight on {self._host}:{self._wanted_port}: {error}"
        try:
            loop.call_soon_threadsafe(self._opened, server, complaint)
        except RuntimeError:  # the loop has ended meanwhile
            if server is not None:
                server.close()

    def _opened(self, server: "FlightServer | None", complaint: str) -> None:
        if server is None:
            self.complaint = complaint
            log.error("%s", complaint)
        elif self._closed:
            _in_thread(server.close)
        else:
            self._server = server
            self.port = server.port
            log.info("listening for Arrow Flight port=%d", self.port)
        self._tried.set()
        if not self._closed:
            self._changed()

    async def close(self) -> None:
        """Refuse what comes, cancel what runs, and wait for it to end, but not for longer than `CLOSE_DEADLINE_S`."""
        self._closed = True
        self.port = None
        self._tried.set()
        server, self._server = self._server, None
        if server is not None:
            server.refuse()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            self._service.close()
            if server is not None:
                server.close()
            with contextlib.suppress(RuntimeError):  # the loop has not waited
                loop.call_soon_threadsafe(ended.set)

        _in_thread(end)
        try:
            await asyncio.wait_for(ended.wait(), CLOSE_DEADLINE_S)
        except TimeoutError:
            log.warning("calls of Arrow Flight did not end deadline_s=%.0f", CLOSE_DEADLINE_S)
            if server is not None:
                server.abandon()

    def leave_to_parent(self) -> None:
        """In a forked child, which has none of gRPC's threads: never wait for them, and let go of the listening socket."""
        if self._server is not None:
            self._server.abandon()
        for descriptor in _listening_at(self.port):
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(nothing, descriptor, inheritable=False)
            os.close(nothing)


def _listening_at(port: int | None) -> list[int]:
    """This process's descriptors that listen at `port`: gRPC tells nobody which it is."""
    found = []
    with contextlib.suppress(OSError):  # where there is no /proc, the child keeps it open
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as candidate:
                listens = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listens and candidate.family != socket.AF_UNIX and candidate.getsockname()[1] == port:
                    found.append(int(name))
    return found


def _in_thread(work: Callable[[], object]) -> None:
    threading.Thread(target=work, name="kubegrid-flight-close", daemon=True).start()
