"""The values of a predicate out of sqlglot's tree: columns, literals, and sums and products of numbers.

Columns are found in the table, upper and lower case alike as in SQL. Next: `reading`, which makes conditions of them.
"""

from decimal import Decimal
from typing import Any

from sqlglot import exp

from kubegrid.base.columns import parse_type
from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import shown
from kubegrid.base.tables import TableDefinition
from kubegrid.sql import conditions as c
from kubegrid.sql.comparing import Incomparable, calculated, described, kind_of, typed_constant
from kubegrid.sql.errors import PredicateError
from kubegrid.sql.parsing import HAS

OPERATIONS_MAX = 8
"""Arithmetic in one value. More would outgrow the exact digits that are calculated with."""

_NAMES: dict[type[Any], str] = {
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.DPipe: "||",
    exp.RegexpLike: "~",
    exp.SimilarTo: "SIMILAR TO",
    exp.Glob: "GLOB",
    exp.TryCast: "TRY_CAST",
    exp.Tuple: "a list of values",
    exp.Star: "*",
}
_ARITHMETIC: dict[type[Any], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}


_CONDITIONS: tuple[type[Any], ...] = (
    *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Like, exp.ILike, exp.Escape, exp.Is),
    *(exp.And, exp.Or, exp.Not),
)


def offset_of(node: Any) -> int:
    """Where in the text a node begins, as far as sqlglot remembers."""
    starts = [int(each.meta["start"]) for each in node.walk() if "start" in each.meta]
    return min(starts, default=0)


class ValueReading:
    """Reads values, and refuses what is none with its place."""

    def __init__(self, definition: TableDefinition, text: str) -> None:
        self._definition = definition
        self.text = text
        self._lowered = {name.lower(): place for place, name in enumerate(definition.names)}

    def refused(self, reason: str, node: Any) -> PredicateError:
        return PredicateError(reason, self.text, offset_of(node))

    def unknown(self, node: Any) -> PredicateError:
        if isinstance(node, exp.Alias):
            return self.refused("this does not belong here", node.args["alias"])
        name = _NAMES.get(type(node), type(node).__name__)
        return self.refused(f"{name} cannot stand in a predicate; {HAS}", node)

    def only(self, node: Any, *names: str) -> None:
        """Refuse a node that says more than what is read of it, such as BETWEEN SYMMETRIC."""
        for name, value in node.args.items():
            if value and name not in names and name not in ("_type", "negate"):
                raise self.refused(
                    f"{type(node).__name__.upper()} with {name.upper()} cannot stand in a predicate", node
                )

    def value(self, node: Any) -> c.Value:
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Literal):
            return self._literal(node)
        if isinstance(node, exp.Null):
            return c.Constant(None, c.NULL, 0)
        if isinstance(node, exp.Boolean):
            return c.Constant(bool(node.this), c.BOOLEAN, 0)
        if isinstance(node, exp.Neg):
            return self._calculated("-", c.Constant(0, c.INTEGER, 0), self.value(node.this), node)
        if type(node) in _ARITHMETIC:
            left, right = self.value(node.this), self.value(node.args["expression"])
            return self._calculated(_ARITHMETIC[type(node)], left, right, node)
        if isinstance(node, exp.Cast) and type(node) is exp.Cast:
            return self._typed(node)
        if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
            raise self.refused("arithmetic in a predicate has +, - and *; multiply the other side instead", node)
        if type(node) in _CONDITIONS:
            raise self.refused("a condition stands where a value is expected; join conditions with AND or OR", node)
        raise self.unknown(node)

    def _column(self, node: exp.Column) -> c.ColumnValue:
        self.only(node, "this", "table")
        name = node.name
        if node.table and node.table.lower() != self._definition.name.lower():
            reason = f"{node.table}.{name}: the predicate is about table {self._definition.name} only"
            raise self.refused(reason, node)
        place = self._definition.positions.get(name, self._lowered.get(name.lower()))
        if place is None:
            reason = f"table {self._definition.name} has no column {shown(name)}{hint(name, self._definition.names)}"
            raise self.refused(reason, node)
        column = self._definition.columns[place]
        return c.ColumnValue(column, place, kind_of(column.type), offset_of(node))

    def _literal(self, node: exp.Literal) -> c.Constant:
        text = str(node.this)
        offset = offset_of(node)
        if node.is_string:
            return c.Constant(text, c.TEXT, offset, untyped=True)
        digits = text.replace(".", "", 1)
        try:
            if digits.isascii() and digits.isdecimal() and len(digits) <= 38:
                return (
                    c.Constant(Decimal(text), c.DECIMAL, offset)
                    if "." in text
                    else c.Constant(int(text), c.INTEGER, offset)
                )
            return c.Constant(float(text), c.DOUBLE, offset)
        except ValueError:
            raise self.refused(f"{shown(text)} is not a number", node) from None

    def _typed(self, node: exp.Cast) -> c.Constant:
        self.only(node, "this", "to")
        literal = node.this
        if not isinstance(literal, exp.Literal) or not literal.is_string:
            raise self.refused("only a text in quotes can be given a type here, as in DATE '2013-01-31'", node)
        try:
            column_type = parse_type(node.args["to"].sql(dialect="duckdb"))
            return typed_constant(str(literal.this), column_type, offset_of(literal))
        except Incomparable as error:
            raise PredicateError(error.reason, self.text, error.offset) from None
        except ValueError as error:
            raise self.refused(str(error), literal) from None

    def _calculated(self, operator: str, left: c.Value, right: c.Value, node: Any) -> c.Value:
        for value in (left, right):
            if value.kind not in c.NUMBERS and value.kind != c.NULL:
                raise self.refused(f"{operator} calculates with numbers, and {described(value)} is none", node)
        if c.NULL in (left.kind, right.kind):
            return c.Constant(None, c.NULL, offset_of(node))
        kind = c.NUMBERS[max(c.NUMBERS.index(left.kind), c.NUMBERS.index(right.kind))]
        if isinstance(left, c.Constant) and isinstance(right, c.Constant):
            value = calculated(operator, left.value, right.value, kind)
            return c.Constant(value, kind, right.offset)
        found = c.Arithmetic(operator, left, right, kind, offset_of(node))
        if _operations(found) > OPERATIONS_MAX:
            raise self.refused(f"more than {OPERATIONS_MAX} operations in one value", node)
        return found


def _operations(value: c.Value) -> int:
    return 1 + _operations(value.left) + _operations(value.right) if isinstance(value, c.Arithmetic) else 0
