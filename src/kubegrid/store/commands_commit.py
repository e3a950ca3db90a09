"""KG.COMMIT: a transaction of one slot in one message. What it expects is checked, then all of it is done, or nothing.

The payload is MessagePack: `[[[key, version], …], [operation, …]]`, version 0 for a record that must be missing. An
operation is `["write", table, schema, row]`, `["remove", key]`, `["change", key, json]`, or `["command", name, argument
…]` for a command on strings or hashes. The reply has one element for each operation.

Operations are executed one after the other and recorded as always. When one is refused, what those before it did is
taken back (`attempt`).
"""

from typing import Any

import msgspec

from kubegrid.base.table_errors import BadValue, TableError, shown
from kubegrid.store import commands_records, record_changes
from kubegrid.store.attempt import Attempt
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.record_changes import Conflict, refusal
from kubegrid.store.slots import slot_of
from kubegrid.wire import command_table, resp
from kubegrid.wire.resp import ERR_CROSSSLOT, ERR_OOM

_decode = msgspec.msgpack.Decoder(tuple[list[tuple[Any, int]], list[list[Any]]]).decode
_FORM = resp.error("ERR the payload of KG.COMMIT is MessagePack [[[key, version], ...], [operation, ...]]")

_TOO_LARGE = resp.error("ERR transaction makes more bytes of values than one log entry may have")


def commit(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """KG.COMMIT key payload → the replies of the operations."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    try:
        checks, operations = _decode(args[2])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _FORM
    settings = keyspace.settings
    if len(operations) > settings.transaction_commands_max or len(checks) > settings.atomic_units_max:
        return resp.error("ERR transaction exceeds the limit of operations")
    slot = slot_of(args[1])
    try:
        for name, version in checks:
            key = _bytes(name)
            if slot_of(key) != slot:
                return ERR_CROSSSLOT
            record_changes.table_of(keyspace, key)
            record = record_changes.record_at(keyspace, key)
            found = 0 if record is None else record.version
            if found != version:
                raise Conflict(f"{shown(key.decode(errors='backslashreplace'))}: version is {found}, not {version}")
    except TableError as error:
        return refusal(error)
    return _execute(keyspace, slot, operations, resp3)


def _execute(keyspace: Keyspace, slot: int, operations: list[list[Any]], resp3: bool) -> bytes:
    attempt = Attempt(keyspace)
    replies = []
    done = False
    try:
        for number, operation in enumerate(operations, 1):
            reply = _one(keyspace, slot, operation, resp3)
            if reply[:1] == b"-":
                code, _, text = reply[1:-2].partition(b" ")
                return b"-%b operation %d: %b\r\n" % (code, number, text)
            if attempt.too_large:
                return _TOO_LARGE
            replies.append(reply)
        done = True
    finally:
        if done:
            attempt.keep()
        else:
            attempt.take_back()
    return resp.array(replies)


def _one(keyspace: Keyspace, slot: int, operation: list[Any], resp3: bool) -> bytes:
    """The reply of one operation; an error if it is refused."""
    try:
        match operation:
            case ["write", name, int(schema), bytes(row)]:
                return _write(keyspace, slot, _bytes(name), schema, row)
            case ["remove", name]:
                key = _bytes(name)
                return _elsewhere(key, slot) or commands_records.remove(keyspace, [b"KG.REMOVE", key], resp3)
            case ["change", name, request]:
                key = _bytes(name)
                asked = [b"KG.CHANGE", key, _bytes(request)]
                return _elsewhere(key, slot) or commands_records.change(keyspace, asked, resp3)
            case ["command", name, *args]:
                return _command(keyspace, slot, [_bytes(name).upper(), *map(_bytes, args)], resp3)
    except TableError as error:
        return refusal(error)
    return resp.error(f"ERR {shown(operation[:1])} is no operation: write, remove, change or command")


def _elsewhere(key: bytes, slot: int) -> bytes:
    return b"" if slot_of(key) == slot else ERR_CROSSSLOT


def _write(keyspace: Keyspace, slot: int, name: bytes, schema: int, row: bytes) -> bytes:
    table = record_changes.table_named(keyspace, name)
    key = table.codec.key_of_row(table.codec.admit(row)[1])
    if slot_of(key) != slot:
        return ERR_CROSSSLOT
    reply = commands_records.write(keyspace, [b"KG.WRITE", name, b"%d" % schema, b"REPLACE", row], False)
    return reply if reply[:1] == b"-" else resp.integer(keyspace.record_version)


def _command(keyspace: Keyspace, slot: int, args: list[bytes], resp3: bool) -> bytes:
    from kubegrid.store.commands import COMMANDS

    info = command_table.find_request(args)
    data = COMMANDS.get(args[0])
    if info is None or data is None:
        return command_table.unknown_command(args)
    if not info.accepts(len(args)):
        return info.arity_error()
    keys = info.keys(args)
    if not keys or args[0].startswith((b"KG.COMMIT", b"LCS")):
        return resp.error(f"ERR {info.name} cannot be part of KG.COMMIT")
    for key in keys:
        if slot_of(key) != slot:
            return ERR_CROSSSLOT
        if len(key) > keyspace.settings.key_bytes_max:
            return resp.error(f"ERR key is longer than {keyspace.settings.key_bytes_max} bytes")
    reply = data(keyspace, args, resp3)
    assert isinstance(reply, bytes), f"{info.name} is cut into slices"
    return reply


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    raise BadValue(f"{shown(value)} is not text")
