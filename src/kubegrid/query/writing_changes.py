"""What INSERT, UPDATE and DELETE make of records: from the rows of their SELECT to operations.

A statement has each record once: of several rows with one key, INSERT refuses, ON CONFLICT takes the first, and UPDATE … FROM
any. ON CONFLICT DO UPDATE is in `writing_merge`. Next: `writing_sending`.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Any

from sqlglot import exp

from kubegrid.base.table_errors import shown
from kubegrid.base.tables import TableDefinition
from kubegrid.query import writing_merge, writing_values
from kubegrid.query.writer import Queries
from kubegrid.query.writing_merge import Records
from kubegrid.query.writing_operations import KEEP, MISSING, Operations
from kubegrid.query.writing_rows import codec_of, encoded_table, whole_rows
from kubegrid.query.writing_values import Label, row_number
from kubegrid.sql import dml, dml_conflicts
from kubegrid.sql.errors import TypeProblem, WriteRefused

OPERATION_BYTES = 400
COPIES = 4
"""What is made of a row until it is sent: objects of Python, and its values as Arrow, as rows and as messages. Measured
with an UPDATE of 1.25 million rows of 78 and of 103 bytes: 650 and 830 bytes of memory each."""
SMALL_BYTES = 8 * 1024 * 1024
"""What a statement may always have: a full member can be changed, too."""


def of(change: dml.Change, queries: Queries, partitions: Sequence[int], records: Records) -> Operations:
    """Compute what the statement does now. `partitions`: of each slot. Raises SqlError."""
    operations = Operations(change.table, partitions)
    if isinstance(change, dml.Insert):
        _insert(change, queries, operations, records)
    elif isinstance(change, dml.Update):
        _update(change, queries, operations)
    else:
        _delete(change, queries, operations)
    return operations


def _insert(insert: dml.Insert, queries: Queries, operations: Operations, records: Records) -> None:
    table = insert.table
    fails = insert.conflict.action == dml_conflicts.FAIL
    query = insert.query
    if query is None:
        names = insert.columns
        rows = writing_values.cells(insert.rows, table, names, queries)
    else:
        columns = queries.columns(query)
        insert = insert.named([name for name, _ in columns])
        names = insert.columns
        dml.check_given(table, names, whole=fails)
        given = selected(dml.handed_over(query, columns), queries)
        rows = writing_values.cast(given, table, names, queries, row_number)
    if insert.conflict.action == dml_conflicts.MERGE:
        _merge(insert, rows, queries, operations, records)
        return
    try:
        dml.check_given(table, names)
        keys, encoded, slots = encoded_table(table, rows, names, row_number)
    except (WriteRefused, TypeProblem):
        if fails:
            raise
        # A row that is not whole does no harm where its record is there.
        _merge(insert, rows, queries, operations, records)
        return
    repeated = operations.add(repeat(MISSING if fails else KEEP), keys, encoded, slots)
    if repeated is not None and fails:
        key = keys[repeated]
        places = f"{keys.index(key) + 1} and {repeated + 1}"
        raise WriteRefused(f"rows {places} are both {shown(key.decode())}; a key is unique in table {table.name}")


def _merge(insert: dml.Insert, rows: Any, queries: Queries, operations: Operations, records: Records) -> None:
    table, names = insert.table, insert.columns
    values = whole_rows(table, names, writing_values.lists(rows, table, names, row_number), rows.num_rows)
    writing_merge.merge(insert, values, queries, operations, records)


def _update(update: dml.Update, queries: Queries, operations: Operations) -> None:
    table = update.table
    given = selected(update.query, queries)
    label = _by_key(table, [given.column(place) for place in table.key_positions])
    rows = writing_values.cast(given, table, table.names, queries, label)
    versions = given.column(len(table.columns)).to_pylist()
    keys, encoded, slots = encoded_table(table, rows, table.names, label)
    operations.add(versions, keys, encoded, slots)


def _delete(delete: dml.Delete, queries: Queries, operations: Operations) -> None:
    table = delete.table
    given = selected(delete.query, queries)
    rows = writing_values.cast(given, table, table.key, queries, row_number)
    values = writing_values.lists(rows, table, table.key, row_number)
    versions = given.column(len(table.key)).to_pylist()
    keys = list(map(codec_of(table).keys.key, zip(*values, strict=True)))
    operations.add(versions, keys, repeat(None))


def selected(query: exp.Query, queries: Queries) -> Any:
    """The rows of a statement's SELECT as a `pyarrow.Table`, with its names even if there are none.

    Raises TooMuch when there are more than the process has memory for: an UPDATE of everything is quickly typed.
    """
    import pyarrow as pa

    batches = []
    wanted_bytes = 0
    for batch in queries.select(query):
        batches.append(batch)
        wanted_bytes += OPERATION_BYTES * batch.num_rows + COPIES * batch.nbytes
        if wanted_bytes > SMALL_BYTES:
            queries.check_room(wanted_bytes)
    if batches:
        return pa.Table.from_batches(batches)
    names = [name for name, _ in queries.columns(query)]
    return pa.table([pa.array([], pa.null()) for _ in names], names=names)


def _by_key(table: TableDefinition, columns: Sequence[Any]) -> Label:
    def label(number: int) -> str:
        parts = ", ".join(
            f"{name} {shown(column[number].as_py())}" for name, column in zip(table.key, columns, strict=True)
        )
        return f"record {parts}"

    return label
