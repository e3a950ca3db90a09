"""Final statements that need no DuckDB where the rows are few: plain columns, groups whose parts are merged, an order, a limit.

To show DuckDB a few rows, and to have it parse, bind and run a statement over them, takes two milliseconds of processor time,
whatever the statement is; the merging itself takes microseconds. So the final statements of the planner's commonest forms are
recognised here, by what they are and not by how they came about, and only those of which every part is known: anything else is
DuckDB's. Which types they may be computed for, and how, is told by who does it. Next: `query/merged`.
"""

from dataclasses import dataclass
from typing import Any

from sqlglot import exp

VALUE = "value"
"""Of a row, or of a key that all rows of a group have in common."""
COUNT = "count"
"""The sum of counts, 0 of none."""
SUM = "sum"
MIN = "min"
MAX = "max"
MEAN = "mean"
"""A sum as DOUBLE, divided by a sum of counts."""

_ALLOWED = {"expressions", "from_", "group", "order", "limit", "offset"}


@dataclass(frozen=True, slots=True)
class Item:
    kind: str
    column: str
    """Of the fragment's relation."""
    counts: str = ""
    """Of a MEAN: the column with the counts."""


@dataclass(frozen=True, slots=True)
class Order:
    item: int
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True)
class Merging:
    """What a final statement makes of the rows of one fragment."""

    fragment: str
    items: tuple[Item, ...]
    """Those of the answer, in its order, and behind them those that are only ordered by."""
    shown: int
    """How many of them are the answer's."""
    keys: tuple[str, ...] | None
    """Columns whose values make a group; none of them: one group of all rows. None: each row is for itself."""
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


def merging(final: Any) -> Merging | None:
    """None: it takes DuckDB."""
    if type(final) is not exp.Select or any(value for name, value in final.args.items() if name not in _ALLOWED):
        return None
    fragment = _relation(final)
    keys = _keys(final)
    shown = [_item(each.this if isinstance(each, exp.Alias) else each) for each in final.expressions]
    ordered = final.args["order"].expressions if final.args.get("order") else []
    hidden = [_item(each.this) for each in ordered]
    items = [item for item in (*shown, *hidden) if item is not None]
    limit, offset = _number(final, "limit"), _number(final, "offset")
    if fragment is None or keys is None or len(items) < len(shown) + len(hidden) or -1 in (limit, offset):
        return None
    if _hides_a_column(final, items):
        return None
    aggregated = bool(keys) or any(item.kind != VALUE for item in items)
    if aggregated and any(item.kind == VALUE and item.column not in keys for item in items):
        return None
    order = []
    for place, each in enumerate(ordered, len(shown)):
        if any(value for name, value in each.args.items() if name not in ("this", "desc", "nulls_first")):
            return None
        order.append(Order(place, bool(each.args.get("desc")), bool(each.args.get("nulls_first"))))
    return Merging(fragment, tuple(items), len(shown), keys if aggregated else None, tuple(order), limit, offset or 0)


def _relation(final: exp.Select) -> str | None:
    table = final.args["from_"].this if final.args.get("from_") else None
    if type(table) is not exp.Table or any(value for name, value in table.args.items() if name != "this"):
        return None
    return str(table.name)


def _keys(final: exp.Select) -> tuple[str, ...] | None:
    group = final.args.get("group")
    if group is None:
        return ()
    names = [_column(each) for each in group.expressions]
    if not names or any(value for name, value in group.args.items() if name != "expressions"):
        return None
    return tuple(name for name in names if name) if all(names) else None


def _item(node: Any) -> Item | None:
    while type(node) is exp.Paren:
        node = node.this
    column = _column(node)
    if column:
        return Item(VALUE, column)
    if type(node) is exp.Sum:
        return _over(SUM, node.this)
    if type(node) in (exp.Min, exp.Max) and not node.args.get("expressions"):
        return _over(MIN if type(node) is exp.Min else MAX, node.this)
    if type(node) is exp.Anonymous and node.name.lower() in (MIN, MAX) and len(node.expressions) == 1:
        return _over(node.name.lower(), node.expressions[0])
    if type(node) is exp.Cast and node.is_type("BIGINT") and type(node.this) is exp.Coalesce:
        total, none = node.this.this, node.this.expressions
        if type(total) is exp.Sum and len(none) == 1 and none[0] == exp.Literal.number(0):
            return _over(COUNT, total.this)
    if type(node) is exp.Div and type(node.this) is exp.Cast and node.this.is_type("DOUBLE"):
        total, counts = node.this.this, node.expression
        if type(total) is exp.Sum and type(counts) is exp.Sum:
            column, counted = _column(total.this), _column(counts.this)
            return Item(MEAN, column, counted) if column and counted else None
    return None


def _over(kind: str, argument: Any) -> Item | None:
    column = _column(argument)
    return Item(kind, column) if column else None


def _column(node: Any) -> str:
    """The name of a column of the relation; empty: it is something else."""
    plain = type(node) is exp.Column and type(node.this) is exp.Identifier and not node.table
    return str(node.name) if plain else ""


def _number(final: exp.Select, name: str) -> int | None:
    """Of a LIMIT or OFFSET; -1: it is no plain number."""
    node = final.args.get(name)
    if node is None:
        return None
    value = node.expression
    plain = (
        isinstance(value, exp.Literal)
        and value.is_int
        and not any(there for arg, there in node.args.items() if arg != "expression")
    )
    return int(value.name) if plain else -1


def _hides_a_column(final: exp.Select, items: list[Item]) -> bool:
    """Whether a name of the answer is also that of a column that is asked for: DuckDB may mean the former by it."""
    asked = {name.lower() for item in items for name in (item.column, item.counts)}
    return any(
        isinstance(each, exp.Alias) and each.alias.lower() in asked and _column(each.this) != each.alias
        for each in final.expressions
    )
