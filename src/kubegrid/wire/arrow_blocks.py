"""Rows that stay columns until somebody touches them: one packed row, many, their keys; and columns as bytes.

A store that keeps settled columns (`arrow_rows.ArrowRows.settle`) asks here for the rows that KG.WRITE would have kept, byte
for byte. Columns travel to backups as one stream of Arrow's IPC, which is read where it lies; keys travel beside them, because
spelling them again costs more than reading them.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pyarrow as pa

from kubegrid.base.column_type import ColumnType
from kubegrid.base.tables import Column, TableDefinition
from kubegrid.wire.arrow_packing import int32_array
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.rows import RowCodec

_EPOCHS: Final = {
    "TIMESTAMP": datetime(1970, 1, 1),
    "TIMESTAMP WITH TIME ZONE": datetime(1970, 1, 1, tzinfo=UTC),
}
_Named = tuple[str, Callable[[pa.Array], Callable[[int], Any]], Any]
"""A column: its name, how its values are read, its default."""
_END: Final = b"\xff\xff\xff\xff\0\0\0\0"
"""Of a stream of Arrow's IPC."""


class BlockRows:
    """Of one table under one version of its schema, for columns that were settled under it. Any thread may use it."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self._rows = ArrowRows(definition)
        self._codec = RowCodec(definition)
        self._columns = tuple(map(_named, definition.columns))

    def row(self, columns: pa.RecordBatch, place: int) -> bytes:
        """The packed row at one place; the same bytes as from `rows`."""
        return self.reader(columns)(place)

    def reader(self, columns: pa.RecordBatch) -> Callable[[int], bytes]:
        """`row` for whoever asks more than once: to come by the columns is most of its work."""
        values = _values(columns, self._columns)
        encode = self._codec.encode_settled
        return lambda place: encode([value(place) for value in values])

    def rows(self, columns: pa.RecordBatch, places: Sequence[int] | None = None) -> list[bytes]:
        """The packed rows at these places, or all."""
        some = columns if places is None else columns.take(int32_array(places))
        return self._rows.rows(some)

    def keys(self, columns: pa.RecordBatch) -> tuple[list[bytes], list[int]]:
        """The keys of all rows, and their slots."""
        return self._rows.keys(columns)


def projection(columns: pa.RecordBatch, wanted: Iterable[Column]) -> Callable[[int], tuple[Any, ...]]:
    """A function from a place to the values of a few columns as they are in memory. No other column is looked at; one
    that the table got after the rows came has its default."""
    values = _values(columns, map(_named, wanted))
    return lambda place: tuple([value(place) for value in values])


def encode_columns(batch: pa.RecordBatch) -> bytes:
    """As one stream of Arrow's IPC."""
    return b"".join((batch.schema.serialize(), batch.serialize(), _END))


def decode_columns(data: bytes | memoryview) -> pa.RecordBatch:
    """The columns, which refer to `data`: nothing is copied. For what `encode_columns` made, not for what a stranger sent."""
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_next_batch()


def _named(column: Column) -> _Named:
    return column.name, _value_of(column.type), column.default


def _values(columns: pa.RecordBatch, wanted: Iterable[_Named]) -> list[Callable[[int], Any]]:
    """For each column what gives its value at a place."""
    places = {name: place for place, name in enumerate(columns.schema.names)}
    return [
        value_of(columns.column(places[name])) if name in places else _always(default)
        for name, value_of, default in wanted
    ]


def _always(value: Any) -> Callable[[int], Any]:
    return lambda place: value


def _value_of(wanted: ColumnType) -> Callable[[pa.Array], Callable[[int], Any]]:
    """How a column gives the value at a place as it is in memory."""
    name = wanted.name
    if name in _EPOCHS:
        return partial(_moments, _EPOCHS[name])
    if name.startswith("DECIMAL"):
        return partial(_made, wanted.settle)
    if name in ("UUID", "JSON", "HUGEINT", "UHUGEINT"):
        return partial(_made, lambda text: wanted.from_text(text.encode()))
    return _plain


def _plain(array: pa.Array) -> Callable[[int], Any]:
    return lambda place: array[place].as_py()


def _moments(epoch: datetime, array: pa.Array) -> Callable[[int], Any]:
    def value(place: int) -> datetime | None:
        us = array[place].value
        return None if us is None else epoch + timedelta(microseconds=us)

    return value


def _made(make: Callable[[Any], Any], array: pa.Array) -> Callable[[int], Any]:
    def value(place: int) -> Any:
        found = array[place].as_py()
        return None if found is None else make(found)

    return value
