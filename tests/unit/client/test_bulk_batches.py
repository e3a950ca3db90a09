"""Rows are dealt out by their slots, in the order they came, and cut to what a member takes at once."""

from array import array
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.client.bulk import batches
from kubegrid.client.bulk.batches import Batch, BlockState, Dealer, pieces, smaller
from kubegrid.client.bulk.progress import Counts, Position


def numbered(count: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(count), pa.int64())], ["n"])


@STEADY
@given(
    st.lists(st.integers(0, SLOT_COUNT - 1), min_size=1, max_size=200),
    st.integers(1, 4),
    st.integers(0, 99),
    st.booleans(),
)
def test_each_row_goes_to_its_partition_and_rows_of_a_slot_or_all_of_them_keep_their_order(
    slots: list[int], partitions: int, seed: int, in_order: bool
) -> None:
    random = Random(seed)
    of_slot = [random.randrange(partitions) for _ in range(SLOT_COUNT)]
    packed = pa.Array.from_buffers(pa.uint16(), len(slots), [None, pa.py_buffer(array("H", slots))])
    dealt = Dealer(of_slot, partitions, in_order=in_order).dealt(numbered(len(slots)), packed)
    assert len(dealt) == partitions
    found: list[int] = []
    for partition, rows in enumerate(dealt):
        assert rows is None or len(rows)
        places = [] if rows is None else rows.column("n").to_pylist()
        assert all(of_slot[slots[place]] == partition for place in places)
        assert not in_order or places == sorted(places)
        assert in_order or [slots[place] for place in places] == sorted(slots[place] for place in places)
        for slot in set(slots):
            of_one = [place for place in places if slots[place] == slot]
            assert of_one == sorted(of_one)
        found += places
    assert sorted(found) == list(range(len(slots)))


@pytest.mark.parametrize("as_columns", [True, False])
def test_pieces_are_within_the_limits_and_about_as_long_as_each_other(as_columns: bool) -> None:
    limit = batches.BATCH_ROWS if as_columns else batches.RECORDS_MAX
    for count in (0, 1, limit, limit + 1, 5 * limit - 1):
        cut = list(pieces(numbered(count), as_columns=as_columns))
        assert [n for part in cut for n in part.column("n").to_pylist()] == list(range(count))
        lengths = [len(part) for part in cut]
        assert not lengths or (max(lengths) <= limit and len(cut) == -(-count // limit))
        assert not lengths or max(lengths) - min(lengths) <= len(cut)


def test_long_rows_are_cut_by_their_bytes_and_one_row_stays_whole() -> None:
    rows = pa.record_batch([pa.array(["x" * batches.BATCH_BYTES] * 3)], ["s"])
    assert [len(part) for part in pieces(rows, as_columns=True)] == [1, 1, 1]


@pytest.mark.parametrize("count", [2, 3, batches.RECORDS_MAX, batches.BATCH_ROWS])
def test_a_batch_that_was_too_large_becomes_smaller_ones(count: int) -> None:
    cut = smaller(numbered(count))
    assert len(cut) > 1
    assert [n for part in cut for n in part.column("n").to_pylist()] == list(range(count))
    whole = Batch(BlockState(Position(0, 1), Counts(), False), numbered(count), 1.0)
    assert sum(part.share for part in whole.parts(cut)) == pytest.approx(1.0)
