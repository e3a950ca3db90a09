"""What a predicate means, apart from how it was written: a tree of conditions over values.

Values are columns, constants and arithmetic on numbers, each of a *kind*. Conditions are true, false, or unknown (NULL).
A comparison stands here only between values that compare with each other, with its constants already of the kind that
the comparison is made in; deciding that is `comparing`'s task.
"""

from dataclasses import dataclass
from typing import Any

from kubegrid.base.tables import Column
from kubegrid.sql.like_pattern import LikePattern

INTEGER, DECIMAL, REAL, DOUBLE = "integer", "decimal", "real", "double"
TEXT, BLOB, BOOLEAN, UUID, JSON = "text", "blob", "boolean", "uuid", "json"
DATE, TIME, TIMESTAMP, MOMENT = "date", "time", "timestamp", "moment"
NULL = "null"
NUMBERS = (INTEGER, DECIMAL, REAL, DOUBLE)
"""In the order in which one is promoted to the other."""


@dataclass(frozen=True, slots=True)
class ColumnValue:
    column: Column
    place: int
    """In a row."""
    kind: str
    offset: int


@dataclass(frozen=True, slots=True)
class Constant:
    value: Any
    kind: str
    offset: int
    untyped: bool = False
    """A text that takes on the type of what it is compared with."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    operator: str
    """`+`, `-`, `*`; in the kind of the result."""
    left: "Value"
    right: "Value"
    kind: str
    offset: int


Value = ColumnValue | Constant | Arithmetic


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    """`=`, `<>`, `<`, `<=`, `>`, `>=`"""
    left: Value
    right: Value
    kind: str
    """What both sides are compared as."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """IN over constants of the value's kind. With NULL among them, what is not found is unknown."""

    value: Value
    choices: tuple[Any, ...]
    with_null: bool
    kind: str


@dataclass(frozen=True, slots=True)
class Like:
    value: Value
    pattern: LikePattern


@dataclass(frozen=True, slots=True)
class IsNull:
    value: Value


@dataclass(frozen=True, slots=True)
class IsTruth:
    """IS TRUE or IS FALSE."""

    condition: "Condition"
    wanted: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """A BOOLEAN value as a condition."""

    value: Value


@dataclass(frozen=True, slots=True)
class Known:
    """TRUE, FALSE, or None for NULL."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Not:
    condition: "Condition"


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple["Condition", ...]


Condition = Comparison | OneOf | Like | IsNull | IsTruth | Truth | Known | Not | And | Or
