"""What one member keeps: a dictionary per slot, tables, numbered requests, and what all of it counts.

Nothing here is recorded: what is done is done, and `Keyspace`, which is this and more, says what a log is told of it and how it
is taken back. Whoever carries out what is recorded already (`replay`, `snapshot`), or puts many records at a time and records
them as one effect (`record_writes`), works with the books alone.

A dictionary per slot, because one dictionary of all keys would stall the loop whenever it grows. A string is a plain
`bytes`, a hash a `Hash`, a record of a table a `Record`, or while it is still a row of a block an integer, which nobody but
`cold_rows` looks into. **Hot path**: `node.plain_batch` works on `plain` directly, and keeps the same books.
"""

from collections import deque
from typing import Any

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.base.tables import Catalog
from kubegrid.store import cold_rows, reclaim
from kubegrid.store.blocks import Blocks
from kubegrid.store.encodings import Encodings
from kubegrid.store.hashes import Hash
from kubegrid.store.memory import EXPIRY_OVERHEAD_BYTES, KEY_OVERHEAD_BYTES
from kubegrid.store.records import Record
from kubegrid.store.requests import Recorder, Requests
from kubegrid.store.slot_sizes import SlotSizes
from kubegrid.store.slots import slot_dictionary, slot_of
from kubegrid.store.tables import Tables

Value = bytes | Hash
"""A `Record` is bytes, too, but of a type of its own."""
LARGE_BYTES = 1 << 20
"""A request of more has to fit before it is executed."""


class NotPlain(dict[bytes, Any]):
    """Stands in `Keyspace.plain` for a slot that the hot path must not touch: what it finds there is no value."""

    def get(self, key: bytes, default: Any = None) -> Any:
        return self


NOT_PLAIN = NotPlain()


