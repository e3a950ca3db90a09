"""Cut a text file, packed with gzip or not, into blocks of whole records.

A record ends at a line feed; in CSV not at one between quotes. Whether a line feed is between quotes is told by counting:
inside quotes the number of quotes so far is odd, also with quotes doubled as RFC 4180 doubles them.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kubegrid.client.bulk.progress import Position
from kubegrid.load.blocks import BLOCK_BYTES
from kubegrid.load.errors import FileError

RECORD_BYTES_MAX = 64 * 2**20
"""A record longer than this is taken for a quote that was never closed."""
BOM = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    data: bytes
    first_line: int
    end: Position
    done: int
    """Bytes of the file as it lies on disk that have been read."""

    def position(self, line: int) -> Position:
        """Where a line of it begins."""
        before = sum(map(len, _lines(self.data)[: line - self.first_line]))
        return Position(self.end.offset - len(self.data) + before, line)


class TextFile:
    """Pieces of a file from a position on."""

    def __init__(self, path: Path, *, quotes: bool) -> None:
        self.path = path
        self.quotes = quotes
        self.total = path.stat().st_size

    def pieces(self, begin: Position, bytes_max: int = BLOCK_BYTES) -> Iterator[Piece]:
        """Raises FileError for a damaged archive or a record without an end."""
        with open(self.path, "rb") as raw:
            packed = self.path.suffix == ".gz"
            file: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]  # it reads as one
            try:
                file.seek(begin.offset)
                offset, line, rest = begin.offset, begin.line, b""
                while True:
                    new = file.read(bytes_max)
                    data = rest + new
                    if not data:
                        return
                    cut = len(data) if not new else self._last_end(data)
                    if not cut:
                        if len(data) > RECORD_BYTES_MAX:
                            raise FileError(
                                f"{self.path}: the record that begins at line {line} has no end within "
                                f"{RECORD_BYTES_MAX // 2**20} MiB",
                                "Is there a quote that is never closed?" if self.quotes else "",
                            )
                        rest = data
                        continue
                    whole, rest = data[:cut], data[cut:]
                    first, line = line, line + whole.count(b"\n")
                    offset += cut
                    yield Piece(whole, first, Position(offset, line), raw.tell() if packed else offset)
            except (EOFError, OSError, zlib.error) as error:
                raise FileError(f"{self.path} cannot be read: {error}") from error

    def _last_end(self, data: bytes) -> int:
        """Where the last whole record ends; 0 when there is none."""
        end = data.rfind(b"\n") + 1
        if not self.quotes or b'"' not in data:
            return end
        quotes_before = data.count(b'"', 0, end)
        while end and quotes_before % 2:
            earlier = data.rfind(b"\n", 0, end - 1) + 1
            quotes_before -= data.count(b'"', earlier, end)
            end = earlier
        return end


def records(data: bytes, first_line: int, *, quotes: bool) -> list[tuple[int, bytes]]:
    """Line number and text (with its end) of each record that is not empty."""
    found: list[tuple[int, bytes]] = []
    held: list[bytes] = []
    open_quote = False
    began = first_line
    for number, text in enumerate(_lines(data), first_line):
        if not held:
            began = number
        held.append(text)
        if quotes and text.count(b'"') % 2:
            open_quote = not open_quote
        if not open_quote:
            whole = b"".join(held)
            if whole.strip(b"\r\n"):
                found.append((began, whole))
            held.clear()
    if held:
        found.append((began, b"".join(held)))
    return found


def _lines(data: bytes) -> list[bytes]:
    """Lines that end at \\n only: a lone \\r is part of a value."""
    parts = data.split(b"\n")
    last = parts.pop()
    lines = [part + b"\n" for part in parts]
    return [*lines, last] if last else lines
