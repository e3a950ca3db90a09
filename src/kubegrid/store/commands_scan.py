"""Walking over keys or fields: SCAN, HSCAN and KEYS, with Redis's guarantee at bounded work a slice.

Whatever is there from the beginning of a scan to its end is returned at least once. COUNT is how many keys or fields a
call looks at, at least; the cursors are explained in `scan_index` and `shards`.
"""

import re
from typing import Final

from kubegrid.store import scan_index
from kubegrid.store.glob import Matcher, matcher
from kubegrid.store.hashes import Hash
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.records import Record
from kubegrid.store.refusals import reply_too_long
from kubegrid.store.shards import HASH_SPACE
from kubegrid.store.slices import Budget, Task, run
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_INVALID_CURSOR, ERR_NOT_INTEGER, ERR_SYNTAX, ERR_WRONGTYPE

COUNT_DEFAULT: Final = 10
CURSOR_MAX: Final = (1 << 64) - 1
KEY_REPLY_BYTES: Final = 64
"""What a key takes while it is made part of a reply, beside itself."""

_EMPTY = resp.array([resp.bulk(b"0"), resp.EMPTY_ARRAY])
_KINDS: Final = {b"string": (bytes,), b"hash": (Hash,), b"record": (Record, int)}
"""Types of what is in the keyspace, for TYPE. An integer stands for a record that is cold."""
_CURSOR = re.compile(rb"([+-]?)(\d+)")

Options = tuple[int, Matcher | None, bytes | None]


def parse_cursor(text: bytes) -> int | None:
    """As C's `strtoul` reads it: nothing is 0, a minus wraps around."""
    text = text.split(b"\0")[0]
    if not text:
        return 0
    match = _CURSOR.fullmatch(text)
    if not match or len(match[2]) > 1000 or int(match[2]) > CURSOR_MAX:
        return None
    return -int(match[2]) & CURSOR_MAX if match[1] == b"-" else int(match[2])


def _options(args: list[bytes], start: int, *, typed: bool) -> Options | bytes:
    """COUNT, a function for MATCH, and TYPE; or the error reply."""
    count = COUNT_DEFAULT
    matches: Matcher | None = None
    kind: bytes | None = None
    if (len(args) - start) % 2:
        # An option without its argument is found after the errors of those before it.
        odd = True
        args = args[:-1]
    else:
        odd = False
    for i in range(start, len(args), 2):
        option = args[i].upper()
        if option == b"COUNT":
            number = parse_int64(args[i + 1])
            if number is None:
                return ERR_NOT_INTEGER
            if number < 1:
                return ERR_SYNTAX
            count = number
        elif option == b"MATCH":
            matches = matcher(args[i + 1])
        elif option == b"TYPE" and typed:
            kind = args[i + 1].lower()
        else:
            return ERR_SYNTAX
    return ERR_SYNTAX if odd else (count, matches, kind)


