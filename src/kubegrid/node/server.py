"""The Redis port: accepts clients and gives each a `Connection`."""

import asyncio
import time
from typing import TYPE_CHECKING, cast

from kubegrid.node.connection import Connection
from kubegrid.node.session_takers import Takers

if TYPE_CHECKING:
    from kubegrid.node.context import NodeContext
    from kubegrid.node.turn import Turn

BACKLOG = 1024
"""Connections that the kernel may hold before they are accepted."""
TOO_MANY = b"-ERR max number of clients + cluster connections reached\r\n"


class _Refused(asyncio.Protocol):
    """A client over the limit: told so, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        refused = cast(asyncio.WriteTransport, transport)  # uvloop's are not subclasses of it
        refused.write(TOO_MANY)
        refused.close()


class RespServer:
    """Listens for Redis clients. The number of connections is bounded by `clients_max`."""

    def __init__(self, turn: "Turn", node: "NodeContext") -> None:
        self.turn = turn
        self.node = node
        node.takers = Takers(node, turn)
        turn.count = self._count
        turn.count_hits = node.count_hits
        node.when_each = turn.batch.stand_back
        self.accepted = 0
        self.refused = 0
        self._server: asyncio.Server | None = None

    def _count(self, command: str, times: int) -> None:
        """In-place commands of a turn, with their share of its time: they are too short to be timed one by one."""
        turn = self.turn
        self.node.count(command, times)
        share = times / max(1, turn.gets + turn.sets)
        self.node.statistics_of(command).spent_us += (time.perf_counter() - turn.started) * 1e6 * share

    def _accept(self) -> asyncio.Protocol:
        if len(self.node.sessions) >= self.node.client_settings.clients_max:
            self.refused += 1
            self.node.connections_refused += 1
            return _Refused()
        self.accepted += 1
        self.node.connections_accepted += 1
        return Connection(self.turn, self.node, self.accepted)

    async def listen(self, host: str, port: int) -> int:
        """Listen on `host:port`; the port, chosen by the kernel when 0 was asked. Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    def descriptors(self) -> list[int]:
        """Of the listening sockets: a forked child closes them."""
        return [listener.fileno() for listener in self._server.sockets] if self._server is not None else []

    async def close(self) -> None:
        """Stop listening, then close every client's connection after what was written to it."""
        if self._server is not None:
            self._server.close()
        for session in list(self.node.sessions.values()):
            session.close()
        if self._server is not None:
            await self._server.wait_closed()
