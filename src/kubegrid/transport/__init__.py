"""Frames between processes of one grid: member to member (replication) and member to manager (coordination).

A *link* is one TCP connection that has shaken hands; it carries frames of a 4-byte big-endian length and that many
bytes. What is in a frame is the business of the package that sends it. `connect` and `listen` make links; both give up
by themselves on whoever does not finish the handshake, and neither retries: that is for those who know why they connect.

Invariants of a link, from the moment somebody else sees it:
- the peer speaks a protocol version that both have, belongs to the same grid, and knows the secret if there is one;
- `on_frame` is called synchronously, in the order of sending, and never again once the link is closed;
- `on_close` is called exactly once, whoever closed it, in a later turn of the loop than the call to `close`.

The modules, on the path of a connection: `endpoints` (connect, listen), `handshake` (who are you, pure), `link` (frames).

**TLS, later.** `ssl` is an `ssl.SSLContext` on both calls and is handed to the event loop, so frames and handshake run
inside TLS unchanged: the context verifies that the peer's certificate was issued by the grid's own authority, the
handshake still says which member it is. What TLS adds to the secret: without it somebody who can alter traffic between
two machines may take over a link after its handshake, because frames carry no seal of their own. When it comes, the
proof's text also takes in the hash of the server's certificate (`tls-server-end-point`), so that the two cannot be mixed.
"""

from kubegrid.transport.endpoints import Listener, connect, listen
from kubegrid.transport.errors import FrameTooLarge, Refused, TimedOut, TransportError, Unreachable
from kubegrid.transport.handshake import PROTOCOL_VERSIONS, Hello
from kubegrid.transport.link import Link
from kubegrid.transport.settings import TransportSettings

__all__ = [
    "PROTOCOL_VERSIONS",
    "FrameTooLarge",
    "Hello",
    "Link",
    "Listener",
    "Refused",
    "TimedOut",
    "TransportError",
    "TransportSettings",
    "Unreachable",
    "connect",
    "listen",
]
