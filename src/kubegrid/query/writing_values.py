"""The rows that a SELECT gave, as values of a table's columns.

Arrow comes in, lists of Python values as `wire.rows` takes them come out, one list for each column. Columns that are of
another type than the table's are cast by DuckDB first; what it refuses is told with row, column and value.
"""

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from kubegrid.base.table_errors import BadValue, shown
from kubegrid.base.tables import Column, TableDefinition
from kubegrid.query.writer import Queries
from kubegrid.sql import dml_conflicts, dml_values
from kubegrid.sql.dml_conflicts import Cell
from kubegrid.sql.errors import SqlError, TypeProblem

Label = Callable[[int], str]
"""How a row is called in an error, by its number from 0."""
GIVEN = "given_rows"
DAY_US = 24 * 3600 * 1_000_000


def row_number(number: int) -> str:
    return f"row {number + 1}"


def cast(rows: Any, definition: TableDefinition, names: Sequence[str], queries: Queries, label: Label) -> Any:
    """The first columns of `rows` (a `pyarrow.Table`), each of the type of the table's column of `names`. Raises TypeProblem."""
    import pyarrow as pa

    columns = [definition.column(name) for name in names]
    rows = rows.select(range(len(columns))).rename_columns([f"c{i}" for i in range(len(columns))])
    others = [None if _fits(field.type, column) else column for field, column in zip(rows.schema, columns, strict=True)]
    if not any(others) or not rows.num_rows:
        return rows
    try:
        return queries.local(dml_values.cast_columns(GIVEN, others), {GIVEN: rows})
    except TypeProblem as error:
        places = pa.array(range(rows.num_rows), pa.int64())
        doubtful = dml_values.doubtful_columns(GIVEN, others)
        found = queries.local(doubtful, {GIVEN: rows.append_column("place", places)})
        raise _explained(error, found, definition, columns, label) from None


def lists(rows: Any, definition: TableDefinition, names: Sequence[str], label: Label) -> list[list[Any]]:
    """The values of what `cast` or `cells` gave, column by column. Raises TypeProblem."""
    columns = [definition.column(name) for name in names]
    return [_values(chunks, definition, column, label) for chunks, column in zip(rows.columns, columns, strict=True)]


def cells(cells: Sequence[Sequence[Cell]], definition: TableDefinition, names: Sequence[str], queries: Queries) -> Any:
    """The rows of VALUES, cast. Raises TypeProblem, WriteRefused."""
    import pyarrow as pa
    import sqlglot

    columns = [definition.column(name) for name in names]
    text = dml_values.rows(cells, columns)

    def run(sql: str) -> Any:
        if not dml_values.asks_tables(cells):
            return queries.local(sql, {})
        query: Any = sqlglot.parse_one(sql, dialect="duckdb")
        return pa.Table.from_batches(list(queries.select(query)))

    try:
        return run(text)
    except TypeProblem as error:
        try:
            found = run(dml_values.doubtful_rows(cells, columns))
        except SqlError:
            raise error from None
        raise _explained(error, found, definition, columns, row_number) from None


def _fits(arrow: Any, column: Column) -> bool:
    """Whether values of this Arrow type are read without a cast."""
    import pyarrow as pa

    from kubegrid.wire.arrow_schemas import arrow_type

    name = column.type.name
    if name in dml_conflicts.AS_TEXT:
        return False
    if name == "TIMESTAMP WITH TIME ZONE":
        return bool(pa.types.is_timestamp(arrow) and arrow.tz and arrow.unit == "us")
    return bool(arrow == arrow_type(column.type))


def _values(chunks: Any, definition: TableDefinition, column: Column, label: Label) -> list[Any]:
    """The values of one Arrow column in the column's form in memory. Raises TypeProblem."""
    import pyarrow as pa

    name = column.type.name
    try:
        if name == "TIMESTAMP WITH TIME ZONE":
            naive = chunks.cast(pa.timestamp("us")).to_pylist()
            return [None if value is None else value.replace(tzinfo=UTC) for value in naive]
        if name == "TIME":
            _check_times(chunks, definition, column, label)
        values: list[Any] = chunks.to_pylist()
    except (OverflowError, ValueError):
        place = next(i for i, value in enumerate(chunks) if not _readable(value))
        reason = f"the value is infinite, or no {name} of the years 1 to 9999"
        raise refused(definition, BadValue(reason, definition.name, column.name), label(place)) from None
    convert: Any = None
    if name in dml_conflicts.AS_TEXT:
        convert = int
    elif name == "UUID":
        convert = UUID
    elif name == "JSON":
        convert = lambda text: column.type.from_text(text.encode())  # noqa: E731
    if convert is None:
        return values
    place = 0
    try:
        for place, value in enumerate(values):
            if value is not None:
                values[place] = convert(value)
    except (ValueError, BadValue) as error:
        reason = error.reason if isinstance(error, BadValue) else f"{shown(values[place])} is not a {name}"
        raise refused(definition, BadValue(reason, definition.name, column.name), label(place)) from None
    return values


def _check_times(chunks: Any, definition: TableDefinition, column: Column, label: Label) -> None:
    """DuckDB knows 24:00, of which Python makes 00:00. Raises TypeProblem."""
    import pyarrow as pa

    for place, microseconds in enumerate(chunks.cast(pa.int64()).to_pylist()):
        if microseconds is not None and microseconds >= DAY_US:
            reason = "24:00:00 is no TIME here: the last is 23:59:59.999999"
            raise refused(definition, BadValue(reason, definition.name, column.name), label(place))


def _readable(value: Any) -> bool:
    try:
        value.as_py()
    except (OverflowError, ValueError):
        return False
    return True


def refused(definition: TableDefinition, error: Any, label: str) -> TypeProblem:
    """A value that the table cannot take, with its row."""
    column = getattr(error, "column", "")
    table = f"table {definition.name}"
    place = f"column {column} of {table}" if column else table
    reason = getattr(error, "reason", error.message).removeprefix(f"{table}: ")
    return TypeProblem(f"{label}, {place}: {reason}")


def _explained(
    error: TypeProblem, found: Any, definition: TableDefinition, columns: Sequence[Column], label: Label
) -> TypeProblem:
    """DuckDB's complaint with the place of the value, if that was found."""
    if not found.num_rows:
        return error
    place, number, value = (found.column(i)[0].as_py() for i in range(3))
    column = columns[number]
    try:
        column.type.from_text(value.encode())
        bad = column.type.refuse(value)
    except BadValue as known:
        bad = known
    return refused(definition, BadValue(bad.reason, definition.name, column.name), label(place))
