"""Cursors of SCAN, and how a very large slot is scanned in pieces.

A cursor is a place: a slot, and within it a place in the 32-bit space of the keys' CRC32. Slots are walked in order; a
slot of ordinary size is returned whole. The keys of a large one (a hash tag) are sorted once into an index of buckets by
their CRC32, and each call returns the next buckets. The cursor means the same with any index, and an index holds every
key that was there when it was made; so whichever index serves a call, a key that stays from the beginning of the scan to
its end is returned, provided that the index was made after the scan began. The cursor carries the number of its index for
that, and a call that does not find this very index makes a new one. At most `INDEXES_MAX` are kept.
"""

from binascii import crc32
from collections.abc import Generator
from typing import Final

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.slices import Budget

INDEXES_MAX: Final = 4
"""Indexes kept: scans of large slots that can go on at the same time without making theirs again."""
WHOLE_SLOT_KEYS_MAX: Final = 256
"""A slot with at most so many keys is returned as a whole."""
BUCKET_KEYS: Final = 32
BUCKETS_BITS_MAX: Final = 20
NUMBERS: Final = 1 << 16
POSITION_BITS: Final = 32
SLOT_BITS: Final = 14


class Index:
    """The keys of one slot when the index was made. Invariant: `buckets[i]` has those whose CRC32 >> `shift` is i."""

    __slots__ = ("buckets", "number", "shift")

    def __init__(self, number: int, keys: int) -> None:
        bits = min(BUCKETS_BITS_MAX, max(1, (keys // BUCKET_KEYS).bit_length()))
        self.number = number
        self.shift = POSITION_BITS - bits
        self.buckets: list[list[bytes]] = [[] for _ in range(1 << bits)]

    def take(self, position: int, count: int) -> tuple[list[bytes], int]:
        """At least `count` keys from `position` on (fewer only at the end), and the next position; 0 at the end."""
        keys: list[bytes] = []
        bucket = position >> self.shift
        if position & ((1 << self.shift) - 1):
            keys += [key for key in self.buckets[bucket] if crc32(key) >= position]
            bucket += 1
        while bucket < len(self.buckets) and len(keys) < count:
            keys += self.buckets[bucket]
            bucket += 1
        return keys, bucket << self.shift if bucket < len(self.buckets) else 0


def pack(slot: int, position: int = 0, number: int = 0) -> int:
    return ((number << POSITION_BITS) | position) << SLOT_BITS | slot


def unpack(cursor: int) -> tuple[int, int, int]:
    """Slot, position and number of the index."""
    place = cursor >> SLOT_BITS
    return cursor % SLOT_COUNT, place & ((1 << POSITION_BITS) - 1), (place >> POSITION_BITS) % NUMBERS


def index_of(keyspace: Keyspace, slot: int, number: int, budget: Budget) -> Generator[None, None, Index]:
    """The index `number` of this slot, or a new one if it is not kept (any more). Yields between slices."""
    indexes: dict[int, tuple[int, Index]] = keyspace.scan_indexes
    kept = indexes.pop(number, None)
    if kept is not None and kept[0] == slot:
        indexes[number] = kept  # now the one used last
        return kept[1]
    keys = list(keyspace.slots[slot] or ())
    # The first number is random: a cursor of another member or of an earlier life must not find an index by chance.
    number = next(reversed(indexes)) + 1 if indexes else keyspace.random(NUMBERS)
    while number % NUMBERS == 0 or number % NUMBERS in indexes:
        number += 1
    index = Index(number % NUMBERS, len(keys))
    buckets, shift = index.buckets, index.shift
    for start in range(0, len(keys), budget.size):
        for key in keys[start : start + budget.size]:
            buckets[crc32(key) >> shift].append(key)
        if budget.spend(budget.size):
            yield
    while len(indexes) >= INDEXES_MAX:
        del indexes[next(iter(indexes))]
    indexes[index.number] = (slot, index)
    return index
