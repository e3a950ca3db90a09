"""The keys of one member, as commands find and change them: what is there (`books`), and what each turn changed of it.

**Hot path**: `node.plain_batch` works on `plain`, `effects` and `undo` directly for GET and SET; everything that is written
here must keep the same books.

Only a primary decides that a key has expired, and then the deletion is an effect like any other; a backup merely treats
the key as missing when it is read. No clock: `now_ms` is set by whoever drives the turn. What it does not do: parse
commands (`commands`), change fields of a hash or a piece of a string (`hash_writes`, `string_writes`), put many records
(`record_writes`), apply and take back logs (`replay`), cut snapshots (`snapshot`), free memory (`reclaim`).
"""

from binascii import crc_hqx
from collections.abc import Callable, Iterator
from typing import Any

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.base.settings import StoreSettings
from kubegrid.base.tables import Catalog
from kubegrid.store import cold_rows, expiry, invariant, reclaim, replay, snapshot
from kubegrid.store.books import Books, Value
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
from kubegrid.store.hashes import Hash
from kubegrid.store.memory import KEY_OVERHEAD_BYTES
from kubegrid.store.records import Record
from kubegrid.store.slots import slot_of


class Keyspace(Books):
    """All keys of the slots that this member's partition owns.

    Invariant (`validate`): that of the books; every change since `take_turn` is in `effects` and `undo` if `recording`, and
    `revert(undo)` would bring back the state of then.
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
        super().__init__(range(first_slot, last_slot + 1), limit_bytes, self._record_request)
        self.settings = settings
        self.random = random
        self.used_ms: list[int] = [0] * SLOT_COUNT
        """When a key of the slot was last looked for or written; 0: not since this member started. For OBJECT IDLETIME."""
        self.effects: list[Any] = []
        self.undo: list[Any] = []
        self.recording = True
        self.now_ms = 0
        self.primary = False
        self.dirty = 0
        self.expired = 0
        """Keys that this member has expired, since its start."""
        self.keeps_expired = False
        """Keys whose time is over are missing, but nobody deletes them (CLIENT PAUSE). Changed between turns, and only
        when nothing can write until it is changed back: who writes relies on `find` having deleted what it did not find."""
        self.expiry_slot = first_slot
        self.units = 0
        """Of work since the start, as turns count it, beyond what a command's arguments tell: rows written or made records."""
        self.made_bytes = 0
        """Of values since the start that came into effects whole, however little of them came with a request."""
        self.answer_bytes = 0
        """Of replies that are being put together in slices."""
        self.waited_tables: set[int] = set()
        """Numbers of tables whose next written records somebody waits for (KG.TAKE … BLOCK)."""
        self.written: list[tuple[int, bytes]] = []
        """Table and key of records of these that were written since it was last emptied, by whoever waits."""

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
            self.set_at(slot, key, at_ms)
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
        self.set_at(slot, key, at_ms)
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

    def _record_request(self, code: int, args: list[Any], undo_code: int, undo_args: list[Any]) -> None:
        """A numbered request was answered or forgotten."""
        if self.recording:
            self.effects += (code, args)
            self.undo += (undo_code, undo_args)
        self.dirty += 1
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
