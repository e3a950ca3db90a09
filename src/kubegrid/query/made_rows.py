"""Rows of our own making (SHOW TABLES, EXPLAIN …) as a SELECT that DuckDB makes Arrow of, like any other answer.

`pyarrow.array` would do it as well, and import pandas on the way wherever that is installed.
"""

from collections.abc import Iterable, Sequence

from kubegrid.columns.database import quoted

Value = str | int | float | bool | None


def select(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Value]]) -> str:
    """`columns`: name and DuckDB type of each."""
    casts = ", ".join(f"{quoted(name)}::{kind} AS {quoted(name)}" for name, kind in columns)
    names = ", ".join(quoted(name) for name, _ in columns)
    values = ", ".join(f"({', '.join(literal(value) for value in row)})" for row in rows)
    if not values:
        return f"SELECT {casts} FROM (VALUES ({', '.join('NULL' for _ in columns)})) AS made({names}) WHERE false"
    return f"SELECT {casts} FROM (VALUES {values}) AS made({names})"


def literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
