"""What travels: rows of one block that belong to one partition, as columns.

A block's rows are dealt out by their slots and cut into batches; a partition writes each as one entry of its log. Order is
kept within a partition, so that of two rows with one key the later one wins. Next: `sending`.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from kubegrid.load.blocks import Position
from kubegrid.load.checkpoint import Counts

BATCH_ROWS = 2048
BATCH_BYTES = 512 * 1024
"""A batch has at most so many of both (a single row may be longer): a member's loop is busy with it for some milliseconds.
Members refuse larger ones."""


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


def dealt(rows: pa.RecordBatch, slots: list[int], of_slot: list[int], partitions: int) -> list[pa.RecordBatch | None]:
    """The rows of each partition, None where it has none. `of_slot` says which partition has a slot."""
    if partitions == 1:
        return [rows]
    places: list[list[int]] = [[] for _ in range(partitions)]
    for place, slot in enumerate(slots):
        places[of_slot[slot]].append(place)
    return [rows.take(_indices(some)) if some else None for some in places]


def pieces(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in order, cut to the limits."""
    for start in range(0, len(rows), BATCH_ROWS):
        yield from _halves(rows.slice(start, BATCH_ROWS))


def _halves(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if len(rows) <= 1 or rows.nbytes <= BATCH_BYTES:
        yield rows
        return
    middle = len(rows) // 2
    yield from _halves(rows.slice(0, middle))
    yield from _halves(rows.slice(middle))


def _indices(places: list[int]) -> pa.Array:
    """Not `pa.array`, which imports NumPy and what comes with it."""
    return pa.Array.from_buffers(pa.int32(), len(places), [None, pa.py_buffer(array("i", places).tobytes())])
