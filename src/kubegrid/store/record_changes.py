"""What commands do to one record: find it, put it, change some of its columns. Every way in is checked by its table.

Errors of tables are raised (`TableError`) and become replies where a command ends: `refusal`.
"""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from kubegrid.base.column_type import ColumnType
from kubegrid.base.errors import KubegridError
from kubegrid.base.table_errors import BadValue, TableError, UnknownTable, shown
from kubegrid.store import record_writes
from kubegrid.store.records import HEADER_BYTES, Record
from kubegrid.wire import resp

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace
    from kubegrid.store.tables import Table

_exact = Context(prec=80)
"""DECIMALs have 38 digits at most: adding two of them never rounds here."""


class NotARecord(TableError):
    """The key holds a string or a hash from before there was a table of this name."""

    code = "WRONGTYPE"


class Conflict(TableError):
    """The record is not as it was expected to be."""

    code = "CONFLICT"


class Exists(TableError):
    code = "EXISTS"


def refusal(error: KubegridError) -> bytes:
    """The reply that says why a command did nothing."""
    return resp.error(f"{getattr(error, 'code', 'ERR')} {error.message}")


def table_named(keyspace: "Keyspace", name: bytes) -> "Table":
    """Raises UnknownTable with the nearest spelling."""
    table = keyspace.tables.by_name.get(name)
    if table is None:
        raise UnknownTable(name.decode(errors="backslashreplace"), keyspace.catalog.by_name)
    return table


def table_of(keyspace: "Keyspace", key: bytes) -> "Table":
    """The table whose record `key` names. Raises UnknownTable."""
    name, colon, _ = key.partition(b":")
    table = keyspace.tables.by_name.get(name) if colon else None
    if table is None:
        raise UnknownTable(name.decode(errors="backslashreplace"), keyspace.catalog.by_name)
    return table


def record_at(keyspace: "Keyspace", key: bytes) -> Record | None:
    """The record at a key of a table; None: missing. Raises NotARecord."""
    value = keyspace.find(key)
    if value is not None and type(value) is not Record:
        raise NotARecord(
            f"{shown(key.decode(errors='backslashreplace'))} holds a value from before there was a table of this name; "
            "delete it first"
        )
    return value


def values_of(keyspace: "Keyspace", table: "Table", record: Record) -> Sequence[Any]:
    """The record's values, which take a turn's time with a wide table."""
    keyspace.units += table.width_units
    return table.codec.decode(record[HEADER_BYTES:])


def lives_until(keyspace: "Keyspace", table: "Table") -> int | None:
    """When a record of the table that is written now expires."""
    ttl = table.definition.ttl
    return None if ttl is None else keyspace.now_ms + 1000 * ttl


def put(keyspace: "Keyspace", table: "Table", key: bytes, values: Sequence[Any], *, at_ms: int | None) -> Record:
    """Put one record whose values are settled and whose key is `key`. Raises BadValue if it is too large."""
    row = table.codec.encode_settled(values)
    record_writes.put(keyspace, table, [key], [row], [values], at_ms)
    return keyspace.value_of(key)  # type: ignore[no-any-return]


def write_document(keyspace: "Keyspace", table: "Table", key: bytes, document: bytes) -> None:
    """Write the whole record at `key`; key columns that the document leaves out are the key's. Raises TableError."""
    names = table.definition.key
    known = dict(zip(names, table.codec.keys.values(key), strict=True))
    record_at(keyspace, key)
    values = table.codec.documents.decode(document, known)
    for name in names:
        _keep_key(table, name, known[name], values[table.definition.positions[name]])
    put(keyspace, table, key, values, at_ms=lives_until(keyspace, table))


def change(
    keyspace: "Keyspace", table: "Table", key: bytes, record: Record, changes: Mapping[int, Any], before: Sequence[Any]
) -> Record:
    """Put the record with other values in some columns (place → settled value); its expiry stays. Raises BadValue."""
    values = list(before)
    definition = table.definition
    for place, value in changes.items():
        if place in definition.key_positions:
            _keep_key(table, definition.names[place], before[place], value)
        values[place] = value
    return put(keyspace, table, key, values, at_ms=keyspace.expiry_of(key))


def settled_json(table: "Table", name: str, value: Any) -> tuple[int, Any]:
    """Place and value of a column from a decoded JSON value. Raises BadValue, UnknownColumn."""
    place = table.definition.position(name)
    return place, table.codec.documents.value_from_json(table.definition.columns[place], value)


def settled_text(table: "Table", name: bytes, text: bytes) -> tuple[int, Any]:
    """The same from text as HSET has it."""
    place = table.definition.position(name.decode(errors="backslashreplace"))
    column = table.definition.columns[place]
    try:
        return place, column.type.from_text(text)
    except BadValue as error:
        raise error.at(table.name, column.name) from None


def incremented(table: "Table", name: str, before: Sequence[Any], amount: Any) -> tuple[int, Any]:
    """Place and new value of a column that `amount` (int, float, Decimal, or text of a DECIMAL) is added to.

    Raises BadValue, UnknownColumn.
    """
    place = table.definition.position(name)
    column = table.definition.columns[place]
    value = before[place]
    try:
        if value is None:
            raise BadValue("it is NULL, and nothing can be added to that")
        return place, _sum(column.type, value, amount)
    except BadValue as error:
        raise error.at(table.name, column.name) from None


def _sum(kind: ColumnType, value: Any, amount: Any) -> Any:
    if kind.python is int:
        if type(amount) is float and amount.is_integer():
            amount = int(amount)
        if type(amount) is not int:
            raise BadValue(f"{shown(amount)} cannot be added to an integer")
        return kind.settle(value + amount)
    if kind.python is float:
        if type(amount) not in (int, float, Decimal):
            raise BadValue(f"{shown(amount)} cannot be added to a number")
        return kind.settle(_finite_sum(value, amount))
    if kind.python is Decimal:
        return kind.settle(_exact.add(value, kind.from_json(amount)))
    raise BadValue(f"nothing can be added to a {kind.name}")


def _finite_sum(value: float, amount: Any) -> float:
    try:
        total = value + float(amount)
    except OverflowError:
        total = float("inf")
    if total - total != 0:
        raise BadValue(f"{value} and {shown(amount)} have no finite sum")
    return total


def _keep_key(table: "Table", name: str, before: Any, value: Any) -> None:
    if value != before:
        raise BadValue(
            f"{shown(value)} is another value than the key's {shown(before)}; the key of a record cannot be changed: "
            "write it under the other key and remove this one",
            table.name,
            name,
        )
