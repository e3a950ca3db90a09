"""Casts to the types of a table's columns, and the rows of VALUES, as SQL that DuckDB runs.

Each value is cast to its column's type by itself, as DuckDB does on INSERT: one row's number does not have to go together
with another row's text. If a cast fails, a second query finds the first value that cannot be cast, because DuckDB's message
names neither column nor row. What Arrow cannot carry without loss (integers of 128 bits) travels as text.
"""

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Column
from kubegrid.sql import dml_assignments
from kubegrid.sql.dml_conflicts import AS_TEXT, Cell


def cast(value: str, column: Column) -> str:
    """The value as its column has it, in the form in which it is handed over."""
    name = column.type.name
    return f"CAST(CAST({value} AS {name}) AS VARCHAR)" if name in AS_TEXT else f"CAST({value} AS {name})"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def cast_columns(relation: str, columns: Sequence[Column | None]) -> str:
    """All columns of a relation, which are c0, c1 …; those that are to be cast have their column here, the others None."""
    chosen = [f"c{i}" if column is None else f"{cast(f'c{i}', column)} AS c{i}" for i, column in enumerate(columns)]
    return f"SELECT {', '.join(chosen)} FROM {relation}"


def doubtful_columns(relation: str, columns: Sequence[Column | None]) -> str:
    """The first value of the relation that cannot be cast: its `place`, its column's number, and itself as text."""
    found = [
        f"SELECT place, {i}, CAST(c{i} AS VARCHAR) FROM {relation} "
        f"WHERE c{i} IS NOT NULL AND TRY_CAST(c{i} AS {column.type.name}) IS NULL"
        for i, column in enumerate(columns)
        if column is not None
    ]
    return _first(f"FROM ({' UNION ALL '.join(found)})")


def rows(cells: Sequence[Sequence[Cell]], columns: Sequence[Column]) -> str:
    """The rows of VALUES, cast. Raises WriteRefused for DEFAULT in a column that has none."""
    lines = []
    for row in cells:
        values = [cast(_text(cell, column), column) for cell, column in zip(row, columns, strict=True)]
        lines.append(f"({', '.join(values)})")
    names = ", ".join(f"c{i}" for i in range(len(columns)))
    return f"SELECT * FROM (VALUES {', '.join(lines)}) AS given({names})"


def doubtful_rows(cells: Sequence[Sequence[Cell]], columns: Sequence[Column]) -> str:
    """The first cell that cannot be cast, as `doubtful_columns`."""
    tried = []
    for place, row in enumerate(cells):
        for i, (cell, column) in enumerate(zip(row, columns, strict=True)):
            text = _text(cell, column)
            if text != "NULL":
                failed = f"({text}) IS NOT NULL AND TRY_CAST({text} AS {column.type.name}) IS NULL"
                tried.append(f"({place}, {i}, CAST({text} AS VARCHAR), {failed})")
    return _first(f"FROM (VALUES {', '.join(tried)}) AS tried(place, number, value, failed) WHERE failed")


def asks_tables(cells: Sequence[Sequence[Cell]]) -> bool:
    """Whether a cell is or has a subquery."""
    return any(cell is not None and cell.find(exp.Query) is not None for row in cells for cell in row)


def _first(text: str) -> str:
    return f"SELECT * {text} ORDER BY 1, 2 LIMIT 1"


def _text(cell: Cell, column: Column) -> str:
    if cell is None:
        return dml_assignments.default(column).sql("duckdb")
    if isinstance(cell, exp.Literal):  # most cells are, and sqlglot's way is slow
        value: Any = cell.this
        return "'" + value.replace("'", "''") + "'" if cell.is_string else str(value)
    return "NULL" if isinstance(cell, exp.Null) else cell.sql("duckdb")
