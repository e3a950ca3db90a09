"""Whether a file and a table fit together: the definition that a new table gets, or how the one that is there differs.

Columns are matched by name. A column that only one of both has is a difference, also when the table would take NULL for it:
loading would silently write NULL over what records have there. (NDJSON leaves columns out row by row; it is spared this.)
"""

from collections.abc import Sequence
from typing import Any

from kubegrid.base.columns import parse_type
from kubegrid.base.errors import UsageError
from kubegrid.base.nearest import hint
from kubegrid.base.table_definitions import NAME, NAME_RULE, parse_definition
from kubegrid.base.table_errors import BadValue
from kubegrid.base.tables import TableDefinition
from kubegrid.load import renaming
from kubegrid.load.blocks import Source
from kubegrid.load.errors import FileError, SchemaConflict
from kubegrid.wire.arrow_types import converts, converts_from_json, sql_type

SAMPLE_VALUES = 20
FIRST_LINE = "The first line of a CSV file names its columns."


def new_table(name: str, source: Source, key: Sequence[str], partition_by: Sequence[str]) -> TableDefinition:
    """The definition that `source` gives a table: every column but the key's is nullable. Raises UsageError."""
    if not key:
        raise UsageError(
            f"there is no table {name}: to make it, say which columns name a record, with --key COL[,COL…]"
        )
    names = source.schema.names
    for column in (*key, *partition_by):
        if column not in names:
            remedy = FIRST_LINE if source.values_are_text else ""
            raise UsageError(f"{source.path} has no column {column!r}{hint(column, names)}", remedy)
    if tuple(partition_by) != tuple(key[: len(partition_by)]):
        raise UsageError(f"--partition-by names a leading part of the key, {', '.join(key)}")
    source.refuse_encoding()
    columns: list[dict[str, Any]] = []
    for field in source.schema:
        if not NAME.fullmatch(field.name):
            raise FileError(
                f"{source.path}: {field.name!r} cannot be a column: {NAME_RULE}",
                f"Say what it shall be called: {renaming.suggestion(names)}",
            )
        kind = sql_type(field.type)
        if kind is None:
            raise FileError(f"{source.path}: column {field.name} is {field.type}, for which there is no SQL type")
        columns.append({"name": field.name, "type": kind, "nullable": field.name not in key})
    document = {"columns": columns, "key": list(key), "partition_by": list(partition_by)}
    return parse_definition(name, document)


def differences(table: TableDefinition, source: Source, key: Sequence[str], partition_by: Sequence[str]) -> list[str]:
    """How the table that is there differs from the file and what was asked for; empty when the file can be loaded."""
    lines = []
    for field in source.schema:
        if field.name not in table.positions:
            near = hint(field.name, table.names)
            lines.append(f"column {field.name} ({sql_type(field.type) or field.type}) is not in the table{near}")
            continue
        wanted = table.column(field.name).type.name
        if not _fits(source, field.name, wanted):
            lines.append(f"column {field.name} is {wanted}; in the file it is {_told(source, field.name)}")
    present = set(source.schema.names)
    lines += [
        f"column {column.name} {column.type.name} is not in the file"
        for column in table.columns
        if column.name not in present and not (source.may_leave_out and not column.required)
    ]
    if key and tuple(key) != table.key:
        lines.append(f"its key is ({', '.join(table.key)}), not ({', '.join(key)})")
    if partition_by and tuple(partition_by) != table.partition_by:
        by = f"({', '.join(table.partition_by)})" if table.partition_by else "its whole key"
        lines.append(f"it is partitioned by {by}, not ({', '.join(partition_by)})")
    return lines


def refuse_difference(table: TableDefinition, source: Source, key: Sequence[str], partition_by: Sequence[str]) -> None:
    """Raises SchemaConflict with every difference."""
    found = differences(table, source, key, partition_by)
    if found:
        remedy = (
            "Change the file (or the names of its columns, with --rename OLD=NEW), load into another table, "
            "or say --replace-table to drop this one with its records."
        )
        if source.values_are_text and not table.positions.keys() & set(source.schema.names):
            remedy = f"{FIRST_LINE}\n{remedy}"
        raise SchemaConflict(
            f"table {table.name} has another schema than {source.path}:\n" + "\n".join(f"  {line}" for line in found),
            remedy,
        )


def _fits(source: Source, name: str, wanted: str) -> bool:
    given = source.schema.field(name).type
    if source.values_are_text:
        return _some_convert(source, name, wanted)
    return converts_from_json(given, wanted) if source.may_leave_out else converts(given, wanted)


def _some_convert(source: Source, name: str, wanted: str) -> bool:
    """CSV states no types. A column is of another kind when none of its first values is one of the table's."""
    kind = parse_type(wanted)
    texts = source.sample_texts(name)[:SAMPLE_VALUES]
    if not texts or kind.name in ("VARCHAR", "BLOB"):
        return True
    for text in texts:
        try:
            kind.from_text(text.encode())
        except BadValue:
            continue
        return True
    return False


def _told(source: Source, name: str) -> str:
    if source.values_are_text:
        return f"text such as {source.sample_texts(name)[0]!r}"
    given = source.schema.field(name).type
    return sql_type(given) or str(given)
