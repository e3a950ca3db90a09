"""The table of data commands: upper-case name → function(keyspace, arguments with the name, resp3) → reply.

Dispatch has checked the number of arguments, that all keys lie in one slot, and that the slot is owned. A function gives
a complete reply as bytes (errors too), or a generator that yields between slices of bounded work and returns the reply.
"""

from collections.abc import Callable, Generator

from kubegrid.store import (
    commands_counters,
    commands_expiry,
    commands_hashes,
    commands_keys,
    commands_random,
    commands_scan,
    commands_strings,
    lcs,
)
from kubegrid.store.keyspace import Keyspace

Reply = bytes | Generator[None, None, bytes]
Command = Callable[[Keyspace, list[bytes], bool], Reply]

COMMANDS: dict[bytes, Command] = {
    b"GET": commands_strings.get,
    b"SET": commands_strings.set_,
    b"SETNX": commands_strings.setnx,
    b"SETEX": commands_strings.setex,
    b"PSETEX": commands_strings.psetex,
    b"GETSET": commands_strings.getset,
    b"GETDEL": commands_strings.getdel,
    b"GETEX": commands_strings.getex,
    b"MGET": commands_strings.mget,
    b"MSET": commands_strings.mset,
    b"MSETNX": commands_strings.msetnx,
    b"APPEND": commands_strings.append,
    b"STRLEN": commands_strings.strlen,
    b"GETRANGE": commands_strings.getrange,
    b"SETRANGE": commands_strings.setrange,
    b"INCR": commands_counters.incr,
    b"DECR": commands_counters.decr,
    b"INCRBY": commands_counters.incrby,
    b"DECRBY": commands_counters.decrby,
    b"INCRBYFLOAT": commands_counters.incrbyfloat,
    b"HINCRBY": commands_counters.hincrby,
    b"HINCRBYFLOAT": commands_counters.hincrbyfloat,
    b"HSET": commands_hashes.hset,
    b"HMSET": commands_hashes.hmset,
    b"HSETNX": commands_hashes.hsetnx,
    b"HGET": commands_hashes.hget,
    b"HMGET": commands_hashes.hmget,
    b"HGETALL": commands_hashes.hgetall,
    b"HKEYS": commands_hashes.hkeys,
    b"HVALS": commands_hashes.hvals,
    b"HDEL": commands_hashes.hdel,
    b"HEXISTS": commands_hashes.hexists,
    b"HLEN": commands_hashes.hlen,
    b"HSTRLEN": commands_hashes.hstrlen,
    b"RANDOMKEY": commands_random.randomkey,
    b"HRANDFIELD": commands_random.hrandfield,
    b"EXPIRE": commands_expiry.expire,
    b"PEXPIRE": commands_expiry.pexpire,
    b"EXPIREAT": commands_expiry.expireat,
    b"PEXPIREAT": commands_expiry.pexpireat,
    b"TTL": commands_expiry.ttl,
    b"PTTL": commands_expiry.pttl,
    b"EXPIRETIME": commands_expiry.expiretime,
    b"PEXPIRETIME": commands_expiry.pexpiretime,
    b"PERSIST": commands_expiry.persist,
    b"SCAN": commands_scan.scan,
    b"KEYS": commands_scan.keys_,
    b"HSCAN": commands_scan.hscan,
    b"DEL": commands_keys.del_,
    b"EXISTS": commands_keys.exists,
    b"TYPE": commands_keys.type_,
    b"DBSIZE": commands_keys.dbsize,
    b"RENAME": commands_keys.rename,
    b"RENAMENX": commands_keys.renamenx,
    b"COPY": commands_keys.copy,
    b"OBJECT": commands_keys.object_,
    b"UNLINK": commands_keys.del_,
    b"TOUCH": commands_keys.exists,
    b"FLUSHDB": commands_keys.flush,
    b"FLUSHALL": commands_keys.flush,
    b"SUBSTR": commands_strings.getrange,
    b"LCS": lcs.lcs,
}

DENY_OOM = frozenset(
    b"SET SETNX SETEX PSETEX GETSET MSET MSETNX APPEND SETRANGE INCR DECR INCRBY DECRBY INCRBYFLOAT HSET HMSET HSETNX "
    b"HINCRBY HINCRBYFLOAT COPY".split()
)
"""Commands that are refused with `-OOM` while `used_bytes >= limit_bytes`: they may grow the store. Each checks itself."""
