"""What travels: rows of one block that belong to one partition, as columns.

A block's rows are dealt out by their slots and cut into batches; a partition writes each as one entry of its log. Rows of one
slot keep their order, so that of two rows with one key the later one wins. No step of Python per row. Next: `sending`.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import compute

from kubegrid.base.tables import TableDefinition
from kubegrid.load.blocks import Position
from kubegrid.load.checkpoint import Counts

BATCH_ROWS = 16_384
BATCH_BYTES = 1024 * 1024
"""A batch has at most so many of both (a single row may be longer), as long as members keep such rows as columns."""
RECORDS_MAX = 2048
RECORDS_BYTES = 512 * 1024
"""The same where each row becomes a record, which takes a member's loop several times as long."""


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
    """Deals rows out to their partitions, and in each by slots.

    A member finds a place for each key in its slot's dictionary; keys of one slot one after the other are half the work of
    those that jump about in memory. Rows of one slot keep their order, and with them those of one key.
    """

    def __init__(self, of_slot: list[int], partitions: int) -> None:
        """`of_slot` says which partition has a slot."""
        self._partitions = partitions
        ranks = array("H", bytes(2 * len(of_slot)))
        for rank, slot in enumerate(sorted(range(len(of_slot)), key=of_slot.__getitem__)):
            ranks[slot] = rank
        self._of_slot = _uint16(array("H", of_slot))
        self._ranks = _uint16(ranks)

    def dealt(self, rows: pa.RecordBatch, slots: pa.Array) -> list[pa.RecordBatch | None]:
        """The rows of each partition, None where it has none."""
        places = compute.array_sort_indices(self._ranks.take(slots))  # it is stable
        counts = {one["values"]: one["counts"] for one in compute.value_counts(self._of_slot.take(slots)).to_pylist()}
        dealt: list[pa.RecordBatch | None] = [None] * self._partitions
        start = 0
        for number in sorted(counts):
            dealt[number] = rows.take(places.slice(start, counts[number]))
            start += counts[number]
        return dealt


def as_columns(table: TableDefinition) -> bool:
    """Whether members may keep its rows as columns."""
    return not table.indexes and table.ttl is None


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
