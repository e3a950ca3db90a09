"""What an index can use of a predicate: per column, the values or the range outside of which it is not true.

Only the conditions that AND joins at the top count, and of those only comparisons of a column with constants. The
bounds are necessary, not sufficient: every record found by them is still asked the whole predicate. Values are of the
class that the column has in memory.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubegrid.sql import conditions as c

_MIRRORED = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Bounds:
    """`equal`: the only values possible, None if not known; () if none is. `low` and `high`: None is no bound.

    A DOUBLE that is NaN lies above every number, so it is inside when there is no `high`. NULL is never inside.
    """

    equal: tuple[Any, ...] | None = None
    low: Any = None
    low_inclusive: bool = False
    high: Any = None
    high_inclusive: bool = False


def bounds_of(condition: c.Condition) -> dict[str, Bounds]:
    found: dict[str, Bounds] = {}
    for column, bounds in _single_bounds(condition):
        there = found.get(column)
        found[column] = bounds if there is None else _both(there, bounds)
    return found


def _single_bounds(condition: c.Condition) -> list[tuple[str, Bounds]]:
    match condition:
        case c.And(parts):
            return [bound for part in parts for bound in _single_bounds(part)]
        case c.Comparison(operator, c.ColumnValue() as value, c.Constant() as constant, _):
            return _bounds(value, operator, constant)
        case c.Comparison(operator, c.Constant() as constant, c.ColumnValue() as value, _) if operator in _MIRRORED:
            return _bounds(value, _MIRRORED[operator], constant)
        case c.OneOf(c.ColumnValue() as value, choices, _, kind) if _usable(value, kind):
            equal = [_exact(value, choice) for choice in choices]
            return [(value.column.name, Bounds(equal=tuple(dict.fromkeys(x for x in equal if x is not None))))]
        case c.Like(c.ColumnValue() as value, pattern) if pattern.literal is not None:
            return [(value.column.name, Bounds(equal=(pattern.literal,)))]
        case c.Like(c.ColumnValue() as value, pattern) if pattern.prefix:
            return [(value.column.name, _prefixed(pattern.prefix))]
        case c.Truth(c.ColumnValue() as value):
            return [(value.column.name, Bounds(equal=(True,)))]
        case c.Not(c.Truth(c.ColumnValue() as value)):
            return [(value.column.name, Bounds(equal=(False,)))]
        case _:
            return []


def _usable(value: c.ColumnValue, kind: str) -> bool:
    """Whether a constant of `kind` compares with what is in memory as it is: a DATE is not converted in an index."""
    return kind == value.kind or (kind in (c.INTEGER, c.DECIMAL) and value.kind in (c.INTEGER, c.DECIMAL))


def _exact(value: c.ColumnValue, constant: Any) -> Any:
    """The constant in the column's class; None if no value of the column can equal it."""
    if value.kind == c.INTEGER and isinstance(constant, Decimal):
        return int(constant) if constant == constant.to_integral_value() else None
    if value.kind == c.DECIMAL and isinstance(constant, int):
        return Decimal(constant)
    return constant


def _bounds(value: c.ColumnValue, operator: str, constant: c.Constant) -> list[tuple[str, Bounds]]:
    number = constant.value
    if not _usable(value, constant.kind) or number != number:
        return []
    name = value.column.name
    if operator == "=":
        exact = _exact(value, number)
        return [(name, Bounds(equal=() if exact is None else (exact,)))]
    inclusive = operator in ("<=", ">=")
    exact = _exact(value, number)
    if operator in (">", ">="):
        if exact is None:
            exact, inclusive = math.ceil(number), True
        return [(name, Bounds(low=exact, low_inclusive=inclusive))]
    if operator in ("<", "<="):
        if exact is None:
            exact, inclusive = math.floor(number), True
        return [(name, Bounds(high=exact, high_inclusive=inclusive))]
    return []


def _prefixed(prefix: str) -> Bounds:
    """The texts that begin with `prefix`: up to, not including, the next text that does not."""
    end = prefix.rstrip("\U0010ffff")
    if not end:
        return Bounds(low=prefix, low_inclusive=True)
    following = ord(end[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # surrogates are no characters
        following = 0xE000
    return Bounds(low=prefix, low_inclusive=True, high=end[:-1] + chr(following))


def _both(one: Bounds, other: Bounds) -> Bounds:
    if one.equal is not None and other.equal is not None:
        return Bounds(equal=tuple(value for value in one.equal if value in other.equal))
    if one.equal is not None or other.equal is not None:
        equal, limits = (one, other) if one.equal is not None else (other, one)
        return Bounds(equal=tuple(value for value in equal.equal or () if _inside(value, limits)))
    low, low_inclusive = one.low, one.low_inclusive
    if low is None or (other.low is not None and (other.low, not other.low_inclusive) > (low, not low_inclusive)):
        low, low_inclusive = other.low, other.low_inclusive
    high, high_inclusive = one.high, one.high_inclusive
    if high is None or (other.high is not None and (other.high, other.high_inclusive) < (high, high_inclusive)):
        high, high_inclusive = other.high, other.high_inclusive
    return Bounds(None, low, low_inclusive, high, high_inclusive)


def _inside(value: Any, limits: Bounds) -> bool:
    above = limits.low is None or value > limits.low or (limits.low_inclusive and value == limits.low)
    return above and (limits.high is None or value < limits.high or (limits.high_inclusive and value == limits.high))
