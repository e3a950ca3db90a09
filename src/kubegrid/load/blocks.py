"""What a file is made of for loading: blocks of whole rows, each about a MiB, read one after the other.

A source knows the file's schema and cuts the file into blocks; a block can turn any range of its rows into an Arrow
table, and say what stood on which line. Asking for a range is what makes precise errors cheap: a block is converted as a
whole, and only one that fails is cut in halves until the bad rows stand alone (`sifting`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from kubegrid.client.bulk.progress import Position

BLOCK_BYTES = 2**22
"""Text that is parsed at once: some 40,000 rows of 100 bytes."""
BLOCK_ROWS = 524_288
DECODED_BYTES = 32 * 2**20
"""At most so many rows of a Parquet file are decoded at once, and about so many bytes. The more there are, the more of them go
into each slot, and rows of one slot are written together (`batches.Dealer`)."""

LARGE_WHOLE = pa.decimal128(38, 0)
"""For a column of text whose whole numbers are too large for an int64: as floating numbers they would be rounded."""


class Block(ABC):
    """Consecutive rows of a file. `end` is where the next block begins; `done` of `total` of the source is read then."""

    __slots__ = ("done", "end")

    def __init__(self, end: Position, done: int) -> None:
        self.end = end
        self.done = done

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows; for text, of lines that may be rows."""

    @abstractmethod
    def table(self, start: int | None = None, stop: int | None = None) -> pa.Table:
        """The rows [start, stop), or all. Raises ArrowException when they are not what the source's types say."""

    @abstractmethod
    def line(self, row: int) -> int:
        """Line number in the file (text), or row number (Parquet), counted from 1."""

    @abstractmethod
    def position(self, row: int) -> Position:
        """Where the row begins, to go on there."""

    @abstractmethod
    def text(self, row: int) -> str:
        """The row as it stands in the file, for the file of bad rows."""


class Source(ABC):
    """One file. `schema` is its own; `total` is its size in the unit of `Block.done`, for a progress bar."""

    path: Path
    schema: pa.Schema
    inferred: str = ""
    """How the types were found, when the file does not state them itself; empty when it does."""
    total: int
    unit: str
    """"bytes" or "rows"."""
    where: str = "line"
    """What `Block.line` counts."""

    @abstractmethod
    def beginning(self) -> Position: ...

    @abstractmethod
    def blocks(self, wanted: pa.Schema, begin: Position) -> Iterator[Block]:
        """The blocks from `begin` on, whose tables come in `wanted`'s types as far as the format can read them so."""

    may_leave_out: bool = False
    """Whether a row may lack columns (NDJSON), so that a column missing from the schema says nothing."""
    values_are_text: bool = False
    """Whether the file states no types at all (CSV): then `schema` is a guess, and a table's types decide."""

    def refuse_encoding(self) -> None:  # noqa: B027  (most say what they are)
        """Raises FileError when a new table would take text for something else."""

    def sample_texts(self, column: str) -> list[str]:
        """Some of a column's values that are not NULL, from the beginning of a file whose values are text."""
        return []


def named_once(names: Sequence[str]) -> list[str]:
    """The names that stand more than once."""
    return sorted({name for name in names if list(names).count(name) > 1})
