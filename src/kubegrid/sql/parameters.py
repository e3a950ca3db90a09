"""The values of parameters, put into a statement as literals before it is planned, so that a key among them routes it.

Each value becomes the literal that DuckDB reads back as just that value. Texts and whole numbers stay untyped, as in a
statement somebody types: what they are compared with decides. Where it is calculated with them, whole numbers are INTEGER
or BIGINT, as DuckDB's own parameters are: beside a TINYINT, a literal 100 would be one.
"""

import dataclasses
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlglot import exp

from kubegrid.base.table_errors import shown
from kubegrid.sql.errors import TypeProblem
from kubegrid.sql.statements import Statement

_INTEGER = range(-(2**31), 2**31)
_BIGINT = range(-(2**63), 2**63)
_HUGEINT = range(-(2**127), 2**127)
_UHUGEINT = range(2**128)
_DECIMAL_DIGITS_MAX = 38
_CALCULATES = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod)
_CALCULATES_BITS = (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift)


def bind(statement: Statement, values: Sequence[Any]) -> Statement:
    """The statement with the values in it. Raises TypeProblem."""
    if len(values) != statement.parameters:
        plural = "" if statement.parameters == 1 else "s"
        raise TypeProblem(f"the statement has {statement.parameters} parameter{plural}; {len(values)} given")
    if not statement.parameters:
        return statement
    if statement.explained is not None:
        return dataclasses.replace(statement, explained=bind(statement.explained, values), parameters=0)
    literals = [literal_node(value, place) for place, value in enumerate(values, 1)]
    tree = statement.expression.copy()
    for node in list(tree.find_all(exp.Placeholder, exp.Parameter)):
        place = int(node.name) - 1
        literal = literals[place].copy()
        node.replace(_sized(literal, values[place]) if _calculates(node) else literal)
    return dataclasses.replace(statement, expression=tree, parameters=0)


def _sized(literal: Any, value: Any) -> Any:
    """With the type of its size, if it is a whole number that has none."""
    number = literal.unnest()
    if isinstance(value, str) or not isinstance(number, exp.Literal | exp.Neg):
        return literal
    kind = "INTEGER" if int(value) in _INTEGER else "BIGINT"
    return exp.Cast(this=number, to=exp.DataType.build(kind, dialect="duckdb"))


def _calculates(node: exp.Expr) -> bool:
    """Whether it is calculated with the value as it is."""
    parent = node.parent
    while isinstance(parent, exp.Paren | exp.Neg):
        parent = parent.parent
    return isinstance(parent, (*_CALCULATES, *_CALCULATES_BITS))


def literal(value: Any) -> str:
    """A value as SQL spells it. Raises TypeProblem."""
    return str(literal_node(value, 1).sql("duckdb"))


def literal_node(value: Any, place: int) -> exp.Expression:
    """What stands for the value of parameter number `place`. Raises TypeProblem."""
    if value is None:
        return exp.Null()
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # numpy's own
        return exp.Boolean(this=bool(value))
    if isinstance(value, str):
        try:
            str.__str__(value).encode()
        except UnicodeEncodeError:
            raise TypeProblem(f"parameter {place}: {shown(value)} is not valid UTF-8") from None
        return exp.Literal.string(str.__str__(value))
    if isinstance(value, float):
        return _typed(repr(float(value)), "DOUBLE")
    if isinstance(value, Decimal):
        return _decimal(value, place)
    if isinstance(value, bytes | bytearray | memoryview):
        return exp.Anonymous(this="from_hex", expressions=[exp.Literal.string(bytes(value).hex())])
    if isinstance(value, datetime):
        if value != value:  # pandas' NaT is a datetime, unequal to itself
            return exp.Null()
        zoned = value.utcoffset() is not None
        return _typed(value.isoformat(sep=" "), "TIMESTAMPTZ" if zoned else "TIMESTAMP")
    if isinstance(value, date):
        return _typed(value.isoformat(), "DATE")
    if isinstance(value, time):
        return _typed(value.isoformat(), "TIME" if value.tzinfo is None else "TIMETZ")
    if isinstance(value, timedelta):
        within = timedelta(seconds=value.seconds, microseconds=value.microseconds)  # days stay days, as in DuckDB
        return _typed(f"{value.days} days {within // timedelta(microseconds=1)} microseconds", "INTERVAL")
    if isinstance(value, UUID):
        return _typed(str(value), "UUID")
    try:
        return _integer(int(value.__index__()), place)  # numpy's integers and IntEnum too
    except AttributeError:
        raise TypeProblem(
            f"parameter {place}: {shown(value)} is a {type(value).__name__}, for which there is no literal",
            remedy="Give numbers, texts, booleans, bytes, dates, times, UUIDs or None.",
        ) from None


def _integer(value: int, place: int) -> exp.Expression:
    if value in _BIGINT:
        literal = exp.Literal.number(abs(value))
        return exp.Paren(this=exp.Neg(this=literal)) if value < 0 else literal
    for values, name in ((_HUGEINT, "HUGEINT"), (_UHUGEINT, "UHUGEINT")):
        if value in values:
            return _typed(str(value), name)
    raise TypeProblem(f"parameter {place}: {shown(value)} has more than 128 bits")


def _decimal(value: Decimal, place: int) -> exp.Expression:
    if not value.is_finite():
        return _typed(str(value), "DOUBLE")
    _, digits, exponent = value.as_tuple()
    scale = max(0, -int(exponent))
    precision = max(len(digits) + max(0, int(exponent)), scale, 1)
    if precision > _DECIMAL_DIGITS_MAX:
        raise TypeProblem(f"parameter {place}: {shown(value)} has more than {_DECIMAL_DIGITS_MAX} digits")
    return _typed(f"{value:f}", f"DECIMAL({precision},{scale})")


def _typed(text: str, name: str) -> exp.Expression:
    return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build(name, dialect="duckdb"))
