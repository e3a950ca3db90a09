"""Closes clients that have sent nothing for longer than `timeout` of CONFIG, as Redis does. By default nobody is closed.

Who waits for an answer is not idle: a long command, WAIT, KG.TAKE … BLOCK, a write that CLIENT PAUSE holds back.
"""

import time
from typing import TYPE_CHECKING

from kubegrid.node.context import NodeContext, Session

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_MS = 1000


def idle_ms(client: Session, now_ms: int) -> int:
    """How long the client has sent nothing; `now_ms` is the keyspace's time."""
    age_ms = time.monotonic_ns() // 1_000_000 - client.created_ms
    return max(0, min(age_ms, now_ms - client.active_ms))


class IdleClients:
    """Looks at everybody once a second, while there is a limit."""

    def __init__(self, node: NodeContext, age_ms: "Callable[[Session, int], int]" = idle_ms) -> None:
        self._node = node
        self._idle_ms = age_ms
        self._looked_ms = 0

    def look(self) -> None:
        """At each interval of housekeeping."""
        node = self._node
        timeout_ms = node.client_settings.idle_timeout_s * 1000
        now_ms = node.keyspace.now_ms
        if not timeout_ms or 0 <= now_ms - self._looked_ms < LOOK_EVERY_MS:
            return
        self._looked_ms = now_ms
        for client in list(node.sessions.values()):
            if client.waiting or client.id in node.blocked or client.id in node.held_back:
                continue
            if self._idle_ms(client, now_ms) > timeout_ms:
                client.close()
