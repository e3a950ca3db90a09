"""Tell the good rows of a block from the bad ones, by halves.

A block is converted as a whole, at the speed of whole columns. Only when that fails is it cut in two, and each half tried
again, until what fails is one row: then the error is that row's. A block without bad rows costs nothing extra; k bad rows
of n cost about k·log(n/k) more conversions of ever smaller parts.
"""

from collections.abc import Callable
from typing import TypeVar

from kubegrid.wire.arrow_rows import FAULTS

Part = TypeVar("Part")


def sift(count: int, convert: Callable[[int, int], Part]) -> tuple[list[Part], list[tuple[int, Exception]]]:
    """The converted parts in order, and (row, why) of each bad row. `convert(start, stop)` raises one of FAULTS."""
    parts: list[Part] = []
    bad: list[tuple[int, Exception]] = []
    waiting = [(0, count)] if count else []
    while waiting:
        start, stop = waiting.pop()
        try:
            parts.append(convert(start, stop))
        except FAULTS as error:
            if stop - start == 1:
                bad.append((start, error))
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    return parts, bad
