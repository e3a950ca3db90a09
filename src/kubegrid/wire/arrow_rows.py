"""Batches of Arrow as rows of a table: the bytes that records hold, their keys and slots.

**Hot path** of loading: columns are settled, packed and joined in C (`arrow_columns`, `arrow_packing`, `arrow_keys`); the only
steps of Python per row are those that cut bytes objects out of the joined columns. It runs in threads beside the serving loop
and beside each other, and gives the interpreter's lock away between and inside of its steps.

A row is checked exactly as one that comes by KG.WRITE, and equals it byte for byte. A batch with a bad row is refused as a
whole; only then is it looked for, by halves, so that the error names the row, its column and the value.
"""

from collections.abc import Iterable
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import compute

from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import BadValue, TableError
from kubegrid.base.tables import RECORD_BYTES_MAX, Column, TableDefinition
from kubegrid.wire import arrow_columns
from kubegrid.wire.arrow_keys import ArrowKeys, slots_of
from kubegrid.wire.arrow_packing import NIL, bytes_array, check_years, listed, packed
from kubegrid.wire.rows import packed_value

FAULTS = (pa.ArrowException, TableError, ValueError, OverflowError)
"""What a conversion may raise because of a row. Anything else is a mistake in the program."""


_FIXED_BYTES_MAX = 64
"""Of a value that is no text: a number, a moment, a decimal with all its digits."""
_CHECKED_BY_PACKING = {"UUID", "JSON", "HUGEINT", "UHUGEINT"}
_CHECKED_BY_YEAR = {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}


class Rows(NamedTuple):
    """Of one batch, in its order."""

    rows: list[bytes]
    keys: list[bytes]
    slots: list[int]
    values: list[tuple[Any, ...]] | None = None
    """The rows decoded as far as indexes look: None in the place of columns that have none. None: there is no index."""


