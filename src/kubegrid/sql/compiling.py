"""Conditions as a Python function over a row.

SQL has three truths, and what counts in the end is whether the whole is true. So for each condition two expressions can
be written, one that says whether it is true and one whether it is false; NOT exchanges them, and unknown is when neither
holds. That gives plain Python booleans without a third value on the way: `NOT (a = 1)` is false for a NULL because
neither `a = 1` nor its opposite is true of it.

The source is made of places, operators and names that stand for constants; nothing of the user's text is in it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

from kubegrid.sql import conditions as c
from kubegrid.sql.comparing import calculated, conversion, same

_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_PYTHON = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FLOATS = (c.REAL, c.DOUBLE)


def compiled(condition: c.Condition, places: Mapping[int, int]) -> Callable[[Sequence[Any]], bool]:
    """Whether the condition is true of a row. `places`: a column's place in the table → its place in that row."""
    source = _Source(places)
    body = source.true(condition)
    names = source.names
    exec(_code(body), names)
    return names["matches"]  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _code(body: str) -> CodeType:
    """Predicates that differ only in their constants share it."""
    return compile(f"def matches(row):\n    return {body}\n", "<a predicate>", "exec")


class _Source:
    def __init__(self, places: Mapping[int, int]) -> None:
        self._places = places
        self.names: dict[str, Any] = {"compared": _compare_floats}

    def name(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def true(self, condition: c.Condition) -> str:
        return self._said(condition, True)

    def false(self, condition: c.Condition) -> str:
        return self._said(condition, False)

    def _said(self, condition: c.Condition, truth: bool) -> str:
        match condition:
            case c.And(parts):
                return self._joined(parts, truth, "and" if truth else "or")
            case c.Or(parts):
                return self._joined(parts, truth, "or" if truth else "and")
            case c.Not(inner):
                return self._said(inner, not truth)
            case c.Known(value):
                return str(value is truth)
            case c.IsTruth(inner, wanted):
                said = self._said(inner, wanted)
                return said if truth else f"(not {said})"
            case c.IsNull(value):
                guards = self._guards(value)
                known = f"({' and '.join(guards)})" if guards else "True"
                return f"(not {known})" if truth else known
            case c.Truth(value):
                return f"({self.value(value, c.BOOLEAN)} is {truth})"
            case c.Like(value, pattern):
                text = self.value(value, c.TEXT)
                call = f"{self.name(pattern.matcher())}({text})"
                if pattern.literal is not None:
                    call = f"{text} == {self.name(pattern.literal)}"
                return self._guarded([value], call if truth else f"not {call}")
            case c.OneOf():
                return self._one_of(condition, truth)
            case c.Comparison(operator, left, right, kind):
                question = self._comparison(operator if truth else _OPPOSITE[operator], left, right, kind)
                return self._guarded([left, right], question)

    def _joined(self, parts: Sequence[c.Condition], truth: bool, word: str) -> str:
        return "(" + f" {word} ".join(self._said(part, truth) for part in parts) + ")"

    def _one_of(self, condition: c.OneOf, truth: bool) -> str:
        if not truth and condition.with_null:
            return "False"
        choices = self.name(frozenset(condition.choices))
        value = self.value(condition.value, condition.kind)
        return self._guarded([condition.value], f"{value} {'in' if truth else 'not in'} {choices}")

    def _guarded(self, values: Sequence[c.Value], question: str) -> str:
        guards = list(dict.fromkeys(guard for value in values for guard in self._guards(value)))
        return "(" + " and ".join([*guards, question]) + ")"

    def _guards(self, value: c.Value) -> list[str]:
        """What must hold for the value not to be NULL."""
        if isinstance(value, c.ColumnValue):
            return [f"{self.row(value)} is not None"] if value.column.nullable else []
        if isinstance(value, c.Arithmetic):
            return self._guards(value.left) + self._guards(value.right)
        return []

    def row(self, value: c.ColumnValue) -> str:
        return f"row[{self._places[value.place]}]"

    def value(self, value: c.Value, kind: str) -> str:
        """The value, when it is not NULL, as one of `kind`."""
        if isinstance(value, c.Constant):
            return self.name(value.value)
        if isinstance(value, c.ColumnValue):
            text = self.row(value)
        else:
            one, other = self.value(value.left, value.left.kind), self.value(value.right, value.right.kind)
            text = f"{self.name(calculated)}({value.operator!r}, {one}, {other}, {value.kind!r})"
        if value.kind == kind or (kind == c.DECIMAL and value.kind == c.INTEGER):  # Python compares these exactly
            return text
        convert = conversion(kind, value.kind)
        return text if convert is same else f"{self.name(convert)}({text})"

    def _comparison(self, operator: str, left: c.Value, right: c.Value, kind: str) -> str:
        one, other = self.value(left, kind), self.value(right, kind)
        if kind not in _FLOATS:
            return f"{one} {_PYTHON[operator]} {other}"
        # In SQL NaN equals itself and is the largest number. Beside a finite constant Python's answers need only be
        # asked the right way round: everything that NaN is not less than, it is greater than.
        if isinstance(left, c.Constant):
            return (
                self._comparison(_MIRRORED[operator], right, left, kind)
                if not isinstance(right, c.Constant)
                else (f"compared({one}, {other}) {_PYTHON[operator]} 0")
            )
        if isinstance(right, c.Constant) and right.value == right.value:
            if operator in (">", ">="):
                return f"not {one} {_PYTHON[_OPPOSITE[operator]]} {other}"
            return f"{one} {_PYTHON[operator]} {other}"
        return f"compared({one}, {other}) {_PYTHON[operator]} 0"


def _compare_floats(one: float, other: float) -> int:
    """-1, 0 or 1, in SQL's order."""
    if one < other:
        return -1
    if one > other:
        return 1
    return (one != one) - (other != other)
