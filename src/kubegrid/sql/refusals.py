"""What a query may not have, found before it is planned: hidden names, functions that read files, system tables beside
the grid's.
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.nearest import hint
from kubegrid.base.tables import Catalog
from kubegrid.sql.errors import NotSupported
from kubegrid.sql.functions import TABLE_FUNCTIONS
from kubegrid.sql.sources import SYSTEM_SCHEMAS

_SYSTEM_PREFIXES = ("duckdb_", "pragma_")


def check(tree: Any, catalog: Catalog) -> None:
    """Raises NotSupported."""
    system: str | None = None
    grid: str | None = None
    lowered = {name.lower() for name in catalog.by_name}
    for node in tree.find_all(exp.Table, exp.Pivot):
        if isinstance(node, exp.Pivot):
            raise NotSupported("PIVOT is not supported; count(*) FILTER (WHERE …) for each column does what it does")
        if not isinstance(node.this, exp.Identifier):
            name = _function(node.this)
            if name.startswith(_SYSTEM_PREFIXES):
                system = name
            elif name not in TABLE_FUNCTIONS:
                raise NotSupported(
                    f"{name}() cannot stand in FROM here: statements read no files and no settings",
                    remedy=f"These can: {', '.join(sorted(TABLE_FUNCTIONS))}{hint(name, TABLE_FUNCTIONS) and '.'}",
                )
        elif node.db.lower() in SYSTEM_SCHEMAS:
            system = f"{node.db}.{node.name}"
        elif node.name.lower() in lowered:
            grid = node.name
    if grid is not None:
        _check_columns(tree, catalog)
    if system is not None and grid is not None:
        raise NotSupported(
            f"{system} and table {grid} in one statement: system tables are at one pod, the grid's in the partitions",
            remedy="Ask for them in two statements.",
        )


def _check_columns(tree: Any, catalog: Catalog) -> None:
    """DuckDB numbers the rows of its tables; those of a grid lie in several."""
    for column in tree.find_all(exp.Column):
        if column.name.lower() == "rowid" and not any(
            "rowid" in map(str.lower, table.names) for table in catalog.tables
        ):
            raise NotSupported(
                "rowid is not supported: rows have no numbers here", remedy="Use the columns of the key."
            )


def _function(node: Any) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    return str(node.sql("duckdb")).partition("(")[0].lower()
