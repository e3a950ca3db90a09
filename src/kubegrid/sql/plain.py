"""The short way for the predicates that come most: `column = literal AND column > literal …`.

sqlglot takes a millisecond for them, on the serving loop, which is a hundred times what finding the record by its index
takes. What matches here is exactly what `reading` would make of the text (a test compares them); whatever does not,
errors among it, goes the long way.
"""

import re
from decimal import Decimal

from kubegrid.base.tables import TableDefinition
from kubegrid.sql import conditions as c
from kubegrid.sql.comparing import Incomparable, common, kind_of

PLAIN_CHARS_MAX = 1024
_TERM = re.compile(
    r"""[ \t\r\n]* ([a-z_][a-z0-9_]*)
        [ \t\r\n]* (=|<>|!=|<=|>=|<|>)
        [ \t\r\n]* (?: '((?:[^'\\]|'')*)' | (-?)([0-9]{1,37}(?:\.[0-9]{1,37})?) )
        [ \t\r\n]* (?: \Z | AND(?=[ \t\r\n]) )""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_NO_COLUMNS = {
    *("and", "or", "not", "null", "true", "false", "case", "select", "interval", "exists", "is", "in", "like", "ilike"),
    *("between", "escape", "cast", "date", "time", "timestamp", "timestamptz", "datetime", "from", "where"),
}
"""Words that may be more than a column's name to a parser of SQL."""


def read_plain(definition: TableDefinition, text: str) -> c.Condition | None:
    """The conditions of a plain predicate; None if it is none, or wrong."""
    if len(text) > PLAIN_CHARS_MAX or not (text.isascii() or _is_utf8(text)):
        return None
    parts: list[c.Condition] = []
    at = 0
    while True:
        term = _TERM.match(text, at)
        if term is None:
            return None
        name, operator, quoted, minus, digits = term.groups()
        place = _place(definition, name)
        if place is None or name.lower() in _NO_COLUMNS:
            return None
        column = definition.columns[place]
        value = c.ColumnValue(column, place, kind_of(column.type), term.start(1))
        if digits is None:
            constant = c.Constant(quoted.replace("''", "'"), c.TEXT, term.start(3) - 1, untyped=True)
        elif len(digits) > 38:
            return None
        else:
            number = Decimal(digits) if "." in digits else int(digits)
            kind = c.DECIMAL if "." in digits else c.INTEGER
            constant = c.Constant(-number if minus else number, kind, term.start(5))
        try:
            kind, left, right = common(value, constant, c.INTEGER)
        except Incomparable:
            return None
        parts.append(c.Comparison("<>" if operator == "!=" else operator, left, right, kind))
        at = term.end()
        if at == len(text):
            return c.And(tuple(parts)) if len(parts) > 1 else parts[0]


def _place(definition: TableDefinition, name: str) -> int | None:
    place = definition.positions.get(name)
    if place is None:
        return next((at for at, each in enumerate(definition.names) if each.lower() == name.lower()), None)
    return place


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
