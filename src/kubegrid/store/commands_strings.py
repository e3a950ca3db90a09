"""String commands: GET and SET in all their forms, and what reads or writes parts of a string."""

from kubegrid.store import string_writes
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import INT64_MAX, parse_int64
from kubegrid.store.refusals import invalid_expiry, reply_too_long, too_many, wrong_arity
from kubegrid.wire import resp
from kubegrid.wire.resp import (
    EMPTY_BULK,
    ERR_NOT_INTEGER,
    ERR_OFFSET_OUT_OF_RANGE,
    ERR_OOM,
    ERR_STRING_TOO_LONG,
    ERR_SYNTAX,
    ERR_WRONGTYPE,
    NULL3,
    NULL_BULK,
    OK,
    ONE,
    ZERO,
)

_UNITS_MS = {b"EX": 1000, b"PX": 1, b"EXAT": 1000, b"PXAT": 1}


def get(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.find(args[1])
    if value is None:
        return NULL3 if resp3 else NULL_BULK
    if type(value) is not bytes:
        return ERR_WRONGTYPE
    return resp.bulk(value)


def expiry_ms(keyspace: Keyspace, text: bytes, unit: bytes, name: str) -> int | bytes:
    """When `text` of this unit (EX, PX, EXAT, PXAT) is, in Unix ms; or the error reply."""
    amount = parse_int64(text)
    if amount is None:
        return ERR_NOT_INTEGER
    amount *= _UNITS_MS[unit]
    if amount <= 0 or amount > INT64_MAX:
        return invalid_expiry(name)
    if unit == b"EX" or unit == b"PX":
        amount += keyspace.now_ms
        if amount > INT64_MAX:
            return invalid_expiry(name)
    return amount


def set_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if len(args) == 3:
        keyspace.put(args[1], args[2])
        return OK
    only_new = only_old = give_old = keep = False
    unit = text = b""
    i = 3
    while i < len(args):
        option = args[i].upper()
        if option == b"NX" and not only_old:
            only_new = True
        elif option == b"XX" and not only_new:
            only_old = True
        elif option == b"GET":
            give_old = True
        elif option == b"KEEPTTL" and not unit:
            keep = True
        elif option in _UNITS_MS and not keep and unit in (b"", option) and i + 1 < len(args):
            i += 1
            unit, text = option, args[i]
        else:
            return ERR_SYNTAX
        i += 1
    at_ms: int | None = None
    if unit:
        when = expiry_ms(keyspace, text, unit, "set")
        if type(when) is bytes:
            return when
        at_ms = when  # type: ignore[assignment]
    key = args[1]
    old = keyspace.find(key)
    reply = OK
    if give_old:
        if old is not None and type(old) is not bytes:
            return ERR_WRONGTYPE
        reply = resp.bulk_or_null(old, resp3)
    if (only_new and old is not None) or (only_old and old is None):
        return reply if give_old else resp.null(resp3)
    keyspace.put(key, args[2], keyspace.expiry_of(key) if keep else at_ms)
    return reply


def setnx(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if keyspace.find(args[1]) is not None:
        return ZERO
    keyspace.put(args[1], args[2])
    return ONE


def setex(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _set_expiring(keyspace, args, b"EX", "setex")


def psetex(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _set_expiring(keyspace, args, b"PX", "psetex")


def _set_expiring(keyspace: Keyspace, args: list[bytes], unit: bytes, name: str) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    when = expiry_ms(keyspace, args[2], unit, name)
    if isinstance(when, bytes):
        return when
    keyspace.put(args[1], args[3], when)
    return OK


def getset(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    reply = get(keyspace, args, resp3)
    if reply is not ERR_WRONGTYPE:
        keyspace.put(args[1], args[2])
    return reply


def getdel(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    reply = get(keyspace, args, resp3)
    if reply is not ERR_WRONGTYPE:
        keyspace.remove(args[1])
    return reply


def getex(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    persist = False
    unit = text = b""
    i = 2
    while i < len(args):
        option = args[i].upper()
        if option == b"PERSIST" and not unit:
            persist = True
        elif option in _UNITS_MS and not persist and unit in (b"", option) and i + 1 < len(args):
            i += 1
            unit, text = option, args[i]
        else:
            return ERR_SYNTAX
        i += 1
    key = args[1]
    value = keyspace.find(key)
    if type(value) is not bytes:
        return resp.null(resp3) if value is None else ERR_WRONGTYPE
    if unit:
        when = expiry_ms(keyspace, text, unit, "getex")
        if isinstance(when, bytes):
            return when
        if unit in (b"EXAT", b"PXAT") and when <= keyspace.now_ms:
            keyspace.remove(key)
        else:
            keyspace.set_expiry(key, when)
    elif persist and keyspace.expiry_of(key) is not None:
        keyspace.set_expiry(key, None)
    return resp.bulk(value)


def mget(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, "mget")
    null = NULL3 if resp3 else NULL_BULK
    find = keyspace.find
    bulk = resp.bulk
    left = keyspace.settings.reply_bytes_max
    parts = []
    for key in args[1:]:
        value = find(key)
        if type(value) is bytes:
            left -= len(value)
            if left < 0:
                return reply_too_long(keyspace, "mget")
            parts.append(bulk(value))
        else:
            parts.append(null)
    return resp.array(parts)


def mset(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if len(args) % 2 == 0:
        return wrong_arity("mset")
    if len(args) > 2 * keyspace.settings.atomic_units_max:
        return too_many(keyspace, "mset")
    put = keyspace.put
    for i in range(1, len(args), 2):
        put(args[i], args[i + 1])
    return OK


def msetnx(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if len(args) % 2 == 0:
        return wrong_arity("msetnx")
    if len(args) > 2 * keyspace.settings.atomic_units_max:
        return too_many(keyspace, "msetnx")
    if any(keyspace.find(key) is not None for key in args[1::2]):
        return ZERO
    for i in range(1, len(args), 2):
        keyspace.put(args[i], args[i + 1])
    return ONE


def append(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    old = keyspace.find(args[1])
    if old is None:
        keyspace.put(args[1], args[2])
        return resp.integer(len(args[2]))
    if type(old) is not bytes:
        return ERR_WRONGTYPE
    if len(old) + len(args[2]) > keyspace.settings.value_bytes_max:
        return ERR_STRING_TOO_LONG
    return resp.integer(string_writes.splice(keyspace, args[1], len(old), args[2]))


def strlen(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.find(args[1])
    if value is None:
        return ZERO
    return resp.integer(len(value)) if type(value) is bytes else ERR_WRONGTYPE


def getrange(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    start = parse_int64(args[2])
    end = parse_int64(args[3])
    if start is None or end is None:
        return ERR_NOT_INTEGER
    value = keyspace.find(args[1])
    if value is None:
        return EMPTY_BULK
    if type(value) is not bytes:
        return ERR_WRONGTYPE
    if start < 0 and end < 0 and start > end:
        return EMPTY_BULK
    size = len(value)
    start = max(0, start + size if start < 0 else start)
    end = max(0, end + size if end < 0 else end)
    return resp.bulk(value[start : end + 1])


def setrange(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    offset = parse_int64(args[2])
    if offset is None:
        return ERR_NOT_INTEGER
    if offset < 0:
        return ERR_OFFSET_OUT_OF_RANGE
    data = args[3]
    old = keyspace.find(args[1])
    if old is not None and type(old) is not bytes:
        return ERR_WRONGTYPE
    if not data:
        return resp.integer(0 if old is None else len(old))
    if offset + len(data) > keyspace.settings.value_bytes_max:
        return ERR_STRING_TOO_LONG
    return resp.integer(string_writes.splice(keyspace, args[1], offset, data))
