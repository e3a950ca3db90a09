"""KG.REWRITE: what a SQL statement makes of this partition's records of one table, all of it or nothing, as one log entry.

The payload is MessagePack, `[[expected, row], [expected, key], …]`: bytes are a row to be written, text is the key of a
record to be removed. `expected` says how the record is to be found: a version, `MISSING`, `ANY`, or `KEEP`, which writes
the row if there is no record and leaves one that is there. Whoever computed the rows read them some time ago; a record
that is not as it was then makes the whole command do nothing, and its sender computes again (optimistic concurrency).

A row at a version is a change of that record, whose expiry stays; any other begins a new life, as with KG.WRITE. Rows are
checked as there. `PARTS n` is only answered: within KG.ONCE a statement that is run again learns by it into how many parts
it was cut the first time. **Hot path** of SQL statements: rows are admitted, keyed and put as columns.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from kubegrid.base.table_errors import BadKey, SchemaChanged, TableError, UnknownTable, shown
from kubegrid.store import record_changes, record_writes
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.record_changes import Conflict, Exists, refusal
from kubegrid.store.slots import slot_of
from kubegrid.store.tables import Table
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_OOM, ERR_SYNTAX

RECORDS_MAX: Final = 5000
"""Records of one KG.REWRITE, which is one turn of the serving loop: some 30 ms with twenty columns and an index."""
MISSING: Final = 0
ANY: Final = -1
KEEP: Final = -2
OF_WHAT_IS_THERE: Final = tuple(
    b"-%b " % kind.code.encode() for kind in (Conflict, Exists, record_changes.NotARecord, SchemaChanged, UnknownTable)
)
"""How the refusals begin that another moment might not bring. Any other the same command meets again whenever it comes."""

_decode = msgspec.msgpack.Decoder(list[tuple[int, Any]]).decode
_FORM = resp.error("ERR the payload of KG.REWRITE is MessagePack [[expected, row or key], ...]")
_EXPECTED = resp.error("ERR expected is the version of a record, 0: missing, -1: anything, -2: keep what is there")
_TOO_MANY = resp.error(f"ERR KG.REWRITE takes at most {RECORDS_MAX} records at once")
_BAD_SCHEMA = resp.error("ERR the number of the schema is an integer, 0 for the current one")
_BAD_PARTS = resp.error("ERR PARTS is a number from 1 on")


def rewrite(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.REWRITE table schema payload [PARTS n] → [first version, written, removed, kept, parts]."""
    parts = 1
    if len(args) > 4:
        if len(args) != 6 or args[4].upper() != b"PARTS":
            return ERR_SYNTAX
        parts = parse_int64(args[5]) or 0
        if parts < 1:
            return _BAD_PARTS
    try:
        operations = _decode(args[3])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _FORM
    if len(operations) > RECORDS_MAX:
        return _TOO_MANY
    rows = [what for _, what in operations if type(what) is bytes]
    if rows and keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    try:
        table = record_changes.table_named(keyspace, args[1])
        schema = parse_int64(args[2])
        if schema is None:
            return _BAD_SCHEMA
        if schema not in (0, table.schema):
            raise SchemaChanged(table.name, table.schema, schema)
        removed = _keys(table, operations)
        if removed is None:
            return _FORM
        asked = [expected for expected, what in operations if type(what) is bytes]
        asked_removed = [expected for expected, what in operations if type(what) is str]
        if min(asked, default=0) < KEEP or any(expected < ANY or expected == MISSING for expected in asked_removed):
            return _EXPECTED
        rows, keys, values = table.codec.admit_many(rows)
        all_keys = keys + removed
        if len(set(all_keys)) < len(all_keys):
            return resp.error(f"ERR {_text(_repeated(all_keys))} stands there twice; a statement has each record once")
        found = _found(keyspace, all_keys)
        if isinstance(found, bytes):
            return found
        before, there = found
        chosen = _chosen(keys, asked, before)
        _check_removed(removed, asked_removed, before[len(keys) :])
    except TableError as error:
        return refusal(error)
    if removed or len(chosen) < len(keys):
        there = None
    first = _put(keyspace, table, chosen, keys, rows, values, asked, there)
    gone = sum([keyspace.remove(key) for key in removed])
    return b"*5\r\n:%d\r\n:%d\r\n:%d\r\n:%d\r\n:%d\r\n" % (first, len(chosen), gone, len(keys) - len(chosen), parts)


