"""Records to Arrow: the rows of one table, as columns that DuckDB takes in.

A row is msgpack. What it has as text (dates, decimals, long integers) stays text until DuckDB turns it into what it is, in
C and without the GIL: Python objects for them would cost several times as much. A slice is
small, because while msgspec decodes it, nobody else runs: the serving loop waits for this thread as long.

A row that is shorter than the table was written before the last columns were added; these read as their defaults.
Next on the path of the data: `replica`.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa

from kubegrid.base.column_numbers import DecimalType
from kubegrid.base.tables import Column, TableDefinition
from kubegrid.columns.database import quoted
from kubegrid.store.records import HEADER_BYTES, Record
from kubegrid.wire.arrow_schemas import arrow_type

VERSION = "__version"
"""The hidden column with a record's version, by which its row is found again."""
EXPONENT_FROM_SCALE = 6
"""Python writes decimals with more digits after the point than this with an exponent when they are small."""
SLICE_ROWS = 1000
SLICE_VALUES = 16_000
SLICE_BYTES = 256 * 1024
"""What is decoded in one go: a millisecond or two of the GIL."""

_encode = msgspec.msgpack.Encoder(decimal_format="string", uuid_format="bytes").encode
_json = msgspec.json.Encoder().encode
_CAST = ("HUGEINT", "UHUGEINT", "DATE", "TIME", "TIMESTAMP")
"""They are text in a row, and text in Arrow, too: DuckDB makes of it what it is. So are DECIMALs."""
_ARRAY_CODES = {
    "TINYINT": "b",
    "UTINYINT": "B",
    "SMALLINT": "h",
    "USMALLINT": "H",
    "INTEGER": "i",
    "UINTEGER": "I",
    "BIGINT": "q",
    "UBIGINT": "Q",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OWN_CLASS: dict[str, Any] = {
    "BOOLEAN": bool,
    "REAL": float,
    "DOUBLE": float,
    "BLOB": bytes,
    "TIMESTAMP WITH TIME ZONE": datetime,
    "UUID": bytes,
    "JSON": Any,
}


class Conversion:
    """Of the rows of one table, under one schema. Holds nothing between calls; any thread may use it."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self.columns = definition.columns
        self._wires = [_wire(column) for column in self.columns]
        self._makers = [_maker(column) for column in self.columns]
        self._decode = msgspec.msgpack.Decoder(list[tuple.__class_getitem__(tuple(self._wires))]).decode  # type: ignore[misc]
        self.slice_rows = max(1, min(SLICE_ROWS, SLICE_VALUES // max(1, len(self.columns))))
        self._arrow_names = [*(f"c{place}" for place in range(len(self.columns))), VERSION]

    # -- SQL ------------------------------------------------------------------------------------------------------

    @property
    def declared(self) -> str:
        """The columns for CREATE TABLE. Nothing is NOT NULL: it was checked when the record was written."""
        names = [f"{quoted(column.name)} {column.type.name}" for column in self.columns]
        return ", ".join([*names, f"{VERSION} UBIGINT"])

    @property
    def names(self) -> str:
        """The columns that users see."""
        return ", ".join(quoted(column.name) for column in self.columns)

    @property
    def selected(self) -> str:
        """What to select from a relation of `convert`, to insert into the table."""
        return ", ".join([*map(self.selected_of, range(len(self.columns))), VERSION])

    @property
    def renamed(self) -> str:
        """What to select from it to have the columns as the table has them, with their names and types."""
        columns = [f"CAST(c{place} AS {one.type.name}) AS {quoted(one.name)}" for place, one in enumerate(self.columns)]
        return ", ".join([*columns, VERSION])

    def selected_of(self, place: int) -> str:
        """The same for one column."""
        name = self.columns[place].type.name
        return f"CAST(c{place} AS {name})" if _is_cast(name) else f"c{place}"

    # -- rows -----------------------------------------------------------------------------------------------------

    def slices(self, records: Iterator[Record]) -> Iterator[pa.RecordBatch]:
        """All records, slice by slice. Between two the GIL can be had by others."""
        while chunk := list(islice(records, self.slice_rows)):
            size = sum(map(len, chunk))
            pieces = min(len(chunk), size // SLICE_BYTES + 1)
            step = -(-len(chunk) // pieces)
            for start in range(0, len(chunk), step):
                yield self.convert(chunk[start : start + step])

    def convert(self, records: Sequence[Record]) -> pa.RecordBatch:
        """One slice: columns c0, c1 … and the versions."""
        rows = [record[HEADER_BYTES:] for record in records]
        try:
            values = self._decode(b"\xdd" + len(rows).to_bytes(4) + b"".join(rows))
        except msgspec.ValidationError:
            values = [msgspec.structs.astuple(self._decode_padded(row)) for row in rows]
        columns = zip(*values, strict=True) if values else [()] * len(self._makers)
        arrays = [maker(column) for maker, column in zip(self._makers, columns, strict=True)]
        return pa.RecordBatch.from_arrays([*arrays, versions(records)], self._arrow_names)

    def default(self, place: int) -> pa.Table:
        """One row with nothing but the default of a column that has one, as `convert` would make it."""
        value = _decoded_default(self.columns[place], self._wires[place])
        return pa.table({f"c{place}": self._makers[place]([value])})

    @cached_property
    def _decode_padded(self) -> Callable[[bytes], Any]:
        """For rows that are shorter than the table, or longer: written under a schema that is not adopted here yet."""
        fields = [
            (f"c{place}", wire, _default(column, wire))
            for place, (column, wire) in enumerate(zip(self.columns, self._wires, strict=True))
        ]
        return msgspec.msgpack.Decoder(msgspec.defstruct("Padded", fields, array_like=True, gc=False)).decode


def versions(records: Sequence[Record]) -> pa.Array:
    """The versions of these records, as UBIGINT. They stand big-endian in the header: read backwards."""
    data = b"".join([record[11:3:-1] for record in records])
    return pa.Array.from_buffers(pa.uint64(), len(records), [None, pa.py_buffer(data)])


def _wire(column: Column) -> Any:
    """As what msgspec is to decode it."""
    name = column.type.name
    if name == "VARCHAR" or _is_cast(name):
        kind: Any = str
    else:
        kind = _OWN_CLASS.get(name, int)
    return kind if kind is Any or not column.nullable else kind | None


def _decoded_default(column: Column, wire: Any) -> Any:
    value = column.default
    packed = value if column.type.pack is None else column.type.pack(value)
    return msgspec.msgpack.decode(_encode(packed), type=wire)


def _default(column: Column, wire: Any) -> Any:
    """What a row lacks; msgspec wants a mutable default as a function."""
    if column.default is None:
        return None
    decoded = _decoded_default(column, wire)
    return msgspec.field(default_factory=lambda: decoded) if isinstance(decoded, list | dict) else decoded


def _is_cast(name: str) -> bool:
    return name in _CAST or name.startswith("DECIMAL")


def json_text(value: Any) -> str:
    """A value of a JSON column as SQL sees it."""
    return _json(value).decode()


def _digits(text: str | None) -> str | None:
    """1E-7 with all its digits: DuckDB does not read every DECIMAL with an exponent."""
    return text if text is None or "E" not in text else f"{Decimal(text):f}"


def _maker(column: Column) -> Callable[[Sequence[Any]], pa.Array]:
    """What makes Arrow of a column's values. `Array.cast` is not used: its module takes a quarter of a second to import."""
    name = column.type.name
    if isinstance(column.type, DecimalType) and column.type.scale > EXPONENT_FROM_SCALE:
        return lambda values: pa.array(list(map(_digits, values)), pa.string())
    if _is_cast(name):
        return lambda values: pa.array(values, pa.string())
    if name == "UUID":
        return lambda values: pa.ExtensionArray.from_storage(pa.uuid(), pa.array(values, pa.binary(16)))
    if name == "JSON":
        return lambda values: pa.array([None if value is None else json_text(value) for value in values], pa.string())
    wanted = arrow_type(column.type)
    if name == "TIMESTAMP WITH TIME ZONE":
        return lambda values: _moments(values, wanted)
    if name in _ARRAY_CODES and not column.nullable:
        return lambda values: _integers(values, wanted, _ARRAY_CODES[name])
    return lambda values: pa.array(values, wanted)


def _moments(values: Sequence[datetime | None], wanted: pa.DataType) -> pa.Array:
    """Of what lies between them and the epoch: Arrow makes that of Python's five times as fast as moments themselves."""
    passed = [None if value is None else value - _EPOCH for value in values]
    return pa.array(passed, pa.duration("us")).view(wanted)


def _integers(values: Sequence[int], wanted: pa.DataType, code: str) -> pa.Array:
    """None of them NULL. Half as fast again as `pa.array`, which asks each whether it is."""
    return pa.Array.from_buffers(wanted, len(values), [None, pa.py_buffer(array(code, values))])
