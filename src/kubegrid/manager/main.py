"""`kubegrid manager --config FILE`: the process around one `Grid`.

SIGTERM and SIGINT end it in order; members do not mind. Exit status: 0 ended as told, 1 failed (one line on stderr says
why), 2 a configuration that does not hold.
"""

import asyncio
import fcntl
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from kubegrid import transport
from kubegrid.base.errors import KubegridError, RefusedError, UsageError
from kubegrid.base.settings import ManagerConfig
from kubegrid.coordination import EmbeddedCoordinator
from kubegrid.manager.grid import Grid

if TYPE_CHECKING:
    from kubegrid.manager.http import Server

log = logging.getLogger("kubegrid.manager")

LOG_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s"
LOG_TIME = "%Y-%m-%dT%H:%M:%S"
SOCKET_BACKLOG = 128


def run(config_path: str) -> int:
    """Run a manager until it is told to end; the exit status."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt=LOG_TIME, stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a full disk must not end the manager through its log
    try:
        config = read_config(Path(config_path))
        secret = read_secret(config)
        with _exclusive(Path(config.state_dir)), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config, secret))
    except KubegridError as error:
        print(f"kubegrid manager: {error}", file=sys.stderr)
        return error.exit_status
    except (OSError, transport.TransportError) as error:
        print(f"kubegrid manager: {error}", file=sys.stderr)
        return 1
    return 0


def read_config(path: Path) -> ManagerConfig:
    """The configuration in `path`. Raises UsageError."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=ManagerConfig)
    except OSError as error:
        raise UsageError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"the configuration {path} does not hold: {error}") from error
    if config.partitions < 1 or config.copies < 1 or config.on_loss not in ("wait", "startEmpty"):
        raise UsageError(f"the configuration {path} does not hold: partitions, copies or on_loss")
    return config


def read_secret(config: ManagerConfig) -> bytes | None:
    """The grid's secret, if it has one. Raises UsageError, RefusedError when it is needed and missing."""
    if config.secret_file is None:
        if not _is_loopback(config.bind):
            raise RefusedError(
                f"without a secret only loopback addresses are bound, not {config.bind}", "Set a secret."
            )
        return None
    try:
        secret = Path(config.secret_file).read_bytes().strip()
    except OSError as error:
        raise UsageError(f"the secret in {config.secret_file} cannot be read: {error.strerror}") from error
    if not secret:
        raise UsageError(f"the secret in {config.secret_file} is empty")
    return secret


async def _serve(config: ManagerConfig, secret: bytes | None) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await serve(config, secret, ended)


async def serve(config: ManagerConfig, secret: bytes | None, ended: asyncio.Event) -> None:
    """Be the manager until `ended`. Raises OSError or TransportError when an address cannot be had."""
    web_socket = _bind(config.bind, config.http_port)
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


def _bind(host: str, port: int) -> socket.socket:
    """Listen now, so that a port that is taken is known before anything else is done. Raises OSError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(SOCKET_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


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
