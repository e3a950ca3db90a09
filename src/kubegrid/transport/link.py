"""One connection: frames in, frames out. **Hot path** of replication: many frames in one read, one copy for each.

A frame that came whole within a read is one slice of it; one that did not is collected as the pieces it came in. Long
frames are sent in fragments that urgent frames may overtake (`fragments`) and joined once, when the last byte is there; a
peer that announces much and sends little costs what it sent.

The handshake uses the same frames: until it is done, `on_frame` is the handshake's and the limit is small.
"""

import asyncio
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from typing import cast

from kubegrid.transport.errors import FrameTooLarge
from kubegrid.transport.fragments import FIRST_VERSION, FRAGMENT_BYTES, LAST_FRAGMENT, SIZE_MASK, Gathering, Waiting
from kubegrid.transport.handshake import Hello
from kubegrid.transport.settings import TransportSettings

log = logging.getLogger("kubegrid.transport")

LENGTH = Struct(">I")
JOINED_BYTES_MAX = 16384
"""Frames up to this are written as one piece with their length; larger ones are not copied for it."""

PUMP_BYTES = 2 * 1024 * 1024
"""Of long frames handed to the socket in one turn of the loop: a few milliseconds."""
UNSENT_BYTES = 256 * 1024
"""How much the kernel takes without sending it: what it has, nothing can overtake."""

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
    on_read: Callable[[], None] | None = None
    """Called when all frames of a read were delivered."""

    def __init__(self, settings: TransportSettings, ended: Callable[["Link", str], None]) -> None:
        self.settings = settings
        self.frame_bytes_max = settings.handshake_bytes_max
        self.established = False
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
        self._waiting = Waiting()
        self._gathering = Gathering()
        self._paused = False
        self._pumping = False
        self._whole = True
        """Until the handshake is done, and with a peer of an older release, nothing is sent in fragments."""

    # -- for those who use the link ------------------------------------------------------------------------------

    def send(self, payload: bytes, *, urgent: bool = False) -> None:
        """Hand one frame to the socket. On a closed link it is dropped: `on_close` has said, or will say, so.

        Frames arrive in the order of their sending, save that an urgent one may overtake those that are not.
        """
        transport = self._transport
        if self.closed or transport is None:
            return
        size = len(payload)
        if size > self.frame_bytes_max:
            raise FrameTooLarge(f"a frame of {size} bytes; the limit is {self.frame_bytes_max}")
        if self._early is not None:
            self._early.append(payload)
            return
        if (self._waiting and not urgent) or size > FRAGMENT_BYTES:
            self._waiting.add(payload)
            self._pump()
        elif size <= JOINED_BYTES_MAX:
            transport.write(LENGTH.pack(size) + payload)
        else:
            transport.write(LENGTH.pack(size))
            transport.write(payload)
        if self.backlog_bytes > self.settings.backlog_bytes_max:
            self.close("the peer does not read")

    def _pump(self) -> None:
        """Hand on what waits, as long as the socket takes it."""
        transport, waiting = self._transport, self._waiting
        if self._pumping or transport is None:
            return
        budget = PUMP_BYTES
        while waiting and not self._paused and not self.closed:
            if budget <= 0:
                self._pumping = True
                asyncio.get_running_loop().call_soon(self._pump_on)
                return
            header, piece = waiting.next_piece(self._whole)
            transport.write(LENGTH.pack(header))
            transport.write(piece)
            budget -= len(piece)

    def _pump_on(self) -> None:
        self._pumping = False
        self._pump()

    @property
    def backlog_bytes(self) -> int:
        """Bytes sent that the socket has not taken yet."""
        if self.closed or self._transport is None:
            return 0
        return self._waiting.bytes + self._transport.get_write_buffer_size()

    @property
    def underway_bytes(self) -> int:
        """Bytes sent that the other machine has not acknowledged yet, as far as the system tells. A system call."""
        if self.closed or self._transport is None:
            return 0
        return self.backlog_bytes + unacknowledged_bytes(self._transport.get_extra_info("socket"))

    def close(self, reason: str) -> None:
        """Close; what was sent has a moment to leave, save long frames. `on_close` follows in a later turn of the loop."""
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting.bytes <= PUMP_BYTES and self._transport is not None:
            header, piece = self._waiting.next_piece(self._whole)
            self._transport.write(LENGTH.pack(header))
            self._transport.write(piece)
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
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            give_up_in_silence(connection, self.settings.silence_s)
        self._transport.set_write_buffer_limits(high=2 * FRAGMENT_BYTES)
        address = transport.get_extra_info("peername")
        self.remote = f"{address[0]}:{address[1]}" if address else "?"

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

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
                header = LENGTH.unpack_from(data, at)[0]
                size = header & SIZE_MASK
                after = at + 4 + size
                if (size if size == header else size + self._gathering.bytes) > self.frame_bytes_max:
                    self._too_long(size)
                    return
                if after > end:
                    wanted = 4 + size
                    break
                if size == header:
                    self.on_frame(self, data[at + 4 : after])
                else:
                    self._fragment(header, data[at + 4 : after])
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
        if self.on_read is not None:
            self.on_read()

    def _fragment(self, header: int, piece: bytes) -> None:
        gathering = self._gathering
        if self._whole or not piece:
            self.close("the peer sent a fragment of a frame before it may, or an empty one")
            return
        gathering.add(piece)
        if header & LAST_FRAGMENT:
            self.on_frame(self, gathering.take())

    def establish(self, peer: Hello, version: int, on_frame: OnFrame, on_close: OnClose) -> None:
        """The handshake is done; called by `endpoints`."""
        self.peer, self.version = peer, version
        self.established = True
        self._whole = version < FIRST_VERSION
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
        self._waiting.clear()
        self._gathering.clear()
        self._ended(self, reason)
        if self.on_close is not None:
            asyncio.get_running_loop().call_soon(self.on_close, self, reason)


def unacknowledged_bytes(connection: socket.socket) -> int:
    """What the kernel has taken and the other machine has not."""
    answer = bytearray(4)
    with suppress(OSError):
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, answer)
    return int.from_bytes(answer, sys.byteorder)


def give_up_in_silence(connection: socket.socket, silence_s: float) -> None:
    """Have the kernel end the connection when the peer's machine is silent for that long, whether or not it was sent
    anything (where the kernel can)."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(silence_s)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(silence_s * 1000))
