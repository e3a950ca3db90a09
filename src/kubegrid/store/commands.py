"""The table of data commands: upper-case name → function(keyspace, arguments with the name, resp3) → reply.

Dispatch has checked the number of arguments, that all keys lie in one slot, and that the slot is owned. A function gives
a complete reply as bytes (errors too), or a generator that yields between slices of bounded work and returns the reply.

A key that belongs to a table takes no string or hash of its own: commands that could make one there are refused by
`not_record`, and what has a meaning for the columns of a record goes there by `or_column`.
"""

from collections.abc import Callable, Generator

from kubegrid.store import (
    commands_columns as columns,
)
from kubegrid.store import (
    commands_commit,
    commands_counters,
    commands_expiry,
    commands_find,
    commands_hashes,
    commands_json,
    commands_keys,
    commands_random,
    commands_records,
    commands_rewrite,
    commands_scan,
    commands_strings,
    commands_take,
    lcs,
)
from kubegrid.store.keyspace import Keyspace
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_WRONGTYPE

Reply = bytes | Generator[None, None, bytes]
Command = Callable[[Keyspace, list[bytes], bool], Reply]

_FIRST = slice(1, 2)
_FIRST_TWO = slice(1, 3)
_EVERY_OTHER = slice(1, None, 2)
_NOT_MOVED = resp.error(
    "WRONGTYPE a record cannot be renamed or copied, and nothing else to its key: its key is made of its columns"
)

COMMANDS: dict[bytes, Command] = {
    b"GET": commands_strings.get,
    b"SET": columns.not_record(commands_strings.set_, _FIRST, ERR_WRONGTYPE),
    b"SETNX": columns.not_record(commands_strings.setnx, _FIRST, ERR_WRONGTYPE),
    b"SETEX": columns.not_record(commands_strings.setex, _FIRST, ERR_WRONGTYPE),
    b"PSETEX": columns.not_record(commands_strings.psetex, _FIRST, ERR_WRONGTYPE),
    b"GETSET": columns.not_record(commands_strings.getset, _FIRST, ERR_WRONGTYPE),
    b"GETDEL": commands_strings.getdel,
    b"GETEX": commands_strings.getex,
    b"MGET": commands_strings.mget,
    b"MSET": columns.not_record(commands_strings.mset, _EVERY_OTHER, ERR_WRONGTYPE),
    b"MSETNX": columns.not_record(commands_strings.msetnx, _EVERY_OTHER, ERR_WRONGTYPE),
    b"APPEND": columns.not_record(commands_strings.append, _FIRST, ERR_WRONGTYPE),
    b"STRLEN": commands_strings.strlen,
    b"GETRANGE": commands_strings.getrange,
    b"SETRANGE": columns.not_record(commands_strings.setrange, _FIRST, ERR_WRONGTYPE),
    b"INCR": columns.not_record(commands_counters.incr, _FIRST, ERR_WRONGTYPE),
    b"DECR": columns.not_record(commands_counters.decr, _FIRST, ERR_WRONGTYPE),
    b"INCRBY": columns.not_record(commands_counters.incrby, _FIRST, ERR_WRONGTYPE),
    b"DECRBY": columns.not_record(commands_counters.decrby, _FIRST, ERR_WRONGTYPE),
    b"INCRBYFLOAT": columns.not_record(commands_counters.incrbyfloat, _FIRST, ERR_WRONGTYPE),
    b"HINCRBY": columns.or_column(commands_counters.hincrby, columns.hincrby),
    b"HINCRBYFLOAT": columns.or_column(commands_counters.hincrbyfloat, columns.hincrbyfloat),
    b"HSET": columns.or_column(commands_hashes.hset, columns.hset),
    b"HMSET": columns.or_column(commands_hashes.hmset, columns.hmset),
    b"HSETNX": columns.or_column(commands_hashes.hsetnx, columns.hsetnx),
    b"HGET": columns.or_column(commands_hashes.hget, columns.hget),
    b"HMGET": columns.or_column(commands_hashes.hmget, columns.hmget),
    b"HGETALL": columns.or_column(commands_hashes.hgetall, columns.hgetall),
    b"HKEYS": columns.or_column(commands_hashes.hkeys, columns.hkeys),
    b"HVALS": columns.or_column(commands_hashes.hvals, columns.hvals),
    b"HDEL": columns.or_column(commands_hashes.hdel, columns.hdel),
    b"HEXISTS": columns.or_column(commands_hashes.hexists, columns.hexists),
    b"HLEN": columns.or_column(commands_hashes.hlen, columns.hlen),
    b"HSTRLEN": columns.or_column(commands_hashes.hstrlen, columns.hstrlen),
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
    b"HSCAN": columns.or_column(commands_scan.hscan, columns.hscan),
    b"DEL": commands_keys.del_,
    b"EXISTS": commands_keys.exists,
    b"TYPE": commands_keys.type_,
    b"DBSIZE": commands_keys.dbsize,
    b"RENAME": columns.not_record(commands_keys.rename, _FIRST_TWO, _NOT_MOVED),
    b"RENAMENX": columns.not_record(commands_keys.renamenx, _FIRST_TWO, _NOT_MOVED),
    b"COPY": columns.not_record(commands_keys.copy, _FIRST_TWO, _NOT_MOVED),
    b"OBJECT": commands_keys.object_,
    b"UNLINK": commands_keys.del_,
    b"TOUCH": commands_keys.touch,
    b"FLUSHDB": commands_keys.flush,
    b"FLUSHALL": commands_keys.flush,
    b"SUBSTR": commands_strings.getrange,
    b"LCS": lcs.lcs,
    b"KG.WRITE": commands_records.write,
    b"KG.REWRITE": commands_rewrite.rewrite,
    b"KG.READ": commands_records.read,
    b"KG.CHANGE": commands_records.change,
    b"KG.REMOVE": commands_records.remove,
    b"KG.VERSION": commands_records.version,
    b"KG.COMMIT": commands_commit.commit,
    b"KG.FIND": commands_find.find,
    b"KG.COUNT": commands_find.count,
    b"KG.TAKE": commands_take.take,
    b"KG.TABLES": commands_records.tables,
    b"KG.DESCRIBE": commands_records.describe,
    b"JSON.SET": commands_json.set_,
    b"JSON.GET": commands_json.get,
    b"JSON.MGET": commands_json.mget,
    b"JSON.DEL": commands_json.del_,
    b"JSON.FORGET": commands_json.del_,
    b"JSON.NUMINCRBY": commands_json.numincrby,
    b"JSON.TYPE": commands_json.type_,
}

DENY_OOM = frozenset(
    b"SET SETNX SETEX PSETEX GETSET MSET MSETNX APPEND SETRANGE INCR DECR INCRBY DECRBY INCRBYFLOAT HSET HMSET HSETNX "
    b"HINCRBY HINCRBYFLOAT COPY KG.WRITE KG.CHANGE KG.COMMIT JSON.SET JSON.NUMINCRBY".split()
)
"""Commands that are refused with `-OOM` while `used_bytes >= limit_bytes`: they may grow the store. Each checks itself."""