def _keys(table: Table, operations: list[tuple[int, Any]]) -> list[bytes] | None:
    """Of the records to be removed; None if an operation is neither row nor key. Raises BadKey."""
    removed = []
    for _, what in operations:
        if type(what) is str:
            key = what.encode(errors="replace")
            if not key.startswith(table.mark):
                raise BadKey(f"{_text(key)} is no key of table {table.name}")
            removed.append(key)
        elif type(what) is not bytes:
            return None
    return removed


def _found(keyspace: Keyspace, keys: list[bytes]) -> tuple[list[int], record_writes.Held | None] | bytes:
    """The versions of the records that are there now, 0 for a missing one, and where they are; or the reply that another
    partition has one. Raises NotARecord."""
    there = record_writes.held(keyspace, keys)
    if there is None:
        return resp.error(f"MOVED {next(slot for slot in map(slot_of, keys) if keyspace.slots[slot] is None)}")
    values: Sequence[Any] = there[2]
    if not there[3] or keyspace.tables.strays or not set(map(type, values)) <= record_writes.OF_TABLES:
        values, there = [record_changes.record_at(keyspace, key) for key in keys], None
    return [0 if value is None else value if type(value) is int else value.version for value in values], there


def _chosen(keys: list[bytes], asked: list[int], before: list[int]) -> list[int]:
    """The numbers of the rows to be written. Raises Exists, Conflict if one is not as expected."""
    chosen = []
    for i, expected in enumerate(asked):
        version = before[i]
        if not version:
            if expected > 0:
                raise Conflict(f"{_text(keys[i])} is missing, and was at version {expected}")
        elif expected == KEEP:
            continue
        elif expected == MISSING:
            raise Exists(f"{_text(keys[i])} exists already")
        elif expected > 0 and version != expected:
            raise Conflict(f"{_text(keys[i])}: version is {version}, not {expected}")
        chosen.append(i)
    return chosen


def _check_removed(keys: list[bytes], asked: list[int], before: list[int]) -> None:
    for key, expected, version in zip(keys, asked, before, strict=True):
        if expected > 0 and version != expected:
            raise Conflict(f"{_text(key)}: version is {version}, not {expected}")


def _put(
    keyspace: Keyspace,
    table: Table,
    chosen: list[int],
    keys: list[bytes],
    rows: list[bytes],
    values: list[Any],
    asked: list[int],
    there: record_writes.Held | None,
) -> int:
    """Put the chosen rows, those together that expire together; the first version."""
    if not chosen:
        return 0
    begins = record_changes.lives_until(keyspace, table)
    ends = {begins}
    if begins is not None or there is None:  # otherwise nothing expires in any of these slots
        expiries = [keyspace.expiry_of(keys[i]) if asked[i] > 0 else begins for i in chosen]
        ends = set(expiries)
    if len(ends) == 1:
        if len(chosen) < len(keys):
            keys, rows, values = [keys[i] for i in chosen], [rows[i] for i in chosen], [values[i] for i in chosen]
        return record_writes.put(keyspace, table, keys, rows, values, ends.pop(), there)
    groups: dict[int | None, list[int]] = {}
    for i, at_ms in zip(chosen, expiries, strict=True):
        groups.setdefault(at_ms, []).append(i)
    firsts = [
        record_writes.put(
            keyspace, table, [keys[i] for i in group], [rows[i] for i in group], [values[i] for i in group], at_ms
        )
        for at_ms, group in groups.items()
    ]
    return firsts[0]


def _repeated(keys: list[bytes]) -> bytes:
    seen: set[bytes] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key stands there twice")


def _text(key: bytes) -> str:
    return shown(key.decode(errors="backslashreplace"))
