"""The keys of one member: a dictionary per slot, their expiry, and what each turn changed.

A dictionary per slot, because one dictionary of all keys would stall the loop whenever it grows. A string is a plain
`bytes`, a hash a `Hash`, a record of a table a `Record`, or while it is still a row of a block an integer, which nobody but
`cold_rows` looks into. **Hot path**: `node.plain_batch` works on `plain`, `effects` and
`undo` directly for GET and SET; everything that is written here must keep the same books.

Only a primary decides that a key has expired, and then the deletion is an effect like any other; a backup merely treats
the key as missing when it is read. No clock: `now_ms` is set by whoever drives the turn. What it does not do: parse
commands (`commands`), change fields of a hash or a piece of a string (`hash_writes`, `string_writes`), put many records
(`record_writes`), apply and take back logs (`replay`), cut snapshots (`snapshot`), free memory (`reclaim`).
"""

from binascii import crc_hqx
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.base.settings import StoreSettings
from kubegrid.base.tables import Catalog
from kubegrid.store import cold_rows, expiry, invariant, reclaim, replay, snapshot
from kubegrid.store.blocks import Blocks
from kubegrid.store.effects import (
    CLEAR,
    DELETE,
    EXPIRE,
    HASH_PUT,
    PUT_EXPIRING,
    RESTORE,
    RESTORE_ALL,
    RESTORE_EXPIRY,
    RESTORE_TABLES,
    TABLES,
    size_of,
)
from kubegrid.store.encodings import Encodings
from kubegrid.store.hashes import Hash
from kubegrid.store.memory import EXPIRY_OVERHEAD_BYTES, KEY_OVERHEAD_BYTES, LARGE_BYTES
from kubegrid.store.records import Record
from kubegrid.store.requests import Requests
from kubegrid.store.slot_sizes import SlotSizes
from kubegrid.store.slots import slot_dictionary, slot_of
from kubegrid.store.tables import Tables

Value = bytes | Hash
"""A `Record` is bytes, too, but of a type of its own."""


class NotPlain(dict[bytes, Any]):
    """Stands in `Keyspace.plain` for a slot that the hot path must not touch: what it finds there is no value."""

    def get(self, key: bytes, default: Any = None) -> Any:
        return self


NOT_PLAIN = NotPlain()


