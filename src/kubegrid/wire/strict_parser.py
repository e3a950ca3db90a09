"""Requests as Redis 7 itself reads them, byte for byte, errors included: slow beside hiredis, exact, resumable.

`requests` uses this parser for all that is not the common case: inline commands, clients that have not authenticated
yet, large or unfinished requests, and whatever looks wrong (so that the error is the one that Redis would send).

Two habits of Redis are kept on purpose. A line ends at the first carriage return and the byte after it is skipped
unseen, as are the two bytes after a bulk string; and an array of zero or fewer elements is no request at all.

Memory is bounded: what is kept for an unfinished request is what arrived of it, never what its headers announce.
"""

import re

from kubegrid.base.settings import ClientSettings, StoreSettings

LINE_BYTES_MAX = 64 * 1024
"""A header without an end after this many bytes is refused, as in Redis (PROTO_INLINE_MAX_SIZE)."""
INTEGER_DIGITS_MAX = 20

_SMALL_COUNTS = {b"%d" % n: n for n in range(1024)}
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_SPACES = b" \t\n\v\f\r"
_special = re.compile(rb"[\"'\0\v\f]").search


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

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Every request that `data` completes. Raises ProtocolError; nothing may be fed after that."""
        requests: list[list[bytes]] = []
        try:
            self._parse(data, requests, len(data) + 1)
        except ProtocolError as error:
            error.requests = requests
            raise
        return requests

    def finish(self, data: bytes) -> tuple[list[list[bytes]], bytes]:
        """Only the unfinished request, once `data` completes it, and what of `data` lies behind it."""
        requests: list[list[bytes]] = []
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
        if not self.authenticated and count > self._client.unauthenticated_arguments_max:
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
        limit = self._bulk_bytes_max if self.authenticated else self._client.unauthenticated_bulk_bytes_max
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
                        if length is None or not 0 <= length <= self._bulk_bytes_max:
                            raise ProtocolError("invalid bulk length")
                    if length > limit:
                        if self.authenticated:
                            raise ProtocolError("invalid bulk length")
                        raise ProtocolError("unauthenticated bulk length")
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
        return end + 1

    def _check_size(self) -> None:
        if self._held_bytes + self._argument_bytes > self._client.query_bytes_max:
            raise ProtocolError("too big request")


def split_words(line: bytes) -> list[bytes] | None:
    """The words of an inline command: blanks separate, quotes hold together, None when a quote is not closed.

    In double quotes a backslash escapes (`\\n`, `\\r`, `\\t`, `\\b`, `\\a`, `\\xHH`, anything else stands for itself); in
    single quotes only `\\'` does. A closing quote must be followed by a blank or the end.
    """
    words: list[bytes] = []
    if not _special(line):
        return line.split()
    line = line.split(b"\0", 1)[0]
    position = 0
    size = len(line)
    while True:
        while position < size and line[position] in _SPACES:
            position += 1
        if position >= size:
            return words
        word = bytearray()
        quote = 0
        while True:
            if position >= size:
                if quote:
                    return None
                break
            char = line[position]
            if quote:
                if (
                    char == 92
                    and quote == 34
                    and line[position + 1 : position + 2] == b"x"
                    and _is_hex(line, position + 2)
                ):
                    word.append(int(line[position + 2 : position + 4], 16))
                    position += 3
                elif char == 92 and quote == 34 and position + 1 < size:
                    position += 1
                    word.append(_ESCAPES.get(line[position], line[position]))
                elif char == 92 and quote == 39 and line[position + 1 : position + 2] == b"'":
                    position += 1
                    word.append(39)
                elif char == quote:
                    if position + 1 < size and line[position + 1] not in _SPACES:
                        return None
                    position += 1
                    break
                else:
                    word.append(char)
            elif char in b" \n\r\t":
                break
            elif char in (34, 39):
                quote = char
            else:
                word.append(char)
            position += 1
        words.append(bytes(word))


def _is_hex(line: bytes, position: int) -> bool:
    digits = line[position : position + 2]
    return len(digits) == 2 and all(d in b"0123456789abcdefABCDEF" for d in digits)


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
