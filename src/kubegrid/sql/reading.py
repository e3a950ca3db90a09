"""From sqlglot's tree to conditions: what is listed here is a predicate, whatever else the tree has is refused by name.

Constants take the type of what they are compared with (`comparing`); the values themselves are in `value_reading`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from kubegrid.base.tables import TableDefinition
from kubegrid.sql import conditions as c
from kubegrid.sql.comparing import Incomparable, common, described
from kubegrid.sql.errors import PredicateError
from kubegrid.sql.like_pattern import LikePattern
from kubegrid.sql.parsing import parsed
from kubegrid.sql.value_reading import ValueReading

_COMPARISONS: dict[type[Any], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}


def read(definition: TableDefinition, text: str) -> c.Condition:
    """The conditions of a predicate. Raises PredicateError."""
    tree = parsed(text)
    try:
        return _Reading(definition, text).condition(tree)
    except PredicateError:
        raise
    except Exception as error:  # a tree of a form that we have never seen: the text's fault, not the member's
        raise PredicateError(f"it is not understood ({type(error).__name__})", text) from error


class _Reading(ValueReading):
    """One walk over a tree. Its depth is bounded by that of the text, chains of AND and OR aside, which are loops."""

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
            raise PredicateError(error.reason, self.text, error.offset) from None
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
            raise PredicateError("the pattern of LIKE is a text in quotes", self.text, pattern.offset)
        try:
            return c.Like(value, LikePattern(pattern.value, isinstance(node, exp.ILike), escape))
        except ValueError as error:
            raise PredicateError(str(error), self.text, pattern.offset) from None

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


def _widest(values: Sequence[c.Value]) -> str:
    """The kind of number in which BETWEEN and IN compare, one for all of their values."""
    return max((value.kind for value in values if value.kind in c.NUMBERS), key=c.NUMBERS.index, default=c.INTEGER)


_READERS: dict[type[Any], Callable[[_Reading, Any], c.Condition]] = {
    exp.Between: _Reading.between,
    exp.In: _Reading.one_of,
    exp.Like: _Reading.like,
    exp.ILike: _Reading.like,
    exp.Escape: _Reading.escaped,
    exp.Is: _Reading.is_,
}
