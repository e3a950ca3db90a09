"""Changes of a piece of a string.

A long string of which a piece changes is replicated as that piece. Every other change of a string is `Keyspace.put`.
"""

from typing import TYPE_CHECKING, Final

from kubegrid.store import replay
from kubegrid.store.effects import RESTORE_PIECE, SPLICE
from kubegrid.store.encodings import EMBEDDED_BYTES_MAX
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace

SPLICE_BYTES_MIN: Final = 4096
"""A string at least this long is replicated piecewise when a piece of it changes."""
COPIED_BYTES_PER_UNIT: Final = 2048
"""Of a string that is made anew for a piece of it: a turn's unit takes as long, or less."""


def splice(keyspace: "Keyspace", key: bytes, offset: int, data: bytes) -> int:
    """Write `data` at `offset` of the string `key`, which is padded with zeros; the new length. Keeps the expiry."""
    slot = slot_of(key)
    old: bytes | None = keyspace.slots[slot].get(key)  # type: ignore[union-attr]
    at_ms = keyspace.expiry_of(key)
    before = b"" if old is None else old
    value = replay.spliced(before, offset, data, max(len(before), offset + len(data)))
    if old is None or len(value) < SPLICE_BYTES_MIN:
        keyspace.made_bytes += len(value)
        keyspace.put(key, value, at_ms)
        if len(value) <= EMBEDDED_BYTES_MAX:
            keyspace.encodings.remember(key, value, b"raw")
        return len(value)
    if keyspace.recording:
        keyspace.effects += (SPLICE, [key, offset, data, len(value)])
        # A piece here, too: many changes of one long string would else keep it as often as they are.
        start = min(offset, len(old))
        keyspace.undo += (RESTORE_PIECE, [key, start, old[start : offset + len(data)], len(old)])
    keyspace.units += len(value) // COPIED_BYTES_PER_UNIT
    keyspace.used_bytes += len(value) - len(old)
    keyspace.slots[slot][key] = value  # type: ignore[index]
    keyspace.dirty += 1
    if keyspace.watched:
        keyspace.touch(key)
    return len(value)
