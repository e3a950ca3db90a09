"""The fields of a class as columns: which type of SQL each annotation asks for.

A field that has no type is refused with what to write; nothing is guessed from values. Next: `table_classes`.
"""

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import TYPES, parse_type
from kubegrid.base.table_errors import DefinitionError, shown

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
NOTHING: Any = object()
"""No default; None is one."""
Enumeration = type[enum.Enum]


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: ColumnType
    nullable: bool
    default: Any
    """`NOTHING` if there is none."""
    enumeration: "Enumeration | None"
    """Its values are in the column, its members in the class."""


class Shape(typing.NamedTuple):
    """What a class is made of, and how to make it again."""

    fields: list[Field]
    make: Callable[..., Any]
    by_name: bool
    """Whether its values are given by name; in the order of its fields otherwise."""


def shape_of(given: Any) -> Shape:
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
        defaults = {name: NOTHING if field.is_required() else field.default for name, field in models.items()}
        defaults = {name: NOTHING if models[name].default_factory else value for name, value in defaults.items()}
        by_name = True
        if any(field.alias or field.validation_alias for field in models.values()):
            make = given.model_construct  # type: ignore[attr-defined]
    else:
        raise DefinitionError([f"{given.__name__} is no dataclass, msgspec Struct or pydantic model"])
    return Shape(_fields(given, defaults), make, by_name)


def _has_keyword_only(given: type) -> bool:
    return any(parameter.kind is parameter.KEYWORD_ONLY for parameter in inspect.signature(given).parameters.values())


def _given(default: Any, missing: Any) -> Any:
    return NOTHING if default is missing else default


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


def _resolved(annotation: Any, metadata: list[Any]) -> tuple[ColumnType, bool, Enumeration | None]:
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


def _enumeration(annotation: Any) -> Enumeration | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, enum.Enum) else None


def _of_values(values: Sequence[Any]) -> ColumnType:
    classes = {type(value) for value in values}
    if len(classes) != 1 or not classes <= {str, int, bool}:
        raise ValueError("its values are neither all texts nor all whole numbers, so it has no column type")
    return parse_type(_TYPE_OF_CLASS[classes.pop()])
