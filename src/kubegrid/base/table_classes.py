"""Tables declared by Python classes: dataclasses, msgspec Structs and pydantic models.

    @dataclass
    class Trade: book: str; id: int; notional: Decimal; at: datetime; note: str | None = None

A field becomes a column: str VARCHAR, int BIGINT, float DOUBLE, Decimal DECIMAL(38,10), bool BOOLEAN, bytes BLOB, date
DATE, time TIME, datetime TIMESTAMP, UUID UUID; dict, list and Any JSON; an Enum or Literal the type of its values.
`X | None` may be NULL. Any other SQL type is said with Annotated: `Annotated[Decimal, "DECIMAL(18,2)"]`,
`Annotated[datetime, "TIMESTAMP WITH TIME ZONE"]`. msgspec's Meta(tz=True) and pydantic's AwareDatetime say the latter too.

Classes are recognized by what they have, so that neither pydantic nor anything else need be imported here.
"""

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any

from kubegrid.base.class_fields import NOTHING, Field, shape_of
from kubegrid.base.column_numbers import DecimalType, FloatType
from kubegrid.base.column_times import DateType, TimestampType, TimeType
from kubegrid.base.nearest import hint
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadValue, DefinitionError, TableConflict, UnknownColumn
from kubegrid.base.tables import HASH, ORDERED, Index, TableDefinition

_ORDERED_TYPES = (DateType, TimeType, TimestampType, DecimalType, FloatType)

Wanted = str | Sequence[str] | Index | Mapping[str, Any]
"""An index: a column, several, or said in full."""
Binding = tuple[Callable[[Any], Sequence[Any]], Callable[[Sequence[Any]], Any]]


class RecordClass:
    """A class whose instances are records."""

    def __init__(self, given: type, fields: Sequence[Field], make: Callable[..., Any], by_name: bool) -> None:
        self.given = given
        self.fields = tuple(fields)
        self._make = make
        self._by_name = by_name

    @property
    def table_name(self) -> str:
        """`Trade` → `trades`, `OrderLine` → `order_lines`; a class attribute `__table__` says another."""
        declared = getattr(self.given, "__table__", None)
        if isinstance(declared, str):
            return declared
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.given.__name__).lower()
        if re.search(r"[^aeiou]y$", name):
            return name[:-1] + "ies"
        return name + ("es" if re.search(r"(s|x|z|ch|sh)$", name) else "s")

    def definition(
        self,
        name: str | None = None,
        *,
        key: str | Sequence[str],
        partition_by: str | Sequence[str] = (),
        index: Wanted | Sequence[Wanted] = (),
        broadcast: bool = False,
        ttl: int | str | None = None,
    ) -> TableDefinition:
        """The table for such records. Raises DefinitionError with every problem found."""
        columns = []
        for field in self.fields:
            column = {"name": field.name, "type": field.type.name, "nullable": field.nullable}
            if field.default is not NOTHING and field.default is not None:
                column["default"] = self._default(field)
            columns.append(column)
        given = [index] if isinstance(index, str | Index | Mapping) else list(index)
        return parse_definition(
            self.table_name if name is None else name,
            {
                "columns": columns,
                "key": _list(key),
                "partition_by": _list(partition_by),
                "indexes": [self._index(each) for each in given],
                "broadcast": broadcast,
                "ttl": ttl,
            },
        )

    def _default(self, field: Field) -> Any:
        value = field.default.value if isinstance(field.default, enum.Enum) else field.default
        try:
            settled = field.type.to_json(field.type.from_python(value))
        except BadValue as error:
            raise DefinitionError([f"{self.given.__name__}.{field.name}: default: {error.reason}"]) from None
        return str(settled) if isinstance(settled, Decimal) else settled

    def _index(self, wanted: Wanted) -> Mapping[str, Any]:
        """Ordered for times and for numbers with a fraction, which are asked for by range; hash for the rest."""
        if isinstance(wanted, Mapping):
            return wanted
        if isinstance(wanted, Index):
            return wanted.to_json()
        names = _list(wanted)
        kinds = {field.name: field.type for field in self.fields}
        ordered = any(isinstance(kinds.get(name), _ORDERED_TYPES) for name in names)
        return {"columns": names, "kind": ORDERED if ordered else HASH}

    def binding(self, definition: TableDefinition) -> Binding:
        """Functions from an instance to the values of a row, and back.

        Columns that the class lacks get their default, and are left out on the way back. Raises TableConflict if
        instances are no records of the table.
        """
        names = [field.name for field in self.fields]
        problems = [
            f"{self.given.__name__}.{name} is no column of table {definition.name}{hint(name, definition.names)}"
            for name in names
            if name not in definition.positions
        ]
        problems += [
            f"column {column.name} of table {definition.name} needs a value, and {self.given.__name__} has no such field"
            for column in definition.columns
            if column.required and column.name not in names
        ]
        if problems:
            raise TableConflict("; ".join(problems))
        return self._values_of(definition), self._made(definition)

    def _values_of(self, definition: TableDefinition) -> Callable[[Any], Sequence[Any]]:
        of_enumerations = {field.name for field in self.fields if field.enumeration is not None}
        names = {field.name for field in self.fields}
        if names == set(definition.names) and not of_enumerations and len(names) > 1:
            return attrgetter(*definition.names)  # one call for all of them, in C
        columns = definition.columns

        def values_of(instance: Any) -> Sequence[Any]:
            values = [getattr(instance, column.name) if column.name in names else column.default for column in columns]
            for name in of_enumerations:
                place = definition.positions[name]
                values[place] = getattr(values[place], "value", values[place])
            return values

        return values_of

    def _made(self, definition: TableDefinition) -> Callable[[Sequence[Any]], Any]:
        make = self._make
        names = tuple(field.name for field in self.fields)
        places = [definition.positions[name] for name in names]
        enumerations = [
            (at, field.enumeration) for at, field in enumerate(self.fields) if field.enumeration is not None
        ]
        whole = places == list(range(len(definition.columns)))
        if whole and not enumerations and not self._by_name:
            return lambda values: make(*values)
        pick = itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)

        def made(values: Sequence[Any]) -> Any:
            taken = list(pick(values))
            for at, enumeration in enumerations:
                taken[at] = None if taken[at] is None else enumeration(taken[at])
            return make(**dict(zip(names, taken, strict=True))) if self._by_name else make(*taken)

        return made


def record_class(given: Any) -> RecordClass:
    """Understand a class. Raises DefinitionError with every field that has no column type."""
    return RecordClass(given, *shape_of(given))


def _list(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def values_of_mapping(definition: TableDefinition, record: Mapping[str, Any]) -> list[Any]:
    """The values of a row given by column names. Raises UnknownColumn, and BadValue for what is missing."""
    for name in record:
        if name not in definition.positions:
            raise UnknownColumn(definition.name, name, definition.names)
    for column in definition.columns:
        if column.required and column.name not in record:
            raise BadValue("it is missing, NOT NULL, and has no default", definition.name, column.name)
    return [record.get(column.name, column.default) for column in definition.columns]
