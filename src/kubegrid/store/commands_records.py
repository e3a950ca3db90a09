"""The commands that know records as what they are: KG.WRITE, KG.READ, KG.CHANGE, KG.REMOVE, KG.VERSION, and what tables
there are. KG.COMMIT is in `commands_commit`, looking for records by their values in `commands_find` and `commands_take`.

KG.WRITE is the **hot path** of loading tables: rows are admitted, keyed and put as columns, as one effect.
"""

from typing import Any, Final

import msgspec

from kubegrid.base.table_errors import BadValue, SchemaChanged, TableError, shown
from kubegrid.store import record_changes, row_batches
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.record_changes import Conflict, refusal
from kubegrid.store.records import Record
from kubegrid.store.refusals import ANSWERS_MAX, answers_too_long, reply_too_long, too_many
from kubegrid.store.slices import Task, run
from kubegrid.store.slots import slot_of
from kubegrid.store.tables import Table
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_OOM, ERR_SYNTAX, ONE, ZERO

ROWS_MAX: Final = 5000
"""Rows of one KG.WRITE: some 20 to 40 ms of the serving loop with twenty columns and an index."""
VALUES_MAX: Final = 300_000
"""Values of one KG.WRITE: 20 to 40 ms with a wide table. As many as fit into 256 KiB of rows are always less."""
_TOO_MANY_VALUES = resp.error(
    f"ERR KG.WRITE takes at most {VALUES_MAX} values, rows times columns, at once; write the other rows with another"
)
_TOO_MANY_ROWS = resp.error(f"ERR KG.WRITE takes at most {ROWS_MAX} rows at once; write the others with another")
_BAD_SCHEMA = resp.error("ERR the number of the schema is an integer, 0 for the current one")
_BAD_MODE = resp.error("ERR what to do with existing records is REPLACE, KEEP or FAIL")

_json = msgspec.json.Decoder()
_json_of = msgspec.json.Encoder(decimal_format="number").encode
_CHANGES: Final = ("set", "increment", "if_version", "if")


# -- KG.WRITE --------------------------------------------------------------------------------------------------------


