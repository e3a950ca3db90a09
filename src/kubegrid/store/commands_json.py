"""RedisJSON's commands on records: a record is a JSON object whose fields are the columns, and no deeper paths exist.

Paths are `$` and `.` for the record, `$.field`, `.field`, `field`, `$['field']` for a column. A path that begins with
`$` is answered with an array of what it matched, the older forms with the value itself, as RedisJSON does; so clients
made for it (`redis.json()`) work. A column that holds JSON is read and written whole.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from kubegrid.base.table_errors import BadValue, TableError, UnknownColumn, UnknownTable, shown
from kubegrid.store import record_changes
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.record_changes import refusal
from kubegrid.store.records import Record
from kubegrid.store.refusals import reply_too_long, too_many
from kubegrid.store.tables import Table
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_OOM, ERR_SYNTAX, OK, ONE, ZERO

_PATH = re.compile(rb"""(\$)?(?:\.?([A-Za-z_][A-Za-z0-9_]*)|\.?\[(?:"([^"\\]*)"|'([^'\\]*)')\]|\.)?""")
_FORMAT_OPTIONS: Final = (b"INDENT", b"NEWLINE", b"SPACE")
_ERR_NEW: Final = resp.error("ERR new objects must be created at the root")
_json = msgspec.json.Decoder()
_exact_json = msgspec.json.Decoder(float_hook=Decimal)
_json_of = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical").encode
_TYPES: Final = {
    type(None): b"null",
    bool: b"boolean",
    int: b"integer",
    float: b"number",
    Decimal: b"number",
    str: b"string",
    list: b"array",
    dict: b"object",
}


