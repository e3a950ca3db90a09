"""Which column a text was compared with that is none of its values.

DuckDB says of `WHERE id = 'x'` that it could not convert a string, when the statement runs, wherever it runs, and names no
column. The statement tells: the text stands in it, compared with the column. Nothing of this is done before it fails.
"""

from collections.abc import Iterator
from typing import Any

from sqlglot import TokenType, exp

from kubegrid.base.table_errors import BadValue
from kubegrid.base.tables import Catalog
from kubegrid.sql.errors import SqlError, TypeProblem
from kubegrid.sql.statements import Statement

_OF_A_COLUMN = "when casting from source column"


def named(error: TypeProblem, expression: Any, statement: Statement, catalog: Catalog) -> SqlError:
    """The error with the column and the place of the text, where it is about a comparison. `expression`: with its values."""
    if expression is None or error.where or _OF_A_COLUMN in error.message:
        return error
    for column, literal in _compared(expression):
        text = literal.this
        if f"'{text}'" not in error.message and f'"{text}"' not in error.message:
            continue
        for declared in _declared(column, expression, catalog):
            try:
                declared.type.from_text(text.encode())
            except BadValue as refused:
                line, place = _place(text, statement)
                said = f"column {declared.name}: {refused.reason}"
                return TypeProblem(said, line=line, column=place, text=statement.text)
    return error


def _compared(expression: Any) -> Iterator[tuple[Any, Any]]:
    """Columns and the literal texts that they are compared with."""
    for node in expression.find_all(exp.Predicate):
        parts = list(node.iter_expressions())
        columns = [part for part in parts if isinstance(part, exp.Column)]
        texts = [part for part in parts if isinstance(part, exp.Literal) and part.is_string]
        yield from ((column, text) for column in columns for text in texts)


def _declared(column: Any, expression: Any, catalog: Catalog) -> Iterator[Any]:
    """What the name may mean, of the tables that the statement names."""
    tables = {definition.name.lower(): definition for definition in catalog.tables}
    for table in expression.find_all(exp.Table):
        definition = tables.get(table.name.lower())
        if definition is None or (column.table and column.table.lower() != table.alias_or_name.lower()):
            continue
        yield from (each for each in definition.columns if each.name.lower() == column.name.lower())


def _place(text: str, statement: Statement) -> tuple[int, int]:
    """Line and column of the literal, where it stands in the statement; zeros: it is the value of a parameter."""
    for token in statement.tokens:
        if token.token_type is TokenType.STRING and token.text == text:
            return SqlError.at(statement.text, token.start)
    return 0, 0
