"""Hash commands on records: the columns are the fields, their values are text; NULL is a field that is not there.

A key that belongs to a table gets here instead of to `commands_hashes`. Columns cannot be deleted (`HDEL`), and a text
becomes a value as its column reads it, or is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from kubegrid.base.table_errors import BadValue, TableError
from kubegrid.store import long_double, record_changes
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.record_changes import refusal
from kubegrid.store.records import Record
from kubegrid.store.refusals import wrong_arity
from kubegrid.store.tables import Table
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_HASH_NOT_INTEGER, ERR_NOT_FLOAT, ERR_NOT_INTEGER, ERR_OOM, OK, ONE, ZERO

_NO_DELETION = resp.error(
    "WRONGTYPE a column of a record cannot be deleted; set it to NULL with JSON.DEL or KG.CHANGE, or delete the record"
)
TEXTS_PER_UNIT: Final = 2
"""So many columns are made texts in the time of a plain GET."""
Command = Callable[[Keyspace, Table, list[bytes], bool], bytes]


def _pairs(keyspace: Keyspace, table: Table, record: Record | None) -> list[bytes]:
    """`column, text, …` of the columns that are not NULL."""
    if record is None:
        return []
    flat: list[bytes] = []
    keyspace.units += len(table.definition.columns) // TEXTS_PER_UNIT
    values = record_changes.values_of(keyspace, table, record)
    for column, value in zip(table.definition.columns, values, strict=True):
        if value is not None:
            flat += (column.name.encode(), column.type.to_text(value))
    return flat


def _text(table: Table, values: Sequence[Any], name: bytes) -> bytes | None:
    place = table.definition.positions.get(name.decode(errors="backslashreplace"))
    if place is None or values[place] is None:
        return None
    return table.definition.columns[place].type.to_text(values[place])


def _texts(keyspace: Keyspace, table: Table, key: bytes, names: list[bytes]) -> list[bytes | None]:
    record = record_changes.record_at(keyspace, key)
    if record is None:
        return [None] * len(names)
    values = record_changes.values_of(keyspace, table, record)
    return [_text(table, values, name) for name in names]


def hget(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return resp.bulk_or_null(_texts(keyspace, table, args[1], args[2:3])[0], resp3)


def hmget(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return resp.array([resp.bulk_or_null(text, resp3) for text in _texts(keyspace, table, args[1], args[2:])])


def hexists(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return ZERO if _texts(keyspace, table, args[1], args[2:3])[0] is None else ONE


def hstrlen(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return resp.integer(len(_texts(keyspace, table, args[1], args[2:3])[0] or b""))


def hgetall(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    pairs = _pairs(keyspace, table, record_changes.record_at(keyspace, args[1]))
    return resp.map_of([resp.bulk(part) for part in pairs], resp3)


def hkeys(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return resp.array_of_bulks(_pairs(keyspace, table, record_changes.record_at(keyspace, args[1]))[0::2])


def hvals(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return resp.array_of_bulks(_pairs(keyspace, table, record_changes.record_at(keyspace, args[1]))[1::2])


def hlen(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return resp.integer(len(_pairs(keyspace, table, record_changes.record_at(keyspace, args[1]))) // 2)


def hscan(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    """All columns at once: there are few."""
    pairs = _pairs(keyspace, table, record_changes.record_at(keyspace, args[1]))
    return resp.array([resp.bulk(b"0"), resp.array_of_bulks(pairs)])


def hset(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    """Change columns; a missing record is written if the key and these columns make a whole one. How many are new."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if len(args) % 2:
        return wrong_arity(args[0].decode("ascii", "replace").lower())
    key = args[1]
    record = record_changes.record_at(keyspace, key)
    changes = dict([record_changes.settled_text(table, args[i], args[i + 1]) for i in range(2, len(args), 2)])
    if record is None:
        known = dict(zip(table.definition.key, table.codec.keys.values(key), strict=True))
        names = table.definition.names
        for place, value in changes.items():
            if names[place] in known and known[names[place]] != value:
                raise BadValue(f"it differs from the key's {known[names[place]]!r}", table.name, names[place])
            known[names[place]] = value
        values = table.codec.documents.from_json({}, known)
        at_ms = record_changes.lives_until(keyspace, table)
        record_changes.put(keyspace, table, key, values, at_ms=at_ms)
        return resp.integer(len(changes))
    before = record_changes.values_of(keyspace, table, record)
    record_changes.change(keyspace, table, key, record, changes, before)
    return resp.integer(sum(before[place] is None for place in changes))


