"""GetXdbcTypeInfo: the column types, in the words of ODBC and JDBC."""

from typing import Any

import pyarrow as pa

from kubegrid.flight.catalog_answers import table_of

_INT = pa.int32()
_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        pa.field("type_name", _TEXT, nullable=False),
        pa.field("data_type", _INT, nullable=False),
        pa.field("column_size", _INT),
        pa.field("literal_prefix", _TEXT),
        pa.field("literal_suffix", _TEXT),
        pa.field("create_params", pa.list_(pa.field("item", _TEXT, nullable=False))),
        pa.field("nullable", _INT, nullable=False),
        pa.field("case_sensitive", pa.bool_(), nullable=False),
        pa.field("searchable", _INT, nullable=False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), nullable=False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", _TEXT),
        pa.field("minimum_scale", _INT),
        pa.field("maximum_scale", _INT),
        pa.field("sql_data_type", _INT, nullable=False),
        pa.field("datetime_subcode", _INT),
        pa.field("num_prec_radix", _INT),
        pa.field("interval_precision", _INT),
    ]
)
BIT, TINYINT, BIGINT, LONG_BINARY = -7, -6, -5, -4
DECIMAL, INTEGER, SMALLINT, REAL, DOUBLE, DATETIME, VARCHAR = 3, 4, 5, 7, 8, 9, 12
DATE, TIME, TIMESTAMP = 91, 92, 93
"""The numbers that ODBC gave types."""
SEARCHABLE_FULL = 3
_NUMBERS = {"TINYINT": (TINYINT, 3), "SMALLINT": (SMALLINT, 5), "INTEGER": (INTEGER, 10), "BIGINT": (BIGINT, 19)}
_LARGER = {"UTINYINT": (SMALLINT, 3), "USMALLINT": (INTEGER, 5), "UINTEGER": (BIGINT, 10), "UBIGINT": (DECIMAL, 20)}
_TEXTS = {"VARCHAR": VARCHAR, "JSON": VARCHAR, "UUID": VARCHAR, "BLOB": LONG_BINARY}
_TIMES = {"DATE": (DATE, 1, 10), "TIME": (TIME, 2, 15), "TIMESTAMP": (TIMESTAMP, 3, 26)}


def answer(data_type: int | None) -> Any:
    """All types, or those with this number of ODBC; by number, then by name."""
    rows = [row for row in _rows() if data_type is None or row["data_type"] == data_type]
    rows.sort(key=lambda row: (row["data_type"], row["type_name"]))
    return table_of(SCHEMA, [tuple(row.get(field.name) for field in SCHEMA) for row in rows])


def _rows() -> list[dict[str, Any]]:
    rows = [_row("BOOLEAN", BIT, 1)]
    for name, (number, digits) in (_NUMBERS | _LARGER).items():
        rows.append(_number(name, number, digits, unsigned=name in _LARGER))
    for name, unsigned in (("HUGEINT", False), ("UHUGEINT", True)):
        rows.append(_number(name, DECIMAL, 39, unsigned=unsigned))
    rows.append(
        _number("DECIMAL", DECIMAL, 38)
        | {"create_params": ["precision", "scale"], "minimum_scale": 0, "maximum_scale": 38, "fixed_prec_scale": False}
    )
    for name, number, bits in (("REAL", REAL, 24), ("DOUBLE", DOUBLE, 53)):
        rows.append(_row(name, number, bits) | {"unsigned_attribute": False, "num_prec_radix": 2})
    rows += [_row(name, number, None, quoted=True, case_sensitive=True) for name, number in _TEXTS.items()]
    for name, (number, subcode, size) in _TIMES.items():
        rows.append(_row(name, number, size, quoted=True) | {"sql_data_type": DATETIME, "datetime_subcode": subcode})
    rows.append(
        _row("TIMESTAMP WITH TIME ZONE", TIMESTAMP, 32, quoted=True)
        | {"sql_data_type": DATETIME, "datetime_subcode": 5}
    )
    return rows


def _number(name: str, number: int, digits: int, *, unsigned: bool = False) -> dict[str, Any]:
    numeric = {"unsigned_attribute": unsigned, "minimum_scale": 0, "maximum_scale": 0, "num_prec_radix": 10}
    return _row(name, number, digits) | numeric | {"fixed_prec_scale": True, "auto_increment": False}


def _row(
    name: str, number: int, size: int | None, *, quoted: bool = False, case_sensitive: bool = False
) -> dict[str, Any]:
    return {
        "type_name": name,
        "data_type": number,
        "column_size": size,
        "literal_prefix": "'" if quoted else None,
        "literal_suffix": "'" if quoted else None,
        "nullable": 1,
        "case_sensitive": case_sensitive,
        "searchable": SEARCHABLE_FULL,
        "fixed_prec_scale": False,
        "local_type_name": name,
        "sql_data_type": number,
    }
