"""What a table is: its columns, key, indexes; and the catalog, which is all tables with a version.

A definition is immutable. Its `id` is given by the catalog and never used again, so that the records of a table that
was dropped are told from those of one made later under its name; its `schema` is counted up by every change of it.
Columns are only ever added, at the end: a row written before is shorter, and what it lacks reads as the column's
default. The functions on catalogs return a new catalog or raise; who may change the one that counts, and how it gets
to every member, is told in `manager` and `node`.

Reading a definition from JSON, and finding everything wrong with it, is in `table_definitions`.
"""

from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from kubegrid.base.column_type import ColumnType
from kubegrid.base.table_errors import TableConflict, UnknownColumn, UnknownTable

COLUMNS_MAX = 1000
KEY_COLUMNS_MAX = 32
INDEXES_MAX = 32
INDEX_COLUMNS_MAX = 16
TABLES_MAX = 1000
DEFINITION_BYTES_MAX = 2**20
RECORD_BYTES_MAX = 2**20
"""Of one encoded row. Larger things are documents for a store of documents; here they would stop the serving loop."""
KEY_BYTES_MAX = 4096
"""Of a record's key, with the name of its table."""
TTL_SECONDS_MAX = 100 * 365 * 86400

HASH = "hash"
ORDERED = "ordered"
INDEX_KINDS = (HASH, ORDERED)


class Column(msgspec.Struct, frozen=True):
    name: str
    type: ColumnType
    nullable: bool = True
    default: Any = None
    """A value in memory, as the type has it; None: no default."""

    @property
    def required(self) -> bool:
        """Whether a record must say a value for it."""
        return not self.nullable and self.default is None

    def to_json(self) -> dict[str, Any]:
        default = None if self.default is None else self.type.to_json(self.default)
        if isinstance(default, Decimal):  # as a number it would lose digits where it is read as a double
            default = str(default)
        return {"name": self.name, "type": self.type.name, "nullable": self.nullable, "default": default}

    def __str__(self) -> str:
        null = "" if self.nullable else " NOT NULL"
        default = "" if self.default is None else f" DEFAULT {self.type.to_json(self.default)!r}"
        return f"{self.name} {self.type.name}{null}{default}"


class Index(msgspec.Struct, frozen=True):
    columns: tuple[str, ...]
    kind: str = HASH

    def to_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "kind": self.kind}

    def __str__(self) -> str:
        return f"{self.kind} index on ({', '.join(self.columns)})"


