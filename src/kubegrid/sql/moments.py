"""now(), current_date and their like, put into a statement as literals.

All of a statement is of one moment, also what runs in several partitions; their clocks differ, and a plan that is
remembered would remember the moment too. The time zone of a grid is UTC.
"""

from datetime import UTC, datetime
from typing import Any

from sqlglot import exp

_DATE, _TIME, _TIMESTAMP, _MOMENT, _ZONED = "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMETZ"
_TYPES: dict[type[Any], str] = {
    exp.CurrentDate: _DATE,
    exp.CurrentTime: _ZONED,
    exp.Localtime: _TIME,
    exp.CurrentTimestamp: _MOMENT,
    exp.Localtimestamp: _TIMESTAMP,
}
_NAMES = {
    "now": _MOMENT,
    "get_current_timestamp": _MOMENT,
    "transaction_timestamp": _MOMENT,
    "get_current_time": _ZONED,
    "current_localtime": _TIME,
    "current_localtimestamp": _TIMESTAMP,
}
"""What sqlglot has no classes for."""


def at_moment(statement: Any, now: datetime) -> Any:
    """The statement as of `now`, which has a time zone; the same object if it does not ask for the time."""
    if not any(_type_of(node) for node in statement.walk()):
        return statement
    tree = statement.copy()
    moment = now.astimezone(UTC)
    texts = {
        _DATE: moment.strftime("%Y-%m-%d"),
        _TIME: moment.strftime("%H:%M:%S.%f"),
        _TIMESTAMP: moment.strftime("%Y-%m-%d %H:%M:%S.%f"),
        _ZONED: moment.strftime("%H:%M:%S.%f+00"),
        _MOMENT: moment.strftime("%Y-%m-%d %H:%M:%S.%f+00"),
    }
    for node in list(tree.walk()):
        kind = _type_of(node)
        if kind:
            made: Any = exp.Cast(this=exp.Literal.string(texts[kind]), to=exp.DataType.build(kind, dialect="duckdb"))
            if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
                made = exp.alias_(made, node.sql("duckdb").lower(), quoted=True)  # the name that DuckDB gives it
            node.replace(made)
    return tree


def _type_of(node: Any) -> str:
    found = _TYPES.get(type(node), "")
    if not found and type(node) is exp.Anonymous and not node.expressions:
        return _NAMES.get(node.name.lower(), "")
    return found
