"""What can go wrong while a link is made or used.

    TransportError
    ├── Unreachable      no TCP connection, or it broke before the handshake was done
    ├── TimedOut         the same, by silence
    ├── Refused          the handshake said no; the reason names what both sides have
    └── FrameTooLarge    somebody tried to send more than the limit: nothing was sent

All but FrameTooLarge mean that no link came into being, so nothing was sent over it. A link that breaks later reports
through `on_close`; what was on its way then has an unknown fate.
"""


class TransportError(Exception):
    """Base of this package's errors."""


class Unreachable(TransportError):
    """Nobody listens there, the network does not get there, or the peer hung up during the handshake."""


class TimedOut(TransportError):
    """The peer did not finish the handshake in time."""


class Refused(TransportError):
    """One of the two sides does not want this link; trying again does not help until something is changed."""

    def __init__(self, reason: str, *, by_peer: bool = False) -> None:
        super().__init__(f"refused by the peer: {reason}" if by_peer else reason)
        self.reason = reason
        self.by_peer = by_peer


class FrameTooLarge(TransportError):
    """A frame above `frame_bytes_max` was to be sent; the link is as it was."""
