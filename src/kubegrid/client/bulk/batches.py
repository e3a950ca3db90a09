"""What travels: rows of one block that belong to one partition, as columns.

A block's rows are dealt out by their slots and cut into batches; a partition writes each as one entry of its log. Rows of one
slot keep their order, so that of two rows with one key the later one wins. No step of Python per row. Next: `sending`.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import pyarrow as pa
from pyarrow import compute

from kubegrid.client.bulk.progress import Counts, Position

BATCH_ROWS = 8192
BATCH_BYTES = 1024 * 1024
"""A batch has at most so many of both (a single row may be longer), as long as members keep such rows as columns. It takes a
primary's loop and a backup's 3 ms each, which become a hundred where seven processes share two cores."""
RECORDS_MAX = 2048
RECORDS_BYTES = 512 * 1024
"""The same where each row becomes a record, which takes a member's loop several times as long."""
SLOTS_TOGETHER = 8
"""Slots among which rows are not put in order. Arrow sorts by counting, which is several times as fast, below 4096 values."""


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

    A member finds a place for each key in its slot's dictionary; keys of neighbouring slots one after the other are half the
    work of keys that jump about in memory. Rows of one slot keep their order, and with them those of one key. But an index
    has the records of a value in the order in which they were written: rows of a table with indexes stay in the file's.
    """

    def __init__(self, of_slot: list[int], partitions: int, *, in_order: bool = False) -> None:
        """`of_slot` says which partition has a slot."""
        self._partitions = partitions
        packed = array("H", of_slot)
        self._groups, self._partition_of = (
            (_uint16(packed), range(partitions)) if in_order else _neighbours(packed.tobytes())
        )

    def dealt(self, rows: pa.RecordBatch, slots: pa.Array) -> list[pa.RecordBatch | None]:
        """The rows of each partition, None where it has none."""
        groups = self._groups.take(slots)
        places = compute.array_sort_indices(groups)  # it is stable
        counts = [0] * self._partitions
        for one in compute.value_counts(groups).to_pylist():
            counts[self._partition_of[one["values"]]] += one["counts"]
        ends = list(accumulate(counts))
        return [
            rows.take(places.slice(end - count, count)) if count else None
            for end, count in zip(ends, counts, strict=True)
        ]


@lru_cache(maxsize=4)
def _neighbours(of_slot: bytes) -> tuple[pa.Array, Sequence[int]]:
    """The group of each slot, and the partition of each group: `SLOTS_TOGETHER` neighbours are one."""
    partitions = array("H", of_slot)
    groups = array("H", bytes(len(of_slot)))
    partition_of: list[int] = []
    for partition in sorted(set(partitions)):
        slots = [slot for slot, owner in enumerate(partitions) if owner == partition]
        for place, slot in enumerate(slots):
            groups[slot] = len(partition_of) + place // SLOTS_TOGETHER
        partition_of += [partition] * -(-len(slots) // SLOTS_TOGETHER)
    return _uint16(groups), partition_of


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


def _uint16(values: "array[int]") -> pa.Array:
    """Not `pa.array`, which imports NumPy and what comes with it."""
    return pa.Array.from_buffers(pa.uint16(), len(values), [None, pa.py_buffer(values)])
