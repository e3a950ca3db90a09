"""A minimal Redis Cluster client for a prompt: one connection per member, redirections followed, replies as redis-cli prints.

For machines without redis-cli. No pipelining, no subscriptions; programs use a real client library.
"""

import shlex
import socket
import sys
from typing import Any

import hiredis

from kubegrid.runtime.errors import NoGridError

TIMEOUT_S = 10.0
REDIRECTIONS_MAX = 5
CHUNK_BYTES = 64 * 1024
Address = tuple[str, int]


class LineClient:
    def __init__(self, address: Address, secret: str | None) -> None:
        self.address = address
        self._secret = secret
        self._connections: dict[Address, tuple[socket.socket, Any]] = {}

    def call(self, arguments: list[str]) -> Any:
        """The reply, from whichever member has the key. Raises NoGridError when a member does not answer."""
        for _ in range(REDIRECTIONS_MAX):
            reply = self._exchange(self.address, arguments)
            text = str(reply) if isinstance(reply, hiredis.ReplyError) else ""
            if not text.startswith("MOVED "):
                return reply
            host, _, port = text.split()[2].rpartition(":")
            self.address = (host, int(port))
        return reply

    def _exchange(self, address: Address, arguments: list[str]) -> Any:
        try:
            connection, reader = self._connect(address)
            connection.sendall(hiredis.pack_command(tuple(arguments)))  # type: ignore[arg-type]  # its stub allows one
            while (reply := reader.gets()) is False:
                data = connection.recv(CHUNK_BYTES)
                if not data:
                    raise ConnectionError("it closed the connection")
                reader.feed(data)
            return reply
        except OSError as error:
            self._connections.pop(address, None)
            raise NoGridError(f"{address[0]}:{address[1]} does not answer: {error}") from error

    def _connect(self, address: Address) -> tuple[socket.socket, Any]:
        if address not in self._connections:
            connection = socket.create_connection(address, TIMEOUT_S)
            reader = hiredis.Reader(encoding="utf-8", errors="backslashreplace")
            # A member answers False for nothing but an incomplete reply in RESP2, which is what we speak.
            self._connections[address] = (connection, reader)
            if self._secret is not None:
                self._exchange(address, ["AUTH", self._secret])
        return self._connections[address]


def shown(reply: Any, indent: str = "") -> str:
    """A reply in the way redis-cli prints it."""
    if reply is None:
        return "(nil)"
    if isinstance(reply, hiredis.ReplyError):
        return f"(error) {reply}"
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if isinstance(reply, list):
        if not reply:
            return "(empty array)"
        numbers = [f"{number}) " for number in range(1, len(reply) + 1)]
        lines = [number + shown(item, indent + " " * len(number)) for number, item in zip(numbers, reply, strict=True)]
        return f"\n{indent}".join(lines)
    return f'"{reply}"' if reply not in ("OK", "PONG", "QUEUED") else str(reply)


def run_once(client: LineClient, arguments: list[str]) -> int:
    reply = client.call(arguments)
    print(shown(reply))
    return 1 if isinstance(reply, hiredis.ReplyError) else 0


def prompt(client: LineClient) -> int:
    if sys.stdin.isatty():
        import readline  # noqa: F401  gives input() its history
    while True:
        try:
            line = input(f"{client.address[0]}:{client.address[1]}> " if sys.stdin.isatty() else "")
        except EOFError:
            return 0
        try:
            arguments = shlex.split(line)
        except ValueError as error:
            print(f"(error) {error}")
            continue
        if not arguments:
            continue
        if arguments[0].lower() in ("quit", "exit"):
            return 0
        try:
            print(shown(client.call(arguments)))
        except NoGridError as error:
            print(f"(error) {error}")
