"""The keys of a batch as one list of MessagePack, which Arrow writes and msgspec reads; and slots, each once for the keys it has.

**Hot path** of loading. What stands before each key in the list is put there as its table's name is, in one step of Arrow. So
the list that goes into the log is also the shortest way to keys as Python has them. Rows of a load come in the order of their
slots (`load.batches`), so a slot is said once for all keys that follow each other in it: a *run*. Next: `arrow_keys`.
"""

from array import array as plain_array
from operator import sub

import msgspec
import pyarrow as pa
from pyarrow import compute

from kubegrid.wire.arrow_packing import bytes_array, numbers

Runs = list[tuple[int, int]]
"""Slots, each with the number of its keys that follow each other."""
_decode_keys = msgspec.msgpack.Decoder(list[bytes]).decode
_decode = msgspec.msgpack.Decoder(tuple[list[bytes], bytes, bytes]).decode
_NOTHING = bytes_array([b""])[0]
_LIST_AT, _HEAD_BYTES, _RUN_BYTES = 6, 5, 6
"""Of what `encode_keys` makes: where the first key is, the head of slots or counts, what a run has in both together."""
_SHORT_HEAD_BYTES, _LONG = 2, b"\xc5"
"""Before a key of less than 256 bytes; what the head of a longer one begins with."""


class Spelling:
    """Makes keys that begin alike. Any thread may use it."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._heads: dict[int, pa.Array] = {}

    def spelt(self, texts: pa.Array) -> pa.Array:
        """Of each text the prefix and the text, as MessagePack's binary, which `keys` and `encode_keys` take."""
        lengths = compute.binary_length(texts)
        bounds = compute.min_max(lengths).as_py()
        longest = bounds["max"] or 0
        if bounds["min"] == bounds["max"]:
            return compute.binary_replace_slice(texts, 0, 0, self._head(longest))
        return compute.binary_join_element_wise(
            self._heads_below(1 << longest.bit_length()).take(lengths), texts, _NOTHING
        )

    def _heads_below(self, limit: int) -> pa.Array:
        heads = self._heads.get(limit)
        if heads is None:
            heads = self._heads[limit] = bytes_array([self._head(length) for length in range(limit)])
        return heads

    def _head(self, length: int) -> bytes:
        size = len(self.prefix) + length
        return (b"\xc4%c" % size if size < 256 else b"\xc5" + size.to_bytes(2)) + self.prefix


def keys(spelt: pa.Array) -> list[bytes]:
    """The keys themselves."""
    return _decode_keys(b"".join((_list_head(len(spelt)), _data(spelt))))


def encode_keys(spelt: pa.Array, slots: pa.Array) -> bytes:
    """Keys with their slots, which are uint16."""
    runs = compute.run_end_encode(slots)
    ends = numbers(runs.run_ends)
    of_runs = plain_array("H", numbers(runs.values)).tobytes()
    counts = plain_array("i", map(sub, ends, [0, *ends])).tobytes()
    return b"".join(
        (b"\x93", _list_head(len(spelt)), _data(spelt), _binary_head(of_runs), of_runs, _binary_head(counts), counts)
    )


def decode_keys(data: bytes | memoryview) -> tuple[list[bytes], Runs]:
    """What `encode_keys` was given, as a list, and runs of slots."""
    listed, slots, counts = _decode(data)
    return listed, list(zip(plain_array("H", slots), plain_array("i", counts), strict=True))


def size_of_keys(data: bytes, listed: list[bytes], runs: Runs) -> int:
    """How many bytes the keys have together that `decode_keys` gave for `data`: what is there beside their heads. To look at
    each key takes ten times as long."""
    end = len(data) - 2 * _HEAD_BYTES - _RUN_BYTES * len(runs)
    if data.find(_LONG, _LIST_AT, end) >= 0:  # a key may have the longer head
        return sum(map(len, listed))
    return end - _LIST_AT - _SHORT_HEAD_BYTES * len(listed)


def _binary_head(data: bytes) -> bytes:
    return b"\xc6" + len(data).to_bytes(4)


def _list_head(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4)


def _data(array: pa.Array) -> pa.Buffer | bytes:
    """The bytes of all values, one after the other."""
    _, ends, data = array.buffers()
    if data is None or not len(array):
        return b""
    offsets = memoryview(ends).cast("i")
    first, last = offsets[array.offset], offsets[array.offset + len(array)]
    return data.slice(first, last - first)
