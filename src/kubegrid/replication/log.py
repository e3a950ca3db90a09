"""The log of one member. (Being written.)"""

from typing import Any

import msgspec

from kubegrid.base.ids import Position


class Entry(msgspec.Struct):
    """One event-loop turn's effects."""

    epoch: int
    seq: int
    effects: Any
    undo: Any
    size_bytes: int
    end_bytes: int
    """Bytes of the whole log up to and including this entry: differences give the bytes of any stretch in O(1)."""

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)
