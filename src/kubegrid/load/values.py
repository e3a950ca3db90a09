"""A column of Arrow as a list of Python values, in the form in which a table has them in memory.

**Hot path** of a load. pyarrow makes Python objects one by one and slowly (`to_pylist`: 1 µs and more each), so numbers are
taken from its memory at once, and everything else is made once for each *distinct* value: carriers, airports and hours repeat.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa
from pyarrow import compute

from kubegrid.base.column_type import ColumnType
from kubegrid.base.table_errors import BadValue
from kubegrid.load.file_columns import ZONED, article, plain, sql_type

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_ARROW = {
    "BOOLEAN": pa.bool_(), "TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(), "USMALLINT": pa.uint16(), "UINTEGER": pa.uint32(), "UBIGINT": pa.uint64(),
    "REAL": pa.float32(), "DOUBLE": pa.float64(), "VARCHAR": pa.string(), "BLOB": pa.binary(), "DATE": pa.date32(),
    "TIME": pa.time64("us"), "TIMESTAMP": pa.timestamp("us"), ZONED: pa.timestamp("us", "UTC"),
}  # fmt: skip
_FORMATS = {
    pa.int8(): "b", pa.int16(): "h", pa.int32(): "i", pa.int64(): "q", pa.uint8(): "B", pa.uint16(): "H",
    pa.uint32(): "I", pa.uint64(): "Q", pa.float32(): "f", pa.float64(): "d",
}  # fmt: skip
"""Of the `struct` module, as memoryview wants them."""
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """The Arrow type from which `values` makes a column's values; text for HUGEINT, UUID and JSON."""
    if column_type.name.startswith("DECIMAL"):
        precision, _, scale = column_type.name[8:-1].partition(",")
        return pa.decimal128(int(precision), int(scale))
    return _ARROW.get(column_type.name, pa.string())


def values(column: pa.ChunkedArray, wanted: ColumnType, name: str) -> list[Any]:
    """The values of a file's column as `wanted` has them, None for NULL. Raises ArrowException or BadValue."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # more text than one array holds; a block has not
        array = pa.concat_arrays(array.chunks)
    try:
        return _listed(_converted(array, wanted), wanted)
    except (pa.ArrowException, BadValue) as error:
        shown = repr(array[0].as_py()) if len(array) == 1 else ""
        reason = error.reason if isinstance(error, BadValue) else f"{shown} is not {article(wanted.name)}: {error}"
        raise BadValue(reason, column=name) from error


def _converted(array: pa.Array, wanted: ColumnType) -> pa.Array:
    """In the type that `arrow_type` says. Every cast is a safe one: what would lose something raises."""
    given = plain(array.type)
    target = arrow_type(wanted)
    if given == target and given is array.type:
        return array
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if isinstance(array.type, pa.BaseExtensionType):
        return _from_extension(array)
    if pa.types.is_nested(given):
        return pa.array([None if v is None else _json_text(v) for v in array.to_pylist()], pa.string())
    if target == pa.string() and sql_type(given) not in ("VARCHAR", "BLOB"):  # HUGEINT from whole numbers
        return compute.cast(_whole(array), target)
    if pa.types.is_decimal(target) and pa.types.is_integer(given):
        return compute.cast(compute.cast(array, pa.string()), target)
    if pa.types.is_time(target) and pa.types.is_string(given):
        return pa.array([None if t is None else time.fromisoformat(t) for t in array.to_pylist()], target)
    if pa.types.is_decimal(given) and pa.types.is_integer(target):
        return compute.cast(compute.cast(_whole(array), pa.string()), target)
    return compute.cast(array, target)


def _whole(array: pa.Array) -> pa.Array:
    """Decimals without a fraction as such of scale 0, so that their text is an integer's."""
    return compute.cast(array, pa.decimal128(38, 0)) if pa.types.is_decimal(array.type) else array


def _from_extension(array: pa.Array) -> pa.Array:
    if array.type.extension_name == "arrow.uuid":
        return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
    return array.storage


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _listed(array: pa.Array, wanted: ColumnType) -> list[Any]:
    name = wanted.name
    if name in _WHOLE or name in ("REAL", "DOUBLE"):
        return _numbers(array)
    if name == "BOOLEAN":
        listed: list[Any] = array.to_pylist()
        return listed
    if name in ("TIMESTAMP", ZONED):
        epoch = _EPOCH if name == "TIMESTAMP" else _EPOCH_UTC
        return _by_distinct(array.view(pa.int64()), lambda us: epoch + timedelta(microseconds=us))
    if name in ("VARCHAR", "BLOB", "DATE", "TIME"):
        return _by_distinct(array, None)
    if name.startswith("DECIMAL"):
        return _by_distinct(array, _settled(wanted, Decimal))
    return _by_distinct(array, _from_text(wanted))


def _settled(wanted: ColumnType, kind: type) -> Callable[[Any], Any]:
    return lambda value: wanted.from_python(value if isinstance(value, kind) else kind(value))


def _from_text(wanted: ColumnType) -> Callable[[Any], Any]:
    """UUID, JSON, HUGEINT from their texts."""
    if wanted.name == "UUID":
        return lambda text: _uuid(wanted, text)
    return lambda text: wanted.from_text(text.encode())


def _uuid(wanted: ColumnType, text: str) -> UUID:
    found: UUID = wanted.from_text(text.encode())
    return found


def _numbers(array: pa.Array) -> list[Any]:
    listed = _plain_numbers(array)
    for index in _nulls(array):
        listed[index] = None
    return listed


def _plain_numbers(array: pa.Array) -> list[Any]:
    """What lies in the array's memory; anything where it is NULL.

    Not `array.to_numpy`: that wants NumPy, and imports pandas where it is installed, which takes longer than many a load.
    """
    if not len(array):
        return []
    size = array.type.bit_width // 8
    memory = memoryview(array.buffers()[1]).cast("B")[array.offset * size : (array.offset + len(array)) * size]
    listed: list[Any] = memory.cast(_FORMATS[array.type]).tolist()  # type: ignore[call-overload]
    return listed


def _nulls(array: pa.Array) -> list[Any]:
    """The places of NULLs."""
    return _plain_numbers(compute.indices_nonzero(array.is_null())) if array.null_count else []


def _by_distinct(array: pa.Array, make: Callable[[Any], Any] | None) -> list[Any]:
    coded = array.dictionary_encode()
    distinct = coded.dictionary.to_pylist()
    if make is not None:
        distinct = [make(value) for value in distinct]
    distinct.append(None)
    places = _plain_numbers(coded.indices)
    for index in _nulls(array):
        places[index] = -1
    return list(map(distinct.__getitem__, places))
