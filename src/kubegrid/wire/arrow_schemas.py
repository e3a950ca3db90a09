"""Arrow schemas and column types: which Arrow type holds a column, and which column type an Arrow field asks for."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kubegrid.base.column_numbers import DecimalType
from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import TYPES, parse_type
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import TableDefinition

_ARROW_OF_NAME: dict[str, Any] = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "HUGEINT": pa.decimal256(39, 0),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "UHUGEINT": pa.decimal256(39, 0),
    "REAL": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    "UUID": pa.string(),
    "JSON": pa.string(),
}
_NAME_OF_ARROW = {
    arrow: name for name, arrow in _ARROW_OF_NAME.items() if name not in ("UUID", "JSON", "HUGEINT", "UHUGEINT")
}


def arrow_type(column_type: ColumnType) -> Any:
    """The Arrow type that holds a column's values; UUID and JSON are text there."""
    if isinstance(column_type, DecimalType):
        return pa.decimal128(column_type.precision, column_type.scale)
    return _ARROW_OF_NAME[column_type.name]


def arrow_schema(definition: TableDefinition) -> Any:
    return pa.schema(
        [pa.field(column.name, arrow_type(column.type), nullable=column.nullable) for column in definition.columns]
    )


def column_type(arrow: Any) -> ColumnType:
    """The column type for values of an Arrow type. Raises ValueError if there is none."""
    kinds = pa.types
    if kinds.is_dictionary(arrow):
        return column_type(arrow.value_type)
    if kinds.is_decimal(arrow) and arrow.precision <= 38 and 0 <= arrow.scale <= arrow.precision:
        return parse_type(f"DECIMAL({arrow.precision},{arrow.scale})")
    if kinds.is_timestamp(arrow):
        return TYPES["TIMESTAMP WITH TIME ZONE" if arrow.tz else "TIMESTAMP"]
    if kinds.is_date(arrow):
        return TYPES["DATE"]
    if kinds.is_time(arrow):
        return TYPES["TIME"]
    if kinds.is_float16(arrow):
        return TYPES["REAL"]
    if kinds.is_large_string(arrow) or str(arrow) == "string_view":
        return TYPES["VARCHAR"]
    if kinds.is_large_binary(arrow) or kinds.is_fixed_size_binary(arrow) or str(arrow) == "binary_view":
        return TYPES["BLOB"]
    extension = getattr(arrow, "extension_name", "")
    if extension in ("arrow.uuid", "arrow.json"):
        return TYPES["UUID" if extension == "arrow.uuid" else "JSON"]
    name = _NAME_OF_ARROW.get(arrow)
    if name is None:
        raise ValueError(f"Arrow's {arrow} has no column type here; cast it, or leave it out")
    return TYPES[name]


def definition_from_arrow(
    schema: Any,
    name: str,
    *,
    key: Sequence[str],
    partition_by: Sequence[str] = (),
    indexes: Sequence[Any] = (),
    broadcast: bool = False,
    ttl: int | str | None = None,
) -> TableDefinition:
    """The table whose rows a schema describes. Raises DefinitionError with every problem found."""
    columns, problems = [], []
    for field in schema:
        try:
            found = column_type(field.type)
        except ValueError as error:
            problems.append(f"table {name}: column {field.name}: {error}")
        else:
            columns.append(
                {"name": field.name, "type": found.name, "nullable": field.nullable and field.name not in key}
            )
    if problems:
        raise DefinitionError(problems)
    return parse_definition(
        name,
        {
            "columns": columns,
            "key": list(key),
            "partition_by": list(partition_by),
            "indexes": list(indexes),
            "broadcast": broadcast,
            "ttl": ttl,
        },
    )
