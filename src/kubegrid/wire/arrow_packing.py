"""A settled column of Arrow as the MessagePack of its values: the same bytes that `rows` writes, without a step per value.

**Hot path** of loading. A row is the concatenation of its values' bytes, and Arrow joins columns of bytes in C, without the
interpreter's lock; so every value's bytes are made in C as well: small integers and lengths by looking them up in a table,
other numbers by one call of msgspec for the whole column, text by putting its length before it. What has no such way (UUIDs,
JSON, moments with a zone) is made once for each *distinct* value: such values repeat in most tables.

NULL stays NULL here: whoever joins puts MessagePack's nil in its place. Nothing here asks for NumPy, which pyarrow would load
with pandas behind it; that is why constants come from `constants`. Next: `arrow_rows`.
"""

from array import array as plain_array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa
from pyarrow import compute

from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import TYPES
from kubegrid.base.table_errors import BadValue
from kubegrid.wire.rows import packed_value

_FORMATS: Final = {
    pa.int8(): "b", pa.int16(): "h", pa.int32(): "i", pa.int64(): "q", pa.uint8(): "B", pa.uint16(): "H",
    pa.uint32(): "I", pa.uint64(): "Q", pa.float32(): "f", pa.float64(): "d",
}  # fmt: skip
"""Of the `struct` module, as memoryview wants them."""
_SMALL: Final = range(-(1 << 15), 1 << 16)
"""Integers whose bytes are looked up."""
_STEPS: Final = ((127, -32, 1), (255, -128, 1), (65_535, -32_768, 2), ((1 << 32) - 1, -(1 << 31), 4))
"""An integer above the first or below the second takes so many bytes more."""
_LENGTHS: Final = (1 << 10, 1 << 16)
"""Below these, lengths are looked up: in a small table where that is enough."""
_DAYS: Final = (-719_162, 2_932_896)
"""The years 1 to 9999, in days since 1970."""
_DAY_US: Final = 86_400_000_000
_SCALE_PLAIN_MAX: Final = 6
"""Python writes a decimal of a larger scale with an exponent at times."""
NIL: Final = packed_value(None)
_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)


def packed(array: pa.Array, wanted: ColumnType) -> pa.Array:
    """The bytes of each value; NULL for NULL. Raises BadValue, without a place, ValueError or OverflowError."""
    name = wanted.name
    if pa.types.is_integer(array.type):
        return _integers(array)
    if pa.types.is_floating(array.type):
        return _doubles(array)
    if name == "VARCHAR":
        return _texts(array)
    if name == "DATE" or name.startswith("TIMESTAMP"):
        check_years(array, wanted)
    if name == "DATE":
        return _texts(compute.cast(array, pa.string()))
    if name == "TIMESTAMP":
        return _texts(timestamp_texts(array))
    if name.startswith("DECIMAL") and array.type.scale <= _SCALE_PLAIN_MAX:
        return _texts(compute.cast(array, pa.string()))
    return by_distinct(array, wanted, lambda value: packed_value(value if wanted.pack is None else wanted.pack(value)))


def by_distinct(array: pa.Array, wanted: ColumnType, make: Callable[[Any], bytes]) -> pa.Array:
    """`make` of each value in the form that the column has in memory, asked once for each distinct one."""
    keyed = array.view(pa.int64()) if wanted.name.startswith("TIMESTAMP") else array
    coded = keyed.dictionary_encode()
    return bytes_array(list(map(make, _in_memory(coded.dictionary, wanted)))).take(coded.indices)


def listed(array: pa.Array, wanted: ColumnType) -> list[Any]:
    """The values as the column has them in memory, None for NULL, made once for each distinct one."""
    keyed = array.view(pa.int64()) if wanted.name.startswith("TIMESTAMP") else array
    coded = keyed.dictionary_encode()
    values = [*_in_memory(coded.dictionary, wanted), None]
    places = compute.fill_null(coded.indices, constant(-1, pa.int32())) if array.null_count else coded.indices
    return list(map(values.__getitem__, numbers(places)))


def timestamp_texts(array: pa.Array) -> pa.Array:
    """As in ISO 8601, with six digits of a fraction where there is one; years checked before."""
    seconds = compute.cast(array, pa.timestamp("s"), safe=False)
    fractions = compute.not_equal(compute.cast(seconds, array.type), array)  # None where it is NULL
    found = compute.min_max(fractions).as_py()
    if not found["min"]:
        texts = compute.binary_replace_slice(compute.cast(seconds, pa.string()), 10, 11, b"T")
        if not found["max"]:
            return texts
    exact = compute.binary_replace_slice(compute.cast(array, pa.string()), 10, 11, b"T")
    return exact if found["min"] else compute.if_else(fractions, exact, texts)


def bytes_array(values: Sequence[bytes]) -> pa.Array:
    offsets = plain_array("i", accumulate(map(len, values), initial=0))
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def int32_array(values: Sequence[int]) -> pa.Array:
    """Not `pa.array`, which imports NumPy and what comes with it."""
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(plain_array("i", values).tobytes())])


def numbers(array: pa.Array) -> list[Any]:
    """What lies in the memory of an array of numbers; anything where it is NULL."""
    if not len(array):
        return []
    size = array.type.bit_width // 8
    memory = memoryview(array.buffers()[1]).cast("B")[array.offset * size : (array.offset + len(array)) * size]
    made = plain_array(_FORMATS[array.type])  # whose `tolist` is three times as fast as that of memory
    made.frombytes(memory)
    return made.tolist()


@cache
def constant(value: int, kind: pa.DataType) -> pa.Scalar:
    """One of a few numbers that are asked for again and again, as Arrow's."""
    return scalar(value, kind)


