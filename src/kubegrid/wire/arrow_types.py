"""Types of a file's columns and types of a table's: which SQL type a new table gets, and what converts without loss.

"Without loss" is decided value by value: a file's int64 may go into an INTEGER column, and the one value that is too large
for it is a bad row. Only types of another kind (text into a number, a number into a date) are a difference of schemas.
"""

import pyarrow as pa

_INTEGERS = {
    pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INTEGER", pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT", pa.uint16(): "USMALLINT", pa.uint32(): "UINTEGER", pa.uint64(): "UBIGINT",
}  # fmt: skip
_WIDE = ("HUGEINT", "UHUGEINT")
_DECIMAL_DIGITS_MAX = 38
ZONED = "TIMESTAMP WITH TIME ZONE"
PANDAS_INDEX = "__index_level_"
"""Begins the names that pandas gives to an index without one: numbers of rows, which nobody meant to store."""


def plain(column: pa.DataType) -> pa.DataType:
    """The type of the values themselves: without the encoding by a dictionary, or in runs."""
    encoded = pa.types.is_dictionary(column) or pa.types.is_run_end_encoded(column)
    return plain(column.value_type) if encoded else column


def sql_type(column: pa.DataType) -> str | None:
    """What a column of this type becomes in a new table; None when there is no such SQL type."""
    column = plain(column)
    types = pa.types
    if column in _INTEGERS:
        return _INTEGERS[column]
    if types.is_decimal(column):
        exact = 0 <= column.scale <= column.precision <= _DECIMAL_DIGITS_MAX
        return f"DECIMAL({column.precision},{column.scale})" if exact else None
    if isinstance(column, pa.BaseExtensionType):
        return {"arrow.uuid": "UUID", "arrow.json": "JSON", "arrow.bool8": "BOOLEAN"}.get(column.extension_name)
    if types.is_timestamp(column):
        return "TIMESTAMP" if column.tz is None else ZONED
    for test, name in (
        (types.is_boolean, "BOOLEAN"),
        (types.is_float64, "DOUBLE"),
        (types.is_floating, "REAL"),
        (is_text, "VARCHAR"),
        (types.is_null, "VARCHAR"),
        (_is_bytes, "BLOB"),
        (types.is_date, "DATE"),
        (types.is_time, "TIME"),
        (types.is_nested, "JSON"),
    ):
        if test(column):
            return name
    return None


def converts(column: pa.DataType, wanted: str) -> bool:
    """Whether values of the file's type can go into a column of SQL type `wanted`, as far as each of them fits."""
    given = sql_type(column)
    if given == wanted or pa.types.is_null(column):
        return True
    if given is None:
        return False
    whole = (*_INTEGERS.values(), *_WIDE)
    if given in whole:
        return wanted in whole or wanted == "DOUBLE" or wanted.startswith("DECIMAL")
    if given.startswith("DECIMAL"):
        return wanted.startswith("DECIMAL") or wanted in whole
    more = {
        "REAL": ("DOUBLE", *_INTEGERS.values()),
        "DOUBLE": _INTEGERS.values(),
        "DATE": ("TIMESTAMP",),
        "VARCHAR": ("UUID", "JSON"),
        "UUID": ("VARCHAR",),
        "JSON": ("VARCHAR",),
    }
    return wanted in more.get(given, ())


def converts_from_json(column: pa.DataType, wanted: str) -> bool:
    """The same for a type inferred from JSON, where much is written as text, and text may look like a time."""
    if converts(column, wanted):
        return True
    if pa.types.is_timestamp(column) or is_text(column):
        return wanted in ("VARCHAR", "DATE", "TIME", "TIMESTAMP", ZONED, "UUID", "JSON", "BLOB", *_WIDE) or (
            wanted.startswith("DECIMAL")
        )
    if wanted == "JSON":
        return True
    if pa.types.is_decimal(column):
        return wanted in ("REAL", "DOUBLE")
    return pa.types.is_floating(column) and (wanted == "REAL" or wanted.startswith("DECIMAL"))


def is_text(column: pa.DataType) -> bool:
    return bool(pa.types.is_string(column) or pa.types.is_large_string(column) or pa.types.is_string_view(column))


def _is_bytes(column: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(column)
        or types.is_large_binary(column)
        or types.is_binary_view(column)
        or types.is_fixed_size_binary(column)
    )


def article(name: str) -> str:
    """A type's name as it stands in a sentence: an INTEGER, a UBIGINT."""
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"
