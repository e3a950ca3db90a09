"""INSERT … ON CONFLICT: rows that are given meet records that are there.

The records are read by their keys, not found by a query: a merge of a few rows into a table of millions reads a few records.
What becomes of those that are there is computed by DuckDB over the two small relations `excluded` and the table's name; the
result must still find each record at the version that was read. Of several rows with one key the first counts, as in DuckDB.
Rows whose records are there need not be whole: what is NOT NULL in the table may be missing in them.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from kubegrid.base.tables import Column, TableDefinition
from kubegrid.query import writing_values
from kubegrid.query.writer import Queries
from kubegrid.query.writing_operations import MISSING, Operations
from kubegrid.query.writing_rows import encoded_rows, encoded_table, keys_of_rows
from kubegrid.query.writing_values import Label, row_number
from kubegrid.sql import dml, dml_conflicts, dml_values

Records = Callable[[TableDefinition, list[bytes]], dict[bytes, tuple[int, Sequence[Any]]]]
"""Version and values of the records that are there now, by key."""

GIVEN = "given_rows"
THERE = "rows_there"


def merge(
    insert: dml.Insert,
    rows: Sequence[Sequence[Any]],
    queries: Queries,
    operations: Operations,
    records: Records,
) -> None:
    """Add the operations. Raises SqlError."""
    table = insert.table
    keys = keys_of_rows(table, rows, row_number)
    first: dict[bytes, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    there = records(table, list(first))
    meeting = [(place, *there[key]) for key, place in first.items() if key in there]
    new = [place for key, place in first.items() if key not in there]
    if new:
        dml.check_given(table, insert.columns)
    _, encoded = encoded_rows(table, [rows[place] for place in new], lambda number: row_number(new[number]))
    operations.add(repeat(MISSING), [keys[place] for place in new], encoded)
    if insert.conflict.action == dml_conflicts.NOTHING:
        return
    # Also if no row meets a record: what is wrong with the assignments is not told only when one does.
    given = _relation(table, [(place, rows[place]) for place, _, _ in meeting], "__place")
    found = _relation(table, [(version, values) for _, version, values in meeting], dml_conflicts.VERSION)
    merged = queries.local(_over(insert), {GIVEN: given, THERE: found})
    places, versions = merged.column(0).to_pylist(), merged.column(1).to_pylist()
    label: Label = lambda number: f"row {places[number] + 1}"  # noqa: E731
    computed = writing_values.cast(merged.select(range(2, merged.num_columns)), table, table.names, queries, label)
    operations.add(versions, *encoded_table(table, computed, table.names, label))


def _over(insert: dml.Insert) -> str:
    """The merging SELECT over the two relations as they are handed over."""
    parts = []
    for name, relation, extra in (
        (dml_conflicts.EXCLUDED, GIVEN, "__place"),
        (insert.conflict.target, THERE, dml_conflicts.VERSION),
    ):
        columns = [
            f"CAST(c{i} AS {column.type.name}) AS {dml_values.quoted(column.name)}"
            for i, column in enumerate(insert.table.columns)
        ]
        parts.append(f"{dml_values.quoted(name)} AS (SELECT {', '.join([extra, *columns])} FROM {relation})")
    return f"WITH {', '.join(parts)} {dml_conflicts.merged(insert.table, insert.conflict)}"


def _relation(table: TableDefinition, rows: Sequence[tuple[int, Sequence[Any]]], extra: str) -> Any:
    """Rows as a `pyarrow.Table` with columns c0, c1 … and one more for the numbers."""
    import pyarrow as pa

    columns = [pa.array([number for number, _ in rows], pa.int64())]
    for i, column in enumerate(table.columns):
        columns.append(_array([values[i] for _, values in rows], column))
    return pa.table(columns, names=[extra, *(f"c{i}" for i in range(len(table.columns)))])


def _array(values: list[Any], column: Column) -> Any:
    import pyarrow as pa

    from kubegrid.wire.arrow_schemas import arrow_type

    name = column.type.name
    if name in dml_conflicts.AS_TEXT or name in ("UUID", "JSON"):
        texts = [None if value is None else column.type.to_text(value).decode() for value in values]
        return pa.array(texts, pa.string())
    return pa.array(values, arrow_type(column.type))
