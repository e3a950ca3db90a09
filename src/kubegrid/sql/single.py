"""The query whose rows are all in one partition: it goes there as it is, and its answer comes back.

It is what a program asks most: everything about one key, with whatever joins, windows and subqueries. Every table of
every SELECT in it must be bound to the same partition by its own conditions; broadcast tables are at hand there.
"""

from typing import Any

from sqlglot import exp

from kubegrid.sql import conjuncts
from kubegrid.sql.building import ALL_ROWS
from kubegrid.sql.colocation import Pair, name_of
from kubegrid.sql.fragments import Fragments
from kubegrid.sql.functions import runs_per_row
from kubegrid.sql.plans import WHOLE, Plan
from kubegrid.sql.routing import ANYWHERE, Reach, reached
from kubegrid.sql.scans import asks_version, resolved
from kubegrid.sql.sources import VERSION, Cte, Known, Source, Sources, output_names


def whole_query(tree: Any, fragments: Fragments) -> Plan | None:
    """The plan, if there is such a partition. Changes the tree only then."""
    found = _tables(tree, fragments)
    if not found:
        return None
    distributed = [source for source, _ in found if not _definition(source).broadcast]
    alone = fragments.partitions == 1
    asked: frozenset[int] | None = frozenset((0,)) if alone else None
    if not alone:
        others = [source for source, _ in found if all(source is not each for each in distributed)]
        if not distributed or any(asks_version(source.node.parent_select, source) for source in others):
            return None
        for source, (there, _) in found:
            if any(source is each for each in distributed):
                if there is None or len(there) != 1 or (asked is not None and there != asked):
                    return None
                asked = there
    own = [source for source, _ in found] if alone else distributed
    projected = _shows_hidden(tree, [source for source, _ in found])
    for source, _ in found:
        _replace(source, any(source is each for each in own), projected)
    for column in tree.find_all(exp.Column):
        if column.args.get("db") is not None and column.db.lower() == "main":
            column.set("db", None)
            column.set("catalog", None)
    whole = [_definition(source).name for source, _ in found if all(source is not each for each in own)]
    reaches = [(_definition(source), reach) for source, reach in found if any(source is each for each in own)]
    fragments.add(tree, WHOLE, asked, reaches, whole)
    return Plan(tuple(fragments.made), None)


def _tables(tree: Any, fragments: Fragments) -> list[tuple[Source, Reach]] | None:
    """Every table of the catalog in it, with where its rows are bound to be; None: it is not that plain."""
    known: Known = {}
    for cte in tree.find_all(exp.CTE, bfs=False):
        known[cte.alias.lower()] = Cte()
    if any(table.name.lower() in known for table in fragments.catalog.tables):
        return None
    for cte in tree.find_all(exp.CTE):
        if not cte.args["alias"].args.get("columns") and not cte.parent.args.get("recursive"):
            known[cte.alias.lower()] = Cte(output_names(cte.this, fragments.catalog, known))
    found: list[tuple[Source, Reach]] = []
    seen = 0
    for select in tree.find_all(exp.Select):
        sources = Sources(select, fragments.catalog, known)
        tables = sources.tables
        if any(source.node.args.get(name) for source in tables for name in ("joins", "pivots", "sample")):
            return None
        if tables:
            reach = _reach(sources, fragments.partitions)
            found += [(source, reach[source.alias]) for source in tables]
    for node in tree.find_all(exp.Table):
        if isinstance(node.this, exp.Identifier) and fragments.table(node, known) is not None:
            seen += 1
    return found if seen == len(found) else None


def _reach(sources: Sources, partitions: int) -> dict[str, Reach]:
    """Of each table: where the rows are that the SELECT can see anything of."""
    if any(source.join is not None and source.join.method in ("ASOF", "POSITIONAL") for source in sources.all):
        return dict.fromkeys((source.alias for source in sources.tables), ANYWHERE)
    where = sources.select.args.get("where")
    conditions = conjuncts.split(where.this) if where is not None else []
    outer = any(source.join is not None and source.join.side in ("RIGHT", "FULL") for source in sources.all)
    given: list[Any] = []
    for source in sources.all:
        join = source.join
        if join is None or outer or join.args.get("on") is None:
            continue
        if not join.side and join.kind.upper() in ("", "INNER", "CROSS") and not join.method:
            conditions += conjuncts.split(join.args["on"])
        else:
            about = [resolved(part, sources) for part in conjuncts.split(join.args["on"]) if runs_per_row(part)]
            given += [made for made, owner in (each for each in about if each is not None) if owner is source]
    about = [resolved(part, sources) for part in conditions if runs_per_row(part)]
    given += [each[0] for each in about if each is not None]
    return reached(sources.tables, given, _pairs(conditions, sources), partitions)


def _pairs(conditions: list[Any], sources: Sources) -> list[Pair]:
    found: list[Pair] = []
    for condition in conditions:
        inner = conjuncts.unwrapped(condition)
        if not isinstance(inner, exp.EQ):
            continue
        sides = [resolved(side, sources) for side in (inner.this, inner.expression) if isinstance(side, exp.Column)]
        names = [name_of(side[0]) for side in sides if side is not None]
        if len(names) == 2:
            found.append((names[0], names[1]))
    return found


def _shows_hidden(tree: Any, sources: list[Source]) -> bool:
    """Whether something in it stands for all columns of a table, the hidden one too."""
    aliases = {source.alias for source in sources}
    for node in tree.walk():
        if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
            return True
        if isinstance(node, exp.Columns) or (isinstance(node, exp.Join) and node.method):
            return True
        if isinstance(node, exp.Column) and node.name.lower() in aliases:
            return True
        if isinstance(node, exp.Dot):  # perhaps `b.to_json()`: the row is no Column in it
            return True
    return False


def _replace(source: Source, own: bool, projected: bool) -> None:
    node, definition = source.node, _definition(source)
    name = definition.name if own else definition.name + ALL_ROWS
    alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(source.spelt, quoted=True))
    if not projected and not node.alias_column_names:
        node.set("this", exp.to_identifier(name, quoted=True))
        node.set("db", None)
        node.set("catalog", None)
        node.set("alias", alias)
        return
    columns = [exp.column(each, quoted=True) for each in definition.names]
    if asks_version(source.node.parent_select, source):
        columns.append(exp.column(VERSION, quoted=True))
    inner = exp.select(*columns).from_(exp.Table(this=exp.to_identifier(name, quoted=True)))
    node.replace(exp.Subquery(this=inner, alias=alias))


def _definition(source: Source) -> Any:
    return source.table
