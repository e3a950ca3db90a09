"""Tables declared by Python classes: dataclasses, msgspec Structs and pydantic models.

    @dataclass
    class Trade: book: str; id: int; notional: Decimal; at: datetime; note: str | None = None

A field becomes a column: str VARCHAR, int BIGINT, float DOUBLE, Decimal DECIMAL(38,10), bool BOOLEAN, bytes BLOB, date
DATE, time TIME, datetime TIMESTAMP, UUID UUID; dict, list and Any JSON; an Enum or Literal the type of its values.
`X | None` may be NULL. Any other SQL type is said with Annotated: `Annotated[Decimal, "DECIMAL(18,2)"]`,
`Annotated[datetime, "TIMESTAMP WITH TIME ZONE"]`. msgspec's Meta(tz=True) and pydantic's AwareDatetime say the latter too.

Classes are recognized by what they have, so that neither pydantic nor anything else need be imported here.
"""

import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

import msgspec

from kubegrid.base.column_numbers import DecimalType, FloatType
from kubegrid.base.column_times import DateType, TimestampType, TimeType
from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import TYPES, parse_type
from kubegrid.base.nearest import hint
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadValue, DefinitionError, TableConflict, UnknownColumn, shown
from kubegrid.base.tables import HASH, ORDERED, Index, TableDefinition

_TYPE_OF_CLASS: dict[Any, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    Decimal: "DECIMAL(38,10)",
    str: "VARCHAR",
    bytes: "BLOB",
    date: "DATE",
    time: "TIME",
    datetime: "TIMESTAMP",
    UUID: "UUID",
    dict: "JSON",
    list: "JSON",
    Any: "JSON",
}
_ORDERED_TYPES = (DateType, TimeType, TimestampType, DecimalType, FloatType)
_NOTHING: Any = object()
_Enumeration = type[enum.Enum]

Wanted = str | Sequence[str] | Index | Mapping[str, Any]
"""An index: a column, several, or said in full."""
Binding = tuple[Callable[[Any], Sequence[Any]], Callable[[Sequence[Any]], Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: ColumnType
    nullable: bool
    default: Any
    """`_NOTHING` if there is none."""
    enumeration: "_Enumeration | None"
    """Its values are in the column, its members in the class."""


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
            if field.default is not _NOTHING and field.default is not None:
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
    if not isinstance(given, type):
        raise DefinitionError([f"{shown(given)} is no class; a table is declared by a dataclass, Struct or model"])
    make: Callable[..., Any] = given
    by_name = False
    if dataclasses.is_dataclass(given):
        listed = [field for field in dataclasses.fields(given) if field.init]
        defaults = {field.name: _given(field.default, dataclasses.MISSING) for field in listed}
        by_name = _has_keyword_only(given)
    elif issubclass(given, msgspec.Struct):
        defaults = {field.name: _given(field.default, msgspec.NODEFAULT) for field in msgspec.structs.fields(given)}
        by_name = _has_keyword_only(given)
    elif isinstance(getattr(given, "model_fields", None), dict):
        models: dict[str, Any] = given.model_fields  # type: ignore[attr-defined]
        defaults = {name: _NOTHING if field.is_required() else field.default for name, field in models.items()}
        defaults = {name: _NOTHING if models[name].default_factory else value for name, value in defaults.items()}
        by_name = True
        if any(field.alias or field.validation_alias for field in models.values()):
            make = given.model_construct  # type: ignore[attr-defined]
    else:
        raise DefinitionError([f"{given.__name__} is no dataclass, msgspec Struct or pydantic model"])
    return RecordClass(given, _fields(given, defaults), make, by_name)


def _has_keyword_only(given: type) -> bool:
    return any(parameter.kind is parameter.KEYWORD_ONLY for parameter in inspect.signature(given).parameters.values())


def _given(default: Any, missing: Any) -> Any:
    return _NOTHING if default is missing else default


def _fields(given: type, defaults: Mapping[str, Any]) -> list[Field]:
    try:
        hints = typing.get_type_hints(given, include_extras=True)
    except NameError as error:
        raise DefinitionError([f"{given.__name__}: a type is not known where the class is: {error}"]) from None
    models = getattr(given, "model_fields", {})
    fields, problems = [], []
    for name, default in defaults.items():
        metadata = list(getattr(models.get(name), "metadata", ()))
        try:
            column_type, nullable, enumeration = _resolved(hints[name], metadata)
        except ValueError as error:
            problems.append(f"{given.__name__}.{name}: {error}")
        else:
            fields.append(Field(name, column_type, nullable, default, enumeration))
    if problems:
        raise DefinitionError(problems)
    return fields


def _resolved(annotation: Any, metadata: list[Any]) -> tuple[ColumnType, bool, _Enumeration | None]:
    """Column type, whether None is allowed, and the Enum if it is one. Raises ValueError."""
    nullable = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *more = typing.get_args(annotation)
            metadata = [*metadata, *more]
        elif origin in (typing.Union, types.UnionType):
            options = [each for each in typing.get_args(annotation) if each is not types.NoneType]
            nullable = nullable or len(options) < len(typing.get_args(annotation))
            if len(options) != 1:
                raise ValueError(f"{annotation} has no column type; a column has one type")
            annotation = options[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            break
    said = next((each for each in metadata if isinstance(each, str)), None)
    if said is not None:
        return parse_type(said), nullable, _enumeration(annotation)
    if origin is typing.Literal:
        return _of_values(typing.get_args(annotation)), nullable, None
    if _enumeration(annotation) is not None:
        return _of_values([member.value for member in annotation]), nullable, annotation
    if any(getattr(each, "tz", None) is True for each in metadata):
        return TYPES["TIMESTAMP WITH TIME ZONE"], nullable, None
    name = getattr(annotation, "__name__", "")
    if name in ("AwareDatetime", "NaiveDatetime"):  # pydantic's
        return TYPES["TIMESTAMP WITH TIME ZONE" if name == "AwareDatetime" else "TIMESTAMP"], nullable, None
    known = _TYPE_OF_CLASS.get(origin or annotation)
    if known is None:
        spelt = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        raise ValueError(f'{spelt} has no column type; say one, as in Annotated[{spelt}, "VARCHAR"]')
    return parse_type(known), nullable, None


def _enumeration(annotation: Any) -> _Enumeration | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, enum.Enum) else None


def _of_values(values: Sequence[Any]) -> ColumnType:
    classes = {type(value) for value in values}
    if len(classes) != 1 or not classes <= {str, int, bool}:
        raise ValueError("its values are neither all texts nor all whole numbers, so it has no column type")
    return parse_type(_TYPE_OF_CLASS[classes.pop()])


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