def scalar(value: int, kind: pa.DataType) -> pa.Scalar:
    """A number as Arrow's; `pa.scalar` would import NumPy."""
    data = plain_array(_FORMATS[kind], [value]).tobytes()
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(data)])[0]


def _in_memory(array: pa.Array, wanted: ColumnType) -> list[Any]:
    name = wanted.name
    values: list[Any] = array.to_pylist()
    if name.startswith("TIMESTAMP"):
        epoch = _EPOCH if name == "TIMESTAMP" else _EPOCH_UTC
        return [epoch + timedelta(microseconds=us) for us in values]
    if name.startswith("DECIMAL"):
        return [wanted.settle(value) for value in values]
    if array.type == pa.string() and name != "VARCHAR":
        return [wanted.from_text(text.encode()) for text in values]  # UUID, JSON, HUGEINT
    return values


# -- numbers ---------------------------------------------------------------------------------------------------------


def _integers(array: pa.Array) -> pa.Array:
    bounds = compute.min_max(array).as_py()
    if bounds["min"] is None:
        return _nulls(len(array))
    if bounds["min"] in _SMALL and bounds["max"] in _SMALL:
        places = compute.add(compute.cast(array, pa.int32()), constant(-_SMALL.start, pa.int32()))
        return _small_integers().take(places)
    if bounds["max"] >= 1 << 63:
        return by_distinct(array, TYPES["UBIGINT"], packed_value)
    bare = _bare(array if array.type == pa.int64() else compute.cast(array, pa.int64()))
    bounds = compute.min_max(bare).as_py()
    width = _width(bounds["min"])
    if width == _width(bounds["max"]) and (bounds["min"] < 0) == (bounds["max"] < 0):
        return _with_nulls_of(array, _of_one_width(_packed_numbers(bare), width, len(array)))
    none, one = constant(0, pa.int32()), constant(1, pa.int32())
    lengths = compute.if_else(compute.is_valid(bare), one, none)
    for above, below, more in _STEPS:
        if bounds["max"] > above:
            longer = compute.greater(bare, constant(above, pa.int64()))
            lengths = compute.add(lengths, compute.if_else(longer, constant(more, pa.int32()), none))
        if bounds["min"] < below:
            longer = compute.less(bare, constant(below, pa.int64()))
            lengths = compute.add(lengths, compute.if_else(longer, constant(more, pa.int32()), none))
    ends = compute.cumulative_sum(lengths).buffers()[1].to_pybytes()
    offsets = pa.py_buffer(bytes(4) + ends[: 4 * len(array)])
    made = pa.Array.from_buffers(pa.binary(), len(array), [None, offsets, _packed_numbers(bare)])
    return _with_nulls_of(array, made)


def _doubles(array: pa.Array) -> pa.Array:
    """Nine bytes each; a REAL is written as the double that it is."""
    return _with_nulls_of(array, _of_one_width(_packed_numbers(array), 9, len(array)))


def _width(number: int) -> int:
    """Bytes that MessagePack needs for an integer."""
    return 1 + sum([more for above, below, more in _STEPS if number > above or number < below])


def _of_one_width(data: pa.Buffer, width: int, count: int) -> pa.Array:
    return compute.cast(pa.Array.from_buffers(pa.binary(width), count, [None, data]), pa.binary())


def _packed_numbers(array: pa.Array) -> pa.Buffer:
    """All of them, one after the other, without the head of the array that msgspec makes of them."""
    count = len(array)
    return pa.py_buffer(packed_value(numbers(array))).slice(1 if count < 16 else 3 if count < 1 << 16 else 5)


@cache
def _small_integers() -> pa.Array:
    return bytes_array([packed_value(number) for number in _SMALL])  # a loop in C would keep the lock for 10 ms


def _bare(array: pa.Array) -> pa.Array:
    """The same memory without NULLs: whatever number lies there."""
    if not array.null_count:
        return array
    return pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]], offset=array.offset)


def _nulls(count: int) -> pa.Array:
    return pa.nulls(count, pa.binary())


def _with_nulls_of(array: pa.Array, made: pa.Array) -> pa.Array:
    return compute.if_else(array.is_valid(), made, _nulls(len(made))) if array.null_count else made


# -- texts -----------------------------------------------------------------------------------------------------------


def _texts(array: pa.Array) -> pa.Array:
    lengths = compute.binary_length(array)
    longest = compute.max(lengths).as_py() or 0
    for limit in _LENGTHS:
        if longest < limit:
            heads = _text_heads(limit).take(lengths)
            return compute.binary_join_element_wise(heads, compute.cast(array, pa.binary()), b"")
    return by_distinct(array, TYPES["VARCHAR"], packed_value)


@cache
def _text_heads(limit: int) -> pa.Array:
    """What MessagePack puts before a text of each length."""
    heads = [
        bytes([0xA0 | n]) if n < 32 else bytes([0xD9, n]) if n < 256 else b"\xda%b" % n.to_bytes(2)
        for n in range(limit)
    ]
    return bytes_array(heads)


# -- ranges ----------------------------------------------------------------------------------------------------------


def check_years(array: pa.Array, wanted: ColumnType) -> None:
    """Python's dates end where the years have four digits. Raises BadValue."""
    day, kind, what = (1, pa.int32(), "date") if wanted.name == "DATE" else (_DAY_US, pa.int64(), "time")
    bounds = compute.min_max(array.view(kind)).as_py()
    first, last = _DAYS[0] * day, (_DAYS[1] + 1) * day - 1
    if bounds["min"] is not None and not (first <= bounds["min"] and bounds["max"] <= last):
        raise BadValue(f"a {what} before the year 1 or after 9999")
