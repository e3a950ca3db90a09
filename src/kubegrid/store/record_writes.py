"""Putting records into the keyspace, many at a time.

**Hot path** of loading tables, and of a backup that follows it: flat loops, one effect for all rows, indexes in columns.
Checks are the commands' business (`commands_records`): here the keys are the rows' keys and their slots are owned.
"""

from binascii import crc_hqx
from collections.abc import Sequence
from itertools import count, repeat
from operator import add
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from kubegrid.store import cold_rows
from kubegrid.store.effects import RECORDS, RESTORE
from kubegrid.store.memory import KEY_OVERHEAD_BYTES
from kubegrid.store.records import HEADER, HEADER_BYTES, Record, record_of
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace
    from kubegrid.store.tables import Table


WRITTEN_UNITS: Final = 4
"""What writing a row costs of a turn, whose unit is a plain GET (`node.turn`)."""
WIDTHS_WRITTEN: Final = 3
"""How often a row is gone through that is written: it is taken apart, and each value is checked."""
OF_TABLES: Final = {Record, NoneType, int}
"""The types of what a key of a table should hold: an integer stands for a record that is cold."""
_DICT: Final = {dict}

Held = tuple[Sequence[int], list[dict[bytes, Any]], list[Any], bool]
"""For each of some keys: its slot, the dictionary of that, what it holds for the key now (an integer: a cold row); and whether
nothing expires in any of these slots."""


def held(keyspace: "Keyspace", keys: list[bytes], slots: list[int] | None = None) -> Held | None:
    """Where the keys belong (`slots`, if they are known) and what is there; None if the slot of one is not owned."""
    crc = crc_hqx
    if slots is not None:
        places = slots
    elif b"{" in b"".join(keys):
        places = [slot_of(key) if b"{" in key else crc(key, 0) & 16383 for key in keys]
    else:
        places = [crc(key, 0) & 16383 for key in keys]
    plain = keyspace.plain
    tables = [plain[slot] for slot in places]
    used_ms = keyspace.used_ms
    now_ms = keyspace.now_ms
    for slot in places:
        used_ms[slot] = now_ms
    nothing_expires = set(map(type, tables)) == _DICT
    if not nothing_expires:
        all_slots = keyspace.slots
        tables = [all_slots[slot] for slot in places]  # type: ignore[misc]
        if None in tables:
            return None
    values = [table.get(key) for table, key in zip(tables, keys, strict=True)]
    return places, tables, values, nothing_expires


def put(
    keyspace: "Keyspace",
    table: "Table",
    keys: list[bytes],
    rows: list[bytes],
    values: Sequence[Sequence[Any]] | None,
    at_ms: int | None,
    there: Held | None = None,
) -> int:
    """Put these rows, recorded as one effect; the version of the first. `values` are the rows decoded, if they are."""
    first = keyspace.record_version + 1
    keyspace.units += (WRITTEN_UNITS + WIDTHS_WRITTEN * table.width_units) * len(keys)
    keyspace.made_bytes += sum(map(len, rows))
    if keyspace.recording:
        pairs: list[Any] = [b""] * (2 * len(keys))
        pairs[0::2] = keys
        pairs[1::2] = rows
        keyspace.effects += (RECORDS, [table.id, first, at_ms, *pairs])
        _put(keyspace, table, keys, rows, values, at_ms, keyspace.undo, there)
    else:
        _put(keyspace, table, keys, rows, values, at_ms, None, there)
    announce(keyspace, table, keys)
    return first


def announce(keyspace: "Keyspace", table: "Table", keys: list[bytes]) -> None:
    """Records were written under these keys: tell those who watch them, or wait for records of the table."""
    keyspace.dirty += len(keys)
    if keyspace.watched:
        for key in keys:
            keyspace.touch(key)
    if keyspace.waited_tables and table.id in keyspace.waited_tables:
        keyspace.written += [(table.id, key) for key in keys]


