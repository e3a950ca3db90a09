"""Blocks of rows come into the keyspace: as one write of a primary, as one effect of a log, or in a snapshot.

**Hot path** of loading tables, and of a backup that follows it: of each row nothing is made but its key and an integer.
A batch becomes a block if all its keys are new and distinct, and its table has no indexes and no time to live; any other
is written row by row (`row_batches`), and whoever looks at the result cannot tell. Rows of a dropped table are no keys: a
table that was truncated is loaded again as fast as at first.

Replaying a log over a fuzzy snapshot may bring a block whose rows are partly there, newer, or replaced: each key is made
what the block says, unless it has that very version already. A block whose table is not in the catalog is left out: the
snapshot was cut after the table was dropped, so its rows count as missing, and without the definition nobody could read them.
Next: `cold_rows`.
"""

from collections import deque
from collections.abc import Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from kubegrid.store import cold_rows, record_writes, row_batches
from kubegrid.store.blocks import Block
from kubegrid.store.effects import BLOCK, RESTORE_NOTHING
from kubegrid.store.memory import COLD_ROW_BYTES, KEY_OVERHEAD_BYTES
from kubegrid.store.records import Record
from kubegrid.store.slots import Runs, runs_of, slots_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace
    from kubegrid.store.tables import Table

BLOCK_ROWS_MIN: Final = 64
"""Fewer rows are no block. So many take a quarter more memory as columns than packed, for Arrow describes each column of each
batch; of 16 the description is half."""
KEY_BYTES_PER_UNIT: Final = 128
"""Of a block's packed keys: entering a row is a fifth of the work of putting a key."""

_places_of = msgspec.msgpack.Decoder(list[int]).decode


class Prepared(Protocol):
    """A batch of rows that was admitted, as columns and, if they are wanted, as rows."""

    keys: list[bytes]
    runs: Runs
    """Their slots."""
    columns_bytes: bytes
    """The settled columns, by `wire.arrow_blocks.encode_columns`."""
    keys_bytes: bytes
    """Keys and slots, by `wire.arrow_key_lists.encode_keys`."""

    def rows(self) -> tuple[list[bytes], Sequence[Sequence[Any]] | None]:
        """The packed rows, and their values as far as indexes look."""


def write(keyspace: "Keyspace", table: "Table", mode: bytes, prepared: Prepared) -> bytes:
    """Put the rows, as one effect; the reply of KG.WRITE, `[first version, written, kept]` or `-MOVED`. Raises TableError."""
    keys = prepared.keys
    if keyspace.tables.strays:
        cold_rows.remove_strays_at(keyspace, keys, slots_of(prepared.runs))
    if len(keys) >= BLOCK_ROWS_MIN and table.definition.columnar:
        first = _write_block(keyspace, table, prepared)
        if first:
            return b"*3\r\n:%d\r\n:%d\r\n:0\r\n" % (first, len(keys))
    rows, values = prepared.rows()
    return row_batches.write(keyspace, table, mode, rows, keys, values, slots_of(prepared.runs))


def _write_block(keyspace: "Keyspace", table: "Table", prepared: Prepared) -> int:
    """The first version; 0, and nothing done: a slot that is not owned, a key that exists or stands there twice."""
    from kubegrid.wire.arrow_key_lists import size_of_keys

    keys, runs = prepared.keys, prepared.runs
    rows = keyspace.blocks.rows_of(table.definition, len(table.definition.columns))
    first = keyspace.record_version + 1
    block = Block(table.id, first, len(keys), prepared.columns_bytes, rows)
    size = size_of_keys(prepared.keys_bytes, keys, runs)
    if not _enter_new(keyspace, block, keys, runs, range(first, block.end), size):
        return 0
    now_ms, used_ms = keyspace.now_ms, keyspace.used_ms
    for slot, _ in runs:
        used_ms[slot] = now_ms
    if keyspace.recording:
        keyspace.effects += (BLOCK, [table.id, first, block.width, block.data, prepared.keys_bytes, b""])
        keyspace.undo += (RESTORE_NOTHING, keys)
    record_writes.announce(keyspace, table, keys)
    return first


