"""What the keyspace does with cold rows: the values that are integers, and stand for a row of a block (`blocks`).

Reading gives the record and, while there is room, puts it in the integer's place (*thaws* the row): a row that is read or
changed once is often asked for again, and a member that is full must not grow by being read. Thawing is no change: it has
no effect, no undo and no version of its own, so members may differ in what is cold, and in nothing else. Whoever changes a
part of what a key holds thaws it first and goes on as with any record; to remove or replace a row, it need not be made.
A cold row never expires.

Everything here keeps the books (`books`). Next: `row_blocks`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from kubegrid.store.blocks import OPENING_UNITS
from kubegrid.store.effects import DELETE, RESTORE_ROWS
from kubegrid.store.memory import COLD_ROW_BYTES, KEY_OVERHEAD_BYTES
from kubegrid.store.records import Record
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.blocks import Block
    from kubegrid.store.books import Books
    from kubegrid.store.keyspace import Keyspace


def find(keyspace: "Keyspace", slot: int, key: bytes, version: int) -> Record | None:
    """What a key holds whose row is cold; None if its table was dropped, and the primary deletes it now."""
    block = keyspace.blocks.of(version)
    if keyspace.tables.strays and block.number not in keyspace.tables.by_id:
        if keyspace.primary:
            keyspace.remove(key)
        return None
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return _made(keyspace, block, version)
    return _thaw(keyspace, block, slot, key, version)


def is_stray(keyspace: "Keyspace", version: int) -> bool:
    """Whether the table of a cold row was dropped."""
    return keyspace.tables.strays > 0 and keyspace.blocks.of(version).number not in keyspace.tables.by_id


def thaw(keyspace: "Keyspace", slot: int, key: bytes, version: int) -> Record:
    """Put the record in the place of the cold row, whether there is room or not."""
    return _thaw(keyspace, keyspace.blocks.of(version), slot, key, version)


def _made(keyspace: "Keyspace", block: "Block", version: int) -> Record:
    keyspace.units += block.units
    return block.record(version)


def _thaw(keyspace: "Keyspace", block: "Block", slot: int, key: bytes, version: int) -> Record:
    record = _made(keyspace, block, version)
    keyspace.slots[slot][key] = record  # type: ignore[index]
    keyspace.used_bytes += len(record) - COLD_ROW_BYTES - keyspace.blocks.take(block, [version], [key])
    return record


def make_way(
    keyspace: "Keyspace",
    keys: list[bytes],
    slots: Sequence[int],
    values: list[Any],
    undo: list[Any] | None,
    *,
    overwriting: bool,
) -> None:
    """Others come in the places of those of `values` that are cold, which is the effect: count these out.

    Each is None in `values` afterwards. With `overwriting` its key still holds it, and the caller puts something there
    at once; without, the key is deleted, and may stand among `keys` more than once.
    """
    where = {version: place for place, version in enumerate(values) if type(version) is int}
    places, versions = where.values(), list(where)
    gone, of_slots = [keys[place] for place in places], [slots[place] for place in places]
    of = _count_out(keyspace, gone, versions) if overwriting else _drop(keyspace, gone, of_slots, versions)
    if undo is not None:
        undo += (RESTORE_ROWS, [of_slots, versions, of, *gone])
    values[:] = [None if type(value) is int else value for value in values]


def remove(keyspace: "Keyspace", keys: list[bytes], slots: Sequence[int], versions: Sequence[int]) -> None:
    """Delete cold rows, as one effect. None of them is looked at."""
    of = _drop(keyspace, keys, slots, versions)
    if keyspace.recording:
        keyspace.effects += (DELETE, keys)
        keyspace.undo += (RESTORE_ROWS, [slots, versions, of, *keys])
    keyspace.dirty += len(keys)
    if keyspace.watched:
        for key in keys:
            keyspace.touch(key)


def apply_deletion(keyspace: "Keyspace", keys: list[bytes]) -> list[bytes]:
    """Delete those of many different keys whose rows are cold, as a log says; the others."""
    cold: list[tuple[bytes, int, int]] = []
    others = []
    for key in keys:
        slot = slot_of(key)
        value = (keyspace.slots[slot] or {}).get(key)
        if type(value) is int:
            cold.append((key, slot, value))
        else:
            others.append(key)
    if cold:
        _drop(keyspace, *zip(*cold, strict=True))
    return others


def _drop(keyspace: "Keyspace", keys: Sequence[bytes], slots: Sequence[int], versions: Sequence[int]) -> "list[Block]":
    """Delete these cold rows' keys, and count them out; their blocks."""
    for key, slot in zip(keys, slots, strict=True):
        del keyspace.slots[slot][key]  # type: ignore[union-attr]
    return _count_out(keyspace, keys, versions)


