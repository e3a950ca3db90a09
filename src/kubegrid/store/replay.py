"""Making a log's effects part of the state, and taking back what a deposed primary did ahead of its commit point.

**Hot path** of a backup: a flat loop with local names; almost everything it meets is a plain string put. Neither records
anything: what is applied is history already.
"""

from binascii import crc_hqx
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kubegrid.base.table_definitions import parse_catalog
from kubegrid.store import cold_rows, record_writes, row_blocks
from kubegrid.store import effects as op
from kubegrid.store.hashes import Hash
from kubegrid.store.records import Record
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace


MANY_KEYS: Final = 64
"""Of one deletion, from which on rows that are cold are deleted together."""


def apply(keyspace: "Keyspace", effects: list[Any]) -> None:
    """Apply the pairs in order (see `effects` for what each does)."""
    slots = keyspace.slots
    expires = keyspace.expires
    used = 0
    crc = crc_hqx
    pairs = iter(effects)
    for key, value in zip(pairs, pairs, strict=False):
        if type(key) is not bytes:
            # The books must be right before: CLEAR sets the sum instead of adding to it.
            keyspace.used_bytes += used
            used = 0
            _apply_coded(keyspace, key, value)
            continue
        slot = slot_of(key) if b"{" in key else crc(key, 0) & 16383
        values: dict[bytes, Any] = slots[slot]  # type: ignore[assignment]
        old = values.get(key)
        if type(old) is bytes and expires[slot] is None:
            values[key] = value
            used += len(value) - len(old)
        else:
            keyspace.place(slot, key, value, None)
    keyspace.used_bytes += used
    keyspace.dirty += len(effects) // 2
    if keyspace.watched:
        _touch(keyspace, effects)


def _apply_coded(keyspace: "Keyspace", code: int, args: list[Any]) -> None:
    if code == op.DELETE:
        if len(args) >= MANY_KEYS and keyspace.blocks.firsts:
            args = cold_rows.apply_deletion(keyspace, args)
        for key in args:
            keyspace.place(slot_of(key), key, None, None)
        return
    if code == op.RECORDS:
        record_writes.apply(keyspace, args)
        return
    if code == op.BLOCK:
        row_blocks.apply(keyspace, args)
        return
    if code >= op.RECORD_COPIES:
        _apply_grid(keyspace, code, args)
        return
    if code == op.CLEAR:
        keyspace.clear()
        return
    key = args[0]
    slot = slot_of(key)
    values: dict[bytes, Any] = keyspace.slots[slot]  # type: ignore[assignment]
    old = values.get(key)
    if code == op.HASH_SET:
        if type(old) is Hash:
            keyspace.used_bytes += old.update(args, 1, None)[1]
        else:
            keyspace.place(slot, key, Hash(args[1:]), None)
    elif code == op.PUT_EXPIRING:
        keyspace.place(slot, key, args[1], args[2])
    elif code == op.EXPIRE:
        if old is not None:
            if type(old) is int:
                cold_rows.thaw(keyspace, slot, key, old)
            keyspace.set_at(slot, key, args[1])
    elif code == op.HASH_DELETE:
        if type(old) is Hash:
            keyspace.used_bytes += old.remove(args, 1, None)[1]
    elif code == op.HASH_PUT:
        keyspace.place(slot, key, Hash(args[2:]), args[1])
    elif code == op.SPLICE:
        before = old if type(old) is bytes else b""
        value = spliced(before, args[1], args[2], args[3])
        keyspace.place(slot, key, value, keyspace.expiry_of(key))
    elif code == op.VALUE_PART:
        keyspace.parts.append(args[1])
        if args[2]:
            keyspace.place(slot, key, b"".join(keyspace.parts), args[3])
            keyspace.parts.clear()
    else:
        raise ValueError(f"effect code {code!r} is unknown: the log was written by a newer version")


