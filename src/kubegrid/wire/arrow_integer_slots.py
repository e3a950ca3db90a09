"""The slots of records whose key is one integer, without spelling the keys: CRC16 by looking up four digits at a time.

CRC16 without an initial value is linear: the sum of a text is the exclusive or of the sums of its parts, each moved by as many
bytes as follow it. So ten thousand sums for the digits that a number begins with (after the table's name), and as many for
each four digits that follow, give the sum of any number in a few steps of Arrow, which no step of Python per row reaches.
"""

from array import array as plain_array
from binascii import crc_hqx
from functools import cache
from typing import Final

import pyarrow as pa
from pyarrow import compute

from kubegrid.wire.arrow_packing import constant

ROWS_MIN: Final = 1000
"""For fewer rows the tables are not worth their making."""
_GROUP: Final = 10_000
_GROUPS_MAX: Final = 5
"""Of four digits, that an int64 has."""


class IntegerSlots:
    """Of keys that are `prefix` and a number."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._leading: dict[int, pa.Array] = {}

    def of(self, array: pa.Array) -> pa.Array | None:
        """As uint16; None if this is no way to find them: no integers, some below 0, or too few."""
        if not pa.types.is_integer(array.type) or len(array) < ROWS_MIN or array.null_count:
            return None
        bounds = compute.min_max(array).as_py()
        if bounds["min"] < 0 or bounds["max"] >= 1 << 63:
            return None
        kind = pa.int32() if bounds["max"] < 1 << 31 else pa.int64()
        rest = array if array.type == kind else compute.cast(array, kind)
        group, highest = constant(_GROUP, kind), constant(_GROUP - 1, kind)
        slots = following = found = None
        for number in range(_GROUPS_MAX):
            all_lead = bounds["max"] < _GROUP ** (number + 1)
            if all_lead or bounds["min"] < _GROUP ** (number + 1):
                sums = self._sums_of_leading(number).take(rest if all_lead else compute.min_element_wise(rest, highest))
                sums = sums if following is None else compute.bit_wise_xor(sums, following)
                # Who has no more digits than these was found in an earlier round.
                slots = sums if slots is None else compute.if_else(found, slots, sums)
            if all_lead:
                break
            found = compute.less(rest, group)
            above = compute.divide(rest, group)
            sums = _sums_of_following(number).take(compute.subtract(rest, compute.multiply(above, group)))
            following = sums if following is None else compute.bit_wise_xor(following, sums)
            rest = above
        return compute.bit_wise_and(slots, constant(16383, pa.uint16()))

    def _sums_of_leading(self, following: int) -> pa.Array:
        """Of the prefix and up to four digits, before so many groups."""
        made = self._leading.get(following)
        if made is None:
            made = _table([b"%b%d" % (self._prefix, number) for number in range(_GROUP)], following)
            self._leading[following] = made
        return made


@cache
def _sums_of_following(following: int) -> pa.Array:
    """Of four digits before so many groups."""
    return _table([b"%04d" % number for number in range(_GROUP)], following)


def _table(texts: list[bytes], following: int) -> pa.Array:
    moved = bytes(4 * following)
    sums = plain_array("H", [crc_hqx(moved, crc_hqx(text, 0)) for text in texts])
    return pa.Array.from_buffers(pa.uint16(), len(texts), [None, pa.py_buffer(sums)])
