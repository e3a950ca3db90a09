"""Cut a text file, packed with gzip or not, into blocks of whole records.

A record ends at a line feed; in CSV not at one between quotes (`csv_records`).
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from kubegrid.client.bulk.progress import Position
from kubegrid.load.blocks import BLOCK_BYTES
from kubegrid.load.errors import FileError

RECORD_BYTES_MAX = 64 * 2**20
"""A longer record is refused; in CSV it is taken for one with a quote that was never closed."""
BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    line: int
    """Where it begins."""
    text: bytes
    """With its end."""
    closed: bool = True
    """Whether every quote in it is."""


class Records(Protocol):
    """How a format's records are told from each other: `Lines`, `CsvRecords`."""

    def end(self, data: bytes, *, waits: bool) -> int:
        """Where the last whole record ends; 0 when there is none. `waits`: for the end of one that is open."""


class Lines:
    """Every line is a record."""

    def end(self, data: bytes, *, waits: bool) -> int:
        return data.rfind(b"\n") + 1


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

    def __init__(self, path: Path, records: Records) -> None:
        self.path = path
        self.records = records
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
                    cut = len(data) if not new else self.records.end(data, waits=len(data) <= RECORD_BYTES_MAX)
                    if not cut:
                        if len(data) > RECORD_BYTES_MAX:
                            raise FileError(
                                f"{self.path}: the record that begins at line {line} has no end within "
                                f"{RECORD_BYTES_MAX // 2**20} MiB"
                            )
                        rest = data
                        continue
                    whole, rest = data[:cut], data[cut:]
                    first, line = line, line + whole.count(b"\n")
                    offset += cut
                    yield Piece(whole, first, Position(offset, line), raw.tell() if packed else offset)
            except (EOFError, OSError, zlib.error) as error:
                raise FileError(f"{self.path} cannot be read: {error}") from error


def lines(data: bytes, first_line: int) -> list[Record]:
    """The lines that are not empty."""
    return [Record(number, text) for number, text in enumerate(_lines(data), first_line) if text.strip(b"\r\n")]


def _lines(data: bytes) -> list[bytes]:
    """Lines that end at \\n only: a lone \\r is part of a value."""
    parts = data.split(b"\n")
    last = parts.pop()
    ended = [part + b"\n" for part in parts]
    return [*ended, last] if last else ended