def apply(keyspace: "Keyspace", args: list[Any]) -> None:
    """Make an effect `RECORDS` part of the state."""
    number, first, at_ms = args[:3]
    keys, rows = args[3::2], args[4::2]
    table = keyspace.tables.by_id.get(number)
    if table is not None and first > keyspace.record_version:
        keyspace.record_version = first - 1
        _put(keyspace, table, keys, rows, None, at_ms, None, None)
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
    values: Sequence[Sequence[Any]] | None,
    at_ms: int | None,
    undo: list[Any] | None,
    there: Held | None,
) -> None:
    """What `Books.place` does, for many records of one table at once."""
    first = keyspace.record_version + 1
    keyspace.record_version += len(keys)
    records = list(map(Record, map(add, map(HEADER.pack, repeat(table.id), count(first)), rows)))
    there = there or held(keyspace, keys)
    assert there is not None, "a key of another partition"
    slots, dictionaries, olds, nothing_expires = there
    types = set(map(type, olds))
    one_by_one = (
        at_ms is not None
        or not nothing_expires
        or not types <= OF_TABLES
        or (keyspace.tables.strays and any(type(old) is Record and old[:4] != table.head for old in olds))
        or len(set(keys)) < len(keys)
    )
    if int in types:
        cold_rows.make_way(keyspace, keys, slots, olds, undo, overwriting=not one_by_one)
    if one_by_one:
        olds = _put_one_by_one(keyspace, table, keys, records, at_ms, undo)
    else:
        for dictionary, key, record in zip(dictionaries, keys, records, strict=True):
            dictionary[key] = record
        grown = sum(map(len, records))
        if None in olds:
            all_new = olds.count(None) == len(olds)
            new = keys if all_new else [key for key, old in zip(keys, olds, strict=True) if old is None]
            keyspace.key_count += len(new)
            counts = keyspace.tables.counts
            counts[table.id] = counts.get(table.id, 0) + len(new)
            grown += sum(map(len, new)) + KEY_OVERHEAD_BYTES * len(new)
        if undo is not None:
            pairs: list[Any] = [None] * (2 * len(keys))
            pairs[0::2] = keys
            pairs[1::2] = olds
            undo += pairs
        olds = [old for old in olds if old is not None]
        keyspace.used_bytes += grown - sum(map(len, olds))
    if table.id in keyspace.tables.deltas:
        delta = keyspace.tables.deltas[table.id]
        delta.added.update(zip(count(first), records))
        delta.leave([old.version for old in olds])
    if table.indexes:
        # All are entered before any is taken out: a key that stands twice among the rows has both done.
        _enter(keyspace, table, rows, values, records)
        for old in olds:
            for index, place in zip(table.indexes, table.places(old[HEADER_BYTES:]), strict=True):
                keyspace.used_bytes -= index.remove(place, old)


def _enter(
    keyspace: "Keyspace",
    table: "Table",
    rows: list[bytes],
    values: Sequence[Sequence[Any]] | None,
    records: list[Record],
) -> None:
    if values is not None:
        for index in table.indexes:
            keyspace.used_bytes += index.add_many(map(index.place, values), records)
        return
    all_places = list(map(table.places, rows))
    for number, index in enumerate(table.indexes):
        keyspace.used_bytes += index.add_many([places[number] for places in all_places], records)


def _put_one_by_one(
    keyspace: "Keyspace",
    table: "Table",
    keys: list[bytes],
    records: list[Record],
    at_ms: int | None,
    undo: list[Any] | None,
) -> list[Record]:
    """Where something expires, or is no record of this table, or a key stands twice; the records that were replaced."""
    all_expires = keyspace.expires
    head = table.head
    created = grown = 0
    replaced: list[Record] = []
    for key, record in zip(keys, records, strict=True):
        slot = slot_of(key)
        values: dict[bytes, Any] = keyspace.slots[slot]  # type: ignore[assignment]
        old = values.get(key)
        expires = all_expires[slot]
        if undo is not None:
            if expires is None:
                undo += (key, old)
            else:
                undo += (RESTORE, [key, old, expires.get(key)])
        if type(old) is Record and old[:4] == head:
            replaced.append(old)
            grown += len(record) - len(old)
        else:
            if old is not None:
                # A record of a dropped table of this name, or on a backup anything that a fuzzy snapshot brought.
                keyspace.place(slot, key, None, None)
                expires = all_expires[slot]
            created += 1
            grown += len(key) + len(record)
        values[key] = record
        if at_ms is not None or (expires is not None and key in expires):
            keyspace.set_at(slot, key, at_ms)
    keyspace.key_count += created
    if created:
        counts = keyspace.tables.counts
        counts[table.id] = counts.get(table.id, 0) + created
    keyspace.used_bytes += grown + created * KEY_OVERHEAD_BYTES
    return replaced