class Books:
    """Invariant (`Keyspace.validate`): `key_count` and `used_bytes` are what counting all keys again would give; each key that
    expires exists; a slot's `expires` is None rather than empty."""

    def __init__(self, owned: range, limit_bytes: int, record_request: Recorder) -> None:
        """`owned`: the slots; `record_request` is told when a numbered request was answered or forgotten."""
        self.owned = owned
        self.slots: list[dict[bytes, Any] | None] = [None] * SLOT_COUNT
        for slot in self.owned:
            self.slots[slot] = slot_dictionary()
        self.expires: list[dict[bytes, int] | None] = [None] * SLOT_COUNT
        self.plain: list[dict[bytes, Any]] = []
        """For the hot path: `slots`, with NOT_PLAIN in the places of slots that are not owned or where something expires."""
        self.list_plain()
        self.used_bytes = 0
        self.limit_bytes = limit_bytes
        """At this many counted bytes writes are refused: the lower of what the member can hold and what was chosen."""
        self.member_limit_bytes = limit_bytes
        self.chosen_limit_bytes: int | None = None
        self.key_count = 0
        self.watched: dict[bytes, set[Any]] = {}
        self.garbage: deque[Any] = deque()
        self.expiry_queue: list[bytes] = []
        self.parts: list[bytes] = []
        self.scan_indexes: dict[int, Any] = {}
        self.tables = Tables()
        self.blocks = Blocks()
        self.prefixes: frozenset[bytes] = frozenset()
        """The names of all tables: what stands before the first `:` of a record's key, and of no other new key."""
        self.record_version = 0
        """The last version that was given to a record. Never taken back."""
        self.requests = Requests(record_request)
        self.requests_bytes = 0
        """What `requests` has in `used_bytes`."""
        self.encodings = Encodings()
        self.slot_sizes = SlotSizes()

    def list_plain(self) -> None:
        """Make `plain` anew from `slots` and `expires`."""
        self.plain[:] = [
            NOT_PLAIN if values is None or expires is not None else values
            for values, expires in zip(self.slots, self.expires, strict=True)
        ]

    def _mark_plain(self, slot: int) -> None:
        """Something in the slot began or ceased to expire."""
        values = self.slots[slot]
        self.plain[slot] = NOT_PLAIN if values is None or self.expires[slot] is not None else values

    def set_limit(self, member_bytes: int, chosen_bytes: int | None) -> None:
        """What the member can hold, and what a person chose (CONFIG SET maxmemory; None: nothing)."""
        self.member_limit_bytes = member_bytes
        self.chosen_limit_bytes = chosen_bytes
        self.limit_bytes = member_bytes if chosen_bytes is None else min(member_bytes, chosen_bytes)

    def has_room(self, size: int) -> bool:
        """For a request of so many bytes. As in Redis there is some for anything that is not large as long as the member is not
        full; a large one may be more than all that is left for what nobody counts, so it has to fit."""
        left = self.limit_bytes - self.used_bytes
        return left > 0 and (size <= LARGE_BYTES or size <= left)

    # -- keys ----------------------------------------------------------------------------------------------------

    def place(self, slot: int, key: bytes, value: Value | None, at_ms: int | None, *, keep: bool = False) -> None:
        """Put (or with None: delete) a key without recording it. `keep`: the old value lives on somewhere else."""
        values: dict[bytes, Any] = self.slots[slot]  # type: ignore[assignment]
        old = values.get(key)
        if old is not None:
            if type(old) is bytes:
                self.used_bytes -= len(old)
            elif type(old) is int:
                self.used_bytes -= cold_rows.leave(self, self.blocks.of(old), [key], [old])
            else:
                self.used_bytes -= old.cost
                if type(old) is Record:
                    self.used_bytes -= self.tables.leave(old)
                elif not keep:
                    self.discard(old)
        if value is None:
            if old is not None:
                del values[key]
                self.key_count -= 1
                self.used_bytes -= KEY_OVERHEAD_BYTES + len(key)
            at_ms = None
        else:
            values[key] = value
            if old is None:
                self.key_count += 1
                self.used_bytes += KEY_OVERHEAD_BYTES + len(key)
            self.used_bytes += len(value) if type(value) is bytes else value.cost  # type: ignore[union-attr]
            if type(value) is Record:
                self.used_bytes += self.tables.enter(value)
        if at_ms is not None or self.expires[slot] is not None:
            self.set_at(slot, key, at_ms)

    def set_at(self, slot: int, key: bytes, at_ms: int | None) -> None:
        """Let `key` expire at `at_ms`, or never."""
        expires = self.expires[slot]
        if at_ms is not None:
            if expires is None:
                expires = self.expires[slot] = {}
                self._mark_plain(slot)
            if key not in expires:
                self.used_bytes += EXPIRY_OVERHEAD_BYTES + len(key)
            expires[key] = at_ms
        elif expires is not None and expires.pop(key, None) is not None:
            self.used_bytes -= EXPIRY_OVERHEAD_BYTES + len(key)
            if not expires:
                self.expires[slot] = None
                self._mark_plain(slot)

    def discard(self, value: Value) -> None:
        """Let a large value that was taken out be freed in slices."""
        if type(value) is Hash and len(value) > reclaim.SMALL_UNITS:
            self.garbage.append(value)

    def touch(self, key: bytes) -> None:
        """Mark those who WATCH `key`."""
        for watcher in self.watched.get(key, ()):
            watcher.dirty = True

    # -- tables and requests -------------------------------------------------------------------------------------

    def set_tables(self, catalog: Catalog, by_id: dict[int, Any] | None) -> None:
        """Adopt a catalog, or with `by_id` go back to it, unrecorded."""
        self.used_bytes -= self.tables.index_bytes
        if by_id is None:
            self.garbage.extend(self.tables.adopt(catalog))
        else:
            back = self.tables.restore(by_id, catalog)
            self.garbage = deque(thing for thing in self.garbage if id(thing) not in back)
        self.used_bytes += self.tables.index_bytes
        self.prefixes = frozenset(self.tables.by_name)

    def count_requests(self) -> None:
        """Enter in the books what `requests` holds now."""
        self.used_bytes += self.requests.used_bytes - self.requests_bytes
        self.requests_bytes = self.requests.used_bytes

    # -- all of it -----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget every key at once, unrecorded; what they held is freed in slices. Tables and requests stay."""
        for key in self.watched:
            if key in (self.slots[slot_of(key)] or ()):
                self.touch(key)
        for slot in self.owned:
            values = self.slots[slot]
            if values:
                self.garbage.append(values)
                self.slots[slot] = slot_dictionary()
                expires = self.expires[slot]
                if expires is not None:
                    self.garbage.append(expires)
                    self.expires[slot] = None
        self.list_plain()
        self.tables.clear(self.garbage)
        self.blocks.clear(self.garbage)
        self.used_bytes = self.requests_bytes
        self.key_count = 0
        self.parts.clear()
        self.scan_indexes.clear()
        self.encodings.clear()
        self.expiry_queue = []

    def reset(self) -> None:
        """Forget everything, unrecorded: another member's snapshot is about to come."""
        self.clear()
        self.set_tables(Catalog(), None)
        self.record_version = 0
        self.requests.clear()
        self.count_requests()
