"""A record's bytes: the msgpack array of its column values, in the order of the table's definition.

msgspec writes and reads them, typed: DATE, TIME and TIMESTAMP as ISO 8601 text, TIMESTAMP WITH TIME ZONE as msgpack's
own timestamp, UUID and BLOB as bytes, DECIMAL and HUGEINT as text, JSON as nested msgpack. A row written before a
column was added is shorter; what it lacks reads as the column's default, NULL without one. One that is longer (written
under a later schema than this member has yet) is read as far as the columns go.

Hot path: every record written or read passes here. What can be generated per table is (`row_source`), the common case
is one call into C and one line of questions, and whatever is wrong is found a second time, slowly, to say it well.
JSON documents are in `row_documents`, Arrow in `arrow_rows`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import msgspec

from kubegrid.base.record_keys import RecordKeys
from kubegrid.base.table_errors import BadValue, TableError, shown
from kubegrid.base.tables import RECORD_BYTES_MAX, Column, TableDefinition
from kubegrid.wire import row_source
from kubegrid.wire.row_documents import RowDocuments

PROJECTIONS_MAX = 64
"""Decoders for some of the columns that are kept; making one takes as long as a thousand uses."""

_encode = msgspec.msgpack.Encoder(decimal_format="string", uuid_format="bytes").encode
packed_value: Callable[[Any], bytes] = _encode
"""One value as it stands in a row, when its column's type has no `pack`; a list of them as an array."""


