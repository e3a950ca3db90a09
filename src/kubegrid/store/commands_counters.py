"""INCR and its kin, on strings and on fields of hashes. They keep the key's expiry; their effect is the new value."""

from kubegrid.store import hash_writes, long_double
from kubegrid.store.hashes import Hash
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import INT64_MAX, INT64_MIN, parse_int64
from kubegrid.wire import resp
from kubegrid.wire.resp import (
    ERR_HASH_NOT_FLOAT,
    ERR_HASH_NOT_INTEGER,
    ERR_NAN_OR_INFINITY,
    ERR_NOT_FLOAT,
    ERR_NOT_INTEGER,
    ERR_OOM,
    ERR_OVERFLOW,
    ERR_WRONGTYPE,
)

_INFINITE = resp.error("ERR value is NaN or Infinity")
_DECREMENT_OVERFLOW = resp.error("ERR decrement would overflow")


def _add(keyspace: Keyspace, key: bytes, amount: int) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    old = keyspace.find(key)
    if old is None:
        keyspace.put(key, b"%d" % amount)
        return b":%d\r\n" % amount
    if type(old) is not bytes:
        return ERR_WRONGTYPE
    number = parse_int64(old)
    if number is None:
        return ERR_NOT_INTEGER
    number += amount
    if not INT64_MIN <= number <= INT64_MAX:
        return ERR_OVERFLOW
    text = b"%d" % number
    keyspace.put(key, text, keyspace.expiry_of(key))
    return b":%b\r\n" % text


def incr(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _add(keyspace, args[1], 1)


def decr(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _add(keyspace, args[1], -1)


def incrby(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    amount = parse_int64(args[2])
    return ERR_NOT_INTEGER if amount is None else _add(keyspace, args[1], amount)


def decrby(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    amount = parse_int64(args[2])
    if amount is None:
        return ERR_NOT_INTEGER
    if amount == INT64_MIN:
        return _DECREMENT_OVERFLOW
    return _add(keyspace, args[1], -amount)


def incrbyfloat(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    key = args[1]
    old = keyspace.find(key)
    if old is not None and type(old) is not bytes:
        return ERR_WRONGTYPE
    number = long_double.parse(b"0" if old is None else old)
    amount = long_double.parse(args[2])
    if number is None or amount is None:
        return ERR_NOT_FLOAT
    total = long_double.add(number, amount)
    if total is None:
        return ERR_NAN_OR_INFINITY
    text = long_double.text_of(total)
    keyspace.put(key, text, keyspace.expiry_of(key))
    if parse_int64(text) is not None:
        keyspace.encodings.remember(key, text, b"embstr")
    return resp.bulk(text)


def hincrby(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    amount = parse_int64(args[3])
    if amount is None:
        return ERR_NOT_INTEGER
    value = keyspace.find(args[1])
    if value is not None and type(value) is not Hash:
        return ERR_WRONGTYPE
    old = None if value is None else value.get(args[2])
    if old is not None:
        number = parse_int64(old)
        if number is None:
            return ERR_HASH_NOT_INTEGER
        amount += number
        if not INT64_MIN <= amount <= INT64_MAX:
            return ERR_OVERFLOW
    text = b"%d" % amount
    hash_writes.set_fields(keyspace, args[1], value, [args[2], text], 0)
    return b":%b\r\n" % text


def hincrbyfloat(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    amount = long_double.parse(args[3])
    if amount is None:
        return ERR_NOT_FLOAT
    if isinstance(amount, float):
        return _INFINITE
    value = keyspace.find(args[1])
    if value is not None and type(value) is not Hash:
        return ERR_WRONGTYPE
    old = None if value is None else value.get(args[2])
    number = long_double.parse(b"0" if old is None else old)
    if number is None:
        return ERR_HASH_NOT_FLOAT
    total = long_double.add(number, amount)
    if total is None:
        return ERR_NAN_OR_INFINITY
    text = long_double.text_of(total)
    hash_writes.set_fields(keyspace, args[1], value, [args[2], text], 0)
    return resp.bulk(text)
