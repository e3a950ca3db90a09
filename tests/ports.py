"""Ports on loopback for processes that a test starts: nobody else gets them, also while their process is dead.

A port that was free a moment ago may be somebody's when it is wanted: the system gives it to the next one that asks for any,
and the tests run beside each other. So a socket stays bound to it here. It does not listen, and it lets others have the same
address, as every server here does (SO_REUSEADDR): the system gives such a port to nobody who does not name it, connecting
to it is refused until the one that it is held for listens, and that one can end and come back.
"""

import contextlib
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"


class HeldPorts(contextlib.ExitStack):
    """`count` ports, which differ; with `beside`, each such that the one so much higher is held as well. Close it."""

    def __init__(self, count: int, beside: int = 0) -> None:
        super().__init__()
        self.numbers = [self._hold_one(beside) for _ in range(count)]

    def _hold_one(self, beside: int) -> int:
        for _ in range(1000):
            first = self._bound(0)
            if not beside:
                return first
            with contextlib.suppress(OSError, OverflowError):
                self._bound(first + beside)
                return first
        raise AssertionError("no free ports")

    def _bound(self, port: int) -> int:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.callback(held.close)
        held.bind((HOST, port))
        return int(held.getsockname()[1])

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)
