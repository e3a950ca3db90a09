"""SHOW TABLES and DESCRIBE: what DuckDB says of tables and columns, and what is KubeGrid's own to say of them.

SHOW TABLES              name, columns, key, partition_by, broadcast, ttl (seconds), indexes
DESCRIBE table           column_name, column_type, null, key, default, extra: as DuckDB, `extra` is ours
DESCRIBE SELECT …        the same, of what the query would answer
"""

from collections.abc import Sequence

from kubegrid.base.nearest import nearest
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.query.binding import Columns
from kubegrid.query.made_rows import Value, select
from kubegrid.sql.errors import NotSupported, SyntaxProblem, UnknownName
from kubegrid.sql.statements import SHOW, Statement, problem

TABLE_COLUMNS = (
    ("name", "VARCHAR"),
    ("columns", "BIGINT"),
    ("key", "VARCHAR"),
    ("partition_by", "VARCHAR"),
    ("broadcast", "BOOLEAN"),
    ("ttl", "BIGINT"),
    ("indexes", "VARCHAR"),
)
COLUMN_COLUMNS = tuple((name, "VARCHAR") for name in ("column_name", "column_type", "null", "key", "default", "extra"))


def show_tables(catalog: Catalog) -> str:
    """A SELECT of the rows."""
    rows = [
        (
            table.name,
            len(table.columns),
            ", ".join(table.key),
            ", ".join(table.partition_by) or None,
            table.broadcast,
            table.ttl,
            "; ".join(f"{index.kind} ({', '.join(index.columns)})" for index in table.indexes) or None,
        )
        for table in sorted(catalog.tables, key=lambda table: table.name)
    ]
    return select(TABLE_COLUMNS, rows)


def describe_table(table: TableDefinition) -> str:
    return select(COLUMN_COLUMNS, [_column(table, name) for name in table.names])


def describe_columns(columns: Columns) -> str:
    rows: list[Sequence[Value]] = [(name, kind, "YES", None, None, None) for name, kind in columns]
    return select(COLUMN_COLUMNS, rows)


def table_named(statement: Statement, catalog: Catalog) -> TableDefinition | None:
    """Which table is to be described; None: SHOW TABLES. Raises SqlError. Not for DESCRIBE of a query."""
    words = [token.text.upper() for token in statement.tokens[1:]]
    tokens = list(statement.tokens[1:])
    if statement.kind == SHOW and words in (["TABLES"], ["ALL", "TABLES"]):
        return None
    if words[:1] == ["TABLE"] and len(words) > 1:
        tokens.pop(0)
    if not tokens:
        raise problem(SyntaxProblem, f"{statement.kind.upper()} what?", statement.text, len(statement.text))
    if len(tokens) > 1:
        raise problem(
            NotSupported, "SHOW TABLES, DESCRIBE table and DESCRIBE SELECT …", statement.text, tokens[0].start
        )
    name = tokens[0].text
    for table in catalog.tables:
        if table.name.lower() == name.lower():
            return table
    near = nearest(name, catalog.by_name)
    remedy = f"Did you mean {near!r}?" if near else "SHOW TABLES lists the tables of this grid."
    raise problem(UnknownName, f"there is no table {name!r}", statement.text, tokens[0].start, remedy)


def _column(table: TableDefinition, name: str) -> Sequence[Value]:
    column = table.column(name)
    default = None if column.default is None else column.type.to_text(column.default).decode(errors="replace")
    extra = []
    if name in table.partition_by:
        extra.append("partition by")
    extra += [f"{index.kind} index" for index in table.indexes if index.columns[0] == name]
    return (
        name,
        column.type.name,
        "YES" if column.nullable else "NO",
        "PRI" if name in table.key else None,
        default,
        ", ".join(extra) or None,
    )
