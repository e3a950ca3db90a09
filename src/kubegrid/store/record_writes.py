"""Putting records into the keyspace, many at a time.

**Hot path** of loading tables, and of a backup that follows it: flat loops, one effect for all rows, indexes in columns.
Checks are the commands' business (`commands_records`): here the keys are the rows' keys and their slots are owned.
"""

from binascii import crc_hqx
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubegrid.store.effects import RECORDS, RESTORE
from kubegrid.store.memory import KEY_OVERHEAD_BYTES
from kubegrid.store.records import HEADER, HEADER_BYTES, Record, record_of
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace
    from kubegrid.store.tables import Table


def put(
    keyspace: "Keyspace",
    table: "Table",
    keys: list[bytes],
    rows: list[bytes],
    values: Sequence[Sequence[Any]],
    at_ms: int | None,
) -> int:
    """Put these rows, recorded as one effect; the version of the first. `values` are the rows decoded."""
    first = keyspace.record_version + 1
    if keyspace.recording:
        pairs: list[Any] = [b""] * (2 * len(keys))
        pairs[0::2] = keys
        pairs[1::2] = rows
        keyspace.effects += (RECORDS, [table.id, first, at_ms, *pairs])
        _put(keyspace, table, keys, rows, values, at_ms, keyspace.undo)
    else:
        _put(keyspace, table, keys, rows, values, at_ms, None)
    keyspace.dirty += len(keys)
    if keyspace.watched:
        for key in keys:
            keyspace.touch(key)
    if keyspace.waited_tables and table.id in keyspace.waited_tables:
        keyspace.written += [(table.id, key) for key in keys]
    return first


def apply(keyspace: "Keyspace", args: list[Any]) -> None:
    """Make an effect `RECORDS` part of the state."""
    number, first, at_ms = args[:3]
    keys, rows = args[3::2], args[4::2]
    table = keyspace.tables.by_id.get(number)
    if table is not None and first == keyspace.record_version + 1:
        values = list(map(table.codec.decode, rows)) if table.indexes else ()
        _put(keyspace, table, keys, rows, values, at_ms, None)
        return
    # A log over a fuzzy snapshot: what it brought may be newer.
    for version, key, row in zip(range(first, first + len(keys)), keys, rows, strict=True):
        keyspace.place(slot_of(key), key, record_of(number, version, row), at_ms)
    keyspace.record_version = max(keyspace.record_version, first + len(keys) - 1)


def _put(
    keyspace: "Keyspace",
    table: "Table",
    keys: list[bytes],
    rows: list[bytes],
    values: Sequence[Sequence[Any]],
    at_ms: int | None,
    undo: list[Any] | None,
) -> None:
    slots = keyspace.slots
    all_expires = keyspace.expires
    used_ms = keyspace.used_ms
    now_ms = keyspace.now_ms
    number = table.id
    head = table.head
    pack = HEADER.pack
    crc = crc_hqx
    version = keyspace.record_version
    created = grown = 0
    records: list[Record] = []
    replaced: list[Record] = []
    for key, row in zip(keys, rows, strict=True):
        version += 1
        record = Record(pack(number, version) + row)
        records.append(record)
        slot = slot_of(key) if b"{" in key else crc(key, 0) & 16383
        held: dict[bytes, Any] = slots[slot]  # type: ignore[assignment]
        used_ms[slot] = now_ms
        old = held.get(key)
        expires = all_expires[slot]
        if undo is not None:
            if expires is None:
                undo += (key, old)
            else:
                undo += (RESTORE, [key, old, expires.get(key)])
        if old is None:
            created += 1
            grown += len(key) + len(record)
        elif type(old) is Record and old[:4] == head:
            replaced.append(old)
            grown += len(record) - len(old)
        else:
            # A record of a dropped table of this name, or on a backup anything that a fuzzy snapshot brought.
            keyspace.place(slot, key, None, None)
            expires = all_expires[slot]
            created += 1
            grown += len(key) + len(record)
        held[key] = record
        if at_ms is not None:
            if expires is None or key not in expires:
                keyspace._set_at(slot, key, at_ms)
            else:
                expires[key] = at_ms
        elif expires is not None and key in expires:
            keyspace._set_at(slot, key, None)
    keyspace.record_version = version
    keyspace.key_count += created
    tables = keyspace.tables
    if created:
        tables.counts[number] = tables.counts.get(number, 0) + created
    # All are entered before any is taken out: a key that stands twice among the rows has both done.
    for index in table.indexes:
        grown += index.add_many(list(map(index.place, values)), records)
    if replaced and table.indexes:
        for old in replaced:
            for index, place in zip(table.indexes, table.places(old[HEADER_BYTES:]), strict=True):
                grown -= index.remove(place, old)
    keyspace.used_bytes += grown + created * KEY_OVERHEAD_BYTES
