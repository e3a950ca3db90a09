"""Groups whose keys are integers of a small range are counted in an array, where DuckDB would look each up in a hash table.

DuckDB does so by itself up to `perfect_ht_threshold` bits of range (12: 4,096 groups), because the array is as long as the
range, however few groups there are, and is in nobody's account of memory. Here the number of rows and of aggregates is known,
and what all arrays take together is counted, so it may be more: 100,000 groups of 3.3 million rows take half of the time.
**Hot path**: once per fragment.
"""

import threading
from typing import Any, Final

from kubegrid.columns.running import Running

SETTING: Final = "perfect_ht_threshold"
USUAL_BITS: Final = 12
"""DuckDB's own."""
BITS_MAX: Final = 17
ROWS_MIN: Final = 1 << BITS_MAX
"""Of the tables together. To make the array of fewer takes longer than their hash table."""
MEMORY_PART: Final = 64
"""Of a member's memory, what its arrays may take together."""
COLUMN_BYTES: Final = 32
"""Of a group's key or aggregate in the array; that of a sum was measured. What a text is itself, DuckDB counts."""


def bits(rows: int, group_bytes: int, left_bytes: int) -> int:
    """Of the range of keys up to which groups of `rows` rows are kept in an array of at most `left_bytes`."""
    if rows < ROWS_MIN:
        return USUAL_BITS
    return max(USUAL_BITS, min(BITS_MAX, (left_bytes // group_bytes).bit_length() - 1))


class DenseGroups:
    """Of one member. Invariant: `left_bytes`, what further arrays may take, is never less than 0."""

    def __init__(self, memory_bytes: int, threads: int) -> None:
        """`threads`: of DuckDB's for a fragment, each of which has an array."""
        self.left_bytes = memory_bytes // MEMORY_PART
        self._threads = threads
        self._guard = (
            threading.RLock()
        )  # a fragment may end when the collector finds its rows, in the middle of anything

    def allow(self, running: Running, cursor: Any, rows: int, columns: int) -> None:
        """What `running` does next on this connection: groups of `rows` rows, of which keys and aggregates are `columns`."""
        group_bytes = COLUMN_BYTES * columns * self._threads
        with self._guard:
            wanted = bits(rows, group_bytes, self.left_bytes)
            if wanted == USUAL_BITS:
                return
            taken = group_bytes << wanted
            self.left_bytes -= taken
        running.at_end(lambda: self._give_back(taken))
        cursor.execute(f"SET {SETTING} = {wanted}")

    def _give_back(self, taken: int) -> None:
        with self._guard:
            self.left_bytes += taken
