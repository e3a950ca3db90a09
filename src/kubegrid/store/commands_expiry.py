"""When a key ends: EXPIRE and its kin set it, TTL and its kin tell it, PERSIST takes it away. Times are Unix ms inside."""

from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import INT64_MAX, INT64_MIN, parse_int64
from kubegrid.store.refusals import invalid_expiry
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_NOT_INTEGER, MINUS_ONE, MINUS_TWO, ONE, ZERO

_LIMIT_ALONE = resp.error("ERR GT and LT options at the same time are not compatible")
_NX_ALONE = resp.error("ERR NX and XX, GT or LT options at the same time are not compatible")


def _expire(keyspace: Keyspace, args: list[bytes], name: str, unit_ms: int, base_ms: int) -> bytes:
    conditions = set()
    for option in args[3:]:
        condition = option.upper()
        if condition not in (b"NX", b"XX", b"GT", b"LT"):
            return resp.error(b"ERR Unsupported option " + option.split(b"\0")[0])
        conditions.add(condition)
    if b"NX" in conditions and len(conditions) > 1:
        return _NX_ALONE
    if b"GT" in conditions and b"LT" in conditions:
        return _LIMIT_ALONE
    at_ms = parse_int64(args[2])
    if at_ms is None:
        return ERR_NOT_INTEGER
    at_ms *= unit_ms
    if not INT64_MIN <= at_ms <= INT64_MAX - base_ms:
        return invalid_expiry(name)
    at_ms += base_ms
    key = args[1]
    if keyspace.find(key) is None:
        return ZERO
    if conditions:
        now_at = keyspace.expiry_of(key)
        if (
            (b"NX" in conditions and now_at is not None)
            or (b"XX" in conditions and now_at is None)
            or (b"GT" in conditions and (now_at is None or at_ms <= now_at))
            or (b"LT" in conditions and now_at is not None and at_ms >= now_at)
        ):
            return ZERO
    if at_ms <= keyspace.now_ms:
        keyspace.remove(key)
    else:
        keyspace.set_expiry(key, at_ms)
    return ONE


def expire(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _expire(keyspace, args, "expire", 1000, keyspace.now_ms)


def pexpire(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _expire(keyspace, args, "pexpire", 1, keyspace.now_ms)


def expireat(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _expire(keyspace, args, "expireat", 1000, 0)


def pexpireat(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _expire(keyspace, args, "pexpireat", 1, 0)


def _at(keyspace: Keyspace, key: bytes) -> int:
    """When `key` ends; -2 when it is missing, -1 when it has no end."""
    if keyspace.look_at(key) is None:
        return -2
    at_ms = keyspace.expiry_of(key)
    return -1 if at_ms is None else at_ms


def ttl(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    at_ms = _at(keyspace, args[1])
    if at_ms < 0:
        return MINUS_ONE if at_ms == -1 else MINUS_TWO
    return resp.integer((max(0, at_ms - keyspace.now_ms) + 500) // 1000)


def pttl(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    at_ms = _at(keyspace, args[1])
    if at_ms < 0:
        return MINUS_ONE if at_ms == -1 else MINUS_TWO
    return resp.integer(max(0, at_ms - keyspace.now_ms))


def expiretime(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    at_ms = _at(keyspace, args[1])
    return resp.integer(at_ms if at_ms < 0 else (at_ms + 500) // 1000)


def pexpiretime(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return resp.integer(_at(keyspace, args[1]))


def persist(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    key = args[1]
    if keyspace.find(key) is None or keyspace.expiry_of(key) is None:
        return ZERO
    keyspace.set_expiry(key, None)
    return ONE
