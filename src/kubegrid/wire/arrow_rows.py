"""Batches of Arrow as rows of a table: the bytes that records hold, their keys and slots.

**Hot path** of loading: columns are settled, packed and joined in C (`arrow_columns`, `arrow_packing`, `arrow_keys`); the only
steps of Python per row are those that cut bytes objects out of the joined columns. It runs in threads beside the serving loop
and beside each other, and gives the interpreter's lock away between and inside of its steps.

A row is checked exactly as one that comes by KG.WRITE, and equals it byte for byte. A batch with a bad row is refused as a
whole; only then is it looked for, by halves, so that the error names the row, its column and the value.
"""

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import compute

from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import BadValue, TableError
from kubegrid.base.tables import RECORD_BYTES_MAX, Column, TableDefinition
from kubegrid.wire import arrow_columns, arrow_key_lists
from kubegrid.wire.arrow_key_lists import encode_keys
from kubegrid.wire.arrow_keys import ArrowKeys
from kubegrid.wire.arrow_packing import NIL, bytes_array, check_years, listed, numbers, packed
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


class Columns(NamedTuple):
    """Of one batch: settled columns, and the keys and slots of their rows, by `arrow_key_lists.encode_keys`."""

    columns: pa.RecordBatch
    keys: bytes


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
                raise _missing(column, self.definition.name)
        return columns

    def encode(self, given: pa.Table | pa.RecordBatch) -> Rows:
        """Raises one of FAULTS; which row it was is not said if there are several."""
        columns = self.settle(given)
        keys, slots = self._keys_and_slots(columns)
        return Rows(self._pack(columns, len(given)).to_pylist(), keys, slots, self._values(columns, len(given)))

    def prepare(self, given: pa.Table | pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Array]:
        """Settled columns, for a member that makes rows of them, and the slots of the rows, as uint16: found good by all
        checks, so that no member refuses what is sent. Raises one of FAULTS."""
        columns = self.settle(given)
        slots = self._keys.slots(columns)
        self._check(columns, len(given))
        return self._batch(columns), slots

    def admit(self, given: pa.Table | pa.RecordBatch) -> Rows:
        """The same as `encode` for what somebody sent, whoever it is: nothing about it is believed. Raises TableError."""
        return self._admitted(given, self.encode)  # type: ignore[no-any-return]

    def admit_columns(self, given: pa.Table | pa.RecordBatch) -> Columns:
        """The same, but for the rows, which `rows` then makes without finding anything wrong. Raises TableError."""
        return self._admitted(given, self._admitted_columns)  # type: ignore[no-any-return]

    def admit_prepared(self, given: pa.Table | pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Array]:
        """The same as `prepare` for what somebody sent. Raises TableError."""
        return self._admitted(given, self.prepare)  # type: ignore[no-any-return]

    def _admitted(self, given: pa.Table | pa.RecordBatch, make: Callable[[Any], Any]) -> Any:
        self._check_columns(given.schema)
        try:
            given.validate(full=True)  # text that is UTF-8, decimals of their precision, offsets within the data
            return make(given)
        except FAULTS as error:
            raise self._found(given, error) from error

    def _admitted_columns(self, given: pa.Table | pa.RecordBatch) -> Columns:
        columns = self.settle(given)
        made = self._keys.keys(columns)
        self._check(columns, len(given))
        return Columns(self._batch(columns), encode_keys(made[0], self._keys.slots(columns, made)))

    def _keys_and_slots(self, columns: dict[str, pa.Array]) -> tuple[list[bytes], list[int]]:
        made = self._keys.keys(columns)
        return arrow_key_lists.keys(made[0]), numbers(self._keys.slots(columns, made))

    def _batch(self, columns: dict[str, pa.Array]) -> pa.RecordBatch:
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)

    # -- of columns that were settled ------------------------------------------------------------------------------

    def rows(self, settled: pa.RecordBatch) -> list[bytes]:
        """The rows. Raises one of FAULTS."""
        return self._pack(_by_name(settled), len(settled)).to_pylist()  # type: ignore[no-any-return]

    def keys(self, settled: pa.RecordBatch) -> tuple[list[bytes], list[int]]:
        """Keys and slots. Raises one of FAULTS."""
        return self._keys_and_slots(_by_name(settled))

    def values(self, settled: pa.RecordBatch) -> list[tuple[Any, ...]] | None:
        """The values as far as indexes look; see `Rows`. Raises one of FAULTS."""
        return self._values(_by_name(settled), len(settled))

    # -- what is wrong ---------------------------------------------------------------------------------------------

    def _check_columns(self, schema: pa.Schema) -> None:
        table = self.definition
        for name in schema.names:
            if name not in table.positions:
                raise BadValue(f"table {table.name} has no column {name}{hint(name, table.names)}")
            if schema.names.count(name) > 1:
                raise BadValue("it is in the batch more than once", table.name, name)
            arrow_columns.refuse_kind(schema.field(name).type, table.column(name), table.name)
        for column in table.columns:
            if column.required and column.name not in schema.names:
                raise _missing(column, table.name)

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
        return BadValue(place + reason.removeprefix(f"table {self.definition.name}: "), self.definition.name)

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


def _missing(column: Column, table: str) -> BadValue:
    return BadValue("is missing: it is NOT NULL and has no default", table, column.name)


def _by_name(settled: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(settled.schema.names, settled.columns, strict=True))


def _longest(array: pa.Array) -> int:
    """At most so many bytes a value of the column takes in a row."""
    if not (pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        return _FIXED_BYTES_MAX
    # As JSON a text may need more in MessagePack: a number of one digit takes nine bytes.
    return _FIXED_BYTES_MAX + 9 * (compute.max(compute.binary_length(array)).as_py() or 0)


def _array_head(count: int) -> bytes:
    """How MessagePack begins an array of so many values."""
    return bytes([0x90 | count]) if count < 16 else b"\xdc%b" % count.to_bytes(2)