def scan(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Task:
    cursor = parse_cursor(args[1])
    if cursor is None:
        return ERR_INVALID_CURSOR
    options = _options(args, 2, typed=True)
    return options if isinstance(options, bytes) else run(_scan(keyspace, cursor, options))


def _scan(keyspace: Keyspace, cursor: int, options: Options) -> Task:
    count, matches, kind = options
    budget = Budget(keyspace)
    slot, position, number = scan_index.unpack(cursor)
    if slot < keyspace.owned.start:
        slot, position = keyspace.owned.start, 0
    found: list[bytes] = []
    size = 0
    end, longest = keyspace.owned.stop, keyspace.settings.reply_bytes_max
    any_key = matches is None and kind is None and not keyspace.tables.strays
    while count > 0 and size <= longest and slot < end:
        values = keyspace.slots[slot]
        if not values:
            slot, position, number = slot + 1, 0, 0
            # An empty slot costs next to nothing beside a key.
            if slot % 16 == 0 and budget.spend(1):
                yield
            continue
        if len(values) <= scan_index.WHOLE_SLOT_KEYS_MAX:
            keys = list(values)
            position = 0
            chosen = (
                keys if any_key and keyspace.expires[slot] is None else _chosen(keyspace, slot, keys, matches, kind)
            )
        else:
            index = yield from scan_index.index_of(keyspace, slot, number, budget)
            number = index.number
            keys, position = index.take(position, min(count, budget.size))
            if position == 0:
                keyspace.scan_indexes.pop(number, None)
            chosen = _chosen(keyspace, slot, keys, matches, kind)
        found += chosen
        size += sum(map(len, chosen)) + KEY_REPLY_BYTES * len(chosen)
        count -= len(keys)
        if position == 0:
            slot, number = slot + 1, 0
        if budget.spend(len(keys)):
            yield
    following = scan_index.pack(slot, position, number) if slot < end else 0
    return resp.array([resp.bulk(b"%d" % following), resp.array_of_bulks(found)])


def _chosen(
    keyspace: Keyspace, slot: int, keys: list[bytes], matches: Matcher | None, kind: bytes | None
) -> list[bytes]:
    """Those of `keys` that exist and are asked for."""
    if matches is not None:
        keys = [key for key in keys if matches(key)]
    if kind is not None:
        values = keyspace.slots[slot] or {}
        wanted = _KINDS.get(kind, ())
        return [key for key in keys if type(values.get(key)) in wanted and keyspace.holds(key)]
    if keyspace.expires[slot] is not None or keyspace.tables.strays:
        return [key for key in keys if keyspace.holds(key)]
    values = keyspace.slots[slot] or {}
    return [key for key in keys if key in values]


def keys_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Task:
    return run(_keys(keyspace, matcher(args[1])))


def _keys(keyspace: Keyspace, matches: Matcher | None) -> Task:
    budget = Budget(keyspace)
    longest = keyspace.settings.reply_bytes_max
    found: list[bytes] = []
    size = 0
    for slot in keyspace.owned:
        listed = list(keyspace.slots[slot] or ())
        for start in range(0, len(listed), budget.size):
            piece = _chosen(keyspace, slot, listed[start : start + budget.size], matches, None)
            size += sum(map(len, piece)) + 8 * len(piece)
            if size > longest:
                return resp.error(f"ERR the reply of KEYS would exceed {longest} bytes, use SCAN")
            found += piece
            if budget.spend(min(budget.size, len(listed) - start)):
                yield
        if slot % 16 == 0 and budget.spend(1):
            yield
    parts = [resp.array_header(len(found))]
    for start in range(0, len(found), budget.size):
        piece = found[start : start + budget.size]
        parts.append(resp.array_of_bulks(piece).partition(b"\r\n")[2])
        if budget.spend(len(piece)):
            yield
    return b"".join(parts)


def hscan(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    cursor = parse_cursor(args[2])
    if cursor is None:
        return ERR_INVALID_CURSOR
    value = keyspace.find(args[1])
    if value is None:
        return _EMPTY
    if type(value) is not Hash:
        return ERR_WRONGTYPE
    options = _options(args, 3, typed=False)
    if isinstance(options, bytes):
        return options
    count, matches, _ = options
    # A call looks at no more than one slice can carry, whatever COUNT says.
    count = min(count, keyspace.settings.slice_units)
    position = cursor % HASH_SPACE
    found: list[bytes] = []
    size = 0
    while True:
        fields, position = value.scan(position)
        for field, each in fields:
            if matches is None or matches(field):
                found += (field, each)
                size += len(field) + len(each)
        count -= len(fields)
        # COUNT is a wish: of long values a call hands out fewer.
        if count <= 0 or position == 0 or size > keyspace.settings.slice_bytes:
            break
    if size > keyspace.settings.reply_bytes_max:
        return reply_too_long(keyspace, "hscan")
    return resp.array([resp.bulk(b"%d" % position), resp.array_of_bulks(found)])
