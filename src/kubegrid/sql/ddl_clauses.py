"""The columns and clauses of a CREATE TABLE as entries of a definition's JSON, which `ddl` has checked.

Nothing is skipped: a constraint that a grid does not keep (UNIQUE, CHECK, REFERENCES …) is refused, because whoever wrote
it counts on it. A default is a constant. An index without a kind is `ordered` if one of its columns is of a type that is
asked for by ranges (times, fractions), as when the Python client declares one, and `hash` otherwise.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from sqlglot import exp

from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import parse_type
from kubegrid.base.table_errors import BadValue, shown
from kubegrid.base.tables import HASH, ORDERED
from kubegrid.sql.ddl_dialect import BROADCAST, TTL
from kubegrid.sql.errors import NotSupported, SqlError, TypeProblem

RANGED = (date, time, datetime, Decimal, float)
_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_UNITS |= {"d": 86400, "day": 86400, "w": 7 * 86400, "week": 7 * 86400}
_TIME = re.compile(r"\s*(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]*)", re.IGNORECASE)
_CONSTRAINTS = {
    exp.UniqueColumnConstraint: "UNIQUE",
    exp.CheckColumnConstraint: "CHECK",
    exp.Reference: "REFERENCES",
    exp.ForeignKey: "FOREIGN KEY",
    exp.GeneratedAsIdentityColumnConstraint: "GENERATED",
    exp.ComputedColumnConstraint: "GENERATED",
    exp.CollateColumnConstraint: "COLLATE",
}
_KEPT = "of constraints a grid keeps PRIMARY KEY, NOT NULL and DEFAULT"
NO_GENERATED = f"GENERATED is not supported: {_KEPT}"


@dataclass(slots=True)
class Clauses:
    columns: list[dict[str, Any]]
    """Declared with their types."""
    names: tuple[str, ...]
    """Declared without."""
    document: dict[str, Any]
    """key, partition_by, indexes, broadcast, ttl."""


def table_name(table: Any) -> str:
    """The name in a statement. There is one schema, `main`. Raises NotSupported."""
    if not isinstance(table, exp.Table) or not table.name:
        raise NotSupported(f"{_text(table)} is not the name of a table")
    schema = table.args.get("db")
    if table.args.get("catalog") or (schema is not None and schema.name.lower() != "main"):
        raise NotSupported(f"{table.sql('duckdb')}: there are no schemas; write {table.name}")
    return str(table.name)


def read(table: str, tree: exp.Create) -> Clauses:
    """Raises SqlError."""
    document: dict[str, Any] = {"key": [], "partition_by": [], "indexes": [], "broadcast": False, "ttl": None}
    found = Clauses([], (), document)
    indexes: list[exp.IndexColumnConstraint] = []
    for entry in tree.this.expressions if isinstance(tree.this, exp.Schema) else ():
        if isinstance(entry, exp.Constraint) and len(entry.expressions) == 1:
            entry = entry.expressions[0]  # its name is of no use to anybody
        match entry:
            case exp.ColumnDef() if entry.args.get("kind") is None:
                _check_not_generated(entry)
                found.names += (entry.name,)
            case exp.ColumnDef():
                described = column(table, entry)
                if described.pop("key", False):
                    _key(table, document, [entry.name])
                found.columns.append(described)
            case exp.Identifier():
                found.names += (entry.name,)
            case exp.PrimaryKey():
                _primary_key(table, document, entry)
            case exp.IndexColumnConstraint():
                indexes.append(entry)
            case _:
                raise _not_kept(entry)
    properties = tree.args.get("properties")
    for entry in properties.expressions if properties is not None else ():
        _property(table, document, entry)
    document["indexes"] = [_index(table, index, found.columns) for index in indexes]
    return found


def column(table: str, definition: exp.ColumnDef) -> dict[str, Any]:
    """A column as JSON, with `key: True` where it says PRIMARY KEY itself. Raises SqlError."""
    kind = definition.args.get("kind")
    if kind is None:
        _check_not_generated(definition)
        raise TypeProblem(f"table {table}: column {definition.name} has no type")
    described: dict[str, Any] = {"name": definition.name, "type": kind.sql("duckdb")}
    for constraint in definition.args.get("constraints") or ():
        match constraint.kind if isinstance(constraint, exp.ColumnConstraint) else constraint:
            case exp.PrimaryKeyColumnConstraint():
                described |= {"key": True, "nullable": False}
            case exp.NotNullColumnConstraint() as null:
                described["nullable"] = bool(null.args.get("allow_null"))
            case exp.DefaultColumnConstraint() as default:
                described["default"] = _default(table, described, default.this)
            case other:
                raise _not_kept(other)
    return described


def _check_not_generated(definition: exp.ColumnDef) -> None:
    """A column that is declared without a type may have its values computed."""
    computed = definition.find(exp.ComputedColumnConstraint)
    if computed is not None:
        raise _not_kept(computed)


def _key(table: str, document: dict[str, Any], names: list[str]) -> None:
    if document["key"]:
        raise NotSupported(f"table {table} has two primary keys", remedy="Write one: PRIMARY KEY (column, …).")
    document["key"] = names


def _primary_key(table: str, document: dict[str, Any], entry: exp.PrimaryKey) -> None:
    _key(table, document, _names(entry.expressions))
    more = entry.args.get("include")
    for name, value in more.args.items() if more is not None else ():
        if name == "partition_by" and value:  # sqlglot takes a PARTITION BY that follows for the key's
            document["partition_by"] = _names(part for given in value for part in given.unnest().flatten())
        elif value:
            raise NotSupported(f"PRIMARY KEY takes columns and nothing else: {shown(entry.sql('duckdb'))}")


def _names(expressions: Any) -> list[str]:
    """Of columns, in whatever sqlglot put them."""
    names = []
    for entry in expressions:
        found = entry if isinstance(entry, exp.Identifier) else entry and entry.find(exp.Identifier)
        if found is None or (isinstance(entry, exp.Ordered) and entry.args.get("desc")):
            raise NotSupported(f"{_text(entry)} is not the name of a column")
        names.append(found.name)
    return names


def _property(table: str, document: dict[str, Any], entry: Any) -> None:
    if isinstance(entry, exp.PartitionedByProperty):
        inside = entry.this
        listed = [inside] if isinstance(inside, exp.Identifier | exp.Column) else inside.expressions or [inside.this]
        document["partition_by"] = _names(listed)
    elif isinstance(entry, exp.PrimaryKey):
        _primary_key(table, document, entry)
    elif isinstance(entry, exp.TemporaryProperty):
        raise NotSupported("there are no temporary tables", remedy="A CTE (WITH …) lives as long as one statement.")
    elif entry.name.upper() == BROADCAST:
        document["broadcast"] = bool(entry.args["value"].this)
    elif entry.name.upper() == TTL:
        document["ttl"] = _seconds(table, entry.args["value"])
    else:
        raise NotSupported(
            f"{shown(entry.sql('duckdb'))} is no clause of CREATE TABLE here; "
            "they are PARTITION BY (…), BROADCAST and TTL '…'"
        )


def _index(table: str, index: exp.IndexColumnConstraint, columns: list[dict[str, Any]]) -> dict[str, Any]:
    if index.this is not None:
        raise NotSupported(
            f"index {index.this.name} of table {table} has a name, and indexes have none",
            remedy=f"Write INDEX ({', '.join(_names(index.expressions))}).",
        )
    names = _names(index.expressions)
    given = index.args.get("index_type")
    if given is not None:
        return {"columns": names, "kind": given.name}
    lowered = {name.lower() for name in names}
    kinds = [_type(entry["type"]) for entry in columns if entry["name"].lower() in lowered]
    ranged = any(kind is not None and kind.python in RANGED for kind in kinds)
    return {"columns": names, "kind": ORDERED if ranged else HASH}


def _type(text: str) -> ColumnType | None:
    """None where there is no such type, of which `parse_definition` complains."""
    try:
        return parse_type(text)
    except ValueError:
        return None


def _default(table: str, described: dict[str, Any], given: Any) -> Any:
    """The constant as JSON has it. Raises NotSupported, TypeProblem."""
    kind = _type(described["type"])
    value = given.this if isinstance(given, exp.Cast) and isinstance(given.this, exp.Literal) else given
    value = value.unnest()
    negative = isinstance(value, exp.Neg)
    if negative:
        value = value.this
    if isinstance(value, exp.Null) or kind is None:
        return None
    if isinstance(value, exp.Boolean) and kind.python is bool:
        return bool(value.this)
    if not isinstance(value, exp.Literal | exp.Boolean) or (negative and value.is_string):
        raise NotSupported(
            f"table {table}: the default of column {described['name']} is {shown(given.sql('duckdb'))}; "
            "a default is a constant here",
            remedy="Give the value in the INSERT.",
        )
    text = ("-" if negative else "") + (value.name if isinstance(value, exp.Literal) else str(bool(value.this)).lower())
    try:
        return kind.to_json(kind.from_text(text.encode()))
    except BadValue as error:
        raise TypeProblem(f"table {table}, column {described['name']}: default: {error.reason}") from None


def _text(given: Any) -> str:
    """What stands where a name is expected, as far as the parser made something of it."""
    return shown(given.sql("duckdb")) if isinstance(given, exp.Expr) else "what stands there"


def _seconds(table: str, given: Any) -> int | float:
    """`'90 days'`, `'1h 30m'`, `INTERVAL 7 DAY`, or a number of seconds. Raises TypeProblem."""
    if isinstance(given, exp.Interval):
        text = f"{given.this.name if given.this is not None else ''} {given.text('unit')}".strip()
    elif isinstance(given, exp.Literal):
        text = given.name
    else:
        raise _no_time(table, given.sql("duckdb"))
    total: float = 0
    place = 0
    while place < len(text.rstrip()) or not text:
        match = _TIME.match(text, place)
        unit = match[2].lower() if match is not None else ""
        size = 1 if not unit else _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if match is None or size is None or (not unit and place):
            raise _no_time(table, text)
        total += float(match[1]) * size
        place = match.end()
    return int(total) if total.is_integer() else total


def _no_time(table: str, text: str) -> SqlError:
    return TypeProblem(
        f"table {table}: TTL {shown(text)} is no time; it is written '90 days', '1h 30m', INTERVAL 7 DAY or, in seconds, 3600"
    )


def _not_kept(entry: Any) -> SqlError:
    word = next((word for kind, word in _CONSTRAINTS.items() if isinstance(entry, kind)), "")
    what = word or shown(entry.sql("duckdb"))
    return NotSupported(
        f"{what} is not supported: {_KEPT}",
        remedy="Leave it out, and check where the rows are made." if word else "",
    )
