"""One connection: frames in, frames out. **Hot path** of replication: many frames in one read, one copy for each.

A frame that came whole within a read is one slice of it. A longer one is collected as the pieces it came in and joined
once, when the last byte is there; a peer that announces much and sends little costs what it sent.

The handshake uses the same frames: until it is done, `on_frame` is the handshake's and the limit is small.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import cast

from kubegrid.transport.errors import FrameTooLarge
from kubegrid.transport.handshake import Hello
from kubegrid.transport.settings import TransportSettings

log = logging.getLogger("kubegrid.transport")

LENGTH = Struct(">I")
JOINED_BYTES_MAX = 16384
"""Frames up to this are written as one piece with their length; larger ones are not copied for it."""

OnFrame = Callable[["Link", bytes], None]
OnClose = Callable[["Link", str], None]


class Link(asyncio.Protocol):
    """One TCP connection. Invariant: after `closed` no frame is delivered; `on_close` is called once, if it was ever set.

    `peer` and `version` are set when the handshake is done, before anybody else sees the link.
    """

    peer: Hello
    version: int
    on_frame: OnFrame
    on_close: OnClose | None = None

    def __init__(self, settings: TransportSettings, ended: Callable[["Link", str], None]) -> None:
        self.settings = settings
        self.frame_bytes_max = settings.handshake_bytes_max
        self.closed = False
        self.close_reason = ""
        self.remote = ""
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = 0
        self.held_back: list[bytes] = []
        self._early: list[bytes] | None = None

    # -- for those who use the link ------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Hand one frame to the socket. On a closed link it is dropped: `on_close` has said, or will say, so."""
        transport = self._transport
        if self.closed or transport is None:
            return
        size = len(payload)
        if size > self.frame_bytes_max:
            raise FrameTooLarge(f"a frame of {size} bytes; the limit is {self.frame_bytes_max}")
        if self._early is not None:
            self._early.append(payload)
            return
        if size <= JOINED_BYTES_MAX:
            transport.write(LENGTH.pack(size) + payload)
        else:
            transport.write(LENGTH.pack(size))
            transport.write(payload)
        if transport.get_write_buffer_size() > self.settings.backlog_bytes_max:
            self.close("the peer does not read")

    @property
    def backlog_bytes(self) -> int:
        """Bytes written that the socket has not taken yet."""
        return 0 if self.closed or self._transport is None else self._transport.get_write_buffer_size()

    def close(self, reason: str) -> None:
        """Close; what was written has a moment to leave. `on_close` follows in a later turn of the loop."""
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        self._end(reason)
        if self._transport is not None:
            self._transport.close()
            loop.call_later(self.settings.linger_s, self._transport.abort)

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of it
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = transport.get_extra_info("peername")
        self.remote = f"{address[0]}:{address[1]}" if address else "?"

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self._end(f"connection lost: {exc}" if exc else "closed by the peer")

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        if self._pieces:
            self._pieces.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._wanted_bytes:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        end = len(data)
        at = 0
        wanted = 4
        try:
            while end - at >= 4:
                size = LENGTH.unpack_from(data, at)[0]
                after = at + 4 + size
                if after > end:
                    if size > self.frame_bytes_max:
                        self._too_long(size)
                        return
                    wanted = 4 + size
                    break
                if size > self.frame_bytes_max:
                    self._too_long(size)
                    return
                self.on_frame(self, data[at + 4 : after])
                if self.closed:
                    return
                at = after
        except Exception as error:
            log.exception("a frame of %s could not be handled", self.remote)
            self.close(f"internal error: {error!r}")
            return
        if at < end:
            self._pieces.append(data[at:] if at else data)
            self._held_bytes = end - at
            self._wanted_bytes = wanted

    def establish(self, peer: Hello, version: int, on_frame: OnFrame, on_close: OnClose) -> None:
        """The handshake is done; called by `endpoints`."""
        self.peer, self.version = peer, version
        self.frame_bytes_max = self.settings.frame_bytes_max
        self.on_frame, self.on_close = on_frame, on_close

    @contextmanager
    def holding_back(self) -> Iterator[None]:
        """What is sent inside leaves after the last frame of the handshake, not before it."""
        self._early = []
        limit, self.frame_bytes_max = self.frame_bytes_max, self.settings.frame_bytes_max
        try:
            yield
        finally:
            self.frame_bytes_max, self.held_back, self._early = limit, self._early, None

    # -- inside --------------------------------------------------------------------------------------------------

    def _too_long(self, size: int) -> None:
        self.close(f"the peer announced a frame of {size} bytes; the limit is {self.frame_bytes_max}")

    def _end(self, reason: str) -> None:
        self.closed = True
        self.close_reason = reason
        self._pieces.clear()
        self._ended(self, reason)
        if self.on_close is not None:
            asyncio.get_running_loop().call_soon(self.on_close, self, reason)
