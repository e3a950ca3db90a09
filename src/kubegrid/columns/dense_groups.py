"""Groups whose keys are integers of a small range are counted in an array, where DuckDB would look each up in a hash table.

DuckDB does so by itself up to `perfect_ht_threshold` bits of range (12: 4,096 groups), because the array is as long as the
range, however few groups there are, and is in nobody's account of memory. Here the number of rows and of aggregates is known,
so it may be more: 100,000 groups of 3.3 million rows take half of the time. **Hot path**: once per fragment.
"""

from typing import Any, Final

SETTING: Final = "perfect_ht_threshold"
USUAL_BITS: Final = 12
"""DuckDB's own."""
BITS_MAX: Final = 17
ROWS_MIN: Final = 1 << BITS_MAX
"""Of the tables together. To make the array of fewer takes longer than their hash table."""
MEMORY_PART: Final = 64
"""Of a member's memory, what one array may take."""
COLUMN_BYTES: Final = 32
"""Of a group's key or aggregate in the array; that of a sum was measured."""


def bits(rows: int, columns: int, memory_bytes: int) -> int:
    """Of the range of keys up to which `columns` keys and aggregates over `rows` rows are kept in an array."""
    if rows < ROWS_MIN:
        return USUAL_BITS
    groups = memory_bytes // MEMORY_PART // (COLUMN_BYTES * max(1, columns))
    return max(USUAL_BITS, min(BITS_MAX, groups.bit_length() - 1))


def allow(cursor: Any, rows: int, columns: int, memory_bytes: int) -> None:
    """Of what this connection runs next."""
    wanted = bits(rows, columns, memory_bytes)
    if wanted > USUAL_BITS:
        cursor.execute(f"SET {SETTING} = {wanted}")
