"""The record as a whole in an UPDATE or DELETE: `to_json(b)`, `b::VARCHAR` and the like.

DuckDB makes a struct of a table's columns where its name stands for a value. The table that is written has one column more
in the question that is asked for it, `__version`; so its struct is spelt out, of the columns that users know. Of the other
tables that a statement reads none shows the hidden column (`single`, `scans`).
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.sql.errors import NotSupported
from kubegrid.sql.sources import Cte, Known, Sources, output_names

_SCHEMAS = ("main", "memory")


def spell_out(query: exp.Select, table: TableDefinition, alias: str, catalog: Catalog) -> None:
    """In the SELECT of the records that a statement is about: of `table`, which it knows as `alias`. Raises NotSupported."""
    for star in query.find_all(exp.Star, exp.Columns):
        counted = isinstance(star.parent, exp.Count)
        if not counted and star.parent_select is query:
            raise NotSupported("* cannot stand in an expression of UPDATE and DELETE", remedy="Name the columns.")
    found = [node for node in query.find_all(exp.Column, exp.Dot) if _named(node) == alias.lower()]
    if not found:
        return
    known: Known = {cte.alias.lower(): Cte() for cte in query.find_all(exp.CTE)}
    for cte in query.find_all(exp.CTE):
        with_: Any = cte.parent
        if not cte.args["alias"].args.get("columns") and not with_.args.get("recursive"):
            known[cte.alias.lower()] = Cte(output_names(cte.this, catalog, known))
    for node in found:
        if _is_record(node, query, catalog, known):
            (node.this if isinstance(node, exp.Dot) else node).replace(_struct(table, alias))


def _named(node: Any) -> str:
    """The name in lower case, if it can be that of a row."""
    if isinstance(node, exp.Dot):  # `b.to_json()`
        plain = isinstance(node.this, exp.Identifier) and isinstance(node.expression, exp.Func)
        return str(node.this.name).lower() if plain else ""
    if isinstance(node.this, exp.Star) or (node.table and node.table.lower() not in _SCHEMAS):
        return ""
    return str(node.name).lower()


def _is_record(node: Any, query: exp.Select, catalog: Catalog, known: Known) -> bool:
    """Whether it is the row of the table that is written. As in DuckDB the innermost query that knows the name has it, and
    there a column goes before a table."""
    name = _named(node)
    certain = True
    select = node.parent_select
    while select is not None:
        sources = Sources(select, catalog, known)
        if any(name in source.real or name in (source.names or ()) for source in sources.all):
            return False
        certain = certain and all(source.names is not None for source in sources.all)
        if select is query:
            break
        if name in sources.by_alias:
            return False
        certain = certain and all(item.alias.lower() != name for item in select.expressions)
        select = select.parent_select
    if select is None or not certain:
        raise NotSupported(
            f"whether {node.sql('duckdb')} is the record as a whole is not certain here",
            remedy=f"Name the columns that are meant: {{'x': {name}.x, …}}.",
        )
    return True


def _struct(table: TableDefinition, alias: str) -> exp.Expression:
    fields = []
    for name in table.names:
        value = exp.column(name, table=exp.to_identifier(alias, quoted=True), quoted=True)
        fields.append(exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=value))
    return exp.Struct(expressions=fields)
