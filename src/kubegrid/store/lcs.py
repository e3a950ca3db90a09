"""LCS: the longest common subsequence of two strings, in slices, by the table of lengths held as bits.

Neighbours in a row of that table differ by 0 or 1, so a row is one integer: bit j is clear where the length grows from column
j to j + 1. The next row follows from it by an addition and two logical operations (Hyyrö 2004, "Bit-parallel LCS-length
computation revisited"), which Python does for 30 columns at a time.

A string is refused where Redis' table, four bytes for each pair of places, would exceed the longest value.
"""

from collections.abc import Generator
from typing import Final

from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.slices import run
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_NOT_INTEGER, ERR_SYNTAX

PLACES_PER_SLICE: Final = 1 << 16
"""Places of a string that one slice looks at or walks over: a few milliseconds. A multiple of eight."""
ROW_STEP_PLACES: Final = 64
"""The next row is computed for so many columns at the price of one place."""
SHORT_PLACES: Final = 32
"""In so short a text a byte is looked for in Python sooner than in C."""
CELL_BYTES: Final = 4
"""Of Redis' table."""

_NOWHERE = b"0" * 256

_NOT_STRINGS = resp.error("ERR The specified keys must contain string values")
_BOTH = resp.error("ERR If you want both the length and indexes, please just use IDX.")
_TOO_LARGE = resp.error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")


def lcs(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Generator[None, None, bytes]:
    a = keyspace.find(args[1])
    b = keyspace.find(args[2])
    if type(a or b"") is not bytes or type(b or b"") is not bytes:
        return _NOT_STRINGS
    a, b = a or b"", b or b""
    indexes = only_length = with_lengths = False
    shortest = 0
    i = 3
    while i < len(args):
        option = args[i].upper()
        if option == b"IDX":
            indexes = True
        elif option == b"LEN":
            only_length = True
        elif option == b"WITHMATCHLEN":
            with_lengths = True
        elif option == b"MINMATCHLEN" and i + 1 < len(args):
            i += 1
            number = parse_int64(args[i])
            if number is None:
                return ERR_NOT_INTEGER
            shortest = max(0, number)
        else:
            return ERR_SYNTAX
        i += 1
    if indexes and only_length:
        return _BOTH
    if (len(a) + 1) * (len(b) + 1) * CELL_BYTES > keyspace.settings.value_bytes_max:
        return _TOO_LARGE
    return run(_answer(a, b, indexes, only_length, shortest, with_lengths, resp3))


def _answer(
    a: bytes, b: bytes, indexes: bool, only_length: bool, shortest: int, with_lengths: bool, resp3: bool
) -> Generator[None, None, bytes]:
    rows = yield from _table(a, b)
    length = len(b) - rows[-1].bit_count()
    if only_length:
        return resp.integer(length)
    common, ranges = yield from _walk_back(a, b, rows)
    if not indexes:
        return resp.bulk(common)
    matches = []
    for a_start, b_start, size in ranges:
        if size >= shortest:
            parts = [resp.array([resp.integer(start), resp.integer(start + size - 1)]) for start in (a_start, b_start)]
            if with_lengths:
                parts.append(resp.integer(size))
            matches.append(resp.array(parts))
    return resp.map_of([resp.bulk(b"matches"), resp.array(matches), resp.bulk(b"len"), resp.integer(length)], resp3)


def _table(a: bytes, b: bytes) -> Generator[None, None, list[int]]:
    """Row i: for the first i bytes of `a`, in which columns of `b` the length does not grow."""
    every_column = (1 << len(b)) - 1
    row = every_column
    rows = [row]
    places: dict[int, int] = {}
    work = 0
    for byte in a:
        where = places.get(byte)
        if where is None:
            where = places[byte] = yield from _places(byte, b)
            work += len(b)
        both = row & where
        row = ((row + both) | (row - both)) & every_column
        rows.append(row)
        work += 1 + len(b) // ROW_STEP_PLACES
        if work >= PLACES_PER_SLICE:
            work = 0
            yield
    return rows


def _places(byte: int, text: bytes) -> Generator[None, None, int]:
    """The places of `byte` in `text`, as bits."""
    if len(text) <= SHORT_PLACES:
        bits = 0
        for place, other in enumerate(text):
            if other == byte:
                bits |= 1 << place
        return bits
    digits = bytearray(_NOWHERE)
    digits[byte] = ord("1")
    if len(text) <= PLACES_PER_SLICE:
        return int(text[::-1].translate(digits), 2)
    packed = bytearray()
    for start in range(0, len(text), PLACES_PER_SLICE):
        piece = text[start : start + PLACES_PER_SLICE][::-1].translate(digits)
        packed += int(piece, 2).to_bytes(PLACES_PER_SLICE // 8, "little")
        yield
    return int.from_bytes(packed, "little")


def _walk_back(a: bytes, b: bytes, rows: list[int]) -> Generator[None, None, tuple[bytes, list[tuple[int, int, int]]]]:
    """The common subsequence, and its contiguous ranges from the last to the first: start in `a`, in `b`, length.

    Where two ways are equally long it goes left, as Redis does: the ranges are part of the reply.
    """
    i, j = len(a), len(b)
    row_bytes = len(b) // 8 + 1
    row = rows[i].to_bytes(row_bytes, "little")
    common = bytearray()
    ranges: list[tuple[int, int, int]] = []
    size = work = 0
    while i and j:
        work += 1
        if work >= PLACES_PER_SLICE:
            work = 0
            yield
        if a[i - 1] == b[j - 1]:
            i -= 1
            j -= 1
            common.append(a[i])
            size += 1
            if not (i and j):
                ranges.append((i, j, size))
        else:
            if size:
                ranges.append((i, j, size))
                size = 0
            if row[(j - 1) >> 3] >> ((j - 1) & 7) & 1:
                j -= 1
                continue
            i -= 1
        row = rows[i].to_bytes(row_bytes, "little")
        work += row_bytes // ROW_STEP_PLACES
    common.reverse()
    return bytes(common), ranges