class TableDefinition(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A checked definition; made by `table_definitions`, not by hand."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    """A leading part of `key`."""
    indexes: tuple[Index, ...] = ()
    broadcast: bool = False
    ttl: int | None = None
    """Seconds after its last write at which a record goes away; None: never."""
    id: int = 0
    """0 until the catalog gives one."""
    schema: int = 0
    """1 in the catalog, and one more with each change."""

    @property
    def columnar(self) -> bool:
        """Whether rows that come as columns may stay so: indexes are made of records, and what expires is one."""
        return not self.indexes and self.ttl is None

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Column name → its place in a row."""
        return {column.name: place for place, column in enumerate(self.columns)}

    @cached_property
    def key_positions(self) -> tuple[int, ...]:
        return tuple(self.positions[name] for name in self.key)

    def position(self, column: str) -> int:
        """Raises UnknownColumn with the nearest spelling."""
        place = self.positions.get(column)
        if place is None:
            raise UnknownColumn(self.name, column, self.names)
        return place

    def column(self, name: str) -> Column:
        return self.columns[self.position(name)]

    def to_json(self) -> dict[str, Any]:
        """As it is declared; `id` and `schema` are added where the catalog gave them."""
        document: dict[str, Any] = {
            "name": self.name,
            "columns": [column.to_json() for column in self.columns],
            "key": list(self.key),
            "partition_by": list(self.partition_by),
            "indexes": [index.to_json() for index in self.indexes],
            "broadcast": self.broadcast,
            "ttl": self.ttl,
        }
        if self.id:
            document |= {"id": self.id, "schema": self.schema}
        return document


def difference(there: TableDefinition, wanted: TableDefinition) -> list[str]:
    """How `there` differs from `wanted`, a line for each difference; empty if they are the same table."""
    lines = []
    here = {column.name: column for column in there.columns}
    asked = {column.name: column for column in wanted.columns}
    for name, column in asked.items():
        if name not in here:
            lines.append(f"column {name} {column.type.name} is missing")
        elif here[name] != column:
            lines.append(f"column is {here[name]}, not {column}")
    lines += [
        f"column {name} {column.type.name} is there as well" for name, column in here.items() if name not in asked
    ]
    if not lines and there.names != wanted.names:
        lines.append(f"the columns are in the order {', '.join(there.names)}")
    for what, one, other in (
        ("key", there.key, wanted.key),
        ("partition_by", there.partition_by, wanted.partition_by),
    ):
        if one != other:
            lines.append(f"{what} is ({', '.join(one)}), not ({', '.join(other)})")
    lines += [f"{index} is missing" for index in wanted.indexes if index not in there.indexes]
    lines += [f"{index} is there as well" for index in there.indexes if index not in wanted.indexes]
    if there.broadcast != wanted.broadcast:
        lines.append(f"broadcast is {str(there.broadcast).lower()}, not {str(wanted.broadcast).lower()}")
    if there.ttl != wanted.ttl:
        lines.append(f"ttl is {_ttl(there.ttl)}, not {_ttl(wanted.ttl)}")
    return lines


def additions(there: TableDefinition, wanted: TableDefinition) -> tuple[Column, ...] | None:
    """The columns that `wanted` has at the end beyond those of `there`, if nothing else differs; None otherwise."""
    new = wanted.columns[len(there.columns) :]
    grown = msgspec.structs.replace(there, columns=there.columns + new)
    return None if any(column.required for column in new) or difference(grown, wanted) else new


def _ttl(seconds: int | None) -> str:
    return "none" if seconds is None else f"{seconds} s"


class Catalog(msgspec.Struct, frozen=True, dict=True):
    """All tables of a grid. Invariant: ids are distinct and below `next_id`; names differ by more than case."""

    version: int = 0
    next_id: int = 1
    tables: tuple[TableDefinition, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, TableDefinition]:
        return {table.name: table for table in self.tables}

    @cached_property
    def by_id(self) -> dict[int, TableDefinition]:
        return {table.id: table for table in self.tables}

    def table(self, name: str) -> TableDefinition:
        """Raises UnknownTable with the nearest spelling."""
        found = self.by_name.get(name)
        if found is None:
            raise UnknownTable(name, self.by_name)
        return found

    def create(self, definition: TableDefinition) -> "Catalog":
        """With one more table; this catalog itself if just that table is there already. Raises TableConflict."""
        there = self.by_name.get(definition.name)
        if there is not None:
            differences = difference(there, definition)
            if not differences:
                return self
            raise TableConflict(
                f"table {definition.name} exists with another definition: " + "; ".join(differences),
                "Drop it first, choose another name, or add columns to it with KG.ALTER.",
            )
        for name in self.by_name:
            if name.lower() == definition.name.lower():
                raise TableConflict(
                    f"table {definition.name} would differ from table {name} only in upper and lower case"
                )
        if len(self.tables) >= TABLES_MAX:
            raise TableConflict(f"there are {TABLES_MAX} tables, which is the most there can be")
        table = msgspec.structs.replace(definition, id=self.next_id, schema=1)
        return Catalog(self.version + 1, self.next_id + 1, (*self.tables, table))

    def drop(self, name: str) -> "Catalog":
        gone = self.table(name)
        return Catalog(self.version + 1, self.next_id, tuple(table for table in self.tables if table is not gone))

    def truncate(self, name: str) -> "Catalog":
        """With the same table under another id: records under the one that it had count as missing from then on."""
        old = self.table(name)
        new = msgspec.structs.replace(old, id=self.next_id)
        tables = tuple(new if table is old else table for table in self.tables)
        return Catalog(self.version + 1, self.next_id + 1, tables)

    def add_column(self, name: str, column: Column) -> "Catalog":
        old = self.table(name)
        new = msgspec.structs.replace(add_column(old, column), schema=old.schema + 1)
        return Catalog(self.version + 1, self.next_id, tuple(new if table is old else table for table in self.tables))

    def encode(self) -> bytes:
        """As JSON; equal catalogs give equal bytes. `table_definitions.parse_catalog` reads it back."""
        return msgspec.json.encode(self.to_json())

    def to_json(self) -> dict[str, Any]:
        tables = [table.to_json() for table in self.tables]
        return {"version": self.version, "next_id": self.next_id, "tables": tables}


def add_column(definition: TableDefinition, column: Column) -> TableDefinition:
    """The table with one more column, at the end. Raises TableConflict."""
    for name in definition.names:
        if name.lower() == column.name.lower():
            raise TableConflict(
                f"table {definition.name} has a column {name} already",
                "A column's type cannot be changed: add a column of another name, fill it, and read that one.",
            )
    if column.required:
        raise TableConflict(
            f"column {column.name} of table {definition.name} is NOT NULL, and the records that exist have no value for it",
            "Let it be nullable, or give it a default.",
        )
    if len(definition.columns) >= COLUMNS_MAX:
        raise TableConflict(f"table {definition.name} has {COLUMNS_MAX} columns, which is the most there can be")
    return msgspec.structs.replace(definition, columns=(*definition.columns, column))
