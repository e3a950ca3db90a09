"""`kubegrid manager --config FILE`: the process around one `Grid`.

SIGTERM and SIGINT end it in order; members do not mind. What it shares with a member as a process is in `process`.
"""

import asyncio
import fcntl
import ipaddress
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kubegrid import process, transport
from kubegrid.base.errors import RefusedError
from kubegrid.base.settings import ManagerConfig
from kubegrid.coordination import EmbeddedCoordinator
from kubegrid.manager.grid import Grid

if TYPE_CHECKING:
    from kubegrid.manager.http import Server

log = logging.getLogger("kubegrid.manager")


def run(config_path: str) -> int:
    """Run a manager until it is told to end; the exit status."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return process.run("manager", config_path, ManagerConfig, _trouble_with, _serve)


def _trouble_with(config: ManagerConfig) -> str:
    if config.partitions < 1 or config.copies < 1 or config.on_loss not in ("wait", "startEmpty"):
        return "partitions, copies or on_loss"
    return ""


async def _serve(config: ManagerConfig, secret: bytes | None) -> int:
    if secret is None and not _is_loopback(config.bind):
        raise RefusedError(f"without a secret only loopback addresses are bound, not {config.bind}", "Set a secret.")
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with _exclusive(Path(config.state_dir)):
        await serve(config, secret, ended)
    return 0


async def serve(config: ManagerConfig, secret: bytes | None, ended: asyncio.Event) -> None:
    """Be the manager until `ended`. Raises OSError or TransportError when an address cannot be had."""
    web_socket = process.listening(config.bind, config.http_port)
    config = msgspec.structs.replace(config, http_port=web_socket.getsockname()[1])
    grid = Grid(config, EmbeddedCoordinator(Path(config.state_dir), config.grid_id))
    await grid.start()
    hello = transport.Hello(kind="manager", grid=config.grid_id, name=config.name, incarnation=str(os.getpid()))
    listener = await transport.listen(config.bind, config.coordination_port, hello, secret, grid.sessions.accept)
    server = await asyncio.to_thread(_web_server, grid, secret)
    serving = asyncio.create_task(server.serve(sockets=[web_socket]))
    log.info(
        "manager %s: HTTP %s:%d, members %s:%d",
        config.name,
        config.bind,
        config.http_port,
        listener.host,
        listener.port,
    )
    ending = asyncio.create_task(ended.wait())
    await asyncio.wait([serving, ending], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    listener.close()
    await serving
    ending.cancel()
    await grid.stop()
    log.info("manager %s ended", config.name)


def _web_server(grid: Grid, secret: bytes | None) -> "Server":
    """In a thread: importing the web framework takes a second, in which members that failed over must be answered."""
    from kubegrid.manager.http import Server, application
    from kubegrid.manager.operations import Operations

    return Server(application(Operations(grid), secret))


class _exclusive:
    """One manager process per state folder."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "manager.lock"

    def __enter__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file = open(self.path, "w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"another manager runs on {self.path.parent}") from None

    def __exit__(self, *details: object) -> None:
        self.file.close()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