def _count_out(keyspace: "Keyspace", keys: Sequence[bytes], versions: Sequence[int]) -> "list[Block]":
    """Enter in the books that these cold rows are gone, with their keys; their blocks."""
    keys_of = dict(zip(versions, keys, strict=True))
    of = []
    for block, some in _by_block(keyspace, keys_of):
        of.append(block)
        keyspace.used_bytes -= leave(keyspace, block, [keys_of[version] for version in some], some)
    keyspace.used_bytes -= sum(map(len, keys)) + KEY_OVERHEAD_BYTES * len(keys)
    keyspace.key_count -= len(keys)
    return of


def bring_back(
    keyspace: "Keyspace", slots: Sequence[int], versions: Sequence[int], of: "list[Block]", *keys: bytes
) -> None:
    """Take `remove` or `make_way` back."""
    blocks, tables = keyspace.blocks, keyspace.tables
    ordered = sorted(versions)
    for block in of:
        start = bisect_left(ordered, block.first)
        some = ordered[start : bisect_left(ordered, block.end, start)]
        block.taken.difference_update([version - block.first for version in some])
        if not blocks.has(block):
            blocks.enter(block)
            keyspace.used_bytes += block.cost
    for key, slot, version in zip(keys, slots, versions, strict=True):
        keyspace.slots[slot][key] = version  # type: ignore[index]
        block = blocks.of(version)
        if block.number in tables.deltas:
            tables.enter(block.record(version))
        else:
            tables.count(block.number, 1)
    keyspace.used_bytes += sum(map(len, keys)) + (KEY_OVERHEAD_BYTES + COLD_ROW_BYTES) * len(keys)
    keyspace.key_count += len(keys)


def leave(books: "Books", block: "Block", keys: list[bytes], versions: Sequence[int]) -> int:
    """Cold rows of one block are removed or replaced; how many bytes go beside those of the keys."""
    books.tables.leave_block(block.number, versions)
    return COLD_ROW_BYTES * len(versions) + books.blocks.take(block, versions, keys)


def _by_block(keyspace: "Keyspace", versions: Iterable[int]) -> "Iterator[tuple[Block, list[int]]]":
    """Versions of cold rows in ascending order, those of one block together."""
    ordered = sorted(versions)
    start = 0
    while start < len(ordered):
        block = keyspace.blocks.of(ordered[start])
        stop = bisect_left(ordered, block.end, start)
        yield block, ordered[start:stop]
        start = stop


# -- rows of dropped tables ------------------------------------------------------------------------------------------


def remove_strays_at(keyspace: "Keyspace", keys: list[bytes], slots: Sequence[int]) -> None:
    """On the primary: delete what these keys hold of dropped tables, which counts as missing."""
    found: dict[int, int] = {}
    for place, (key, slot) in enumerate(zip(keys, slots, strict=True)):
        values = keyspace.slots[slot]
        value = None if values is None else values.get(key)
        if type(value) is int:
            found[value] = place
        elif type(value) is Record and keyspace.tables.is_stray(value):
            keyspace.remove(key)
    known = keyspace.tables.by_id
    strays = [some for block, some in _by_block(keyspace, found) if block.number not in known]
    if strays:
        versions = list(chain.from_iterable(strays))
        places = [found[version] for version in versions]
        remove(keyspace, [keys[place] for place in places], [slots[place] for place in places], versions)


def sweep_slice(keyspace: "Keyspace", budget: int) -> int:
    """On the primary: delete rows of blocks of dropped tables, about `budget` at most; how many it were."""
    done = 0
    known = keyspace.tables.by_id
    for block in [block for block in keyspace.blocks if block.number not in known]:
        places = block.cold()[: budget - done]
        remove(keyspace, *block.keys(places), [block.first + place for place in places])
        done += len(places)
        if done >= budget:
            break
    return done


# -- blocks of which little is left ----------------------------------------------------------------------------------


def thaw_slice(keyspace: "Keyspace", budget: int) -> int:
    """Go on thawing what is left of blocks of which more than half was taken, so that memory is not held twice for long;
    as much as looking at `budget` keys takes; how much it was."""
    blocks = keyspace.blocks
    done = 0
    while blocks.worn and done < budget:
        block = blocks.worn[-1]
        if not blocks.has(block) or len(block.taken) <= block.size // 2:
            blocks.worn.pop()
            done += 1
            continue
        done += 0 if block.is_open else OPENING_UNITS
        done += block.units_of_many * _thaw_some(keyspace, block, max(1, (budget - done) // block.units_of_many))
    return done


def _thaw_some(keyspace: "Keyspace", block: "Block", budget: int) -> int:
    places = block.cold()[:budget]
    keys, slots = block.keys(places)
    records = block.records(places)
    for key, slot, record in zip(keys, slots, records, strict=True):
        keyspace.slots[slot][key] = record  # type: ignore[index]
    freed = keyspace.blocks.take(block, [block.first + place for place in places], keys)
    keyspace.used_bytes += sum(map(len, records)) - COLD_ROW_BYTES * len(records) - freed
    return len(places)
