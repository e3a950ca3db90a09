"""Commands about keys of any type: existence, names, copies, what they are made of, and deleting all."""

from typing import Final

from kubegrid.store import hash_writes
from kubegrid.store.hashes import Hash
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.memory import EXPIRY_OVERHEAD_BYTES, KEY_OVERHEAD_BYTES
from kubegrid.store.numbers import parse_int64
from kubegrid.store.records import Record
from kubegrid.store.refusals import too_many, wrong_arity
from kubegrid.store.slots import slot_of
from kubegrid.wire import resp
from kubegrid.wire.resp import (
    ERR_NO_SUCH_KEY,
    ERR_NOT_INTEGER,
    ERR_OOM,
    ERR_SYNTAX,
    OK,
    ONE,
    ZERO,
)

SHARED_INTEGERS: Final = 10_000
SHARED_REFERENCES: Final = (1 << 31) - 1
DATABASES: Final = 16

_SAME_KEY = resp.error("ERR source and destination objects are the same")
_NO_DATABASE = resp.error("ERR DB index is out of range")
_DATABASE_RANGE = resp.error(
    f"ERR value is out of range, value must between {-(1 << 31)} and {(1 << 31) - 1}"  # Redis's wording
)
_ONE_DATABASE = resp.error("ERR Copying to another database is not allowed in cluster mode")
_NO_FREQUENCY = resp.error(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
    "between policies at runtime LRU and LFU data will take some time to adjust."
)
_HELP = resp.lines(
    [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    ]
)


def del_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, args[0].decode("ascii", "replace").lower())
    deleted = 0
    for key in args[1:]:
        # A key whose time is over is gone already.
        if keyspace.holds(key) and keyspace.remove(key):
            deleted += 1
    return resp.integer(deleted)


def exists(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, args[0].decode("ascii", "replace").lower())
    return resp.integer(sum(map(keyspace.holds, args[1:])))


def touch(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    reply = exists(keyspace, args, resp3)
    for key in args[1:]:
        keyspace.used_ms[slot_of(key)] = keyspace.now_ms
    return reply


def type_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    value = keyspace.look_at(args[1])
    if value is None:
        return b"+none\r\n"
    return b"+string\r\n" if type(value) is bytes else b"+record\r\n" if type(value) is Record else b"+hash\r\n"


def dbsize(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return resp.integer(keyspace.key_count)


def rename(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _rename(keyspace, args[1], args[2], "rename", only_new=False)


def renamenx(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    return _rename(keyspace, args[1], args[2], "renamenx", only_new=True)


def _rename(keyspace: Keyspace, key: bytes, to: bytes, name: str, *, only_new: bool) -> bytes:
    value = keyspace.find(key)
    if value is None:
        return ERR_NO_SUCH_KEY
    if key == to:
        return ZERO if only_new else OK
    if only_new and keyspace.holds(to):
        return ZERO
    # The effect of a rename is the value under its new name: replays must not depend on the old one being there.
    if type(value) is Hash and not _is_movable(keyspace, value):
        return too_many(keyspace, name)
    keyspace.rename(key, to)
    return ONE if only_new else OK


def copy(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    replace = False
    database = 0
    i = 3
    while i < len(args):
        option = args[i].upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and i + 1 < len(args):
            i += 1
            number = parse_int64(args[i])
            if number is None:
                return ERR_NOT_INTEGER
            if not -(1 << 31) <= number < 1 << 31:
                return _DATABASE_RANGE
            if not 0 <= number < DATABASES:
                return _NO_DATABASE
            database = number
        else:
            return ERR_SYNTAX
        i += 1
    if database:
        return _ONE_DATABASE
    key, to = args[1], args[2]
    if key == to:
        return _SAME_KEY
    value = keyspace.find(key)
    if value is None or (not replace and keyspace.holds(to)):
        return ZERO
    at_ms = keyspace.expiry_of(key)
    if type(value) is bytes:
        keyspace.made_bytes += len(value)
        keyspace.put(to, value, at_ms)
        keyspace.encodings.copied(key, to, value)
    elif not _is_movable(keyspace, value):
        return too_many(keyspace, "copy")
    else:
        keyspace.made_bytes += value.cost
        hash_writes.put(keyspace, to, value.pairs(), at_ms)
    return ONE


def _is_movable(keyspace: Keyspace, value: Hash) -> bool:
    settings = keyspace.settings
    return len(value) <= settings.atomic_units_max and value.cost <= settings.atomic_bytes_max


def flush(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) > 2 or (len(args) == 2 and args[1].upper() not in (b"SYNC", b"ASYNC")):
        return ERR_SYNTAX
    keyspace.flush()
    return OK


def object_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    subcommand = args[1].upper()
    if subcommand not in (b"ENCODING", b"FREQ", b"IDLETIME", b"REFCOUNT", b"HELP"):
        return resp.error(b"ERR unknown subcommand '" + args[1][:128] + b"'. Try OBJECT HELP.")
    if len(args) != (2 if subcommand == b"HELP" else 3):
        return wrong_arity("object|" + subcommand.decode().lower())
    if subcommand == b"HELP":
        return _HELP
    value = keyspace.look_at(args[2])
    if value is None:
        return resp.null(resp3)
    if subcommand == b"ENCODING":
        return resp.bulk(keyspace.encodings.of(args[2], value))
    if subcommand == b"FREQ":
        return _NO_FREQUENCY
    if subcommand == b"REFCOUNT":
        number = parse_int64(value) if type(value) is bytes and not keyspace.encodings.is_remembered(args[2]) else None
        return resp.integer(SHARED_REFERENCES if number is not None and 0 <= number < SHARED_INTEGERS else 1)
    # A clock for each key would cost memory and time on every GET; the slot's is a lower bound.
    used_ms = keyspace.used_ms[slot_of(args[2])]
    return resp.integer((keyspace.now_ms - used_ms) // 1000 if used_ms else 0)


def memory_usage(keyspace: Keyspace, key: bytes) -> int | None:
    """Counted bytes of a key with its value and expiry; None when it is missing. For MEMORY USAGE."""
    value = keyspace.look_at(key)
    if value is None:
        return None
    size = KEY_OVERHEAD_BYTES + len(key) + (len(value) if type(value) is bytes else value.cost)
    if keyspace.expiry_of(key) is not None:
        size += EXPIRY_OVERHEAD_BYTES + len(key)
    return size