def _apply_grid(keyspace: "Keyspace", code: int, args: list[Any]) -> None:
    """What strings and hashes do not have."""
    if code == op.RECORD_COPIES:
        for i in range(0, len(args), 3):
            record = Record(args[i + 1])
            keyspace.place(slot_of(args[i]), args[i], record, args[i + 2])
            keyspace.record_version = max(keyspace.record_version, record.version)
    elif code == op.VERSION:
        keyspace.record_version = max(keyspace.record_version, args[0])
    elif code == op.TABLES:
        keyspace.set_tables(parse_catalog(args[0]), None)
    elif code in (op.REQUEST, op.FORGET_CLIENTS):
        keyspace.requests.apply(code, args)
        keyspace.count_requests()
    else:
        raise ValueError(f"effect code {code!r} is unknown: the log was written by a newer version")


def spliced(old: bytes, offset: int, data: bytes, length: int) -> bytes:
    """`old` with `data` at `offset`, padded with zeros up to there, and `length` bytes long."""
    head = old[:offset] if len(old) >= offset else old + bytes(offset - len(old))
    return head + data + old[offset + len(data) : length]


def revert(keyspace: "Keyspace", undo: list[Any]) -> None:
    """Take the pairs back, last first."""
    for i in range(len(undo) - 2, -1, -2):
        code = undo[i]
        args = undo[i + 1]
        if type(code) is bytes:
            keyspace.place(slot_of(code), code, args, None)
        elif code == op.RESTORE_ALL:
            slots, expires, keyspace.used_bytes, keyspace.key_count, tables, blocks = args
            back = {id(table) for table in slots} | {id(table) for table in expires}
            back |= keyspace.tables.put_back(tables) | keyspace.blocks.put_back(blocks)
            keyspace.garbage = deque(thing for thing in keyspace.garbage if id(thing) not in back)
            keyspace.slots[:] = slots
            keyspace.expires[:] = expires
            keyspace.list_plain()
        elif code == op.RESTORE:
            if type(args[1]) is Hash and keyspace.garbage:
                keyspace.garbage = deque(thing for thing in keyspace.garbage if thing is not args[1])
            keyspace.place(slot_of(args[0]), args[0], args[1], args[2])
        elif code == op.RESTORE_EXPIRY:
            keyspace.set_at(slot_of(args[0]), args[0], args[1])
        elif code == op.RESTORE_NOTHING:
            for key in args:
                keyspace.place(slot_of(key), key, None, None)
        elif code == op.RESTORE_PIECE:
            key, offset, data, length = args
            value = keyspace.slots[slot_of(key)][key]  # type: ignore[index]
            keyspace.place(slot_of(key), key, spliced(value[:length], offset, data, length), keyspace.expiry_of(key))
        elif code == op.RESTORE_ROWS:
            cold_rows.bring_back(keyspace, *args)
        elif code == op.RESTORE_TABLES:
            keyspace.set_tables(args[1], args[0])
        elif code in (op.RESTORE_REQUEST, op.RESTORE_CLIENT):
            keyspace.requests.revert(code, args)
            keyspace.count_requests()
        else:
            _revert_fields(keyspace, args)
    keyspace.dirty += len(undo) // 2


def _revert_fields(keyspace: "Keyspace", args: list[Any]) -> None:
    key = args[0]
    value: Hash = keyspace.slots[slot_of(key)][key]  # type: ignore[index]
    for i in range(len(args) - 2, 0, -2):
        if args[i + 1] is None:
            keyspace.used_bytes += value.remove(args[i : i + 1], 0, None)[1]
        else:
            keyspace.used_bytes += value.update(args[i : i + 2], 0, None)[1]


def _touch(keyspace: "Keyspace", effects: list[Any]) -> None:
    for i in range(0, len(effects), 2):
        code = effects[i]
        if type(code) is bytes:
            keyspace.touch(code)
        elif code == op.DELETE:
            for key in effects[i + 1]:
                keyspace.touch(key)
        elif code == op.RECORDS:
            for key in effects[i + 1][3::2]:
                keyspace.touch(key)
        elif code < op.RECORD_COPIES and code != op.CLEAR:
            keyspace.touch(effects[i + 1][0])
