"""What Flight SQL asks about the catalog: catalogs, schemas, tables with their columns, primary keys. Pure.

A grid has one catalog, named as in DuckDB, whose dialect its SQL is, and one schema in it. Names are matched by SQL's
LIKE patterns, with a backslash before a `%`, `_` or backslash that stands for itself.
"""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kubegrid.base.column_numbers import DecimalType
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.wire.arrow_schemas import arrow_schema

CATALOG = "memory"
SCHEMA = "main"
TABLE_TYPES = ("BASE TABLE",)

_TEXT = pa.string()
CATALOGS = pa.schema([pa.field("catalog_name", _TEXT, nullable=False)])
SCHEMAS = pa.schema([pa.field("catalog_name", _TEXT), pa.field("db_schema_name", _TEXT, nullable=False)])
TABLES = pa.schema(
    [
        pa.field("catalog_name", _TEXT),
        pa.field("db_schema_name", _TEXT),
        pa.field("table_name", _TEXT, nullable=False),
        pa.field("table_type", _TEXT, nullable=False),
    ]
)
TABLES_WITH_SCHEMA = TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
TYPES = pa.schema([pa.field("table_type", _TEXT, nullable=False)])
PRIMARY_KEYS = pa.schema(
    [
        pa.field("catalog_name", _TEXT),
        pa.field("db_schema_name", _TEXT),
        pa.field("table_name", _TEXT, nullable=False),
        pa.field("column_name", _TEXT, nullable=False),
        pa.field("key_name", _TEXT),
        pa.field("key_sequence", pa.int32(), nullable=False),
    ]
)
FOREIGN_KEYS = pa.schema(
    [
        pa.field("pk_catalog_name", _TEXT),
        pa.field("pk_db_schema_name", _TEXT),
        pa.field("pk_table_name", _TEXT, nullable=False),
        pa.field("pk_column_name", _TEXT, nullable=False),
        pa.field("fk_catalog_name", _TEXT),
        pa.field("fk_db_schema_name", _TEXT),
        pa.field("fk_table_name", _TEXT, nullable=False),
        pa.field("fk_column_name", _TEXT, nullable=False),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("fk_key_name", _TEXT),
        pa.field("pk_key_name", _TEXT),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)
"""A grid has none; the answer is always empty."""


def catalogs() -> Any:
    return table_of(CATALOGS, [(CATALOG,)])


def schemas(catalog: str | None, pattern: str | None) -> Any:
    return table_of(SCHEMAS, [(CATALOG, SCHEMA)] if _here(catalog, pattern) else [])


def tables(
    known: Catalog,
    catalog: str | None,
    schema_pattern: str | None,
    table_pattern: str | None,
    types: Sequence[str],
    *,
    with_schema: bool,
) -> Any:
    """`types` empty: all. A driver that asks for the type `TABLE` means these."""
    wanted = _here(catalog, schema_pattern) and (not types or any(kind in (*TABLE_TYPES, "TABLE") for kind in types))
    found = sorted(name for name in known.by_name if wanted and matches(table_pattern, name))
    rows: list[tuple[Any, ...]] = [(CATALOG, SCHEMA, name, TABLE_TYPES[0]) for name in found]
    if not with_schema:
        return table_of(TABLES, rows)
    described = [described_schema(known.by_name[name]).serialize().to_pybytes() for name in found]
    return table_of(TABLES_WITH_SCHEMA, [(*row, schema) for row, schema in zip(rows, described, strict=True)])


def table_types() -> Any:
    return table_of(TYPES, [(kind,) for kind in TABLE_TYPES])


def primary_keys(known: Catalog, catalog: str | None, schema: str | None, table: str) -> Any:
    """Names are taken as they are, not as patterns."""
    here = catalog in (None, CATALOG) and schema in (None, SCHEMA)
    definition = known.by_name.get(table) if here else None
    key = () if definition is None else definition.key
    rows = [(CATALOG, SCHEMA, table, column, f"{table}_pkey", place) for place, column in enumerate(key, 1)]
    return table_of(PRIMARY_KEYS, rows)


def foreign_keys() -> Any:
    return table_of(FOREIGN_KEYS, [])


def described_schema(definition: TableDefinition) -> Any:
    """The table's Arrow schema, with what SQL says of each column in its metadata."""
    fields = []
    for field, column in zip(arrow_schema(definition), definition.columns, strict=True):
        notes = {
            "CATALOG_NAME": CATALOG,
            "DB_SCHEMA_NAME": SCHEMA,
            "TABLE_NAME": definition.name,
            "TYPE_NAME": column.type.name,
            "IS_AUTO_INCREMENT": "0",
            "IS_CASE_SENSITIVE": "1",
            "IS_READ_ONLY": "0",
            "IS_SEARCHABLE": "1",
        }
        if isinstance(column.type, DecimalType):
            notes |= {"PRECISION": str(column.type.precision), "SCALE": str(column.type.scale)}
        fields.append(field.with_metadata({f"ARROW:FLIGHT:SQL:{name}": value for name, value in notes.items()}))
    return pa.schema(fields)


def table_of(schema: Any, rows: Sequence[tuple[Any, ...]]) -> Any:
    columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(schema)]
    return pa.Table.from_arrays(columns, schema=schema)


def matches(pattern: str | None, name: str) -> bool:
    """SQL's LIKE; None matches everything."""
    return pattern is None or re.fullmatch(_expression(pattern), name, re.DOTALL) is not None


def _expression(pattern: str) -> str:
    shortened = re.sub("%+", "%", pattern)  # or a long row of them would take for ever to fail
    meaning = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", shortened, re.DOTALL)
    return "".join(re.escape(part[1:]) if len(part) == 2 else meaning.get(part, re.escape(part)) for part in parts)


def _here(catalog: str | None, schema_pattern: str | None) -> bool:
    return catalog in (None, CATALOG) and matches(schema_pattern, SCHEMA)
