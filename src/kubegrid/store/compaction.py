"""Live values made anew, one after the other, so that the pages on which few of them are left become free.

Where most of many small records were deleted here and there, hardly a page is empty, and Python's allocator gives back, or
uses for another size, only what is empty. But it fills the pages that it has before it takes others: whoever copies every
value, and lets go of the old one, leaves some full pages and many empty ones. (Redis moves values for the same reason,
`activedefrag`, since 4.0.)

Nobody can tell a copy from what it stands for: nothing here is an effect, is undone, or is told to anybody, and each member
does it for itself. What is large is no object of these pages and stays. So does what others know by identity: a hash itself
(`snapshot`), and strings whose encoding is remembered; and what somebody else holds, above all the log, for then a copy
would only be one more. Who decides when: `node.memory_watch`, by way of `node.housekeeping`.
"""

from sys import getrefcount
from typing import Any, Final

from kubegrid.store.hashes import Hash
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.records import HEADER_BYTES, Record
from kubegrid.store.slots import slot_of

SMALL_BYTES_MAX: Final = 512 - 33
"""Of content: with a `bytes` object's own 33, the largest that Python puts on pages with others of its size."""
SLOT_KEYS_MAX: Final = 2000
"""In a slot of more, a dictionary is not made anew at once: only what the keys hold is, some at a time."""


def _count_of_one_holder() -> int:
    held = {b"key": bytes(bytearray(100))}
    return next(getrefcount(content) for content in list(held.values()))


HELD_BY_STORE: Final = _count_of_one_holder()
"""What `getrefcount` says where things are copied, of one that only the store holds: the list in which it comes, the local name
and the call's own argument count, too, and how many of them do is a matter of Python's version."""


class Compaction:
    """One walk through a keyspace, in slices; `begin` starts it, and it ends by itself.

    Invariant: whatever a slice did, the keyspace holds equal keys, values and expiries, in the same order.
    """

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self._slot: int | None = None
        """The next one; None when there is nothing to do."""
        self._keys: list[bytes] = []
        """Of a slot with many, those that are left."""
        self._hashes: list[Hash] = []
        """Large ones that were met; the last is under way."""
        self._shard = 0

    @property
    def under_way(self) -> bool:
        return self._slot is not None

    def begin(self) -> None:
        """From the first slot on; a walk that is under way goes on instead."""
        if self._slot is None:
            self._slot = self.keyspace.owned.start

    def slice(self, budget: int) -> int:
        """Go on with about `budget` keys or fields; how many it were (a slot counts as one, too)."""
        done = 0
        while self._slot is not None and done < budget:
            if self._hashes:
                done += self._renew_shard(self._hashes[-1])
            elif self._keys:
                done += 1 + self._renew_value(self._keys.pop())
            elif self._slot in self.keyspace.owned:
                done += self._renew_slot(self._slot)
                self._slot += 1
            else:
                self._slot = None
        return done

    def _renew_slot(self, slot: int) -> int:
        values = self.keyspace.slots[slot]
        if not values:
            return 1
        if len(values) > SLOT_KEYS_MAX:
            self._keys = list(values)
            return 1 + len(values) // 16
        done = 1 + len(values)
        expires = self.keyspace.expires[slot]
        keys = _copies(list(values)) if expires is None else [bytes(memoryview(key)) for key in values]
        contents = self._copies(list(values.values()))
        done += sum([self._renew_hash(content) for content in contents if type(content) is Hash])
        if expires is not None:
            done += len(expires)
            known = dict(zip(keys, keys, strict=True))
            times = {known[key]: at_ms for key, at_ms in expires.items()}
            expires.clear()
            expires.update(times)
        # The dictionary stays the one that all know, and becomes as large as its content asks for.
        values.clear()
        values.update(zip(keys, contents, strict=True))
        return done

    def _renew_value(self, key: bytes) -> int:
        """What a key of a slot with many holds, if it is still there; how many fields it has."""
        values = self.keyspace.slots[slot_of(key)]
        if values is None or key not in values:
            return 0
        values[key] = copy = self._copies([values[key]])[0]
        return self._renew_hash(copy) if type(copy) is Hash else 0

    def _copies(self, contents: list[Any]) -> list[Any]:
        """What keys hold, made anew as far as that frees anything. Records are exchanged in their indexes, too."""
        tables = self.keyspace.tables.by_id
        copies = []
        for content in contents:
            if type(content) is bytes:
                if len(content) <= SMALL_BYTES_MAX and getrefcount(content) == HELD_BY_STORE:
                    content = bytes(memoryview(content))
            elif type(content) is Record and len(content) <= SMALL_BYTES_MAX:
                table = tables.get(content.table_id)
                indexes = table.indexes if table is not None else ()
                if getrefcount(content) == HELD_BY_STORE + len(indexes):
                    content = Record(memoryview(content))
                    if table is not None and indexes:
                        for index, place in zip(indexes, table.places(content[HEADER_BYTES:]), strict=True):
                            index.exchange(place, content)
            copies.append(content)
        return copies

    def _renew_hash(self, value: Hash) -> int:
        """The fields of a hash, which is the same afterwards; those of a large one in later steps. How many it were."""
        if type(value.table) is list:
            value.table = _copies(list(value.table))
            return len(value.table)
        self._hashes.append(value)
        self._shard = 0
        return 0

    def _renew_shard(self, value: Hash) -> int:
        """The next shard of a large hash. One that a split moves meanwhile is left out, or has its turn twice."""
        shards = value.table
        if type(shards) is list or self._shard >= len(shards.tables):  # type: ignore[union-attr]
            self._hashes.pop()
            self._shard = 0
            return 1
        fields = shards.tables[self._shard]  # type: ignore[union-attr]
        copies = zip(_copies(list(fields)), _copies(list(fields.values())), strict=True)
        shards.tables[self._shard] = dict(copies)  # type: ignore[union-attr]
        self._shard += 1
        return 1 + len(fields)


def _copies(contents: list[bytes]) -> list[bytes]:
    """Made anew, those that are small and that nobody else holds."""
    return [
        bytes(memoryview(content))
        if len(content) <= SMALL_BYTES_MAX and getrefcount(content) == HELD_BY_STORE
        else content
        for content in contents
    ]
