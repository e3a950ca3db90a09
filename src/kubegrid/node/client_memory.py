"""What the clients of one member hold of its memory: requests that are not finished, and replies that they have not read.

Each connection has limits of its own, but there may be thousands of them, and sixteen with a large value each are more
than a small member has to spare. So when the process comes near its limit, those that hold most are closed until what
the others hold is within bounds. Whether a write that waits for its reply was done is then unknown to its client, as with
any connection that breaks. Redis 7 evicts clients in the same way (`maxmemory-clients`).

Next on the path of the data: `housekeeping`, which says when.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubegrid.node.connection import Connection

log = logging.getLogger("kubegrid.node.clients")


def close_those_that_hold_most(sessions: Iterable["Connection"], bytes_max: int) -> int:
    """Close clients, the one that holds most first, until the rest hold no more than `bytes_max`; how many were closed."""
    holding = [(held, session.id, session) for session in sessions if (held := session.held_bytes())]
    total = sum([held for held, _, _ in holding])
    closed = 0
    for held, number, session in sorted(holding, reverse=True):
        if total <= bytes_max:
            break
        log.warning("client closed for want of memory id=%d addr=%s held_bytes=%d", number, session.peer, held)
        session.abort("the member has no memory for what it holds")
        total -= held
        closed += 1
    return closed
