"""Which values compare with which, and as what: the rules of DuckDB, where they lose nothing.

Numbers compare with numbers, as the wider of the two kinds; dates with timestamps, as timestamps; everything else with
its own kind. A text literal takes on the type of the column it is compared with, and must be one of its values. In a
predicate, unlike in a write, a time without zone may stand beside one with: it is taken as UTC, the zone of the grid's
SQL. What does not compare is refused with what to write instead.
"""

from datetime import UTC, date, datetime, time
from decimal import Context, Decimal
from typing import Any

from kubegrid.base.column_numbers import FloatType, IntegerType
from kubegrid.base.column_times import TimestampType
from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import TYPES
from kubegrid.base.table_errors import BadValue, shown
from kubegrid.sql import conditions as c

_KIND_OF_NAME = {
    "BOOLEAN": c.BOOLEAN,
    "REAL": c.REAL,
    "DOUBLE": c.DOUBLE,
    "VARCHAR": c.TEXT,
    "BLOB": c.BLOB,
    "DATE": c.DATE,
    "TIME": c.TIME,
    "TIMESTAMP": c.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": c.MOMENT,
    "UUID": c.UUID,
    "JSON": c.JSON,
}
_TYPE_OF_KIND = {
    c.INTEGER: "BIGINT",
    c.REAL: "REAL",
    c.DOUBLE: "DOUBLE",
    c.TEXT: "VARCHAR",
    c.BLOB: "BLOB",
    c.BOOLEAN: "BOOLEAN",
    c.UUID: "UUID",
    c.DATE: "DATE",
    c.TIME: "TIME",
    c.TIMESTAMP: "TIMESTAMP",
    c.MOMENT: "TIMESTAMP WITH TIME ZONE",
}
_TIMES = (c.DATE, c.TIMESTAMP, c.MOMENT)
EXACT = Context(prec=400)
"""Python's own context rounds to 28 digits; products of a few DECIMALs have more."""
_SINGLE = FloatType("REAL", single=True)


class Incomparable(Exception):
    """Two values that do not compare; the message says why, `offset` where the second stands."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


def kind_of(column_type: ColumnType) -> str:
    if isinstance(column_type, IntegerType):
        return c.INTEGER
    return _KIND_OF_NAME.get(column_type.name, c.DECIMAL)


def typed_constant(text: str, column_type: ColumnType, offset: int) -> c.Constant:
    """`DATE '2013-01-31'` and the like. Raises Incomparable."""
    kind = kind_of(column_type)
    if kind == c.JSON:
        raise Incomparable("JSON cannot be compared", offset)
    try:
        return c.Constant(_from_text(text, column_type), kind, offset)
    except BadValue as error:
        raise Incomparable(error.reason, offset) from None


def _from_text(text: str, column_type: ColumnType) -> Any:
    if not isinstance(column_type, TimestampType):
        return column_type.from_text(text.encode())
    try:
        return column_type.from_text(text.encode())
    except BadValue:
        other = TYPES["TIMESTAMP" if column_type.zoned else "TIMESTAMP WITH TIME ZONE"]
        try:
            found = other.from_text(text.encode())
        except BadValue:
            return column_type.from_text(text.encode())  # which says what is wrong
        return found.replace(tzinfo=UTC if column_type.zoned else None)


def common(left: c.Value, right: c.Value, at_least: str) -> tuple[str, c.Value, c.Value]:
    """The kind in which two values compare, and both with their constants converted to it. Raises Incomparable.

    Numbers compare as `at_least`, or wider.
    """
    left, right = _agreed(left, right), _agreed(right, left)
    for value, other in ((left, right), (right, left)):
        if value.kind == c.JSON:
            raise Incomparable(f"{described(value)} cannot be compared; only IS NULL can be asked of it", other.offset)
    kind = _common_kind(left, right)
    if kind in c.NUMBERS:
        kind = max(kind, at_least, key=c.NUMBERS.index)
    return kind, _converted(left, kind), _converted(right, kind)


def _agreed(value: c.Value, other: c.Value) -> c.Value:
    """An untyped text as a value of the other's type."""
    if not isinstance(value, c.Constant) or not value.untyped or (isinstance(other, c.Constant) and other.untyped):
        return value
    if other.kind == c.TEXT or other.kind == c.NULL:
        return value
    if isinstance(other, c.ColumnValue):
        if other.kind == c.JSON:
            raise Incomparable(f"{described(other)} cannot be compared; only IS NULL can be asked of it", value.offset)
        try:
            return c.Constant(_from_text(value.value, other.column.type), other.kind, value.offset)
        except BadValue as error:
            raise Incomparable(f"{described(other)}: {error.reason}", value.offset) from None
    if other.kind == c.DECIMAL:
        raise Incomparable("a text beside a DECIMAL; write it as a number, without quotes", value.offset)
    return typed_constant(value.value, TYPES[_TYPE_OF_KIND[other.kind]], value.offset)


def _common_kind(left: c.Value, right: c.Value) -> str:
    one, other = left.kind, right.kind
    if one == other:
        return one
    if one in c.NUMBERS and other in c.NUMBERS:
        return c.NUMBERS[max(c.NUMBERS.index(one), c.NUMBERS.index(other))]
    if one in _TIMES and other in _TIMES:
        return _TIMES[max(_TIMES.index(one), _TIMES.index(other))]
    if c.NULL in (one, other):
        return c.NULL
    column, constant = (right, left) if isinstance(right, c.ColumnValue) else (left, right)
    raise Incomparable(f"{described(column)} does not compare with {described(constant)}", constant.offset)


def described(value: c.Value) -> str:
    if isinstance(value, c.ColumnValue):
        return f"column {value.column.name} {value.column.type}"
    if isinstance(value, c.Constant):
        return f"the {value.kind} {shown(value.value)}" if value.kind != c.NULL else "NULL"
    return f"a {value.kind} number"


def _converted(value: c.Value, kind: str) -> c.Value:
    if isinstance(value, c.Constant) and value.kind not in (kind, c.NULL):
        return c.Constant(conversion(kind, value.kind)(value.value), kind, value.offset)
    return value


def conversion(to: str, of: str) -> Any:
    """The function that makes a value of one kind one of another that is wider."""
    if to == c.REAL:
        return to_single
    if to == c.DOUBLE:
        return to_double
    if to == c.TIMESTAMP:
        return midnight
    if to == c.MOMENT:
        return moment_of_day if of == c.DATE else moment
    return same


def same(value: Any) -> Any:
    return value


def to_double(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def to_single(value: Any) -> float:
    number = to_double(value)
    try:
        return _SINGLE.settle(number)
    except BadValue:
        return float("inf") if number > 0 else float("-inf")


def midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def moment(clock: datetime) -> datetime:
    return clock.replace(tzinfo=UTC)


def moment_of_day(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def calculated(operator: str, left: Any, right: Any, kind: str) -> Any:
    """`left operator right` in `kind`, exactly for integers and decimals."""
    if kind in (c.REAL, c.DOUBLE):
        widen = to_single if kind == c.REAL else to_double
        one, other = widen(left), widen(right)
        number = one + other if operator == "+" else one - other if operator == "-" else one * other
        return to_single(number) if kind == c.REAL else number
    if kind == c.INTEGER:
        return left + right if operator == "+" else left - right if operator == "-" else left * right
    one_exact, other_exact = Decimal(left), Decimal(right)
    if operator == "+":
        return EXACT.add(one_exact, other_exact)
    return EXACT.subtract(one_exact, other_exact) if operator == "-" else EXACT.multiply(one_exact, other_exact)