class ArrowRows:
    """Of one table under one version of its schema. Any thread may use it."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self.schema = pa.schema(
            [(column.name, arrow_columns.settled_type(column.type)) for column in definition.columns]
        )
        """What `settle` gives: every column of the table, in the table's order."""
        self._keys = ArrowKeys(definition)
        self._head = bytes_array([_array_head(len(definition.columns))])[0]
        self._nil = bytes_array([NIL])[0]
        self._nothing = bytes_array([b""])[0]
        self._indexed = {name for index in definition.indexes for name in index.columns}

    def settle(self, given: pa.Table | pa.RecordBatch) -> dict[str, pa.Array]:
        """The table's columns by name; those that `given` lacks are not there. Raises one of FAULTS."""
        names = given.schema.names
        columns = {}
        for column in self.definition.columns:
            if column.name in names:
                columns[column.name] = arrow_columns.settled(given.column(column.name), column, self.definition.name)
            elif column.required:
                raise BadValue("is missing: it is NOT NULL and has no default", self.definition.name, column.name)
        return columns

    def encode(self, given: pa.Table | pa.RecordBatch) -> Rows:
        """Raises one of FAULTS; which row it was is not said if there are several."""
        columns = self.settle(given)
        keys, tags = self._keys.keys(columns)
        rows = self._pack(columns, len(given))
        keys_listed = cut(keys)
        return Rows(cut(rows), keys_listed, slots_of(keys_listed, tags), self._values(columns, len(given)))

    def prepare(self, given: pa.Table | pa.RecordBatch) -> tuple[pa.RecordBatch, list[int]]:
        """Settled columns, for a member that makes rows of them, and the slots of the rows: found good by all checks, so
        that no member refuses what is sent. Raises one of FAULTS."""
        columns = self.settle(given)
        keys, tags = self._keys.keys(columns)
        self._check(columns, len(given))
        arrays = list(columns.values())
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self.schema.field(name) for name in columns]))
        return batch, slots_of(cut(keys), tags)

    def packed(self, settled: pa.RecordBatch) -> list[bytes]:
        """The rows of columns that were settled before. Raises one of FAULTS."""
        return cut(self._pack(dict(zip(settled.schema.names, settled.columns, strict=True)), len(settled)))

    def keys(self, settled: pa.RecordBatch) -> tuple[list[bytes], list[int]]:
        """Their keys and slots. Raises one of FAULTS."""
        keys, tags = self._keys.keys(dict(zip(settled.schema.names, settled.columns, strict=True)))
        keys_listed = cut(keys)
        return keys_listed, slots_of(keys_listed, tags)

    def admit(self, given: pa.Table | pa.RecordBatch) -> Rows:
        """The same for what somebody sent, whoever it is: nothing about it is believed. Raises TableError."""
        self._check_columns(given.schema)
        try:
            given.validate(full=True)  # text that is UTF-8, decimals of their precision, offsets within the data
            return self.encode(given)
        except FAULTS as error:
            raise self._found(given, error) from error

    # -- what is wrong ---------------------------------------------------------------------------------------------

    def _check_columns(self, schema: pa.Schema) -> None:
        table = self.definition
        for name in schema.names:
            if name not in table.positions:
                raise BadValue(f"table {table.name} has no column {name}{hint(name, table.names)}")
            if schema.names.count(name) > 1:
                raise BadValue("it is in the batch more than once", table.name, name)
            arrow_columns.refuse_kind(schema.field(name).type, table.column(name), table.name)

    def _found(self, given: pa.Table | pa.RecordBatch, error: Exception) -> TableError:
        """The first row that cannot be encoded, looked for by halves, and why."""
        start, stop = 0, len(given)
        while stop - start > 1:
            middle = (start + stop) // 2
            fault = self._fault(given.slice(start, middle - start))
            if fault is not None:
                stop, error = middle, fault
            else:
                start = middle
        error = self._fault(given.slice(start, stop - start)) or error
        place = f"row {start + 1} of the batch: " if len(given) > 1 else ""
        if isinstance(error, BadValue):
            return BadValue(place + error.reason, error.table or self.definition.name, error.column)
        reason = error.message if isinstance(error, TableError) else str(error).split("\n")[0]
        return BadValue(place + reason, self.definition.name)

    def _fault(self, part: pa.Table | pa.RecordBatch) -> Exception | None:
        try:
            part.validate(full=True)
            self.encode(part)
        except FAULTS as error:
            return error
        return None

    def _values(self, columns: dict[str, pa.Array], count: int) -> list[tuple[Any, ...]] | None:
        if not self._indexed:
            return None
        parts: list[Iterable[Any]] = []
        for column in self.definition.columns:
            array = columns.get(column.name)
            if column.name not in self._indexed:
                parts.append(repeat(None, count))
            else:
                parts.append(repeat(column.default, count) if array is None else listed(array, column.type))
        return list(zip(*parts, strict=True))

    # -- rows ------------------------------------------------------------------------------------------------------

    def _pack(self, columns: dict[str, pa.Array], count: int) -> pa.Array:
        """The rows, as Arrow's binary. Raises one of FAULTS."""
        parts: list[Any] = [self._head]
        for column in self.definition.columns:
            array = columns.get(column.name)
            if array is None:
                default = column.default
                if default is not None and column.type.pack is not None:
                    default = column.type.pack(default)
                parts.append(bytes_array([packed_value(default)])[0])
                continue
            made = self._packed(array, column)
            parts.append(compute.fill_null(made, self._nil) if made.null_count else made)
        rows = compute.binary_join_element_wise(*parts, self._nothing)
        longest = compute.max(compute.binary_length(rows)).as_py() or 0
        if longest > RECORD_BYTES_MAX:
            raise BadValue(f"a record of {longest} bytes; the most is {RECORD_BYTES_MAX}", self.definition.name)
        return rows

    def _packed(self, array: pa.Array, column: Column) -> pa.Array:
        try:
            made = packed(array, column.type)
        except BadValue as error:
            raise error.at(self.definition.name, column.name) from None
        except (ValueError, OverflowError) as error:
            raise BadValue(str(error), self.definition.name, column.name) from error
        if not column.nullable and column.type.name == "JSON" and NIL in made.to_pylist():
            raise BadValue(f"NULL is no value of a NOT NULL column ({column.type})", self.definition.name, column.name)
        return made

    def _check(self, columns: dict[str, pa.Array], count: int) -> None:
        """What only making the rows would find: text that is no UUID or JSON, dates beyond the years, records too large."""
        for column in self.definition.columns:
            array = columns.get(column.name)
            if array is None:
                continue
            if column.type.name in _CHECKED_BY_PACKING:
                self._packed(array, column)
            elif column.type.name in _CHECKED_BY_YEAR:
                try:
                    check_years(array, column.type)
                except BadValue as error:
                    raise error.at(self.definition.name, column.name) from None
        if sum(map(_longest, columns.values())) > RECORD_BYTES_MAX:
            self._pack(columns, count)


def cut(array: pa.Array) -> list[bytes]:
    """An array of binary without NULLs as bytes objects: several times faster than `to_pylist`."""
    if not len(array):
        return []
    _, ends, data = array.buffers()
    offsets = memoryview(ends).cast("i")[array.offset : array.offset + len(array) + 1]
    first = offsets[0]
    whole = data.slice(first, offsets[-1] - first).to_pybytes()
    if first:
        return [whole[a - first : b - first] for a, b in pairwise(offsets.tolist())]
    return [whole[a:b] for a, b in pairwise(offsets.tolist())]


def _longest(array: pa.Array) -> int:
    """At most so many bytes a value of the column takes in a row."""
    if not (pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        return _FIXED_BYTES_MAX
    # As JSON a text may need more in MessagePack: a number of one digit takes nine bytes.
    return _FIXED_BYTES_MAX + 9 * (compute.max(compute.binary_length(array)).as_py() or 0)


def _array_head(count: int) -> bytes:
    """How MessagePack begins an array of so many values."""
    return bytes([0x90 | count]) if count < 16 else b"\xdc%b" % count.to_bytes(2)
