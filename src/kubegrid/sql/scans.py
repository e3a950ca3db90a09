"""Gathers what a SELECT needs of its tables, when the SELECT itself runs at the coordinating pod.

Of every table it takes the columns whose names stand anywhere in the SELECT (a column that is only named alike comes
too, none is missing), and the rows that the conditions on this table alone let through; such a condition is then done
and taken out of the SELECT. A condition stays where it is when an outer join could have made NULLs of what it asks.
"""

from typing import Any

from sqlglot import exp

from kubegrid.sql import conjuncts, plans
from kubegrid.sql.fragments import Fragments
from kubegrid.sql.functions import runs_per_row
from kubegrid.sql.routing import reached
from kubegrid.sql.sources import VERSION, Source, Sources

NO_COLUMN = "__row"
"""What a scan yields when only the number of rows matters."""
ALTERNATIVES_MAX = 64
"""Operands of one OR that are looked through for what they all ask of a table."""


def gather(select: exp.Select, sources: Sources, others: list[exp.Table], fragments: Fragments) -> None:
    """Put scans in the place of the tables of `select`. `others`: tables in parentheses, of which only names are known."""
    conditions = _taken(select, sources)
    for source in sources.tables:
        pushed = conditions.get(source.alias, [])
        _replace(source, source.node, pushed, _needed(select, source), fragments)
    for table in others:
        name = str(table.alias_or_name)
        source = Source(name.lower(), table, fragments.table(table), spelt=name)
        _replace(source, table, [], _needed(select, source), fragments)


def resolved(condition: Any, sources: Sources) -> tuple[Any, Source] | None:
    """The condition with its columns under their tables' aliases, and the one table that all of them are of."""
    columns = conjuncts.columns_of(condition)
    owners = [sources.owner(column) for column in columns]
    first = owners[0] if owners else None
    if first is None or first.table is None or any(owner is not first for owner in owners):
        return None
    made = exp.Paren(this=condition.copy())
    for column in conjuncts.columns_of(made):
        column.replace(exp.column(first.real[column.name.lower()], table=first.spelt, quoted=True))
    return made.this, first


def _taken(select: exp.Select, sources: Sources) -> dict[str, list[Any]]:
    """The conditions on one table each, taken out of the SELECT."""
    found: dict[str, list[Any]] = {}

    def take(parts: list[Any], allowed: Any) -> list[Any]:
        rest = []
        for part in parts:
            about = resolved(part, sources) if runs_per_row(part) else None
            if about is not None and allowed(about[1]):
                found.setdefault(about[1].alias, []).append(about[0])
            else:
                rest.append(part)
        return rest

    where = select.args.get("where")
    if where is not None:
        parts = conjuncts.split(where.this)
        rest = take(parts, lambda source: not source.nullable)
        for part in rest:
            for source in sources.tables:
                implied = None if source.nullable else _implied(part, source, sources)
                if implied is not None:
                    found.setdefault(source.alias, []).append(implied)
        if len(rest) < len(parts):
            whole = conjuncts.joined(rest)
            select.set("where", exp.Where(this=whole) if whole is not None else None)
    for source in sources.all:
        on = source.join.args.get("on") if source.join is not None else None
        if on is None or source.join.side in ("RIGHT", "FULL") or source.join.method:
            continue
        inner = not source.join.side and source.join.kind.upper() in ("", "INNER", "CROSS")
        parts = conjuncts.split(on)
        rest = take(parts, lambda each, here=source, inner=inner: each is here or (inner and not each.nullable))
        if len(rest) < len(parts):
            source.join.set("on", conjuncts.joined(rest) or exp.true())
    return found


def _implied(condition: Any, source: Source, sources: Sources) -> Any | None:
    """What `(a.x = 1 AND b.y = 2) OR (a.x = 3 AND b.y = 4)` asks of `a` alone: `a.x = 1 OR a.x = 3`."""
    alternatives = conjuncts.alternatives(condition)
    if not 1 < len(alternatives) <= ALTERNATIVES_MAX:
        return None
    found = []
    for alternative in alternatives:
        parts = [resolved(part, sources) for part in conjuncts.split(alternative) if runs_per_row(part)]
        about = conjuncts.joined(
            made for made, owner in (part for part in parts if part is not None) if owner is source
        )
        if about is None:
            return None
        found.append(about)
    return conjuncts.any_of(found)


def _replace(source: Source, node: exp.Table, pushed: list[Any], needed: list[str], fragments: Fragments) -> None:
    table: Any = source.table
    alias = exp.to_identifier(source.spelt, quoted=True)
    columns: list[Any] = [exp.column(name, quoted=True) for name in needed]
    if not columns:
        columns = [exp.alias_(exp.true(), NO_COLUMN, quoted=True)]
    own = exp.Table(this=exp.to_identifier(table.name, quoted=True))
    if source.spelt != table.name:
        own.set("alias", exp.TableAlias(this=alias.copy()))
    scan = exp.select(*columns).from_(own)
    whole = conjuncts.joined(pushed)
    if whole is not None:
        scan.set("where", exp.Where(this=whole))
    reach = reached([source], pushed, [], fragments.partitions)[source.alias]
    name = fragments.add(scan, plans.SCAN, reach.partitions, [(table, reach)], [])
    node.set("this", exp.to_identifier(name, quoted=True))
    node.set("db", None)
    node.set("catalog", None)
    if node.args.get("alias") is None:
        node.set("alias", exp.TableAlias(this=alias))


def asks_version(select: Any, source: Source) -> bool:
    """Whether the hidden column of this very table is asked for; of the others `*` and whole rows must not show it."""
    return any(
        column.name == VERSION and column.table.lower() in ("", source.alias) and column.parent_select is select
        for column in select.find_all(exp.Column)
    )


def _needed(select: exp.Select, source: Source) -> list[str]:
    """The columns of the table whose names, or a `*` for them, stand in the SELECT or the queries inside of it."""
    needed = _needed_of_user(select, source)
    return [*needed, VERSION] if asks_version(select, source) else needed


def _is_dot(node: Any) -> bool:
    return isinstance(node, exp.Dot)


def _needed_of_user(select: exp.Select, source: Source) -> list[str]:
    table: Any = source.table
    if source.node.alias_column_names:
        return list(table.names)
    names: set[str] = set()
    for dot in select.walk(prune=_is_dot):  # `name.upper()`: the column is no Column in it
        if _is_dot(dot):
            names |= {identifier.name.lower() for identifier in dot.find_all(exp.Identifier)}
    for node in select.walk():
        if isinstance(node, exp.Column):
            star = isinstance(node.this, exp.Star)
            if star and node.table.lower() == source.alias:
                return list(table.names)
            if not star and (not node.table or source.alias in (node.table.lower(), node.name.lower())):
                names.add(node.name.lower())
        elif isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count | exp.Column):
            if node.parent is select or node.parent_select is select:
                return list(table.names)
        elif isinstance(node, exp.Columns) or (isinstance(node, exp.Join) and node.method):
            return list(table.names)
        elif isinstance(node, exp.Join):
            names |= {identifier.name.lower() for identifier in node.args.get("using") or ()}
    if source.alias in names:  # a row as a value
        return list(table.names)
    return [name for name in table.names if name.lower() in names]
