"""Requests as Redis 7 itself reads them, byte for byte, errors included: slow beside hiredis, exact, resumable.

`requests` uses this parser for all that is not the common case: inline commands, clients that have not authenticated
yet, large or unfinished requests, and whatever looks wrong (so that the error is the one that Redis would send).

Two habits of Redis are kept on purpose. A line ends at the first carriage return and the byte after it is skipped
unseen, as are the two bytes after a bulk string; and an array of zero or fewer elements is no request at all.

Memory is bounded: what is kept for an unfinished request is what arrived of it, never what its headers announce.
"""

from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.wire.inline import split_words

LINE_BYTES_MAX = 64 * 1024
"""A header without an end after this many bytes is refused, as in Redis (PROTO_INLINE_MAX_SIZE)."""
INTEGER_DIGITS_MAX = 20
STRANGER_BULK_BYTES_MAX = 512 * 1024 * 1024
"""Up to Redis' own default a long string of a client that has not authenticated is refused for that, not for its length."""

_GREETINGS = {b"AUTH", b"HELLO"}
_SMALL_COUNTS = {b"%d" % n: n for n in range(1024)}


class ProtocolError(Exception):
    """The client sent what is not a request; `requests` holds the complete ones that this feed had before it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = "Protocol error: " + message
        self.requests: list[list[bytes]] = []


class StrictParser:
    """Reads requests from pieces of a stream.

    Invariant between calls: `_held` is the part of the stream that belongs to the unfinished request and is not in
    `_arguments` yet, and it is shorter than what that request needs next.
    """

    def __init__(self, client: ClientSettings, store: StoreSettings) -> None:
        self.authenticated = False
        self._greeted = False
        """This feed brought an AUTH or HELLO: what follows it is judged when it is known whether that succeeded."""
        self._client = client
        self._bulk_bytes_max = store.value_bytes_max
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = 0
        self._missing = 0
        """Elements of the unfinished array that are still to come."""
        self._bulk_bytes = -1
        """Length of the string whose header was read, or -1."""
        self._arguments: list[bytes] = []
        self._argument_bytes = 0

    @property
    def unfinished(self) -> bool:
        return bool(self._missing or self._held_bytes)

    @property
    def unfinished_bytes(self) -> int:
        """What is kept of the beginning of a request."""
        return self._held_bytes + self._argument_bytes

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Every request that `data` completes. Raises ProtocolError; nothing may be fed after that."""
        requests: list[list[bytes]] = []
        self._greeted = False
        if not self.authenticated:
            self._check_stranger()
        try:
            self._parse(data, requests, len(data) + 1)
        except ProtocolError as error:
            error.requests = requests
            raise
        return requests

    def finish(self, data: bytes) -> tuple[list[list[bytes]], bytes]:
        """Only the unfinished request, once `data` completes it, and what of `data` lies behind it."""
        requests: list[list[bytes]] = []
        self._greeted = False
        if not self.authenticated:
            self._check_stranger()
        rest = self._parse(data, requests, 1)
        return requests, rest

    def _parse(self, data: bytes, requests: list[list[bytes]], requests_max: int) -> bytes:
        if self._held:
            self._held.append(data)
            self._held_bytes += len(data)
            self._check_size()
            if self._held_bytes < self._wanted_bytes:
                return b""
            data = b"".join(self._held)
            self._held = []
            self._held_bytes = 0
        position = 0
        size = len(data)
        while position < size and len(requests) < requests_max:
            if not self._missing:
                if data[position] != 42:  # `*`
                    after = self._inline(data, position, requests)
                    if after < 0:
                        break
                    position = after
                    continue
                after = self._array_header(data, position)
                if after < 0:
                    break
                position = after
                if not self._missing:
                    continue
            position, done = self._elements(data, position)
            if not done:
                break
            requests.append(self._arguments)
            if not self.authenticated and self._arguments[0].upper() in _GREETINGS:
                self._greeted = True
            self._arguments = []
            self._argument_bytes = 0
        if len(requests) >= requests_max:
            return data[position:]
        if position < size:
            self._held = [data[position:] if position else data]
            self._held_bytes = size - position
            self._wanted_bytes = self._bulk_bytes + 2 if self._bulk_bytes >= 0 else 0
        self._check_size()
        return b""

    def _array_header(self, data: bytes, position: int) -> int:
        """Read `*count`; the position behind it, or -1 when the line is not complete."""
        end = data.find(b"\r", position)
        if end < 0 or end + 1 >= len(data):
            if len(data) - position > LINE_BYTES_MAX:
                raise ProtocolError("too big mbulk count string")
            return -1
        count = _integer(data[position + 1 : end])
        if count is None or count > self._client.arguments_max:
            raise ProtocolError("invalid multibulk length")
        if not self.authenticated and not self._greeted and count > self._client.unauthenticated_arguments_max:
            raise ProtocolError("unauthenticated multibulk length")
        self._missing = max(count, 0)
        return end + 2

    def _elements(self, data: bytes, position: int) -> tuple[int, bool]:
        """Read the array's strings as far as they are there; the position behind them, and whether that was all."""
        size = len(data)
        arguments = self._arguments
        missing = self._missing
        bulk_bytes = self._bulk_bytes
        find = data.find
        trusted = self.authenticated or self._greeted
        limit = self._bulk_bytes_max if trusted else self._client.unauthenticated_bulk_bytes_max
        valid_max = self._bulk_bytes_max if trusted else STRANGER_BULK_BYTES_MAX
        try:
            while missing:
                if bulk_bytes < 0:
                    end = find(b"\r", position)
                    if end < 0 or end + 1 >= size:
                        if size - position > LINE_BYTES_MAX:
                            raise ProtocolError("too big bulk count string")
                        return position, False
                    if data[position] != 36:  # `$`
                        raise ProtocolError(f"expected '$', got '{_printable(data[position])}'")
                    text = data[position + 1 : end]
                    length = _SMALL_COUNTS.get(text)
                    if length is None:
                        length = _integer(text)
                        if length is None or not 0 <= length <= valid_max:
                            raise ProtocolError("invalid bulk length")
                    if length > limit:
                        raise ProtocolError("invalid bulk length" if trusted else "unauthenticated bulk length")
                    bulk_bytes = length
                    position = end + 2
                end = position + bulk_bytes
                if end + 2 > size:
                    return position, False
                arguments.append(data[position:end])
                self._argument_bytes += bulk_bytes
                position = end + 2
                bulk_bytes = -1
                missing -= 1
            return position, True
        finally:
            self._missing = missing
            self._bulk_bytes = bulk_bytes

    def _inline(self, data: bytes, position: int, requests: list[list[bytes]]) -> int:
        """Read one line of words; the position behind it, or -1 when the line is not complete."""
        end = data.find(b"\n", position)
        limit = self._client.inline_bytes_max
        if end < 0:
            if len(data) - position > limit:
                raise ProtocolError("too big inline request")
            return -1
        line = data[position:end]
        if line.endswith(b"\r"):
            line = line[:-1]
        words = split_words(line)
        if words is None:
            raise ProtocolError("unbalanced quotes in request")
        if words:
            requests.append(words)
            if not self.authenticated and words[0].upper() in _GREETINGS:
                self._greeted = True
        return end + 1

    def _check_stranger(self) -> None:
        """The request that an earlier feed left unfinished behind an AUTH: without its success the limits hold again."""
        if self._missing + len(self._arguments) > self._client.unauthenticated_arguments_max:
            raise ProtocolError("unauthenticated multibulk length")
        if self._bulk_bytes > self._client.unauthenticated_bulk_bytes_max:
            raise ProtocolError("unauthenticated bulk length")

    def _check_size(self) -> None:
        if self._held_bytes + self._argument_bytes > self._client.query_bytes_max:
            raise ProtocolError("too big request")


def _integer(text: bytes) -> int | None:
    """A decimal integer in its only canonical form (no sign but `-`, no zeros in front), within 64 bits."""
    small = _SMALL_COUNTS.get(text)
    if small is not None:
        return small
    if not text or len(text) > INTEGER_DIGITS_MAX:
        return None
    digits = text[1:] if text[0] == 45 else text
    if not digits.isdigit() or digits[0] == 48:
        return None
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 63 else None


def _printable(char: int) -> str:
    return " " if char in (10, 13) else chr(char)
