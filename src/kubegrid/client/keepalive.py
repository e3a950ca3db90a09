"""Signs of life of the members' machines, for connections that wait: idle ones, and those of a `take` or a long statement.

Short requests have their own time-out (`silence`). What was cut without a word while nothing was under way is known to the kernel
after two minutes, so that nobody is handed such a connection later; and what only forgets connections that say nothing (a
firewall, an address translator) hears something every minute.
"""

import contextlib
import socket

IDLE_S = 60
AGAIN_S = 20
QUESTIONS = 3


def keep(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended already, and whoever uses it will hear of that
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):  # where the kernel lets a connection have times of its own
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, AGAIN_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, QUESTIONS)
