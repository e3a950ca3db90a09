"""What records look like in the program: a class of its own (dataclass, msgspec Struct, pydantic model), or dicts.

A shape knows how to take the values out of a record, in the order of the table's columns, and how to make a record of them.
Columns that the table has and the class has not (added later by somebody else) get their defaults and are left out again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from kubegrid.base.table_classes import RecordClass
from kubegrid.base.table_errors import BadValue, UnknownColumn, shown
from kubegrid.base.tables import TableDefinition

R = TypeVar("R")


class Shape(Protocol, Generic[R]):
    """How records of one kind are taken apart and made."""

    name: str

    def bind(self, definition: TableDefinition) -> tuple[Callable[[R], Sequence[Any]], Callable[[Sequence[Any]], R]]:
        """(values of a record in the order of the columns, a record of such values)."""
        ...


class DictShape:
    """Records as dicts: column → value. What a dict leaves out gets the column's default, NULL without one."""

    name = "dict"

    def bind(
        self, definition: TableDefinition
    ) -> tuple[Callable[[Mapping[str, Any]], Sequence[Any]], Callable[[Sequence[Any]], dict[str, Any]]]:
        names = definition.names
        known = frozenset(names)
        defaults = [column.default for column in definition.columns]
        pairs = list(zip(names, defaults, strict=True))

        def values_of(record: Mapping[str, Any]) -> Sequence[Any]:
            try:
                if not record.keys() <= known:
                    unknown = sorted(map(str, record.keys() - known))[0]
                    raise UnknownColumn(definition.name, unknown, names)
            except AttributeError:
                raise BadValue(f"a record is a dict, not {shown(record)}", definition.name) from None
            return [record.get(name, default) for name, default in pairs]

        def make(values: Sequence[Any]) -> dict[str, Any]:
            return dict(zip(names, values, strict=False))

        return values_of, make


class ClassShape:
    """Records as instances of a class."""

    def __init__(self, record_class: RecordClass) -> None:
        self.name = record_class.given.__name__
        self.bind = record_class.binding
