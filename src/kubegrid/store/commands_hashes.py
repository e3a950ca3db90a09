"""Hash commands. What reads a whole hash is atomic, and refused above `atomic_units_max` fields: HSCAN reads those."""

from collections.abc import Sequence

from kubegrid.store import hash_writes
from kubegrid.store.hashes import Hash
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.refusals import reply_too_long, too_many, wrong_arity
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_OOM, ERR_WRONGTYPE, NULL3, NULL_BULK, OK, ONE, ZERO


def hset(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if len(args) % 2:
        return wrong_arity(args[0].decode("ascii", "replace").lower())
    if len(args) > 2 * keyspace.settings.atomic_units_max:
        return too_many(keyspace, "hset")
    value = keyspace.find(args[1])
    if type(value) is bytes:
        return ERR_WRONGTYPE
    return resp.integer(hash_writes.set_fields(keyspace, args[1], value, args, 2))


def hmset(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    reply = hset(keyspace, args, resp3)
    return reply if reply[0] == 0x2D else OK  # 0x2D: "-", an error


def hsetnx(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    value = keyspace.find(args[1])
    if type(value) is bytes:
        return ERR_WRONGTYPE
    if value is not None and value.get(args[2]) is not None:
        return ZERO
    hash_writes.set_fields(keyspace, args[1], value, args, 2)
    return ONE


def hget(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.find(args[1])
    if type(value) is Hash:
        found = value.get(args[2])
        if found is not None:
            return resp.bulk(found)
    elif value is not None:
        return ERR_WRONGTYPE
    return NULL3 if resp3 else NULL_BULK


def hmget(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, "hmget")
    value = keyspace.find(args[1])
    if type(value) is bytes:
        return ERR_WRONGTYPE
    null = NULL3 if resp3 else NULL_BULK
    if value is None:
        return resp.array([null] * (len(args) - 2))
    found = list(map(value.get, args[2:]))
    if sum([len(each) for each in found if each is not None]) > keyspace.settings.reply_bytes_max:
        return reply_too_long(keyspace, "hmget")
    return resp.array([null if each is None else resp.bulk(each) for each in found])


def _whole(keyspace: Keyspace, args: list[bytes]) -> Hash | bytes | None:
    """The hash of the key, None, or the error reply."""
    value = keyspace.find(args[1])
    if type(value) is bytes:
        return ERR_WRONGTYPE
    if value is not None and len(value) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, args[0].decode("ascii", "replace").lower())
    return value  # type: ignore[no-any-return]


def _bulks(keyspace: Keyspace, name: str, value: Hash, strings: Sequence[bytes]) -> bytes:
    """The reply that has these strings of a hash, or the error reply."""
    longest = keyspace.settings.reply_bytes_max
    if value.cost > longest and sum(map(len, strings)) > longest:
        return reply_too_long(keyspace, name)
    return resp.array_of_bulks(strings)


def hgetall(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = _whole(keyspace, args)
    if type(value) is Hash:
        flat = _bulks(keyspace, "hgetall", value, value.pairs())
        if resp3 and flat[:1] != b"-":
            return resp.map_header(len(value), True) + flat[flat.index(b"\n") + 1 :]
        return flat
    return resp.map_header(0, resp3) if value is None else value  # type: ignore[return-value]


def hkeys(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = _whole(keyspace, args)
    if type(value) is Hash:
        return _bulks(keyspace, "hkeys", value, value.fields())
    return resp.EMPTY_ARRAY if value is None else value  # type: ignore[return-value]


def hvals(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = _whole(keyspace, args)
    if type(value) is Hash:
        return _bulks(keyspace, "hvals", value, value.values())
    return resp.EMPTY_ARRAY if value is None else value  # type: ignore[return-value]


def hdel(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, "hdel")
    value = keyspace.find(args[1])
    if value is None:
        return ZERO
    if type(value) is not Hash:
        return ERR_WRONGTYPE
    return resp.integer(hash_writes.remove_fields(keyspace, args[1], value, args, 2))


def hexists(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.find(args[1])
    if value is None:
        return ZERO
    if type(value) is not Hash:
        return ERR_WRONGTYPE
    return ZERO if value.get(args[2]) is None else ONE


def hlen(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.find(args[1])
    if value is None:
        return ZERO
    return resp.integer(len(value)) if type(value) is Hash else ERR_WRONGTYPE


def hstrlen(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.find(args[1])
    if value is None:
        return ZERO
    if type(value) is not Hash:
        return ERR_WRONGTYPE
    found = value.get(args[2])
    return ZERO if found is None else resp.integer(len(found))
