"""Many plain SETs as columns: all keys, all values, one pass over the slots' dictionaries.

**Hot path**: speed beats form here; measure every change with `bench/`.

Used by `plain_batch` (the SETs of many clients in a turn) and `session_batch` (those of one client under one request id).
The books are those of `store.keyspace`, whose invariant holds again when a function here returns.
"""

from binascii import crc_hqx
from collections.abc import Iterable
from itertools import chain
from typing import Any

from kubegrid.node.context import NodeContext
from kubegrid.store import KEY_OVERHEAD_BYTES, Keyspace, slot_of
from kubegrid.wire import resp

_flatten = chain.from_iterable
_BYTES = {bytes}
_DICT = {dict}
_BRACE = ord("{")


def slots_of(keys: list[bytes], texts: Iterable[bytes]) -> list[int]:
    """The slot of each key; `texts` are what the keys were read from. TypeError: a key that is none (`$-1`)."""
    crc = crc_hqx
    for text in texts:
        if _BRACE in text:
            return [slot_of(key) if _BRACE in key else crc(key, 0) & 16383 for key in keys]
    return [crc(key, 0) & 16383 for key in keys]


def put_one(node: NodeContext, writable: bool, key: bytes, value: bytes) -> bytes:
    """One plain SET, as `dispatch` would execute it, and its reply; nothing done and empty where something is special."""
    keyspace = node.keyspace
    slot = slot_of(key) if _BRACE in key else crc_hqx(key, 0) & 16383
    if (
        type(keyspace.plain[slot]) is not dict
        or (keyspace.prefixes and key.partition(b":")[0] in keyspace.prefixes)
        or not writable
        or keyspace.used_bytes >= keyspace.limit_bytes
        or len(key) > node.key_bytes_max
    ):
        return b""
    keyspace.put(key, value)
    node.operations["set"] += 1
    return resp.OK


def put(keyspace: Keyspace, keys: list[bytes], values: list[bytes], slots: list[int]) -> int | None:
    """Make the keys these strings, in order, as far as nothing but strings is in their way; how many were done.

    None, and nothing done: a value that is no string, a slot that is not owned or where something expires, keys of
    records, keys that somebody watches. Room and redundancy are the caller's to check.
    """
    plain = keyspace.plain
    tables = [plain[slot] for slot in slots]
    if set(map(type, values)) != _BYTES or set(map(type, tables)) != _DICT or keyspace.watched:
        return None
    prefixes = keyspace.prefixes
    if prefixes and any(key.partition(b":")[0] in prefixes for key in keys):
        return None  # keys of records, which a plain SET may not touch
    olds: list[Any] = []
    add_old = olds.append
    created = grown = 0
    for table, key, value in zip(tables, keys, values, strict=True):
        old = table.get(key)
        if type(old) is not bytes:
            if old is not None:
                break
            created += 1
            grown += len(key)
        table[key] = value
        add_old(old)
    done = len(olds)
    if done < len(keys):
        # Something that is no string: up to here the books are right, and the rest is executed one by one.
        keys = keys[:done]
        values = values[:done]
    grown += sum(map(len, values)) - (sum(map(len, filter(None, olds))) if created else sum(map(len, olds)))
    keyspace.dirty += done
    keyspace.key_count += created
    keyspace.used_bytes += grown + created * KEY_OVERHEAD_BYTES
    used_ms = keyspace.used_ms
    now_ms = keyspace.now_ms
    for slot in slots:
        used_ms[slot] = now_ms
    if keyspace.recording:
        keyspace.effects.extend(_flatten(zip(keys, values, strict=True)))
        keyspace.undo.extend(_flatten(zip(keys, olds, strict=True)))
    return done
