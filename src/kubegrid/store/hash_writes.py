"""Changes of hashes, each one effect: the books (`books`), kept for fields instead of whole values.

**Hot path** of HSET and its like. Next: `hashes`.
"""

from binascii import crc_hqx
from typing import TYPE_CHECKING

from kubegrid.store.effects import HASH_DELETE, HASH_PUT, HASH_SET, RESTORE_FIELDS
from kubegrid.store.hashes import Hash
from kubegrid.store.memory import KEY_OVERHEAD_BYTES
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace


def put(keyspace: "Keyspace", key: bytes, pairs: list[bytes], at_ms: int | None = None) -> None:
    """Make `key` a hash with exactly these `field, value, …`, whatever it was."""
    if keyspace.recording:
        keyspace.effects += (HASH_PUT, [key, at_ms, *pairs])
    keyspace.replace(key, Hash(pairs), at_ms)


def set_fields(keyspace: "Keyspace", key: bytes, value: Hash | None, args: list[bytes], start: int) -> int:
    """Set the fields `args[start:]` of the hash `key`, now `value` or missing; how many are new."""
    if value is None:
        pairs = args[start:]
        new = Hash(pairs)
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        keyspace.slots[slot][key] = new  # type: ignore[index]
        keyspace.key_count += 1
        keyspace.used_bytes += KEY_OVERHEAD_BYTES + len(key) + new.cost
        added = len(new)
        if keyspace.recording:
            keyspace.effects += (HASH_SET, [key, *pairs])
            keyspace.undo += (key, None)
        keyspace.dirty += added
    elif keyspace.recording:
        old: list[bytes | None] = []
        added, change = value.update(args, start, old)
        keyspace.used_bytes += change
        keyspace.effects += (HASH_SET, [key, *args[start:]])
        keyspace.undo += (RESTORE_FIELDS, [key, *old])
        keyspace.dirty += (len(args) - start) // 2
    else:
        added, change = value.update(args, start, None)
        keyspace.used_bytes += change
        keyspace.dirty += (len(args) - start) // 2
    if keyspace.watched:
        keyspace.touch(key)
    return added


def remove_fields(keyspace: "Keyspace", key: bytes, value: Hash, args: list[bytes], start: int) -> int:
    """Remove the fields `args[start:]` of the hash `key`, which is `value`; how many there were."""
    if len(args) - start >= len(value):
        names = {field for field in args[start:] if value.get(field) is not None}
        if len(names) == len(value):
            keyspace.remove(key)
            return len(names)
    old: list[bytes | None] = []
    removed, change = value.remove(args, start, old)
    if removed:
        keyspace.used_bytes += change
        if keyspace.recording:
            keyspace.effects += (HASH_DELETE, [key, *old[0::2]])
            keyspace.undo += (RESTORE_FIELDS, [key, *old])
        keyspace.dirty += removed
        if keyspace.watched:
            keyspace.touch(key)
    return removed
