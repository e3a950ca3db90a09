"""Carries out what replication asks of the store: strictly in order, and a bounded amount per loop turn.

A backup that catches up, or a winner that takes over what it inherited, may get a log of many megabytes in one
instruction; done at once it would stall the serving loop, and with it the beacons. So everything that touches the store
goes through one queue. In the ordinary case the queue is empty and a turn's entries are applied where they arrive.

While anything is queued (`busy`) the store is behind what replication believes, so the member must neither serve nor
cut a snapshot from it: `member` holds its gate meanwhile. Next on the path of the data: `store.keyspace`.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from kubegrid.store import Keyspace, row_blocks
from kubegrid.store.effects import BLOCK, RESTORE_PIECE, SPLICE
from kubegrid.store.string_writes import COPIED_BYTES_PER_UNIT

log = logging.getLogger("kubegrid.node.applying")

UNITS_PER_TURN = 5000
"""Effects applied in one loop turn: some 5 to 10 ms, on a machine that is busy with other things as well."""
BYTES_PER_TURN = 1024 * 1024
"""Bytes of snapshot slices loaded in one loop turn."""
RESET_UNITS = UNITS_PER_TURN // 4
"""What emptying 16384 slots counts as."""

_PLAIN = {bytes}


def units_of(pairs: list[Any], piece: int) -> int:
    """What applying or taking back these pairs counts as: one effect can put thousands of records or fields.

    `piece` is the code of what makes a long string anew for a piece of it: SPLICE among effects, RESTORE_PIECE in an undo.
    """
    units = len(pairs) // 2
    codes = pairs[0::2]
    if set(map(type, codes)) != _PLAIN:
        arguments = pairs[1::2]
        units += sum([len(argument) // 2 for argument in arguments if type(argument) is list])
        if BLOCK in codes:
            units += sum(
                [row_blocks.units_of(args) for code, args in zip(codes, arguments, strict=True) if code == BLOCK]
            )
        if piece in codes:
            copied = [
                args[3] // COPIED_BYTES_PER_UNIT for code, args in zip(codes, arguments, strict=True) if code == piece
            ]
            units += sum(copied)
    return units


class Applying:
    """Invariant: instructions reach the store in the order in which they were given, none twice."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.busy = False
        self.reverting = False
        """Entries that were taken back are still in the store: not even a backup's readers may see them."""
        self.units = 0
        """Units of work done in the running loop turn."""
        self.applied_seq = 0
        self._queue: deque[tuple[int, Callable[[Any], None], Any]] = deque()

    def begin_turn(self) -> None:
        self.units = 0

    def apply(self, seq: int, effects: list[Any] | None) -> None:
        """Apply a committed entry's effects."""
        if effects:
            self._do(units_of(effects, SPLICE), self.keyspace.apply, effects)
        self.applied_seq = seq

    def revert(self, undo: list[Any] | None) -> None:
        """Take an executed entry back."""
        if undo:
            self._do(units_of(undo, RESTORE_PIECE), self.keyspace.revert, undo)
            self.reverting = self.busy

    def reset(self) -> None:
        """Throw the store away; what was queued for it is moot."""
        self._queue.clear()
        self.busy = self.reverting = False
        self.units += RESET_UNITS
        self.keyspace.reset()

    def load(self, payload: bytes) -> None:
        """Load one slice of a snapshot."""
        if payload:
            self._do(max(1, len(payload) * UNITS_PER_TURN // BYTES_PER_TURN), self.keyspace.load, payload)

    def _do(self, units: int, work: Callable[[Any], None], argument: Any) -> None:
        if self.busy or self.units >= UNITS_PER_TURN:
            self._queue.append((units, work, argument))
            self.busy = True
        else:
            self.units += units
            work(argument)

    def go_on(self) -> None:
        """Do a turn's worth of what is queued."""
        queue = self._queue
        while queue and self.units < UNITS_PER_TURN:
            units, work, argument = queue.popleft()
            self.units += units
            work(argument)
        self.busy = bool(queue)
        self.reverting = self.reverting and self.busy
