"""The fields of a large hash: many small dictionaries instead of one, so that nothing ever takes long.

A dictionary of millions of entries stalls the loop when it grows, and it cannot be walked in pieces while it changes.
So fields are spread over shards by the CRC32 of their name, and the number of shards grows one at a time (linear hashing,
W. Litwin, 1980): an insertion splits at most one shard of about `SHARD_FIELDS` fields. Shards are kept in the order of
the hash, each owns a contiguous range of it, and so a place in the 32-bit hash space is a cursor that survives every
split: whoever walks the ranges in order meets each field that stays, however the shards change meanwhile.
"""

from binascii import crc32
from collections.abc import Iterator
from typing import Final

from kubegrid.store.memory import SHARDED_FIELD_OVERHEAD_BYTES, SHARDED_OVERHEAD_BYTES

SHARD_FIELDS: Final = 128
"""Fields per shard on average, above which one more shard is split."""
HASH_SPACE: Final = 1 << 32


class Shards:
    """Field → value for any number of fields.

    Invariant: there are 2**level + split shards; the first 2 * split own 2**(31-level) hashes each, the others twice as
    many; `size` and `cost` are the number of fields and their counted bytes.
    """

    __slots__ = ("cost", "level", "size", "split", "tables")

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self.tables: list[dict[bytes, bytes]] = [{}]
        self.level = 0
        self.split = 0
        self.size = 0
        self.cost = SHARDED_OVERHEAD_BYTES
        if len(fields) <= SHARD_FIELDS:
            self.tables[0] = fields
            self.size = len(fields)
            self.cost += sum(len(f) + len(v) + SHARDED_FIELD_OVERHEAD_BYTES for f, v in fields.items())
        else:
            for field, value in fields.items():
                self.put(field, value)

    def _index(self, position: int) -> int:
        """Number of the shard that owns `position` of the hash space."""
        half = position >> (31 - self.level)
        return half if half < 2 * self.split else (half >> 1) + self.split

    def get(self, field: bytes) -> bytes | None:
        tables = self.tables
        if len(tables) == 1:
            return tables[0].get(field)
        half = crc32(field) >> (31 - self.level)
        split = self.split
        return tables[half if half < 2 * split else (half >> 1) + split].get(field)

    def put(self, field: bytes, value: bytes) -> bytes | None:
        """Set a field; its value before, or None."""
        tables = self.tables
        table = tables[0] if len(tables) == 1 else tables[self._index(crc32(field))]
        old = table.get(field)
        table[field] = value
        if old is None:
            self.size += 1
            self.cost += len(field) + len(value) + SHARDED_FIELD_OVERHEAD_BYTES
            if self.size > SHARD_FIELDS * len(tables):
                self._split_one()
        else:
            self.cost += len(value) - len(old)
        return old

    def pop(self, field: bytes) -> bytes | None:
        """Remove a field; its value before, or None."""
        tables = self.tables
        table = tables[0] if len(tables) == 1 else tables[self._index(crc32(field))]
        old = table.pop(field, None)
        if old is not None:
            self.size -= 1
            self.cost -= len(field) + len(old) + SHARDED_FIELD_OVERHEAD_BYTES
        return old

    def _split_one(self) -> None:
        place = 2 * self.split
        shift = 31 - self.level
        low: dict[bytes, bytes] = {}
        high: dict[bytes, bytes] = {}
        for field, value in self.tables[place].items():
            if (crc32(field) >> shift) & 1:
                high[field] = value
            else:
                low[field] = value
        self.tables[place] = low
        self.tables.insert(place + 1, high)
        self.split += 1
        if self.split == 1 << self.level:
            self.level += 1
            self.split = 0

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for table in self.tables:
            yield from table.items()

    def range_at(self, position: int) -> tuple[dict[bytes, bytes], int]:
        """The fields of the shard that owns `position`, from `position` on, and where the next shard begins."""
        index = self._index(position)
        if index < 2 * self.split:
            start = index << (31 - self.level)
            end = (index + 1) << (31 - self.level)
        else:
            start = (index - self.split) << (32 - self.level)
            end = (index - self.split + 1) << (32 - self.level)
        table = self.tables[index]
        if start < position:
            table = {f: v for f, v in table.items() if crc32(f) >= position}
        return table, end
