"""The column types by name: `parse_type` reads what SQL calls them, synonyms included, and knows one spelling for each.

    BOOLEAN                                    bool       VARCHAR                     str
    TINYINT SMALLINT INTEGER BIGINT HUGEINT    int        BLOB                        bytes
    UTINYINT USMALLINT UINTEGER UBIGINT        int        DATE, TIME                  date, time
    UHUGEINT                                   int        TIMESTAMP                   datetime without zone
    REAL, DOUBLE                               float      TIMESTAMP WITH TIME ZONE    datetime in UTC
    DECIMAL(p,s)                               Decimal    UUID, JSON                  UUID, any JSON value

The names and the synonyms are DuckDB's, which will run the queries. What a type does is told in `column_type`.
"""

import re

from kubegrid.base.column_numbers import (
    DECIMAL_DIGITS_MAX,
    BooleanType,
    DecimalType,
    FloatType,
    IntegerType,
)
from kubegrid.base.column_texts import BlobType, JsonType, UuidType, VarcharType
from kubegrid.base.column_times import DateType, TimestampType, TimeType
from kubegrid.base.column_type import ColumnType
from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import shown

_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC)(?: ?\( ?([0-9]{1,3}) ?(?:, ?([0-9]{1,3}) ?)?\))?")
_DECIMAL_DEFAULT = (18, 3)
_TYPE_CHARS_MAX = 100

_ALL: tuple[ColumnType, ...] = (
    BooleanType(),
    *(IntegerType(name, bits, True) for name, bits in (("TINYINT", 8), ("SMALLINT", 16), ("INTEGER", 32))),
    *(IntegerType(name, bits, True) for name, bits in (("BIGINT", 64), ("HUGEINT", 128))),
    *(IntegerType(name, bits, False) for name, bits in (("UTINYINT", 8), ("USMALLINT", 16), ("UINTEGER", 32))),
    *(IntegerType(name, bits, False) for name, bits in (("UBIGINT", 64), ("UHUGEINT", 128))),
    FloatType("REAL", single=True),
    FloatType("DOUBLE", single=False),
    VarcharType(),
    BlobType(),
    DateType(),
    TimeType(),
    TimestampType(zoned=False),
    TimestampType(zoned=True),
    UuidType(),
    JsonType(),
)
TYPES = {column_type.name: column_type for column_type in _ALL}
"""Canonical name → type, without the DECIMALs, which are many."""

_SYNONYMS = {
    "BOOL": "BOOLEAN",
    "LOGICAL": "BOOLEAN",
    "INT1": "TINYINT",
    "INT2": "SMALLINT",
    "INT16": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT4": "INTEGER",
    "INT32": "INTEGER",
    "INT": "INTEGER",
    "SIGNED": "INTEGER",
    "INT8": "BIGINT",
    "INT64": "BIGINT",
    "LONG": "BIGINT",
    "INT128": "HUGEINT",
    "UINT8": "UTINYINT",
    "UINT16": "USMALLINT",
    "UINT32": "UINTEGER",
    "UINT64": "UBIGINT",
    "UINT128": "UHUGEINT",
    "FLOAT": "REAL",
    "FLOAT4": "REAL",
    "FLOAT8": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHAR": "VARCHAR",
    "BPCHAR": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "BYTEA": "BLOB",
    "BINARY": "BLOB",
    "VARBINARY": "BLOB",
    "BYTES": "BLOB",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIME WITHOUT TIME ZONE": "TIME",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "JSONB": "JSON",
}


def parse_type(text: str) -> ColumnType:
    """The type that SQL calls `text`, upper and lower case alike. Raises ValueError with the nearest spelling."""
    if type(text) is not str:
        raise ValueError(f"{shown(text)} is not a type; it is text such as 'INTEGER' or 'DECIMAL(18,2)'")
    if len(text) > _TYPE_CHARS_MAX:
        raise ValueError(f"{shown(text)} is not a type")
    word = " ".join(text.upper().split())
    found = TYPES.get(_SYNONYMS.get(word, word))
    if found is not None:
        return found
    decimal = _DECIMAL.fullmatch(word)
    if decimal is not None:
        return _decimal(decimal[1], decimal[2])
    base = word.partition("(")[0].strip()
    known = _SYNONYMS.get(base, base)
    if known in TYPES and base != word:
        raise ValueError(f"{shown(text)} is not a type: {known} takes no length; write {known}")
    raise ValueError(f"{shown(text)} is not a type{hint(word, [*TYPES, 'DECIMAL(18,3)', *_SYNONYMS])}")


def _decimal(precision_text: str | None, scale_text: str | None) -> DecimalType:
    if precision_text is None:
        return DecimalType(*_DECIMAL_DEFAULT)
    precision = int(precision_text)
    scale = int(scale_text or 0)
    if not 1 <= precision <= DECIMAL_DIGITS_MAX or scale > precision:
        raise ValueError(
            f"DECIMAL({precision},{scale}) is not a type: it has 1 to {DECIMAL_DIGITS_MAX} digits in all, "
            "and no more after the point than in all"
        )
    return DecimalType(precision, scale)
