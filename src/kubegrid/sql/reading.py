"""From sqlglot's tree to conditions: what is listed here is a predicate, whatever else the tree has is refused by name.

Columns are found in the table, upper and lower case alike as in SQL; constants take the type of what they are compared
with (`comparing`).
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlglot import exp

from kubegrid.base.columns import parse_type
from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import shown
from kubegrid.base.tables import TableDefinition
from kubegrid.sql import conditions as c
from kubegrid.sql.comparing import Incomparable, calculated, common, described, kind_of, typed_constant
from kubegrid.sql.errors import PredicateError
from kubegrid.sql.like_pattern import LikePattern
from kubegrid.sql.parsing import HAS, parsed

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
_COMPARISONS: dict[type[Any], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[Any], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}


def read(definition: TableDefinition, text: str) -> c.Condition:
    """The conditions of a predicate. Raises PredicateError."""
    return _Reading(definition, text).condition(parsed(text))


def _offset(node: Any) -> int:
    """Where in the text a node begins, as far as sqlglot remembers."""
    starts = [int(each.meta["start"]) for each in node.walk() if "start" in each.meta]
    return min(starts, default=0)


class _Reading:
    """One walk over a tree. Its depth is bounded by that of the text, chains of AND and OR aside, which are loops."""

    def __init__(self, definition: TableDefinition, text: str) -> None:
        self._definition = definition
        self._text = text
        self._lowered = {name.lower(): place for place, name in enumerate(definition.names)}

    def refused(self, reason: str, node: Any) -> PredicateError:
        return PredicateError(reason, self._text, _offset(node))

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

    # Conditions

    def condition(self, node: Any) -> c.Condition:
        found = self._condition(node)
        # Some of sqlglot's nodes have their NOT inside.
        return c.Not(found) if node.args.get("negate") else found

    def _condition(self, node: Any) -> c.Condition:
        if isinstance(node, exp.Paren):
            return self.condition(node.this)
        if isinstance(node, exp.And | exp.Or):
            parts = tuple(self.condition(part) for part in self._chain(node))
            return c.And(parts) if isinstance(node, exp.And) else c.Or(parts)
        if isinstance(node, exp.Not):
            return c.Not(self.condition(node.this))
        operator = _COMPARISONS.get(type(node))
        if operator is not None:
            self.only(node, "this", "expression")
            return self._compared(operator, self.value(node.this), self.value(node.args["expression"]))
        reader = _READERS.get(type(node))
        if reader is not None:
            return reader(self, node)
        return self._truth(self.value(node), node)

    def _chain(self, node: Any) -> list[Any]:
        """`a AND b AND c` hangs to the left; deep, but not nested in the text."""
        parts = []
        kind = type(node)
        while type(node) is kind:
            self.only(node, "this", "expression")
            parts.append(node.args["expression"])
            node = node.this
        parts.append(node)
        return parts[::-1]

    def _truth(self, value: c.Value, node: Any) -> c.Condition:
        if isinstance(value, c.Constant) and value.kind in (c.BOOLEAN, c.NULL):
            return c.Known(value.value)
        if value.kind == c.BOOLEAN:
            return c.Truth(value)
        raise self.refused(f"{described(value)} is not a condition; compare it with something", node)

    def _compared(self, operator: str, left: c.Value, right: c.Value, at_least: str = c.INTEGER) -> c.Condition:
        try:
            kind, left, right = common(left, right, at_least)
        except Incomparable as error:
            raise PredicateError(error.reason, self._text, error.offset) from None
        if kind == c.NULL or c.NULL in (left.kind, right.kind):
            return c.Known(None)
        return c.Comparison(operator, left, right, kind)

    def between(self, node: Any) -> c.Condition:
        self.only(node, "this", "low", "high")
        value, low, high = (self.value(node.args[name]) for name in ("this", "low", "high"))
        widest = _widest((value, low, high))
        return c.And((self._compared(">=", value, low, widest), self._compared("<=", value, high, widest)))

    def one_of(self, node: Any) -> c.Condition:
        self.only(node, "this", "expressions")
        if not node.expressions:
            raise self.refused("IN takes at least one value in parentheses", node)
        value = self.value(node.this)
        given = [self.value(choice) for choice in node.expressions]
        widest = _widest((value, *given))
        choices = [self._compared("=", value, choice, widest) for choice in given]
        if isinstance(value, c.ColumnValue) and choices:
            constants = [choice.right for choice in choices if isinstance(choice, c.Comparison)]
            kinds = {choice.kind for choice in choices if isinstance(choice, c.Comparison)}
            if len(kinds) == 1 and all(isinstance(each, c.Constant) and each.value == each.value for each in constants):
                values = tuple(each.value for each in constants if isinstance(each, c.Constant))
                with_null = len(constants) < len(choices)
                return c.OneOf(value, values, with_null, kinds.pop())
        return c.Or(tuple(choices))

    def like(self, node: Any, escape: str = "") -> c.Condition:
        self.only(node, "this", "expression")
        value = self.value(node.this)
        pattern = self.value(node.args["expression"])
        if c.NULL in (value.kind, pattern.kind):
            return c.Known(None)
        if value.kind != c.TEXT:
            raise self.refused(f"LIKE asks of a VARCHAR, and {described(value)} is none", node)
        if not isinstance(pattern, c.Constant) or pattern.kind != c.TEXT:
            raise PredicateError("the pattern of LIKE is a text in quotes", self._text, pattern.offset)
        try:
            return c.Like(value, LikePattern(pattern.value, isinstance(node, exp.ILike), escape))
        except ValueError as error:
            raise PredicateError(str(error), self._text, pattern.offset) from None

    def escaped(self, node: Any) -> c.Condition:
        escape = node.args["expression"]
        inner = node.this
        negated = isinstance(inner, exp.Not)
        like = inner.this if negated else inner
        if not isinstance(like, exp.Like | exp.ILike):
            raise self.unknown(node)
        if not isinstance(escape, exp.Literal) or not escape.is_string or len(str(escape.this)) != 1:
            raise self.refused("ESCAPE takes one character in quotes", escape)
        found = self.like(like, str(escape.this))
        return c.Not(found) if negated != bool(like.args.get("negate")) else found

    def is_(self, node: Any) -> c.Condition:
        self.only(node, "this", "expression")
        what = node.args["expression"]
        if isinstance(what, exp.Boolean):
            return c.IsTruth(self.condition(node.this), bool(what.this))
        if not isinstance(what, exp.Null):
            raise self.refused("IS asks for NULL, TRUE or FALSE; use = for other values", node)
        value = self.value(node.this)
        return c.Known(value.value is None) if isinstance(value, c.Constant) else c.IsNull(value)

    # Values

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
        if type(node) in _COMPARISONS or type(node) in _READERS or isinstance(node, exp.And | exp.Or | exp.Not):
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
        return c.ColumnValue(column, place, kind_of(column.type), _offset(node))

    def _literal(self, node: exp.Literal) -> c.Constant:
        text = str(node.this)
        offset = _offset(node)
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
            return typed_constant(str(literal.this), column_type, _offset(literal))
        except Incomparable as error:
            raise PredicateError(error.reason, self._text, error.offset) from None
        except ValueError as error:
            raise self.refused(str(error), literal) from None

    def _calculated(self, operator: str, left: c.Value, right: c.Value, node: Any) -> c.Value:
        for value in (left, right):
            if value.kind not in c.NUMBERS and value.kind != c.NULL:
                raise self.refused(f"{operator} calculates with numbers, and {described(value)} is none", node)
        if c.NULL in (left.kind, right.kind):
            return c.Constant(None, c.NULL, _offset(node))
        kind = c.NUMBERS[max(c.NUMBERS.index(left.kind), c.NUMBERS.index(right.kind))]
        if isinstance(left, c.Constant) and isinstance(right, c.Constant):
            value = calculated(operator, left.value, right.value, kind)
            return c.Constant(value, kind, right.offset)
        found = c.Arithmetic(operator, left, right, kind, _offset(node))
        if _operations(found) > OPERATIONS_MAX:
            raise self.refused(f"more than {OPERATIONS_MAX} operations in one value", node)
        return found


def _widest(values: Sequence[c.Value]) -> str:
    """The kind of number in which BETWEEN and IN compare, one for all of their values."""
    return max((value.kind for value in values if value.kind in c.NUMBERS), key=c.NUMBERS.index, default=c.INTEGER)


def _operations(value: c.Value) -> int:
    return 1 + _operations(value.left) + _operations(value.right) if isinstance(value, c.Arithmetic) else 0


_READERS: dict[type[Any], Callable[[_Reading, Any], c.Condition]] = {
    exp.Between: _Reading.between,
    exp.In: _Reading.one_of,
    exp.Like: _Reading.like,
    exp.ILike: _Reading.like,
    exp.Escape: _Reading.escaped,
    exp.Is: _Reading.is_,
}
