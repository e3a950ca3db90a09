"""What INSERT, UPDATE and DELETE make of records: from the rows of their SELECT to operations.

A statement has each record once: of several rows with one key, INSERT refuses, ON CONFLICT takes the first, and UPDATE … FROM
any. ON CONFLICT DO UPDATE is in `writing_merge`. Next: `writing_sending`.
"""

from collections.abc import Sequence
from typing import Any

from kubegrid.base.table_errors import shown
from kubegrid.base.tables import TableDefinition
from kubegrid.query import writing_merge, writing_values
from kubegrid.query.writer import Queries
from kubegrid.query.writing_merge import Records
from kubegrid.query.writing_operations import KEEP, MISSING, Operation, Operations, PartitionOf
from kubegrid.query.writing_rows import codec_of, encoded_rows, whole_rows
from kubegrid.query.writing_values import Label, row_number
from kubegrid.sql import dml, dml_conflicts
from kubegrid.sql.errors import WriteRefused


def of(change: dml.Change, queries: Queries, partition_of: PartitionOf, records: Records) -> Operations:
    """Compute what the statement does now. Raises SqlError."""
    operations = Operations(change.table, partition_of)
    if isinstance(change, dml.Insert):
        _insert(change, queries, operations, records)
    elif isinstance(change, dml.Update):
        _update(change, queries, operations)
    else:
        _delete(change, queries, operations)
    return operations


def _insert(insert: dml.Insert, queries: Queries, operations: Operations, records: Records) -> None:
    table = insert.table
    names = insert.columns
    if insert.query is None:
        values = writing_values.of_cells(insert.rows, table, names, queries) if names else []
        count = len(insert.rows)
    else:
        given = _selected(insert, queries)
        names = insert.named(given.column_names)
        dml.check_given(table, names)
        values = writing_values.of_table(given, table, names, queries, row_number)
        count = given.num_rows
    rows = whole_rows(table, names, values, count)
    keys, encoded = encoded_rows(table, rows, row_number)
    if insert.conflict.action == dml_conflicts.MERGE:
        writing_merge.merge(insert, rows, keys, encoded, queries, operations, records)
        return
    expected = KEEP if insert.conflict.action == dml_conflicts.NOTHING else MISSING
    for number, (key, row) in enumerate(zip(keys, encoded, strict=True)):
        if not operations.add(Operation(expected, key, row)) and expected == MISSING:
            first = keys.index(key)
            raise WriteRefused(
                f"rows {first + 1} and {number + 1} are both {shown(key.decode())}; a key is unique in table {table.name}"
            )


def _update(update: dml.Update, queries: Queries, operations: Operations) -> None:
    table = update.table
    given = _selected(update, queries)
    label = _by_key(table, [given.column(place) for place in table.key_positions])
    values = writing_values.of_table(given, table, table.names, queries, label)
    versions = given.column(len(table.columns)).to_pylist()
    keys, encoded = encoded_rows(table, list(zip(*values, strict=True)), label)
    for version, key, row in zip(versions, keys, encoded, strict=True):
        operations.add(Operation(version, key, row))


def _delete(delete: dml.Delete, queries: Queries, operations: Operations) -> None:
    table = delete.table
    given = _selected(delete, queries)
    values = writing_values.of_table(given, table, table.key, queries, row_number)
    versions = given.column(len(table.key)).to_pylist()
    make = codec_of(table).keys.key
    for version, parts in zip(versions, zip(*values, strict=True), strict=True):
        operations.add(Operation(version, make(parts), None))


def _selected(change: Any, queries: Queries) -> Any:
    """The rows of the statement's SELECT as a `pyarrow.Table`, with its names even if there are none."""
    import pyarrow as pa

    batches = list(queries.select(change.query))
    if batches:
        return pa.Table.from_batches(batches)
    names = [name for name, _ in queries.columns(change.query)]
    return pa.table([pa.array([], pa.null()) for _ in names], names=names)


def _by_key(table: TableDefinition, columns: Sequence[Any]) -> Label:
    def label(number: int) -> str:
        parts = ", ".join(
            f"{name} {shown(column[number].as_py())}" for name, column in zip(table.key, columns, strict=True)
        )
        return f"record {parts}"

    return label
