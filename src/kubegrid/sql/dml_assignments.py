"""Which table and which columns a statement writes, what it assigns to them, and defaults as SQL."""

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from kubegrid.base.column_texts import BlobType
from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import shown
from kubegrid.base.tables import Catalog, Column, TableDefinition
from kubegrid.sql import ddl_clauses
from kubegrid.sql.errors import NotSupported, TypeProblem, UnknownName, WriteRefused


def table_named(name: str, catalog: Catalog) -> TableDefinition:
    """The table as SQL finds it, upper and lower case alike. Raises UnknownName."""
    found = catalog.by_name.get(name)
    if found is None:
        found = next((table for table in catalog.tables if table.name.lower() == name.lower()), None)
    if found is None:
        raise UnknownName(f"no table {shown(name)}{hint(name, catalog.by_name) or '; there are no tables yet'}")
    return found


def target(table: Any, catalog: Catalog) -> TableDefinition:
    return table_named(ddl_clauses.table_name(table), catalog)


def columns(table: TableDefinition, names: Sequence[str], what: str) -> tuple[str, ...]:
    """As the table spells them. Raises UnknownName, TypeProblem for one that stands there twice."""
    found = tuple(_column(table, name) for name in names)
    for name in found:
        if found.count(name) > 1:
            raise TypeProblem(f"{what} names column {name} of table {table.name} twice")
    return found


def _column(table: TableDefinition, name: str) -> str:
    if name in table.positions:
        return name
    for known in table.names:
        if known.lower() == name.lower():
            return known
    raise UnknownName(f"table {table.name} has no column {shown(name)}{hint(name, table.names)}")


def read(
    table: TableDefinition, expressions: Sequence[Any], qualifiers: set[str]
) -> tuple[tuple[str, exp.Expr | None], ...]:
    """`SET a = …, (b, c) = (…, …), (d, e) = …`: column → expression, None for DEFAULT.

    `qualifiers`: what may stand before a column. Raises SqlError.
    """
    assigned: dict[str, exp.Expr | None] = {}
    lowered = {qualifier.lower() for qualifier in qualifiers}
    for left, right in _pairs(expressions):
        if not isinstance(left, exp.Column) or (left.table and left.table.lower() not in lowered):
            raise NotSupported(f"SET {shown(left.sql('duckdb'))}: only columns of table {table.name} can be set")
        name = _column(table, left.name)
        if name in assigned:
            raise TypeProblem(f"column {name} is set twice")
        if name in table.key:
            raise WriteRefused(
                f"column {name} is part of the key of table {table.name}, and the key of a record cannot be changed",
                remedy="INSERT the record under its other key and DELETE this one.",
            )
        assigned[name] = given(right)
    return tuple(assigned.items())


def _pairs(expressions: Sequence[Any]) -> list[tuple[Any, Any]]:
    """A list of columns takes a list of values, or one value for each of them."""
    pairs: list[tuple[Any, Any]] = []
    for entry in expressions:
        if not isinstance(entry, exp.EQ):
            raise NotSupported(f"{shown(entry.sql('duckdb'))}: an assignment is written column = value")
        left, right = entry.this, entry.expression
        if isinstance(left, exp.Paren | exp.Tuple):
            names = left.expressions if isinstance(left, exp.Tuple) else [left.this]
            values = right.expressions if _is_list(right) else [right] * len(names)
            if len(names) != len(values):
                raise TypeProblem(
                    f"{shown(entry.sql('duckdb'))}: {len(names)} columns are to be set, and {len(values)} values are given"
                )
            pairs += zip(names, values, strict=True)
        else:
            pairs.append((left, right))
    return pairs


def _is_list(value: Any) -> bool:
    return isinstance(value, exp.Tuple) or (isinstance(value, exp.Anonymous) and value.name.upper() == "ROW")


def given(value: Any) -> Any:
    """What stands in the place of a value; None: DEFAULT. Raises TypeProblem where that is only a part of it."""
    if _is_default(value):
        return None
    if not isinstance(value, exp.Literal | exp.Null) and any(map(_is_default, value.find_all(exp.Column, exp.Var))):
        raise TypeProblem(f"{shown(value.sql('duckdb'))}: DEFAULT stands alone, in the place of a value")
    return value


def _is_default(expression: Any) -> bool:
    """The word DEFAULT."""
    if isinstance(expression, exp.Var):
        return expression.name.upper() == "DEFAULT"
    if not isinstance(expression, exp.Column) or expression.table or not isinstance(expression.this, exp.Identifier):
        return False
    return expression.name.upper() == "DEFAULT" and not expression.this.args.get("quoted")


def default(column: Column) -> exp.Expr:
    """A column's default as SQL. Raises WriteRefused where it has none and may not be NULL."""
    kind = column.type
    if column.default is None:
        if not column.nullable:
            raise WriteRefused(f"column {column.name} is NOT NULL and has no default")
        return exp.cast(exp.null(), kind.name, dialect="duckdb")
    if isinstance(kind, BlobType):
        return exp.func("unhex", exp.Literal.string(column.default.hex()), dialect="duckdb")
    return exp.cast(exp.Literal.string(kind.to_text(column.default).decode()), kind.name, dialect="duckdb")
