"""Signs of life of clients' machines: a connection whose other end went away without a word is closed.

As in Redis: after `tcp-keepalive` seconds without a byte the kernel asks, three times a third of that apart, and then gives the
connection up. What asks and answers is the kernel, so that a client that only waits is never taken for one that is gone.
"""

import contextlib
import socket

QUESTIONS = 3


def keep(connection: socket.socket | None, idle_s: int) -> None:
    """0: leave it as it is. A time that the kernel does not take is its own instead."""
    if connection is None or not idle_s:
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):  # where the kernel lets a connection have times of its own
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle_s // QUESTIONS))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, QUESTIONS)
