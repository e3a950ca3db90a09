"""A column of Arrow in the one Arrow type that a table's column has, every value checked on the way.

What would lose something raises: every cast is a safe one. What Arrow knows no type for travels as text there (UUID, JSON,
and HUGEINT, whose range Arrow's decimals exceed) and is read later, once for each distinct value (`arrow_packing`).
"""

import contextlib
from datetime import time
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import compute

from kubegrid.base.column_type import ColumnType
from kubegrid.base.table_errors import BadValue, shown
from kubegrid.base.tables import Column
from kubegrid.wire.arrow_types import ZONED, article, converts, is_text, plain, sql_type

_ARROW = {
    "BOOLEAN": pa.bool_(), "TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(), "USMALLINT": pa.uint16(), "UINTEGER": pa.uint32(), "UBIGINT": pa.uint64(),
    "REAL": pa.float32(), "DOUBLE": pa.float64(), "VARCHAR": pa.string(), "BLOB": pa.binary(), "DATE": pa.date32(),
    "TIME": pa.time64("us"), "TIMESTAMP": pa.timestamp("us"), ZONED: pa.timestamp("us", "UTC"),
}  # fmt: skip


def settled_type(column_type: ColumnType) -> pa.DataType:
    """The Arrow type in which a column's values are settled; text for HUGEINT, UHUGEINT, UUID and JSON."""
    if column_type.name.startswith("DECIMAL"):
        precision, _, scale = column_type.name[8:-1].partition(",")
        return pa.decimal128(int(precision), int(scale))
    return _ARROW.get(column_type.name, pa.string())


def settled(given: pa.ChunkedArray | pa.Array, column: Column, table: str = "") -> pa.Array:
    """The values of a column as `settled_type` has them. Raises BadValue; it names the value if there is only one."""
    chunks = given.chunks if isinstance(given, pa.ChunkedArray) else [given]
    try:
        made = [_converted(chunk, column.type) for chunk in chunks]  # one by one: each may have a dictionary of its own
        # One is not put together with nothing: Arrow would copy it.
        settled_array = (
            made[0] if len(made) == 1 else pa.concat_arrays(made or [pa.nulls(0, settled_type(column.type))])
        )
    except (pa.ArrowException, ValueError, OverflowError) as error:
        text = f"{value_shown(given[0])} is" if len(given) == 1 else "it has a value that is"
        raise BadValue(f"{text} not {article(column.type.name)}: {_first_line(error)}", table, column.name) from error
    if not column.nullable and settled_array.null_count:
        raise BadValue(f"NULL is no value of a NOT NULL column ({column.type})", table, column.name)
    return settled_array


def value_shown(value: pa.Scalar) -> str:
    """A value as an error shows it, also one that Python has no object for: with nanoseconds, or of a year beyond 9999."""
    with contextlib.suppress(ValueError, OverflowError):
        return shown(value.as_py())
    with contextlib.suppress(pa.ArrowException):
        return shown(compute.cast(value, pa.string()).as_py())
    return f"a value of {value.type}"


def refuse_kind(given: pa.DataType, column: Column, table: str) -> None:
    """Raises BadValue if values of this Arrow type are of another kind than the column's."""
    text = plain(given)
    if not converts(given, column.type.name) and not (settled_type(column.type) == pa.string() and is_text(text)):
        raise BadValue(f"Arrow's {given} is not {article(column.type.name)}", table, column.name)


def _converted(array: pa.Array, wanted: ColumnType) -> pa.Array:
    given = plain(array.type)
    target = settled_type(wanted)
    if given == target and given is array.type:
        return array
    array = _decoded(array)
    if isinstance(array.type, pa.BaseExtensionType):
        array = _from_extension(array)
        return array if array.type == target else compute.cast(array, target)
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


def _decoded(array: pa.Array) -> pa.Array:
    """The values themselves, of what is encoded by a dictionary or in runs."""
    if pa.types.is_run_end_encoded(array.type):
        return _decoded(compute.run_end_decode(array))
    if not pa.types.is_dictionary(array.type):
        return array
    if pa.types.is_string_view(array.type.value_type):  # polars' categories: Arrow takes nothing out of views
        return compute.cast(array.dictionary, pa.string()).take(array.indices)
    return array.dictionary_decode()


def _whole(array: pa.Array) -> pa.Array:
    """Decimals without a fraction as such of scale 0, so that their text is an integer's."""
    return compute.cast(array, pa.decimal128(38, 0)) if pa.types.is_decimal(array.type) else array


def _from_extension(array: pa.Array) -> pa.Array:
    if array.type.extension_name == "arrow.uuid":
        return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
    return array.storage


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
