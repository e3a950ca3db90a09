"""Which slot a key picked at random is of: for RANDOMKEY, each time anew adding up thousands of sizes would be all it does.

The sizes are added up now and then. In between a key that is new is picked a little less often, or not yet, than one that
was there; that it is picked at all, and that a pick is a key of now, does not depend on it.
"""

from bisect import bisect_right
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace

VALID_MS: Final = 100
"""How long to go by what was added up."""
CHANGED_PART: Final = 16
"""With more or fewer keys by this part of all, it is added up anew at once."""
PASSED_PER_UNIT: Final = 128
"""Keys of a slot that are passed by on the way to one of them, for a unit of a turn."""


class SlotSizes:
    """Invariant: `_ends` has for each owned slot how many keys it and those before it had at `_at_ms`, or is empty."""

    __slots__ = ("_at_ms", "_ends")

    def __init__(self) -> None:
        self._at_ms = 0
        self._ends: list[int] = []

    def pick(self, keyspace: "Keyspace") -> bytes | None:
        """Some key, whether its time is over or not; None if the slot that was picked has none by now: try again."""
        if not self._are_valid(keyspace):
            self._at_ms = keyspace.now_ms
            owned = keyspace.owned
            self._ends = list(accumulate(map(len, keyspace.slots[owned.start : owned.stop])))  # type: ignore[arg-type]
        values = keyspace.slots[keyspace.owned[bisect_right(self._ends, keyspace.random(self._ends[-1]))]]
        if not values:
            self._ends = []
            return None
        passed = keyspace.random(len(values))
        keyspace.units += passed // PASSED_PER_UNIT
        return next(islice(values, passed, None))

    def _are_valid(self, keyspace: "Keyspace") -> bool:
        if not self._ends or not 0 <= keyspace.now_ms - self._at_ms < VALID_MS:
            return False
        count = self._ends[-1]
        return abs(keyspace.key_count - count) * CHANGED_PART <= count and count > 0
