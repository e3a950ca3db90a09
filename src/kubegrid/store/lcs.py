"""LCS: the longest common subsequence of two strings, in slices, by the usual table of lengths.

The table has a cell of four bytes for each pair of places, and is refused when it would exceed the longest value, as in
Redis. A row is computed at a time; `CELLS_PER_SLICE` of them make one slice.
"""

from array import array
from collections.abc import Generator
from typing import Final

from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.slices import run
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_NOT_INTEGER, ERR_SYNTAX

CELLS_PER_SLICE: Final = 50_000
"""Cells of the table that one slice computes: a few milliseconds."""
CELL_BYTES: Final = 4

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
    length = rows[-1][-1]
    if only_length:
        return resp.integer(length)
    common, ranges = _walk_back(a, b, rows)
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


def _table(a: bytes, b: bytes) -> "Generator[None, None, list[array[int]]]":
    """Row i, column j: the length for the first i bytes of `a` and the first j of `b`."""
    above = array("I", bytes(CELL_BYTES * (len(b) + 1)))
    rows = [above]
    cells = 0
    for byte in a:
        row = [0]
        append = row.append
        left = 0
        for j, other in enumerate(b):
            if byte == other:
                left = above[j] + 1
            elif above[j + 1] > left:
                left = above[j + 1]
            append(left)
        above = array("I", row)
        rows.append(above)
        cells += len(b) + 1
        if cells >= CELLS_PER_SLICE:
            cells = 0
            yield
    return rows


def _walk_back(a: bytes, b: bytes, rows: "list[array[int]]") -> tuple[bytes, list[tuple[int, int, int]]]:
    """The common subsequence, and its contiguous ranges from the last to the first: start in `a`, in `b`, length.

    Where two ways are equally long it goes left, as Redis does: the ranges are part of the reply.
    """
    i, j = len(a), len(b)
    common = bytearray()
    ranges: list[tuple[int, int, int]] = []
    size = 0
    while i and j:
        if a[i - 1] == b[j - 1]:
            i -= 1
            j -= 1
            common.append(a[i])
            size += 1
            if i and j:
                continue
        elif rows[i - 1][j] > rows[i][j - 1]:
            if size:
                ranges.append((i, j, size))
                size = 0
            i -= 1
            continue
        else:
            if size:
                ranges.append((i, j, size))
                size = 0
            j -= 1
            continue
        ranges.append((i, j, size))
        size = 0
    common.reverse()
    return bytes(common), ranges