def hmset(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    reply = hset(keyspace, table, args, resp3)
    return reply if reply[0] == 0x2D else OK  # 0x2D: "-", an error


def hsetnx(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    if _texts(keyspace, table, args[1], args[2:3])[0] is not None:
        return ZERO
    reply = hset(keyspace, table, args, resp3)
    return reply if reply[0] == 0x2D else ONE


def hincrby(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    amount = parse_int64(args[3])
    if amount is None:
        return ERR_NOT_INTEGER
    place = table.definition.position(args[2].decode(errors="backslashreplace"))
    if table.definition.columns[place].type.python is not int:
        return ERR_HASH_NOT_INTEGER
    return _increment(keyspace, table, args, amount, lambda text: b":%b\r\n" % text)


def hincrbyfloat(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    amount = long_double.parse(args[3])
    if amount is None or isinstance(amount, float):
        return ERR_NOT_FLOAT
    place = table.definition.position(args[2].decode(errors="backslashreplace"))
    number = args[3].decode() if str(table.definition.columns[place].type).startswith("DECIMAL") else float(args[3])
    return _increment(keyspace, table, args, number, resp.bulk)


def _increment(
    keyspace: Keyspace, table: Table, args: list[bytes], amount: Any, reply: Callable[[bytes], bytes]
) -> bytes:
    """Add to a column; NULL and a missing record count as 0, as for a hash."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    key, name = args[1], args[2].decode(errors="backslashreplace")
    record = record_changes.record_at(keyspace, key)
    place = table.definition.position(name)
    column = table.definition.columns[place]
    before = None if record is None else record_changes.values_of(keyspace, table, record)
    if before is None or before[place] is None:
        answer = hset(keyspace, table, [b"HSET", key, args[2], args[3]], False)
        if answer[0] == 0x2D:
            return answer
        value = record_changes.values_of(keyspace, table, keyspace.value_of(key))[place]
    else:
        place, value = record_changes.incremented(table, name, before, amount)
        assert record is not None
        record_changes.change(keyspace, table, key, record, {place: value}, before)
    return reply(column.type.to_text(value))


def hdel(keyspace: Keyspace, table: Table, args: list[bytes], resp3: bool) -> bytes:
    return _NO_DELETION


def or_column(
    plain: Callable[[Keyspace, list[bytes], bool], bytes], command: Command
) -> Callable[[Keyspace, list[bytes], bool], bytes]:
    """A hash command that does `command` where the key belongs to a table, and `plain` elsewhere."""

    def run(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
        if keyspace.prefixes:
            name, colon, _ = args[1].partition(b":")
            if colon and name in keyspace.prefixes:
                try:
                    return command(keyspace, keyspace.tables.by_name[name], args, resp3)
                except TableError as error:
                    return refusal(error)
        return plain(keyspace, args, resp3)

    return run


def not_record(
    plain: Callable[[Keyspace, list[bytes], bool], Any], keys: slice, error: bytes
) -> Callable[[Keyspace, list[bytes], bool], Any]:
    """A command that is refused with `error` where one of the keys `args[keys]` belongs to a table."""

    def run(keyspace: Keyspace, args: list[bytes], resp3: bool) -> Any:
        if keyspace.prefixes:
            for key in args[keys]:
                name, colon, _ = key.partition(b":")
                if colon and name in keyspace.prefixes:
                    return error
        return plain(keyspace, args, resp3)

    return run
