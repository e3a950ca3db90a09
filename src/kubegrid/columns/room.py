"""How much memory is left in a member's process: columns are the part that can do without.

Records come first: they are the truth, and were acknowledged. So the replica gets what they leave, as it is when DuckDB
is opened; and when the process comes near its limit afterwards, the copies go, to be built again if there is room.
"""

import os

from kubegrid.base.settings import MIB
from kubegrid.sql.errors import TooMuch

HARD_MARK = 0.95
"""Part of the member's memory that SQL leaves the process below; the same as for records."""
ROOM_BYTES_MIN = 24 * MIB
"""With less, DuckDB is not opened."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * _PAGE_BYTES


class Room:
    """Of one process that has nothing to do but be a member."""

    def __init__(self, memory_bytes: int) -> None:
        self.hard_bytes = int(memory_bytes * HARD_MARK)

    def left_bytes(self) -> int:
        """What may be added now; negative when there is too much already."""
        return self.hard_bytes - resident_bytes()

    def granted(self, wanted_bytes: int) -> int:
        """So much of it may be had. Raises TooMuch."""
        left = self.left_bytes()
        if left < ROOM_BYTES_MIN:
            raise TooMuch(
                f"the member's memory is full of records: {max(0, left)} bytes are left for SQL, which needs "
                f"{ROOM_BYTES_MIN} at least",
                remedy="Give the members more memory, or delete records.",
            )
        return min(wanted_bytes, left)
