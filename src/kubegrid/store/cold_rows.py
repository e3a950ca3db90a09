"""What the keyspace does with cold rows: the values that are integers, and stand for a row of a block (`blocks`).

Reading gives the record and, while there is room, puts it in the integer's place (*thaws* the row): a row that is read or
changed once is often asked for again, and a member that is full must not grow by being read. Thawing is no change: it has
no effect, no undo and no version of its own, so members may differ in what is cold, and in nothing else. Whoever changes a
key thaws it first and goes on as with any record, so no undo record of a change has an integer. A cold row never expires.

Everything here keeps the books of `Keyspace`. Next: `row_blocks`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubegrid.store.effects import DELETE, RESTORE_ROWS
from kubegrid.store.memory import COLD_ROW_BYTES, KEY_OVERHEAD_BYTES
from kubegrid.store.records import Record

if TYPE_CHECKING:
    from kubegrid.store.blocks import Block
    from kubegrid.store.keyspace import Keyspace


def find(keyspace: "Keyspace", slot: int, key: bytes, version: int) -> Record | None:
    """What a key holds whose row is cold; None if its table was dropped, and the primary deletes it now."""
    block = keyspace.blocks.of(version)
    if keyspace.tables.strays and block.number not in keyspace.tables.by_id:
        if keyspace.primary:
            keyspace.remove(key)
        return None
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return block.record(version)
    return thaw(keyspace, slot, key, version)


def is_stray(keyspace: "Keyspace", version: int) -> bool:
    """Whether the table of a cold row was dropped."""
    return keyspace.tables.strays > 0 and keyspace.blocks.of(version).number not in keyspace.tables.by_id


def thaw(keyspace: "Keyspace", slot: int, key: bytes, version: int) -> Record:
    """Put the record in the place of the cold row, whether there is room or not."""
    block = keyspace.blocks.of(version)
    record = block.record(version)
    keyspace.slots[slot][key] = record  # type: ignore[index]
    keyspace.used_bytes += len(record) - COLD_ROW_BYTES - keyspace.blocks.take(block, version, key)
    return record


def thaw_many(keyspace: "Keyspace", tables: Sequence[dict[bytes, Any]], keys: list[bytes], values: list[Any]) -> None:
    """The same for those of `values` that are cold: what the slots' dictionaries `tables` hold for the keys.

    Each is replaced in `values` as well. A key may stand there more than once.
    """
    blocks = keyspace.blocks
    versions = sorted({value for value in values if type(value) is int})
    records: dict[int, Record] = {}
    start = 0
    while start < len(versions):
        block = blocks.of(versions[start])
        stop = start
        while stop < len(versions) and versions[stop] < block.end:
            stop += 1
        some = versions[start:stop]
        records.update(zip(some, block.records([version - block.first for version in some]), strict=True))
        start = stop
    for place, version in enumerate(values):
        if type(version) is int:
            record = values[place] = records[version]
            key = keys[place]
            if type(tables[place][key]) is int:
                tables[place][key] = record
                freed = blocks.take(blocks.of(version), version, key)
                keyspace.used_bytes += len(record) - COLD_ROW_BYTES - freed


def leave(keyspace: "Keyspace", key: bytes, version: int, block: "Block") -> int:
    """A cold row is replaced or removed by what has undo of its own, or needs none; how many bytes go beside the key's."""
    tables = keyspace.tables
    if block.number in tables.deltas:
        tables.leave(block.record(version))
    else:
        tables.count(block.number, -1)
    return COLD_ROW_BYTES + keyspace.blocks.take(block, version, key)


# -- rows of dropped tables ------------------------------------------------------------------------------------------


def remove_strays(keyspace: "Keyspace", keys: list[bytes], slots: Sequence[int], versions: Sequence[int]) -> None:
    """On the primary: delete cold rows of dropped tables, as one effect, and none of them is looked at."""
    blocks = keyspace.blocks
    of = [blocks.of(version) for version in versions]
    if keyspace.recording:
        keyspace.effects += (DELETE, keys)
        keyspace.undo += (RESTORE_ROWS, [keys, slots, versions, of])
    for key, slot, version, block in zip(keys, slots, versions, of, strict=True):
        del keyspace.slots[slot][key]  # type: ignore[union-attr]
        keyspace.used_bytes -= KEY_OVERHEAD_BYTES + len(key) + leave(keyspace, key, version, block)
    keyspace.key_count -= len(keys)
    keyspace.dirty += len(keys)
    if keyspace.watched:
        for key in keys:
            keyspace.touch(key)


def bring_back(
    keyspace: "Keyspace", keys: list[bytes], slots: Sequence[int], versions: Sequence[int], of: "list[Block]"
) -> None:
    """Take `remove_strays` back."""
    blocks = keyspace.blocks
    for key, slot, version, block in zip(keys, slots, versions, of, strict=True):
        keyspace.slots[slot][key] = version  # type: ignore[index]
        block.taken.discard(version - block.first)
        keyspace.tables.count(block.number, 1)
        keyspace.used_bytes += KEY_OVERHEAD_BYTES + len(key) + COLD_ROW_BYTES
        if not blocks.has(block):
            blocks.enter(block)
            keyspace.used_bytes += block.cost
    keyspace.key_count += len(keys)


def remove_strays_at(keyspace: "Keyspace", keys: list[bytes], slots: Sequence[int]) -> None:
    """On the primary: delete what these keys hold of dropped tables, which counts as missing."""
    found = []
    for key, slot in zip(keys, slots, strict=True):
        values = keyspace.slots[slot]
        value = None if values is None else values.get(key)
        if type(value) is int:
            if is_stray(keyspace, value):
                found.append((key, slot, value))
        elif type(value) is Record and keyspace.tables.is_stray(value):
            keyspace.remove(key)
    if found:
        remove_strays(keyspace, *map(list, zip(*found, strict=True)))


def sweep_slice(keyspace: "Keyspace", budget: int) -> int:
    """On the primary: delete rows of blocks of dropped tables, about `budget` at most; how many it were."""
    done = 0
    known = keyspace.tables.by_id
    while done < budget:
        block = next((block for block in keyspace.blocks if block.number not in known), None)
        if block is None:
            break
        places = block.cold()[: budget - done]
        remove_strays(keyspace, *block.keys(places), [block.first + place for place in places])
        done += len(places)
    return done


# -- blocks of which little is left ----------------------------------------------------------------------------------


def thaw_slice(keyspace: "Keyspace", budget: int) -> int:
    """Go on thawing what is left of blocks of which more than half was taken, so that memory is not held twice for long;
    about `budget` rows at most; how many it were."""
    blocks = keyspace.blocks
    done = 0
    while blocks.worn and done < budget:
        block = blocks.worn[-1]
        if not blocks.has(block) or len(block.taken) <= block.size // 2:
            blocks.worn.pop()
            done += 1
            continue
        done += _thaw_some(keyspace, block, budget - done)
    return done


def _thaw_some(keyspace: "Keyspace", block: "Block", budget: int) -> int:
    places = block.cold()[:budget]
    keys, slots = block.keys(places)
    tables: list[dict[bytes, Any]] = [keyspace.slots[slot] for slot in slots]  # type: ignore[misc]
    thaw_many(keyspace, tables, keys, [block.first + place for place in places])
    return len(places)
