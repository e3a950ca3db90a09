"""Long frames in fragments, so that something urgent can overtake them: a value of many MiB must not keep a beacon waiting.

A frame longer than `FRAGMENT_BYTES` leaves piece by piece, the next one only when the socket has taken most of the last;
what is sent meanwhile waits behind it, in order, save what its sender calls urgent. At the other end the pieces are put
together, and a frame is delivered when it is whole. One long frame is on its way at a time, so pieces need no number.
Next on the path: `link`.
"""

from collections import deque

FIRST_VERSION = 2
"""Of the protocol between processes that knows fragments."""
FRAGMENT = 1 << 31
"""Bit of the length that says: a piece of a frame, and more follow."""
LAST_FRAGMENT = 1 << 30
"""The last piece."""
SIZE_MASK = LAST_FRAGMENT - 1
FRAGMENT_BYTES = 128 * 1024
"""About a millisecond of a link of one gigabit a second: what an urgent frame waits for a piece of another."""


class Waiting:
    """What has to wait for the socket, in order. Invariant: `bytes` is what is not handed out yet; `offset` is of the first."""

    __slots__ = ("_frames", "_offset", "bytes")

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._offset = 0
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, payload: bytes) -> None:
        self._frames.append(payload)
        self.bytes += len(payload)

    def next_piece(self, whole: bool) -> tuple[int, bytes | memoryview]:
        """The header and the bytes that go next; `whole`: to a peer that knows no fragments."""
        payload = self._frames[0]
        begin, size = self._offset, len(payload)
        if whole or size <= FRAGMENT_BYTES:
            header, piece = size, payload
        else:
            piece = memoryview(payload)[begin : begin + FRAGMENT_BYTES]  # type: ignore[assignment]
            header = len(piece) | (FRAGMENT if begin + len(piece) < size else LAST_FRAGMENT)
        self._offset += len(piece)
        self.bytes -= len(piece)
        if self._offset >= size:
            self._frames.popleft()
            self._offset = 0
        return header, piece

    def clear(self) -> None:
        self._frames.clear()
        self._offset = self.bytes = 0


class Gathering:
    """The pieces of the frame that is arriving. Invariant: `bytes` is their sum."""

    __slots__ = ("_pieces", "bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.bytes = 0

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.bytes += len(piece)

    def take(self) -> bytes:
        """The whole frame."""
        whole = b"".join(self._pieces)
        self.clear()
        return whole

    def clear(self) -> None:
        self._pieces.clear()
        self.bytes = 0
