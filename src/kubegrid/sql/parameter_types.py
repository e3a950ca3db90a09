"""What type a parameter will probably have, for drivers that make a value's form from what the server says of it.

The JDBC driver of Flight SQL writes a value into a column of just the announced type, and no value into one without a type.
So for each parameter there is a *question*, a SELECT whose one column has the type that the statement's text suggests:
that of what the parameter is compared or computed with, of the column that it is written to, or of its cast. A question
is for DuckDB to bind and is never run; where it cannot be bound, or there is nothing to ask, a text will do: it takes its
meaning from its place, as in a statement that somebody types. Values of other types are taken all the same.

Pure; next on the path of the data: `query.parameter_schema`.
"""

from collections.abc import Iterator

from sqlglot import exp

from kubegrid.base.tables import Catalog
from kubegrid.sql.statements import Statement

QUESTIONS_MAX = 200
"""Different ones of a statement; each takes DuckDB half a millisecond. The parameters after that are texts."""

_WHOLE_NUMBER = "SELECT 0::BIGINT"


def questions(statement: Statement, catalog: Catalog) -> tuple[str | None, ...]:
    """One for each parameter, in their order; None: a text."""
    if statement.explained is not None:
        return questions(statement.explained, catalog)
    asked: dict[int, str | None] = {}
    different: set[str | None] = set()
    tree = statement.expression
    for node in tree.find_all(exp.Placeholder, exp.Parameter) if tree is not None else ():
        place = int(node.name)
        if asked.get(place) is None and len(different) < QUESTIONS_MAX:
            asked[place] = _inserted(node, catalog) or _question(node)
            different.add(asked[place])
    return tuple(asked.get(place) for place in range(1, statement.parameters + 1))


def _inserted(node: exp.Expr, catalog: Catalog) -> str | None:
    """Of a parameter that is, by itself, a value of INSERT … VALUES."""
    row = node.parent
    if not isinstance(row, exp.Tuple) or not isinstance(row.parent, exp.Values):
        return None
    insert = row.find_ancestor(exp.Insert)
    if insert is None:
        return None
    target = insert.this.find(exp.Table)
    table = next((table for table in catalog.tables if table.name.lower() == target.name.lower()), None)
    if table is None:
        return None
    named = [column.name for column in insert.this.expressions] if isinstance(insert.this, exp.Schema) else table.names
    place = next(number for number, value in enumerate(row.expressions) if value is node)
    return exp.select(exp.column(named[place], quoted=True)).from_(target).sql("duckdb") if place < len(named) else None


def _question(node: exp.Expr) -> str | None:
    place, parent = node, node.parent
    while isinstance(parent, exp.Paren | exp.Neg):
        place, parent = parent, parent.parent
    if isinstance(parent, exp.Cast):
        return f"SELECT NULL::{parent.to.sql('duckdb')}"
    if isinstance(parent, exp.Limit | exp.Offset):
        return _WHOLE_NUMBER
    if not isinstance(parent, exp.Binary | exp.Between | exp.In):
        return None
    beside = next((each for each in parent.iter_expressions() if each is not place and _says_a_type(each)), None)
    return None if beside is None else _asked_of(beside)


def _says_a_type(beside: exp.Expr) -> bool:
    return beside.find(exp.Placeholder, exp.Parameter) is None and not isinstance(beside, exp.Null)


def _asked_of(beside: exp.Expr) -> str:
    """Where the expression stands: among the tables of its SELECT, or of its statement."""
    scope = beside.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
    sources = ", ".join(source.sql("duckdb") for source in _sources(scope)) if scope is not None else ""
    ctes = beside.root().args.get("with_")
    words = [ctes.sql("duckdb")] if ctes is not None else []
    return " ".join([*words, "SELECT", beside.sql("duckdb"), *(["FROM", sources] if sources else [])])


def _sources(scope: exp.Expr) -> Iterator[exp.Expr]:
    if not isinstance(scope, exp.Select):
        yield scope.this.find(exp.Table)
    from_ = scope.args.get("from_")
    if from_ is not None:
        yield from_.this
    for join in scope.args.get("joins") or ():
        yield join.this