def write(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.WRITE table schema REPLACE|KEEP|FAIL row [row …] → [first version, written, kept]."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    if len(args) - 4 > ROWS_MAX:
        return _TOO_MANY_ROWS
    try:
        table = record_changes.table_named(keyspace, args[1])
        schema = parse_int64(args[2])
        mode = args[3].upper()
        if schema is None:
            return _BAD_SCHEMA
        if schema not in (0, table.schema):
            raise SchemaChanged(table.name, table.schema, schema)
        if mode not in row_batches.MODES:
            return _BAD_MODE
        if (len(args) - 4) * len(table.definition.columns) > VALUES_MAX:
            return _TOO_MANY_VALUES
        rows, keys, values = table.codec.admit_many(args[4:])
        return row_batches.write(keyspace, table, mode, rows, keys, values)
    except TableError as error:
        return refusal(error)


# -- KG.READ, KG.VERSION ---------------------------------------------------------------------------------------------


def read(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Task:
    """KG.READ table [MAXSTALENESS ms] key [key …] → array of records as they are stored, or null.

    At one moment, unless it takes more of the loop than what is atomic may: many rows that came as columns, or wide ones."""
    keys = args[2:]
    if keys[0].upper() == b"MAXSTALENESS":
        keys = keys[2:]
    if not keys:
        return ERR_SYNTAX
    if len(keys) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, "kg.read")
    return run(_read(keyspace, args[1], keys, resp.null(resp3)))


def _read(keyspace: Keyspace, name: bytes, keys: list[bytes], null: bytes) -> Task:
    settings, slots = keyspace.settings, keyspace.slots
    longest = settings.reply_bytes_max
    until = keyspace.units + settings.atomic_units_max // 2
    parts = [resp.array_header(len(keys))]
    size = 0
    try:
        mark = record_changes.table_named(keyspace, name).mark
        for key in keys:
            if not key.startswith(mark):
                raise BadValue(f"{_text(key)} is no key of it", name.decode(errors="replace"))
            slot = slot_of(key)
            if slots[slot] is None:
                return resp.error(f"MOVED {slot}")
            record = record_changes.record_at(keyspace, key)
            if record is not None:
                size += len(record)
                keyspace.answer_bytes += len(record)
                if len(keys) > 1 and size > longest:
                    return reply_too_long(keyspace, "kg.read")
                if keyspace.answer_bytes > ANSWERS_MAX * longest and keyspace.answer_bytes > size:
                    return answers_too_long(keyspace)
            parts.append(null if record is None else b"$%d\r\n%b\r\n" % (len(record), record))
            if keyspace.units >= until:
                yield
                until = keyspace.units + settings.slice_units
    except TableError as error:
        return refusal(error)
    finally:
        keyspace.answer_bytes -= size
    return b"".join(parts)


def version(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.VERSION key → integer, 0 for a missing record."""
    try:
        record_changes.table_of(keyspace, args[1])
        record = record_changes.record_at(keyspace, args[1])
    except TableError as error:
        return refusal(error)
    return ZERO if record is None else resp.integer(record.version)


# -- KG.CHANGE, KG.REMOVE --------------------------------------------------------------------------------------------


def change(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.CHANGE key {"set": {column: value}, "increment": {column: number}, "if_version": n, "if": "predicate"}."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    try:
        record = changed(keyspace, args[1], args[2])
    except TableError as error:
        return refusal(error)
    return resp.null(resp3) if record is None else resp.bulk(record)


def changed(keyspace: Keyspace, key: bytes, request: bytes) -> Record | None:
    """The record after the change, None if it is missing. Raises TableError, and then nothing was changed."""
    table = record_changes.table_of(keyspace, key)
    try:
        asked = _json.decode(request)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadValue(f"what to change is not valid JSON: {error}", table.name) from None
    if not isinstance(asked, dict) or not asked.keys() <= set(_CHANGES):
        raise BadValue(f"what to change is a JSON object with {', '.join(_CHANGES)}", table.name)
    wanted = asked.get("set", {})
    increments = asked.get("increment", {})
    if not isinstance(wanted, dict) or not isinstance(increments, dict) or wanted.keys() & increments.keys():
        raise BadValue("set and increment are JSON objects with different columns", table.name)
    record = record_changes.record_at(keyspace, key)
    if record is None:
        return None
    expected = asked.get("if_version")
    if expected is not None and expected != record.version:
        raise Conflict(f"version is {record.version}, not {shown(expected)}")
    wanted, increments = (
        table.codec.documents.exact(given, request, inside)
        for given, inside in ((wanted, "set"), (increments, "increment"))
    )
    before = record_changes.values_of(keyspace, table, record)
    condition = asked.get("if")
    if condition is not None and not _holds(table, condition, before):
        raise Conflict("the condition does not hold")
    changes = dict([record_changes.settled_json(table, name, value) for name, value in wanted.items()])
    for name, amount in increments.items():
        place, value = record_changes.incremented(table, name, before, amount)
        changes[place] = value
    if not changes:
        return record
    return record_changes.change(keyspace, table, key, record, changes, before)


def _holds(table: Table, text: Any, values: Any) -> bool:
    if type(text) is not str:
        raise BadValue(f"{shown(text)} is no predicate: it is text", table.name)
    return table.predicates.parse(text).matches(values)


def remove(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.REMOVE key [IF version] → 1, or 0 if the record is missing."""
    expected: int | None = None
    if len(args) > 2:
        if len(args) != 4 or args[2].upper() != b"IF":
            return ERR_SYNTAX
        expected = parse_int64(args[3])
        if expected is None:
            return resp.ERR_NOT_INTEGER
    try:
        record_changes.table_of(keyspace, args[1])
        record = record_changes.record_at(keyspace, args[1])
        if expected is not None and expected != (0 if record is None else record.version):
            raise Conflict(f"version is {0 if record is None else record.version}, not {expected}")
    except TableError as error:
        return refusal(error)
    if record is None:
        return ZERO
    keyspace.remove(args[1])
    return ONE


# -- tables ----------------------------------------------------------------------------------------------------------


def tables(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.TABLES → the names, in the order of their making."""
    return resp.array_of_bulks([table.name.encode() for table in keyspace.catalog.tables])


def describe(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.DESCRIBE table → its definition as JSON, with `id` and `schema`."""
    try:
        table = record_changes.table_named(keyspace, args[1])
    except TableError as error:
        return refusal(error)
    return resp.bulk(_json_of(table.definition.to_json()))


def _text(key: bytes) -> str:
    return shown(key.decode(errors="backslashreplace"))