def apply(keyspace: "Keyspace", args: list[Any]) -> None:
    """Make an effect `BLOCK` part of the state."""
    number, first, width, data, packed_keys, packed_taken = args
    table = keyspace.tables.by_id.get(number)
    if table is None:  # the snapshot's version counter is past its rows' versions, too
        return
    from kubegrid.wire.arrow_blocks import decode_columns
    from kubegrid.wire.arrow_key_lists import decode_keys, size_of_keys

    rows = keyspace.blocks.rows_of(table.definition, width)
    if packed_keys:
        keys, runs = decode_keys(packed_keys)
        size = size_of_keys(packed_keys, keys, runs)
    else:
        keys, slots = rows.keys(decode_columns(data))
        runs = runs_of(slots)
        size = sum(map(len, keys))
    block = Block(number, first, len(keys), data, rows, _places_of(packed_taken) if packed_taken else ())
    versions: Sequence[int] = range(first, block.end)
    if block.taken:
        places, slots = block.cold(), slots_of(runs)
        keys, runs = [keys[place] for place in places], runs_of([slots[place] for place in places])
        versions = [first + place for place in places]
        size = sum(map(len, keys))
    if keyspace.blocks.overlap(first, block.size):
        _place_records(keyspace, block, keys, slots_of(runs), versions)
    elif not _enter_new(keyspace, block, keys, runs, versions, size):
        _enter_over(keyspace, block, keys, slots_of(runs), versions)
    keyspace.record_version = max(keyspace.record_version, block.end - 1)
    if keyspace.watched:
        for key in keys:
            keyspace.touch(key)


def snapshot_of(block: Block) -> list[Any]:
    """The arguments of the effect that brings the block's cold rows to another member."""
    taken = msgspec.msgpack.encode(sorted(block.taken)) if block.taken else b""
    return [block.number, block.first, block.width, block.data, b"", taken]


def units_of(args: list[Any]) -> int:
    """What applying an effect `BLOCK` counts as, where putting a key counts as 1."""
    return len(args[4] or args[3]) // KEY_BYTES_PER_UNIT


def _enter_new(
    keyspace: "Keyspace", block: Block, keys: list[bytes], runs: Runs, versions: Sequence[int], size: int
) -> bool:
    """Enter the block if its cold rows' keys, of `size` bytes, are new and distinct, and their slots owned; whether it was
    done."""
    slots = keyspace.slots
    touched: list[Any] = [slots[slot] for slot in dict(runs)]
    if any(values is None for values in touched) or keys[0] in touched[0]:
        return False
    before = sum(map(len, touched))
    tables = chain.from_iterable([repeat(slots[slot], count) for slot, count in runs])
    # One look-up each, in C: what is there before stays, and then there are fewer new keys than rows.
    deque(map(dict.setdefault, tables, keys, versions), maxlen=0)  # type: ignore[arg-type]
    if sum(map(len, touched)) - before < len(keys):
        for key, slot, version in zip(keys, slots_of(runs), versions, strict=True):
            values: dict[bytes, Any] = slots[slot]  # type: ignore[assignment]
            if values.get(key) == version:
                del values[key]
        return False
    _count_in(keyspace, block, len(keys), size)
    return True


def _enter_over(
    keyspace: "Keyspace", block: Block, keys: list[bytes], slots: list[int], versions: Sequence[int]
) -> None:
    """Enter the block where some keys hold something: rows that were thawed stay so, anything else is replaced."""
    placed = []
    for key, slot, version in zip(keys, slots, versions, strict=True):
        old = keyspace.slots[slot].get(key)  # type: ignore[union-attr]
        if type(old) is Record and old.version == version:
            block.taken.add(version - block.first)
            continue
        if old is not None:
            keyspace.place(slot, key, None, None)
        keyspace.slots[slot][key] = version  # type: ignore[index]
        placed.append(key)
    if placed:
        _count_in(keyspace, block, len(placed), sum(map(len, placed)))


def _place_records(
    keyspace: "Keyspace", block: Block, keys: list[bytes], slots: list[int], versions: Sequence[int]
) -> None:
    """Put the rows as records where a block has their versions, which is this very one, unless they are there."""
    records = block.records([version - block.first for version in versions])
    for key, slot, version, record in zip(keys, slots, versions, records, strict=True):
        old = keyspace.slots[slot].get(key)  # type: ignore[union-attr]
        if old != version and (type(old) is not Record or old != record):
            keyspace.place(slot, key, record, None)


def _count_in(keyspace: "Keyspace", block: Block, count: int, size: int) -> None:
    """Its cold rows' keys are in the slots, so many of so many bytes: enter it in the books."""
    keyspace.key_count += count
    keyspace.used_bytes += block.cost + size + (KEY_OVERHEAD_BYTES + COLD_ROW_BYTES) * count
    keyspace.record_version = max(keyspace.record_version, block.end - 1)
    keyspace.tables.enter_block(block)
    keyspace.blocks.enter(block)