class Keyspace:
    """All keys of the slots that this member's partition owns.

    Invariant (`validate`): `key_count` and `used_bytes` are what counting all keys again would give; each key that
    expires exists; a slot's `expires` is None rather than empty; every change since `take_turn` is in `effects` and
    `undo` if `recording`, and `revert(undo)` would bring back the state of then.
    """

    def __init__(
        self,
        settings: StoreSettings,
        first_slot: int,
        last_slot: int,
        *,
        random: Callable[[int], int],
        limit_bytes: int = 1 << 62,
    ) -> None:
        """`random(n)` gives a number in 0 … n-1; the slots `first_slot` to `last_slot` (inclusive) are owned."""
        self.settings = settings
        self.random = random
        self.owned = range(first_slot, last_slot + 1)
        self.slots: list[dict[bytes, Any] | None] = [None] * SLOT_COUNT
        for slot in self.owned:
            self.slots[slot] = slot_dictionary()
        self.expires: list[dict[bytes, int] | None] = [None] * SLOT_COUNT
        self.plain: list[dict[bytes, Any]] = []
        """For the hot path: `slots`, with NOT_PLAIN in the places of slots that are not owned or where something expires."""
        self._list_plain()
        self.used_ms: list[int] = [0] * SLOT_COUNT
        """When a key of the slot was last looked for or written; 0: not since this member started. For OBJECT IDLETIME."""
        self.effects: list[Any] = []
        self.undo: list[Any] = []
        self.recording = True
        self.used_bytes = 0
        self.limit_bytes = limit_bytes
        """At this many counted bytes writes are refused: the lower of what the member can hold and what was chosen."""
        self.member_limit_bytes = limit_bytes
        self.chosen_limit_bytes: int | None = None
        self.key_count = 0
        self.now_ms = 0
        self.primary = False
        self.watched: dict[bytes, set[Any]] = {}
        self.dirty = 0
        self.expired = 0
        """Keys that this member has expired, since its start."""
        self.keeps_expired = False
        """Keys whose time is over are missing, but nobody deletes them (CLIENT PAUSE). Changed between turns, and only
        when nothing can write until it is changed back: who writes relies on `find` having deleted what it did not find."""
        self.garbage: deque[Any] = deque()
        self.expiry_queue: list[bytes] = []
        self.expiry_slot = first_slot
        self.parts: list[bytes] = []
        self.scan_indexes: dict[int, Any] = {}
        self.tables = Tables()
        self.units = 0
        """Of work since the start, as turns count it, beyond what a command's arguments tell: rows written or made records."""
        self.made_bytes = 0
        """Of values since the start that came into effects whole, however little of them came with a request."""
        self.answer_bytes = 0
        """Of replies that are being put together in slices."""
        self.blocks = Blocks()
        self.prefixes: frozenset[bytes] = frozenset()
        """The names of all tables: what stands before the first `:` of a record's key, and of no other new key."""
        self.record_version = 0
        """The last version that was given to a record. Never taken back."""
        self.requests = Requests(self._record_request)
        self.requests_bytes = 0
        """What `requests` has in `used_bytes`."""
        self.waited_tables: set[int] = set()
        """Numbers of tables whose next written records somebody waits for (KG.TAKE … BLOCK)."""
        self.written: list[tuple[int, bytes]] = []
        """Table and key of records of these that were written since it was last emptied, by whoever waits."""
        self.encodings = Encodings()
        self.slot_sizes = SlotSizes()

    def _list_plain(self) -> None:
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

    # -- reading -------------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> Any:
        """The value of `key` or None; a key whose time is over is missing, and the primary deletes it now (`keeps_expired`)."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        value = self.slots[slot].get(key)  # type: ignore[union-attr]
        self.used_ms[slot] = self.now_ms
        if value is not None:
            if type(value) is int:
                return cold_rows.find(self, slot, key, value)
            expires = self.expires[slot]
            if expires is not None:
                at_ms = expires.get(key)
                if at_ms is not None and at_ms < self.now_ms:
                    if self.primary and not self.keeps_expired:
                        self.expire(key)
                    return None
            if self.tables.strays and type(value) is Record and self.tables.is_stray(value):
                if self.primary:
                    self.remove(key)
                return None
        return value

    def look_at(self, key: bytes) -> Any:
        """`find` for who only tells about the key: it is not used by that."""
        slot = slot_of(key)
        used_ms = self.used_ms[slot]
        value = self.find(key)
        self.used_ms[slot] = used_ms
        return value

    def holds(self, key: bytes) -> bool:
        """Whether there is such a key, by the rules of `look_at`; but a row that is cold stays so."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        value = self.slots[slot].get(key)  # type: ignore[union-attr]
        if value is None:
            return False
        if type(value) is bytes and self.expires[slot] is None:
            return True
        return (type(value) is int and not cold_rows.is_stray(self, value)) or self.look_at(key) is not None

    def value_of(self, key: bytes) -> Any:
        """What the key holds, whether its time is over or not."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        return self._held(slot, key)

    def _held(self, slot: int, key: bytes) -> Any:
        """What the key holds, thawed: to be changed, or put into an undo record."""
        value = self.slots[slot].get(key)  # type: ignore[union-attr]
        return cold_rows.thaw(self, slot, key, value) if type(value) is int else value

    def expiry_of(self, key: bytes) -> int | None:
        """When `key` expires (Unix time in ms), or None."""
        expires = self.expires[slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383]
        return None if expires is None else expires.get(key)

    # -- changes, each one effect --------------------------------------------------------------------------------

    def put(self, key: bytes, value: bytes, at_ms: int | None = None) -> None:
        """Make `key` this string, expiring at `at_ms` or never, whatever it was."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        values: dict[bytes, Any] = self.slots[slot]  # type: ignore[assignment]
        self.used_ms[slot] = self.now_ms
        old = values.get(key)
        if type(old) is int:
            old = cold_rows.thaw(self, slot, key, old)
        expires = self.expires[slot]
        old_at = None if expires is None else expires.get(key)
        if self.recording:
            if at_ms is None:
                self.effects += (key, value)
            else:
                self.effects += (PUT_EXPIRING, [key, value, at_ms])
            if old_at is None and at_ms is None and type(old) is not Hash:
                self.undo += (key, old)
            else:
                self.undo += (RESTORE, [key, old, old_at])
        if old is None:
            self.key_count += 1
            self.used_bytes += KEY_OVERHEAD_BYTES + len(key) + len(value)
        elif type(old) is bytes:
            self.used_bytes += len(value) - len(old)
        else:
            self.used_bytes += len(value) - old.cost
            if type(old) is Record:
                self.used_bytes -= self.tables.leave(old)
            else:
                self.discard(old)
        values[key] = value
        if old_at != at_ms:
            self._set_at(slot, key, at_ms)
        self.dirty += 1
        if self.encodings.remembered:
            self.encodings.remembered.pop(key, None)
        if self.watched:
            self.touch(key)

    def remove(self, key: bytes) -> bool:
        """Delete `key`; whether it was there."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        old = self.slots[slot].get(key)  # type: ignore[union-attr]
        if old is None:
            return False
        if type(old) is int:
            cold_rows.remove(self, [key], [slot], [old])
            return True
        if self.recording:
            self.effects += (DELETE, [key])
            if type(old) is bytes and self.expires[slot] is None:
                self.undo += (key, old)
            else:
                self.undo += (RESTORE, [key, old, self.expiry_of(key)])
        self.place(slot, key, None, None)
        self.dirty += 1
        if self.watched:
            self.touch(key)
        return True

    def expire(self, key: bytes) -> None:
        """Delete a key whose time is over."""
        self.remove(key)
        self.expired += 1

    def set_expiry(self, key: bytes, at_ms: int | None) -> None:
        """Let the existing `key` expire at `at_ms`, or never."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        self._held(slot, key)
        if self.recording:
            expires = self.expires[slot]
            self.effects += (EXPIRE, [key, at_ms])
            self.undo += (RESTORE_EXPIRY, [key, None if expires is None else expires.get(key)])
        self._set_at(slot, key, at_ms)
        self.dirty += 1
        if self.watched:
            self.touch(key)

    def rename(self, key: bytes, to: bytes) -> None:
        """Move the value and expiry of the existing `key` to another key of the slot, over whatever that was."""
        slot = slot_of(key)
        value = self._held(slot, key)
        at_ms = self.expiry_of(key)
        self.made_bytes += len(value) if type(value) is bytes else value.cost
        if self.recording:
            self.undo += (RESTORE, [key, value, at_ms])
            self.effects += (DELETE, [key])
            if type(value) is Hash:
                self.effects += (HASH_PUT, [to, at_ms, *value.pairs()])
            elif at_ms is None:
                self.effects += (to, value)
            else:
                self.effects += (PUT_EXPIRING, [to, value, at_ms])
        self.place(slot, key, None, None, keep=True)
        self.dirty += 1
        if self.watched:
            self.touch(key)
        self.replace(to, value, at_ms)
        self.encodings.moved(key, to)

    def replace(self, key: bytes, value: Value, at_ms: int | None) -> None:
        """Put a value whose effect is recorded already."""
        slot = slot_of(key)
        if self.recording:
            self.undo += (RESTORE, [key, self._held(slot, key), self.expiry_of(key)])
        self.place(slot, key, value, at_ms)
        self.dirty += 1
        if self.watched:
            self.touch(key)

    def flush(self) -> None:
        """Delete every key, as one effect."""
        if self.recording:
            self.effects += (CLEAR, [])
            before = [list(self.slots), list(self.expires), self.used_bytes, self.key_count]
            self.undo += (RESTORE_ALL, [*before, self.tables.contents(), self.blocks.contents()])
        self.dirty += self.key_count
        self.clear()

    def adopt_catalog(self, catalog: Catalog) -> None:
        """These are the tables from now on, as one effect. Records of tables that are gone count as missing at once."""
        if self.recording:
            self.effects += (TABLES, [catalog.encode()])
            self.undo += (RESTORE_TABLES, [self.tables.by_id, self.tables.catalog])
        self.set_tables(catalog, None)
        self.dirty += 1

    @property
    def catalog(self) -> Catalog:
        return self.tables.catalog

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

    def _record_request(self, code: int, args: list[Any], undo_code: int, undo_args: list[Any]) -> None:
        """A numbered request was answered or forgotten."""
        if self.recording:
            self.effects += (code, args)
            self.undo += (undo_code, undo_args)
        self.dirty += 1
        self.count_requests()

    def count_requests(self) -> None:
        """Enter in the books what `requests` holds now."""
        self.used_bytes += self.requests.used_bytes - self.requests_bytes
        self.requests_bytes = self.requests.used_bytes

    # -- the books -----------------------------------------------------------------------------------------------

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
            self._set_at(slot, key, at_ms)

    def _set_at(self, slot: int, key: bytes, at_ms: int | None) -> None:
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
        self._list_plain()
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

    def take_turn(self) -> tuple[list[Any], list[Any], int]:
        """The effects and undo records since the last call, and about how many bytes the effects are."""
        effects, undo = self.effects, self.undo
        self.effects, self.undo = [], []
        return effects, undo, size_of(effects)

    def validate(self) -> None:
        """Check the invariant by counting everything again (tests)."""
        invariant.check(self)

    # -- what drives it from outside -----------------------------------------------------------------------------

    def apply(self, effects: list[Any]) -> None:
        """Make committed effects of a log part of the state (backups, and a winner's inheritance)."""
        replay.apply(self, effects)

    def revert(self, undo: list[Any]) -> None:
        """Take back what `take_turn` gave with this undo; entries newest first."""
        replay.revert(self, undo)

    def free_slice(self, budget: int) -> int:
        """Free at most `budget` keys or fields of what was thrown away; how many were freed."""
        return reclaim.free_slice(self.garbage, budget)

    def expire_slice(self, budget: int) -> int:
        """Active expiry, on the primary: look at `budget` keys that expire; how many it were. `expired` counts the deleted."""
        return expiry.expire_slice(self, budget)

    def sweep_slice(self, budget: int) -> int:
        """On the primary, in a turn: remove records of dropped tables, and forget clients that were silent for too long.

        How many keys and clients were looked at in vain or removed: 0 when there is nothing left to do.
        """
        if not self.primary:
            return 0
        return self.requests.forget_slice(self.now_ms, budget) + self.tables.sweep_slice(self, budget)

    def build_slice(self, budget: int) -> int:
        """On any member: go on building indexes over records that were there before, and thawing what is left of blocks.

        How many keys were looked at.
        """
        return self.tables.build_slice(self, budget) + cold_rows.thaw_slice(self, budget)

    def snapshot(self) -> Iterator[bytes]:
        """Slices for `load`, cut as they are asked for, while writes go on."""
        return snapshot.cut(self)

    def load(self, payload: bytes) -> None:
        """Make a slice of a snapshot part of the state."""
        snapshot.load(self, payload)
