"""Keys that Arrow spelt are read as they are, with the slots of each; slots and their runs say the same."""

from array import array
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY

from kubegrid.store.slots import runs_of, slots_of
from kubegrid.wire.arrow_key_lists import Spelling, decode_keys, encode_keys, keys, size_of_keys

slots_in_runs = st.lists(st.tuples(st.integers(0, 16383), st.integers(1, 5)), max_size=8).map(
    lambda runs: [slot for slot, count in runs for _ in range(count)]
)


def uint16(values: list[int]) -> pa.Array:
    return pa.Array.from_buffers(pa.uint16(), len(values), [None, pa.py_buffer(array("H", values))])


@STEADY
@given(st.data(), slots_in_runs, st.booleans())
def test_keys_and_slots_come_back(data: st.DataObject, slots: list[int], of_one_length: bool) -> None:
    size = data.draw(st.integers(0, 300))
    texts = [
        data.draw(st.binary(min_size=size if of_one_length else 0, max_size=size if of_one_length else 300))
        for _ in slots
    ]
    given = pa.array([b"before", *texts], pa.binary()).slice(1)  # whose memory begins somewhere else
    spelt = Spelling(b"table:").spelt(given)
    expected = [b"table:" + text for text in texts]
    assert keys(spelt) == expected
    assert keys(spelt.slice(len(texts) // 2)) == expected[len(texts) // 2 :]
    for packed in (encode_keys(spelt, uint16(slots)), memoryview(encode_keys(spelt, uint16(slots)))):
        found, runs = decode_keys(packed)
        assert found == expected
        assert runs == runs_of(slots)
        assert size_of_keys(bytes(packed), found, runs) == sum(map(len, expected))


@pytest.mark.parametrize("length", [0, 248, 249, 250, 4000])
def test_heads_of_every_length(length: int) -> None:
    for texts in ([b"x" * length], [b"x" * length, b""]):
        assert keys(Spelling(b"table:").spelt(pa.array(texts, pa.binary()))) == [b"table:" + text for text in texts]


@STEADY
@given(slots_in_runs)
def test_runs_are_as_long_as_they_can_be_and_give_the_slots(slots: list[int]) -> None:
    runs = runs_of(slots)
    assert slots_of(runs) == slots
    assert all(one[0] != other[0] for one, other in pairwise(runs))
