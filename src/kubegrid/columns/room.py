"""How much memory is left in a member's process: columns are the part that can do without.

Records come first: they are the truth, and were acknowledged. So the replica gets what they leave, as it is when DuckDB
is opened; and when the process comes near its limit afterwards, the copies go, to be built again if there is room.
"""

from kubegrid.base.process_memory import give_back, process_memory
from kubegrid.base.settings import MIB
from kubegrid.sql.errors import TooMuch

ROOM_BYTES_MIN = 16 * MIB
"""With less, DuckDB is not opened."""


class Room:
    """Of one process that has nothing to do but be a member."""

    def __init__(self, full_bytes: int) -> None:
        """`full_bytes`: up to which SQL may fill the process, less than that at which writes are refused. What is mapped from
        files does not count, such as the libraries of DuckDB and Arrow, which are 100 MB."""
        self.full_bytes = full_bytes

    def left_bytes(self, needed_bytes: int = 0) -> int:
        """What may be added now; negative when there is too much already. If it is less than what is needed, that is after
        all that statements and copies no longer have was given back to the system."""
        left = self.full_bytes - process_memory().own_bytes
        if left < needed_bytes:
            give_back()
            left = self.full_bytes - process_memory().own_bytes
        return left

    def granted(self, wanted_bytes: int) -> int:
        """So much of it may be had. Raises TooMuch."""
        left = self.left_bytes(ROOM_BYTES_MIN)
        if left < ROOM_BYTES_MIN:
            raise TooMuch(
                f"the member's process has {self.full_bytes - left} of the {self.full_bytes} bytes that it may have, and "
                f"SQL needs {ROOM_BYTES_MIN} more at least",
                remedy="Give the members more memory, or delete records.",
            )
        return min(wanted_bytes, left)
