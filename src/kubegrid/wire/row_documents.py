"""A record as a JSON document, whole or some of its columns, and back.

DECIMAL and HUGEINT are numbers with all their digits, BLOB is base64, NaN and the infinities are the texts `NaN`,
`Infinity`, `-Infinity`, dates and times are ISO 8601 text. What a document lacks gets the column's default, NULL
without one; a field that is no column is an error, for it is a typo as a rule.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from kubegrid.base.table_errors import BadValue, UnknownColumn, shown
from kubegrid.base.tables import Column, TableDefinition
from kubegrid.wire import row_source

_encode = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical").encode
_exact = msgspec.json.Decoder(float_hook=Decimal).decode
"""Numbers with a fraction or an exponent keep all the digits that they are written with."""
_UNSET = msgspec.UNSET


class RowDocuments:
    """JSON documents of one table's rows. `exactly` says whether values are as they stay in memory."""

    def __init__(self, definition: TableDefinition, exactly: Callable[[Sequence[Any]], bool]) -> None:
        self.definition = definition
        self._exactly = exactly
        self._decimals = {column.name for column in definition.columns if column.type.python is Decimal}
        self._finite = row_source.finite(definition.columns)

    def encode(self, values: Sequence[Any], fields: Sequence[str] | None = None) -> bytes:
        """The document of a row, or of the columns `fields` of it, in their order. Raises UnknownColumn."""
        if fields is not None:
            return _encode({name: self.json_value(values, self.definition.position(name)) for name in fields})
        if self._finite is None or self._finite(values):
            return _encode(self._structure(*values))
        return _encode({name: self.json_value(values, place) for place, name in enumerate(self.definition.names)})

    def json_value(self, values: Sequence[Any], place: int) -> Any:
        """One value as what stands for it in JSON."""
        value = values[place]
        return None if value is None else self.definition.columns[place].type.to_json(value)

    def decode(self, document: bytes | str, known: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """The row's values in a document; columns that it lacks are taken from `known` (values as in memory) first.

        Raises BadValue, UnknownColumn.
        """
        try:
            values = msgspec.structs.astuple(self._decode(document))
            if _UNSET in values:
                values = tuple(map(self._missing, self.definition.columns, values, [known] * len(values)))
            if self._exactly(values):
                return values
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError, BadValue):
            pass  # found again below, with its column
        try:
            given = msgspec.json.decode(document)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadValue(f"the document is not valid JSON: {error}", self.definition.name) from None
        return self.from_json(self.exact(given, document), known)

    def exact(self, given: Any, document: bytes | str, inside: str = "") -> Any:
        """The fields that were decoded from a document, or from its field `inside`; those of DECIMAL columns with all their
        digits: a float has sixteen."""
        if not isinstance(given, dict):
            return given
        rounded = [name for name, value in given.items() if type(value) is float and name in self._decimals]
        if not rounded:
            return given
        again = _exact(document)
        if inside:
            again = again[inside]
        return given | {name: again[name] for name in rounded}

    def from_json(self, given: Any, known: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """The same from a decoded document."""
        if not isinstance(given, dict):
            raise BadValue(f"a record is a JSON object, not {shown(given)}", self.definition.name)
        for name in given:
            if name not in self.definition.positions:
                raise UnknownColumn(self.definition.name, name, self.definition.names)
        return tuple(
            self.value_from_json(column, given[column.name])
            if column.name in given
            else self._missing(column, _UNSET, known)
            for column in self.definition.columns
        )

    def value_from_json(self, column: Column, value: Any) -> Any:
        """One column's value from a decoded JSON value, null included. Raises BadValue."""
        if value is None:
            return self._null(column)
        try:
            return column.type.from_json(value)
        except BadValue as error:
            raise error.at(self.definition.name, column.name) from None

    def _null(self, column: Column) -> None:
        if not column.nullable:
            raise BadValue(f"null is no value of a NOT NULL column ({column.type})", self.definition.name, column.name)

    def _missing(self, column: Column, value: Any, known: Mapping[str, Any] | None) -> Any:
        if value is not _UNSET:
            return value
        if known is not None and column.name in known:
            return known[column.name]
        if column.required:
            raise BadValue("it is missing, NOT NULL, and has no default", self.definition.name, column.name)
        return column.default

    @cached_property
    def _structure(self) -> Any:
        return msgspec.defstruct(
            "Document",
            [(f"c{place}", Any) for place in range(len(self.definition.names))],
            rename={f"c{place}": name for place, name in enumerate(self.definition.names)},
            gc=False,
        )

    @cached_property
    def _decode(self) -> Callable[[bytes | str], Any]:
        fields = [
            (f"c{place}", _optional(column) | msgspec.UnsetType, _UNSET)
            for place, column in enumerate(self.definition.columns)
        ]
        structure = msgspec.defstruct(
            "Document",
            fields,
            rename={f"c{place}": name for place, name in enumerate(self.definition.names)},
            forbid_unknown_fields=True,
        )
        return msgspec.json.Decoder(structure).decode


def _optional(column: Column) -> Any:
    document = column.type.document
    if document is Any:
        return bool | int | float | str | list | dict | None
    return document | None if column.nullable else document
