"""How much memory is left in a member's process: columns are the part that can do without.

Records come first: they are the truth, and were acknowledged. So the replica gets what they leave, as it is when DuckDB
is opened; and when the process comes near its limit afterwards, the copies go, to be built again if there is room.
"""

import os

from kubegrid.base.settings import MIB
from kubegrid.sql.errors import TooMuch

HARD_MARK = 0.95
"""Part of the member's memory that SQL leaves the process below; the same as for records."""
ROOM_BYTES_MIN = 16 * MIB
"""With less, DuckDB is not opened."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def own_bytes() -> int:
    """Resident memory of this process that the kernel could not take back: without what is mapped from files, such as
    the libraries of DuckDB and Arrow, which are 100 MB."""
    with open("/proc/self/statm", "rb") as statm:
        _, resident, shared = statm.read().split()[:3]
    return (int(resident) - int(shared)) * _PAGE_BYTES


class Room:
    """Of one process that has nothing to do but be a member."""

    def __init__(self, memory_bytes: int) -> None:
        self.hard_bytes = int(memory_bytes * HARD_MARK)

    def left_bytes(self) -> int:
        """What may be added now; negative when there is too much already."""
        return self.hard_bytes - own_bytes()

    def granted(self, wanted_bytes: int) -> int:
        """So much of it may be had. Raises TooMuch."""
        left = self.left_bytes()
        if left < ROOM_BYTES_MIN:
            raise TooMuch(
                f"the member's process has {self.hard_bytes - left} of the {self.hard_bytes} bytes that it may have, and "
                f"SQL needs {ROOM_BYTES_MIN} more at least",
                remedy="Give the members more memory, or delete records.",
            )
        return min(wanted_bytes, left)
