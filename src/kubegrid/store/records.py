"""A record in memory: the row of a table as its wire form, behind the number of its table and its version.

One object of bytes, so a record costs what a string of its length costs, and replies, snapshots and effects are slices
of it. The header is big-endian: records of one table compare as their versions do, which `indexes` rests on.
"""

from struct import Struct
from typing import Final

HEADER: Final = Struct(">IQ")
"""The table's number and the record's version."""
HEADER_BYTES: Final = HEADER.size


class Record(bytes):
    """Header and row. A type of its own, so that no command for strings takes it for one."""

    __slots__ = ()

    @property
    def cost(self) -> int:
        """Counted bytes, beyond the key's."""
        return len(self)

    @property
    def table_id(self) -> int:
        return int.from_bytes(self[:4])

    @property
    def version(self) -> int:
        return int.from_bytes(self[4:12])

    @property
    def row(self) -> bytes:
        """MessagePack array of the columns' values."""
        return self[HEADER_BYTES:]


def record_of(table_id: int, version: int, row: bytes) -> Record:
    return Record(HEADER.pack(table_id, version) + row)