class RowCodec:
    """Rows of one table under one schema. Values go in and out as the column types have them in memory."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self.columns = definition.columns
        self.keys = RecordKeys(definition)
        self.key_of_row = row_source.key_of_row(definition)
        self._width = len(self.columns)
        self._projections: dict[tuple[str, ...], Callable[[bytes | memoryview], tuple[Any, ...]]] = {}
        self._decode = msgspec.msgpack.Decoder(tuple.__class_getitem__(tuple(map(_wire, self.columns)))).decode
        self._unpack = row_source.converted(self.columns, "unpack")
        self._pack = row_source.converted(self.columns, "pack")

    # Python values in, bytes out

    def encode(self, values: Sequence[Any]) -> bytes:
        """The row of these values, one for each column, None for NULL. Raises BadValue."""
        try:
            if self._exactly(values):
                row = _encode(values if self._pack is None else self._pack(values))
                if len(row) <= RECORD_BYTES_MAX:
                    return row
        except (BadValue, TypeError, ValueError):
            pass  # found again below, with its column
        return self.encode_settled(self.settled(values))

    def encode_many(self, rows: Iterable[Sequence[Any]]) -> list[bytes]:
        """The same for many. The error names the number of the row, counted from 1."""
        encoded: list[bytes] = []
        encode = self.encode
        try:
            for values in rows:
                encoded.append(encode(values))  # noqa: PERF401 (how many there are tells the row of an error)
        except BadValue as error:
            raise self._of_row(error, len(encoded) + 1) from None
        return encoded

    def encode_settled(self, values: Sequence[Any]) -> bytes:
        """The row of values that came from this codec or were changed by column types; only the size is checked."""
        row = _encode(values if self._pack is None else self._pack(values))
        if len(row) > RECORD_BYTES_MAX:
            raise BadValue(f"a record of {len(row)} bytes; the most is {RECORD_BYTES_MAX}", self.definition.name)
        return row

    def settled(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values as they stay in memory: 1 in a DOUBLE column as 1.0, and so on. Raises BadValue."""
        if len(values) != self._width:
            raise BadValue(f"{len(values)} values for {self._width} columns", self.definition.name)
        return tuple(map(self._settle, self.columns, values))

    def _settle(self, column: Column, value: Any) -> Any:
        if value is None:
            return self.null(column)
        try:
            return column.type.from_python(value)
        except BadValue as error:
            raise error.at(self.definition.name, column.name) from None

    def null(self, column: Column) -> None:
        """NULL as the value of a column. Raises BadValue where it cannot be."""
        if not column.nullable:
            raise BadValue(f"NULL is no value of a NOT NULL column ({column.type})", self.definition.name, column.name)

    # Bytes in, Python values out

    def decode(self, row: bytes | memoryview) -> Sequence[Any]:
        """All values of a row that was checked when it was written."""
        try:
            values = self._decode(row)
        except msgspec.ValidationError:
            values = self._decode_other_width(row)
        return values if self._unpack is None else self._unpack(values)

    def admit(self, data: bytes) -> tuple[bytes, Sequence[Any]]:
        """A row that somebody sent: the row as it is to be kept, and its values. Raises BadValue."""
        if len(data) > RECORD_BYTES_MAX:
            raise BadValue(f"a record of {len(data)} bytes; the most is {RECORD_BYTES_MAX}", self.definition.name)
        try:
            values = self._decode(data)
            if self._unpack is not None:
                values = self._unpack(values)
            if self._exact is None or self._exact(values):
                return data, values
        except (msgspec.DecodeError, ValueError, BadValue, RecursionError):
            values = self._decode_sent(data)
        settled = self.settled(values)
        return self.encode_settled(settled), settled

    def admit_many(self, rows: Sequence[bytes]) -> tuple[list[bytes], list[bytes], list[Sequence[Any]]]:
        """Rows that somebody sent: rows as they are to be kept, keys, values. Raises BadValue, BadKey."""
        admit = self.admit
        key_of_row = self.key_of_row
        kept: list[bytes] = []
        keys: list[bytes] = []
        all_values: list[Sequence[Any]] = []
        try:
            for data in rows:
                row, values = admit(data)
                keys.append(key_of_row(values))
                kept.append(row)
                all_values.append(values)
        except BadValue as error:
            raise (self._of_row(error, len(kept) + 1) if len(rows) > 1 else error) from None
        return kept, keys, all_values

    def projection(self, columns: Sequence[str]) -> Callable[[bytes | memoryview], tuple[Any, ...]]:
        """A function from a row to the values of a few columns, which reads no further than the last of them."""
        wanted = tuple(columns)
        made = self._projections.get(wanted)
        if made is None:
            if len(self._projections) >= PROJECTIONS_MAX:
                del self._projections[next(iter(self._projections))]
            made = self._projections[wanted] = self._projection(wanted)
        return made

    def _projection(self, columns: tuple[str, ...]) -> Callable[[bytes | memoryview], tuple[Any, ...]]:
        places = [self.definition.position(name) for name in columns]
        if not places:
            return lambda row: ()
        needed = self.columns[: max(places) + 1]
        fields = [(_wire(c) if at in places else Any, _default(c)) for at, c in enumerate(needed)]
        prefix = msgspec.defstruct(
            "Prefix", [(f"c{at}", *field) for at, field in enumerate(fields)], array_like=True, gc=False
        )
        decode = msgspec.msgpack.Decoder(prefix).decode
        unpacks = [self.columns[place].type.unpack for place in places]
        if any(unpacks):
            attributes = [f"c{place}" for place in places]

            def slow(row: bytes | memoryview) -> tuple[Any, ...]:
                found = [getattr(decode(row), attribute) for attribute in attributes]
                pairs = zip(found, unpacks, strict=True)
                return tuple(
                    value if unpack is None or type(value) is not str else unpack(value) for value, unpack in pairs
                )

            return slow
        return row_source.attributes(decode, places)

    @cached_property
    def documents(self) -> RowDocuments:
        """The same rows as JSON documents."""
        return RowDocuments(self.definition, self._exactly)

    @cached_property
    def _exactly(self) -> Callable[[Sequence[Any]], bool]:
        return row_source.exactly(self.columns)

    @cached_property
    def _exact(self) -> Callable[[Sequence[Any]], bool] | None:
        return row_source.exact_when_decoded(self.columns)

    @cached_property
    def _decode_padded(self) -> Callable[[bytes | memoryview], Any]:
        fields = [(f"c{at}", _wire(column), _default(column)) for at, column in enumerate(self.columns)]
        return msgspec.msgpack.Decoder(msgspec.defstruct("Row", fields, array_like=True)).decode

    def _decode_other_width(self, row: bytes | memoryview) -> tuple[Any, ...]:
        return msgspec.structs.astuple(self._decode_padded(row))

    def _decode_sent(self, data: bytes) -> Sequence[Any]:
        """The values of a row that is not as it should be, or the error that says why it cannot be taken."""
        try:
            given = msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadValue(f"the row is not valid msgpack: {error}", self.definition.name) from None
        if not isinstance(given, list):
            raise BadValue(f"a row is an array of values, not {shown(given)}", self.definition.name)
        if len(given) > self._width:
            raise BadValue(f"{len(given)} values for {self._width} columns", self.definition.name)
        for column in self.columns[len(given) :]:
            if column.required:
                raise BadValue("is missing: it is NOT NULL and has no default", self.definition.name, column.name)
        values = [self._sent_value(column, value) for column, value in zip(self.columns, given, strict=False)]
        return values + [column.default for column in self.columns[len(given) :]]

    def _sent_value(self, column: Column, value: Any) -> Any:
        if value is None:
            return self.null(column)
        try:
            return column.type.from_python(_converted(column, value))
        except BadValue as error:
            raise error.at(self.definition.name, column.name) from None

    def _of_row(self, error: TableError, number: int) -> BadValue:
        if isinstance(error, BadValue) and error.column:
            place = f"row {number} of the batch: {error.reason}"
            return BadValue(place, error.table, error.column)
        return BadValue(f"row {number} of the batch: {getattr(error, 'reason', error.message)}", self.definition.name)


def _wire(column: Column) -> Any:
    return column.type.wire | None if column.nullable and column.type.wire is not Any else column.type.wire


def _default(column: Column) -> Any:
    """What a row lacks; msgspec wants a mutable default as a function."""
    value = column.default
    if value is not None and column.type.pack is not None:
        value = column.type.pack(value)
    return msgspec.field(default_factory=lambda: value) if isinstance(value, list | dict) else value


def _converted(column: Column, value: Any) -> Any:
    """A value that msgpack has another class for (a UUID is bytes there), as the column's class if msgspec can.

    What cannot be converted is left as it is, and the column's type says what is wrong with it.
    """
    kind = column.type.python
    if type(value) is kind or kind is bytes:
        return value
    if type(value) is str:  # times and long numbers travel as text; what else does is refused by from_json
        return column.type.from_json(value)
    try:
        return msgspec.msgpack.decode(_encode(value), type=column.type.wire)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return value
