"""What a SELECT reads: the tables and queries of its FROM, and which of them a column is of.

Names are looked up as DuckDB does, upper and lower case alike. Where that is not certain without binding the whole
query (a derived table whose columns are not known, a name that two tables have, a reference to the query around),
the answer is None, and whoever asked leaves the thing to the coordinating pod.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from kubegrid.base.nearest import hint
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.sql.errors import UnknownName

VERSION = "__version"
"""The hidden column of every table: of no `*`, and refused in the text of users."""
SYSTEM_SCHEMAS = ("information_schema", "pg_catalog")

BESIDE = ("joins", "laterals")
"""What stands beside a table or query in FROM, and hangs on it in the tree where parentheses hold both."""

Names = frozenset[str] | None
"""Names of columns in lower case; None: not known."""


@dataclass(frozen=True, slots=True)
class Cte:
    """A query that has a name."""

    names: Names = None
    query: Any = None
    """None: it cannot be put in the name's place (it may refer to itself)."""
    known: "Known" = field(default_factory=dict)
    """What its query can see."""


Known = dict[str, Cte]
"""The CTEs that can be seen from a place, by lower-case name."""


@dataclass(slots=True)
class Source:
    alias: str
    """In lower case."""
    node: Any
    """Of the tree: exp.Table, exp.Subquery, …"""
    table: TableDefinition | None = None
    """None for what is no table of the catalog."""
    names: Names = None
    join: Any = None
    """The exp.Join that brings it in; None for the first."""
    nullable: bool = False
    """An outer join may put NULLs in the place of its rows, or the join depends on rows that WHERE leaves out."""
    real: dict[str, str] = field(default_factory=dict)
    """Of a table or view: lower case → the column's name."""
    spelt: str = ""
    """The alias as it was written; within a block that is unlike any other."""
    view: dict[str, Any] | None = None
    """Of a plain query in FROM that a block sees through: its columns, as expressions over its own tables."""


class Sources:
    """Of one SELECT, in order."""

    def __init__(self, select: exp.Select, catalog: Catalog, known: Known) -> None:
        self.select = select
        self.all: list[Source] = []
        start = select.args.get("from_")
        if start is not None:
            self._add(start.this, None, catalog, known)
        for join in select.args.get("joins") or ():
            self._add(join.this, join, catalog, known)
        for lateral in select.args.get("laterals") or ():
            self._add(lateral, None, catalog, known)
        self.by_alias = {source.alias: source for source in self.all}
        self._mark_nullable()

    def _add(self, node: Any, join: Any, catalog: Catalog, known: Known) -> None:
        source = Source(node.alias_or_name.lower(), node, join=join, spelt=str(node.alias_or_name))
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            source.table = table_of(node, catalog, known)
            if source.table is not None:
                source.real = {name.lower(): name for name in source.table.names} | {VERSION: VERSION}
                plain = not any(node.args.get(name) for name in ("joins", "pivots", "sample", "laterals", "ordinality"))
                if plain and not node.alias_column_names:
                    source.names = frozenset(source.real)
            elif not node.db:
                cte = known.get(node.name.lower())
                source.names = _renamed(cte.names if cte is not None else None, node)
        elif isinstance(node, exp.Subquery) and not is_join(node):
            source.names = _renamed(output_names(node.this, catalog, known), node)
        self.all.append(source)

    def _mark_nullable(self) -> None:
        for place, source in enumerate(self.all):
            side = source.join.side if source.join is not None else ""
            method = source.join.method if source.join is not None else ""
            if side in ("LEFT", "FULL") or method in ("ASOF", "POSITIONAL"):
                source.nullable = True
            if side in ("RIGHT", "FULL") or method == "POSITIONAL":
                for before in self.all[:place]:
                    before.nullable = True

    @property
    def tables(self) -> list[Source]:
        return [source for source in self.all if source.table is not None]

    def owner(self, column: exp.Column) -> Source | None:
        """The source that the column is certainly of, with its name known there; None if that is not certain."""
        name = column.name.lower()
        if column.args.get("catalog") is not None or len(self.by_alias) < len(self.all):
            return None
        if column.table:
            source = self.by_alias.get(column.table.lower())
            return source if source is not None and source.names is not None and name in source.names else None
        found = None
        for source in self.all:
            if source.names is None:
                return None
            if name in source.names:
                if found is not None:
                    return None
                found = source
        return found

    def has(self, name: str) -> bool:
        """Whether some source has, or could have, a column of this lower-case name."""
        return any(source.names is None or name in source.names for source in self.all)


def table_of(node: exp.Table, catalog: Catalog, known: Known) -> TableDefinition | None:
    """The table of the catalog that is meant; None for a CTE or a table of the system. Raises UnknownName."""
    schema = node.db.lower()
    if schema in SYSTEM_SCHEMAS or (not schema and node.name.lower() in known):
        return None
    wanted = node.name.lower()
    for table in catalog.tables:
        if table.name.lower() == wanted and schema in ("", "main"):
            return table
    known_here = [*catalog.by_name, *known]
    spelt = f"{node.db}.{node.name}" if schema else node.name
    raise UnknownName(f"no table {spelt!r}{hint(node.name, known_here) or '; there are no tables yet'}")


def is_join(node: exp.Subquery) -> bool:
    """Whether it is no query, but `(a JOIN b ON …)` in FROM, whose joins sqlglot hangs on `a`."""
    first = node.this
    return isinstance(first, exp.Table) or (isinstance(first, exp.Subquery) and (_is_joined(first) or is_join(first)))


def _is_joined(node: exp.Subquery) -> bool:
    return any(node.args.get(name) for name in BESIDE)


def output_names(query: Any, catalog: Catalog, known: Known) -> Names:
    """The names of the columns that a query yields, if they are plain to see."""
    while isinstance(query, exp.Subquery | exp.SetOperation):
        if query.args.get("with_") or query.args.get("by_name"):
            return None
        if isinstance(query, exp.Subquery) and (is_join(query) or query.this.args.get("alias") is not None):
            return None
        query = query.this
    if not isinstance(query, exp.Select) or query.args.get("with_"):
        return None
    names: list[str] = []
    for item in query.expressions:
        if isinstance(item, exp.Alias):
            names.append(item.alias.lower())
        elif isinstance(item, exp.Column) and not isinstance(item.this, exp.Star):
            names.append(item.name.lower())
        elif item.find(exp.Columns) or any(not isinstance(star.parent, exp.Count) for star in item.find_all(exp.Star)):
            return None
    return frozenset(names)


def _renamed(names: Names, node: Any) -> Names:
    """With the columns of `AS alias(a, b)`; only the names of all of them make it certain."""
    given = node.alias_column_names
    if not given:
        return names
    return frozenset(name.lower() for name in given) if names is not None and len(given) >= len(names) else None
