"""A copy of the keyspace, cut slice by slice while writes go on, and the loading of it.

A slice is a list of effects (MessagePack) of about `slice_bytes`, so loading it is applying it. It is fuzzy: later slices
show later states. `effects` says why replaying the log from the beginning of the snapshot makes it exact. Each key that
was there at the beginning and was not written since is in it exactly once; long strings and large hashes are cut too.

Blocks come first, as the columns that they are, without the rows that had left them; then the slots, without the rows that
are cold. A row that is thawed when its block was cut comes again as a record, which is the same. Blocks that came since the
beginning are in the log; those of a dropped table come as records, for their columns cannot be read without its definition.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubegrid.store import replay, row_blocks
from kubegrid.store.effects import (
    BLOCK,
    FORGET_CLIENTS,
    HASH_PUT,
    HASH_SET,
    PUT_EXPIRING,
    RECORD_COPIES,
    TABLES,
    VALUE_PART,
    VERSION,
)
from kubegrid.store.hashes import Hash
from kubegrid.store.records import Record

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace

COLD_KEYS_PER_UNIT: Final = 16
"""Keys whose rows are cold, and are passed over."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def cut(keyspace: "Keyspace") -> Iterator[bytes]:
    """Each `next` looks at about `slice_units` keys or fields and gives the next slice; the last may be empty."""
    limit = keyspace.settings.slice_bytes
    units_max = keyspace.settings.slice_units
    effects: list[Any] = [
        *(TABLES, [keyspace.catalog.encode()]),
        *(VERSION, [keyspace.record_version]),
        *(FORGET_CLIENTS, []),
    ]
    size = units = 0
    known = frozenset(keyspace.tables.by_id)
    strays = frozenset(block.first for block in keyspace.blocks if block.number not in known)
    for block in list(keyspace.blocks):
        if block.number in known and keyspace.blocks.has(block):
            args = row_blocks.snapshot_of(block)
            effects += (BLOCK, args)
            size += block.cost
            units += row_blocks.units_of(args)
            if size >= limit or units >= units_max:
                yield _encode(effects)
                effects = []
                size = units = 0
    for slot in keyspace.owned:
        units += 1
        values = keyspace.slots[slot]
        if not values:
            continue
        keys = list(values) if strays else [key for key, value in values.items() if type(value) is not int]
        units += (len(values) - len(keys)) // COLD_KEYS_PER_UNIT
        for key in keys:
            # Looked up again: slices may have been cut, and keys changed, since the keys were listed.
            value: Any = (keyspace.slots[slot] or {}).get(key)
            if value is None:
                continue
            if type(value) is int:
                units += 1
                if keyspace.blocks.of(value).first not in strays:
                    continue
                value = keyspace.blocks.record(value)
            units += 1
            at_ms = keyspace.expiry_of(key)
            if type(value) is bytes:
                if len(value) > limit:
                    yield from _cut_string(key, value, at_ms, limit)
                    continue
                effects += (key, value) if at_ms is None else (PUT_EXPIRING, [key, value, at_ms])
                size += len(key) + len(value) + 8
            elif type(value) is Record:
                effects += (RECORD_COPIES, [key, bytes(value), at_ms])
                size += len(key) + len(value) + 16
            elif value.shape is not None and value.cost <= limit:
                effects += (HASH_PUT, [key, at_ms, *value.pairs()])
                size += len(key) + value.cost
                units += len(value)
            else:
                yield from _cut_hash(keyspace, slot, key, value, limit, units_max)
                continue
            if size >= limit or units >= units_max:
                yield _encode(effects)
                effects = []
                size = units = 0
        if units >= units_max:
            yield _encode(effects)
            effects = []
            size = units = 0
    for effect, effect_bytes in keyspace.requests.cut():
        effects += effect
        size += effect_bytes
        units += 1
        if size >= limit or units >= units_max:
            yield _encode(effects)
            effects = []
            size = units = 0
    yield _encode(effects)


def _cut_string(key: bytes, value: bytes, at_ms: int | None, limit: int) -> Iterator[bytes]:
    """The pieces of one long string, all of the value that it had when the first was cut."""
    for offset in range(0, len(value), limit):
        last = offset + limit >= len(value)
        yield _encode([VALUE_PART, [key, value[offset : offset + limit], last, at_ms]])


def _cut_hash(keyspace: "Keyspace", slot: int, key: bytes, value: Hash, limit: int, units_max: int) -> Iterator[bytes]:
    """The pieces of one large hash, as long as the key holds this very hash: after that, the log says what it is."""
    args: list[Any] = [key, keyspace.expiry_of(key)]
    code = HASH_PUT
    size = position = 0
    while True:
        fields, position = value.scan(position)
        for pair in fields:
            pair_bytes = len(pair[0]) + len(pair[1])
            if size and size + pair_bytes > limit:
                yield _encode([code, args])
                code, args, size = HASH_SET, [key], 0
            args += pair
            size += pair_bytes
        if position == 0:
            break
        if size >= limit or len(args) >= 2 * units_max:
            yield _encode([code, args])
            code, args, size = HASH_SET, [key], 0
        if (keyspace.slots[slot] or {}).get(key) is not value:
            break
    yield _encode([code, args])


def load(keyspace: "Keyspace", payload: bytes) -> None:
    """Apply one slice. Slices come in the order in which they were cut."""
    replay.apply(keyspace, _decode(payload))
