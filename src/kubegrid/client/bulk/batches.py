"""What travels: rows of one block that belong to one partition, as columns.

A block's rows are dealt out by their slots and cut into batches; a partition writes each as one entry of its log. Rows of one
slot keep their order, so that of two rows with one key the later one wins. No step of Python per row. Next: `sending`.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate

import pyarrow as pa
from pyarrow import compute

from kubegrid.client.bulk.progress import Counts, Position

BATCH_ROWS = 12_288
BATCH_BYTES = 1024 * 1024
"""A batch has at most so many of both (a single row may be longer), as long as members keep such rows as columns. It takes a
primary's loop and a backup's 3 ms each, which become a hundred where seven processes share two cores."""
RECORDS_MAX = 2048
RECORDS_BYTES = 512 * 1024
"""The same where each row becomes a record, which takes a member's loop several times as long."""
RADIX = 128
"""Slots are put in order by two digits of this base: there are its square of them."""
_taken = partial(compute.take, boundscheck=False)
"""Places that were computed here are within their bounds."""


@dataclass(slots=True)
class BlockState:
    """A block on its way. `waiting` counts batches without an answer, and one more until all are queued."""

    end: Position
    counts: Counts
    maybe_there: bool
    """An earlier run may have sent it already."""
    waiting: int = 1


@dataclass(slots=True)
class Batch:
    block: BlockState
    rows: pa.RecordBatch
    share: float
    """Its part of the source's size, for the progress."""

    def parts(self, rows: list[pa.RecordBatch]) -> list["Batch"]:
        """Batches of its rows, cut so."""
        return [Batch(self.block, part, self.share * len(part) / len(self.rows)) for part in rows]


class Dealer:
    """Deals rows out to their partitions, and in each, unless `in_order`, by slots.

    A member finds a place for each key in its slot's dictionary; keys of one slot one after the other are half the work of
    keys that jump about in memory. Rows of one slot keep their order, and with them those of one key. But an index has the
    records of a value in the order in which they were written: rows of a table with indexes stay in the file's.
    """

    def __init__(self, of_slot: list[int], partitions: int, *, in_order: bool = False) -> None:
        """`of_slot` says which partition has a slot."""
        self._partitions = partitions
        self._partition_of_slot = _numbers(of_slot)
        self._orders = [self._partition_of_slot] if in_order else _digits(array("H", of_slot).tobytes())

    def dealt(self, rows: pa.RecordBatch, slots: pa.Array) -> list[pa.RecordBatch | None]:
        """The rows of each partition, None where it has none."""
        places = None
        for order in self._orders:
            digits = _taken(order, slots if places is None else _taken(slots, places))
            found = compute.array_sort_indices(digits)  # it is stable
            places = found if places is None else _taken(places, found)
        assert places is not None
        counts = [0] * self._partitions
        for one in compute.value_counts(_taken(self._partition_of_slot, slots)).to_pylist():
            counts[one["values"]] = one["counts"]
        ends = list(accumulate(counts))
        return [
            _taken(rows, places.slice(end - count, count)) if count else None
            for end, count in zip(ends, counts, strict=True)
        ]


@lru_cache(maxsize=4)
def _digits(of_slot: bytes) -> list[pa.Array]:
    """Of each slot's place among the slots in the order of their partitions: its digits, the last one first."""
    partitions = array("H", of_slot)
    ranks = [0] * len(partitions)
    for rank, slot in enumerate(sorted(range(len(partitions)), key=partitions.__getitem__)):
        ranks[slot] = rank
    # Each sort is stable: Arrow sorts few different values by counting, in a tenth of the time.
    return [_numbers([rank % RADIX for rank in ranks]), _numbers([rank // RADIX for rank in ranks])]


def pieces(rows: pa.RecordBatch, *, as_columns: bool) -> Iterator[pa.RecordBatch]:
    """The rows in order, cut to the limits, and none much smaller than the others."""
    rows_max = BATCH_ROWS if as_columns else min(BATCH_ROWS, RECORDS_MAX)
    bytes_max = BATCH_BYTES if as_columns else RECORDS_BYTES
    step = -(-len(rows) // max(1, -(-len(rows) // rows_max)))
    for start in range(0, len(rows), step or 1):
        yield from _halves(rows.slice(start, step), bytes_max)


def smaller(rows: pa.RecordBatch) -> list[pa.RecordBatch]:
    """The parts of a batch that was too large for its member."""
    parts = list(pieces(rows, as_columns=False))
    return parts if len(parts) > 1 else list(_halves(rows, rows.nbytes // 2))


def _halves(rows: pa.RecordBatch, bytes_max: int) -> Iterator[pa.RecordBatch]:
    if len(rows) <= 1 or rows.nbytes <= bytes_max:
        yield rows
        return
    middle = len(rows) // 2
    yield from _halves(rows.slice(0, middle), bytes_max)
    yield from _halves(rows.slice(middle), bytes_max)


def _numbers(values: list[int]) -> pa.Array:
    """As narrow as they can be. Not `pa.array`, which imports NumPy and what comes with it."""
    code, kind = ("B", pa.uint8()) if max(values) < 256 else ("H", pa.uint16())
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(array(code, values))])
