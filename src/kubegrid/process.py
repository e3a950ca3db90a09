"""What `kubegrid node` and `kubegrid manager` are as processes: a configuration, a log, an event loop, an exit status.

A process reads its configuration and the grid's secret, runs on uvloop until it is told to end, and answers with 0 for
an end as told, 1 for a failure and 2 for a configuration that does not hold; one line on stderr says why. What runs
inside is `node.main`'s and `manager.main`'s own.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import uvloop

from kubegrid.base.errors import KubegridError, UsageError
from kubegrid.transport import TransportError

HTTP_BACKLOG = 128
LOG_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s"
LOG_TIME = "%Y-%m-%dT%H:%M:%S"


class ProcessConfig(Protocol):
    """What both configurations have."""

    secret_file: str | None


Config = TypeVar("Config", bound=ProcessConfig)
Serve = Callable[[Config, bytes | None], Coroutine[Any, Any, int]]


def run(
    word: str, config_path: str, shape: type[Config], trouble_with: Callable[[Config], str], serve: Serve[Config]
) -> int:
    """Be `kubegrid WORD --config PATH`; the exit status. `trouble_with` says what is wrong in a configuration, if anything."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt=LOG_TIME, stream=sys.stderr)
    logging.raiseExceptions = False  # a full disk must not reach the serving loop through its log
    try:
        config = read_config(Path(config_path), shape, trouble_with)
        secret = read_secret(config)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serve(config, secret))
    except KubegridError as error:
        print(f"kubegrid {word}: {error}", file=sys.stderr)
        return error.exit_status
    except (OSError, TransportError) as error:
        print(f"kubegrid {word}: {error}", file=sys.stderr)
        return 1


def read_config(path: Path, shape: type[Config], trouble_with: Callable[[Config], str]) -> Config:
    """The configuration in `path`. Raises UsageError."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as error:
        raise UsageError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"the configuration {path} does not hold: {error}") from error
    trouble = trouble_with(config)
    if trouble:
        raise UsageError(f"the configuration {path} does not hold: {trouble}")
    return config


def read_secret(config: ProcessConfig) -> bytes | None:
    """The grid's secret, if it has one. Raises UsageError."""
    if config.secret_file is None:
        return None
    try:
        secret = Path(config.secret_file).read_bytes().strip()
    except OSError as error:
        raise UsageError(f"the secret in {config.secret_file} cannot be read: {error.strerror}") from error
    if not secret:
        raise UsageError(f"the secret in {config.secret_file} is empty")
    return secret


def listening(host: str, port: int) -> socket.socket:
    """A socket for HTTP that listens already: a port that is taken is known before anything else is done. Raises OSError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(HTTP_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