class _Path:
    """`column`: the name, or None for the whole record; `many`: whether the answer is an array of matches."""

    __slots__ = ("column", "many", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        match = _PATH.fullmatch(text)
        if match is None:
            raise BadValue(f"{_shown(text)} is no path here: it is $ for the record, or $.column")
        self.many = match[1] is not None
        column = match[2] or match[3] or match[4]
        self.column = None if column is None else column.decode(errors="backslashreplace")


def _shown(text: bytes) -> str:
    return shown(text.decode(errors="backslashreplace"))


LAID_OUT_BYTES_MAX = 16 * 1024 * 1024
"""What the layout that a client asks for may add to a reply."""
_TOO_LONG = resp.error(
    "ERR the reply would be too long; use shorter INDENT, NEWLINE and SPACE, or ask for fewer columns"
)


def _refused(command: Callable[[Keyspace, list[bytes], bool], bytes]) -> Callable[[Keyspace, list[bytes], bool], bytes]:
    """Errors of tables become replies."""

    def run(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
        try:
            return command(keyspace, args, resp3)
        except TableError as error:
            return refusal(error)

    return run


# -- writing ---------------------------------------------------------------------------------------------------------


@_refused
def set_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """JSON.SET key path value [NX|XX]."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    condition = args[4].upper() if len(args) == 5 else b""
    if len(args) not in (4, 5) or condition not in (b"", b"NX", b"XX"):
        return ERR_SYNTAX
    key, path = args[1], _Path(args[2])
    table = record_changes.table_of(keyspace, key)
    record = record_changes.record_at(keyspace, key)
    if path.column is None:
        if condition == (b"NX" if record is not None else b"XX"):
            return resp.null(resp3)
        record_changes.write_document(keyspace, table, key, args[3])
        return OK
    if record is None:
        return _ERR_NEW
    before = record_changes.values_of(keyspace, table, record)
    place = table.definition.position(path.column)
    # A column that is NULL counts as a field that is not there.
    if condition == (b"NX" if before[place] is not None else b"XX"):
        return resp.null(resp3)
    try:
        value = _json.decode(args[3])
        if type(value) is float and table.definition.columns[place].type.python is Decimal:
            value = args[3].decode().strip()  # all digits of it
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadValue(f"the value is not valid JSON: {error}", table.name, path.column) from None
    changes = dict([record_changes.settled_json(table, path.column, value)])
    record_changes.change(keyspace, table, key, record, changes, before)
    return OK


@_refused
def numincrby(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """JSON.NUMINCRBY key path number → the new value as JSON, in an array for a path that begins with `$`."""
    if keyspace.used_bytes >= keyspace.limit_bytes:
        return ERR_OOM
    key, path = args[1], _Path(args[2])
    table = record_changes.table_of(keyspace, key)
    record = record_changes.record_at(keyspace, key)
    if record is None:
        return resp.error("ERR could not perform this operation on a key that doesn't exist")
    if path.column is None:
        raise BadValue("a record is no number: name a column", table.name)
    before = record_changes.values_of(keyspace, table, record)
    try:
        amount = _exact_json.decode(args[3])
        if type(amount) is Decimal and table.definition.column(path.column).type.python is not Decimal:
            amount = float(amount)
    except (msgspec.DecodeError, ValueError, RecursionError):
        amount = None
    if type(amount) not in (int, float, Decimal):
        raise BadValue(f"{_shown(args[3])} is not a number", table.name, path.column)
    changes = dict([record_changes.incremented(table, path.column, before, amount)])
    record_changes.change(keyspace, table, key, record, changes, before)
    after = list(before)
    for place, value in changes.items():
        after[place] = value
    number = table.codec.documents.json_value(after, place)
    if resp3:
        return resp.array([resp.integer(number) if type(number) is int else resp.double(float(number), True)])
    return resp.bulk(_json_of([number] if path.many else number))


@_refused
def del_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """JSON.DEL key [path] → how many were deleted. A column is set to NULL."""
    if len(args) > 3:
        return ERR_SYNTAX
    key, path = args[1], _Path(args[2] if len(args) == 3 else b"$")
    table = _table_or_none(keyspace, key)
    if table is None:
        return ZERO
    record = record_changes.record_at(keyspace, key)
    if record is None:
        return ZERO
    if path.column is None:
        keyspace.remove(key)
        return ONE
    before = record_changes.values_of(keyspace, table, record)
    place = table.definition.positions.get(path.column)
    if place is None or before[place] is None:
        return ZERO
    changes = dict([record_changes.settled_json(table, path.column, None)])
    record_changes.change(keyspace, table, key, record, changes, before)
    return ONE


# -- reading ---------------------------------------------------------------------------------------------------------


@_refused
def get(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """JSON.GET key [INDENT s] [NEWLINE s] [SPACE s] [path …]."""
    layout = dict.fromkeys(_FORMAT_OPTIONS, b"")
    at = 2
    while at < len(args) and args[at].upper() in _FORMAT_OPTIONS:
        if at + 1 == len(args):
            return ERR_SYNTAX
        layout[args[at].upper()] = args[at + 1]
        at += 2
    paths = [_Path(text) for text in args[at:]] or [_Path(b".")]
    table = _table_or_none(keyspace, args[1])
    record = None if table is None else record_changes.record_at(keyspace, args[1])
    if table is None or record is None:
        return resp.null(resp3)
    values = record_changes.values_of(keyspace, table, record)
    if len(paths) == 1 and paths[0].column is None and not any(layout.values()):
        document = table.codec.documents.encode(values)
        return resp.bulk(b"[%b]" % document if paths[0].many else document)
    many = len(paths) > 1 and any(path.many for path in paths)
    found: dict[str, Any] = {}
    for path in paths:
        matches = _matches(table, values, path)
        if not matches and not (path.many or many):
            assert path.column is not None
            raise UnknownColumn(table.name, path.column, table.definition.names)
        found[path.text.decode()] = matches if path.many or many else matches[0]
    whole = found if len(paths) > 1 else next(iter(found.values()))
    if not any(layout.values()):
        return resp.bulk(_json_of(whole))
    text = _laid_out(whole, layout)
    return _TOO_LONG if text is None else resp.bulk(text)


@_refused
def mget(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """JSON.MGET key [key …] path → array of JSON texts, null for what is missing."""
    keys = args[1:-1]
    if len(keys) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, "json.mget")
    path = _Path(args[-1])
    left = keyspace.settings.reply_bytes_max
    parts = []
    for key in keys:
        reply = resp.null(resp3)
        table = _table_or_none(keyspace, key)
        value = keyspace.find(key)
        if table is not None and type(value) is Record:
            matches = _matches(table, record_changes.values_of(keyspace, table, value), path)
            if path.many:
                reply = resp.bulk(_json_of(matches))
            elif matches:
                reply = resp.bulk(_json_of(matches[0]))
        left -= len(reply)
        if left < 0 and len(keys) > 1:
            return reply_too_long(keyspace, "json.mget")
        parts.append(reply)
    return resp.array(parts)


@_refused
def type_(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    """JSON.TYPE key [path]."""
    if len(args) > 3:
        return ERR_SYNTAX
    path = _Path(args[2] if len(args) == 3 else b".")
    table = _table_or_none(keyspace, args[1])
    record = None if table is None else record_changes.record_at(keyspace, args[1])
    if table is None or record is None:
        return resp.array([resp.null(True)]) if resp3 else resp.NULL_BULK
    matches = _matches(table, record_changes.values_of(keyspace, table, record), path)
    names = [resp.bulk(_TYPES[type(value)]) for value in matches]
    if path.many:
        return resp.array([resp.array(names)] if resp3 else names)
    reply = names[0] if names else resp.null(resp3)
    return resp.array([reply]) if resp3 else reply


def _matches(table: Table, values: Any, path: _Path) -> list[Any]:
    """What the path finds, as decoded JSON."""
    documents = table.codec.documents
    if path.column is None:
        return [{name: documents.json_value(values, place) for place, name in enumerate(table.definition.names)}]
    place = table.definition.positions.get(path.column)
    return [] if place is None else [documents.json_value(values, place)]


def _table_or_none(keyspace: Keyspace, key: bytes) -> Table | None:
    """The table of a key, or None when the key is missing; a plain value is no JSON. Raises UnknownTable, NotARecord."""
    try:
        return record_changes.table_of(keyspace, key)
    except UnknownTable:
        if keyspace.find(key) is None:
            return None
        raise record_changes.NotARecord(f"{_shown(key)} is no record of a table") from None


def _laid_out(value: Any, layout: dict[bytes, bytes]) -> bytes | None:
    """JSON with the client's own indentation, line ends and spaces, as RedisJSON's options ask for it; None: too long."""
    indent, newline, space = (layout[name] for name in _FORMAT_OPTIONS)
    left_bytes = LAID_OUT_BYTES_MAX

    def render(part: Any, depth: int) -> bytes:
        nonlocal left_bytes
        if not part or type(part) not in (dict, list):
            return _json_of(part)
        left_bytes -= (len(newline) + len(indent) * (depth + 1) + len(space)) * (len(part) + 1)
        if left_bytes < 0:
            return b""
        inner = newline + indent * (depth + 1)
        if type(part) is dict:
            items = [_json_of(name) + b":" + space + render(each, depth + 1) for name, each in part.items()]
            left, right = b"{", b"}"
        else:
            items = [render(each, depth + 1) for each in part]
            left, right = b"[", b"]"
        return left + inner + (b"," + inner).join(items) + newline + indent * depth + right

    text = render(value, 0)
    return None if left_bytes < 0 else text
