"""ORDER BY of UNION, INTERSECT and EXCEPT: keys that are columns of one of its SELECTs become their numbers.

DuckDB takes such a key for the first column, SELECT by SELECT, that has its name, or else is the same expression: `t.id`,
`-id`, `count(*)`. What planning makes of the SELECTs has the names, but other expressions. What is a name stays; so does what
is no column of any SELECT, which is computed from the answer's columns. DuckDB has bound the statement by now, so every key
means something. Next: `planner`.
"""

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Catalog


def number_keys(ordered: Any, query: exp.SetOperation, catalog: Catalog) -> None:
    """`ordered`: the node that has the ORDER BY, the set operation or the parentheses around it."""
    order = ordered.args.get("order")
    if order is None or any(each.args.get("by_name") for each in query.find_all(exp.SetOperation)):
        return
    selects = list(_selects(query))
    for key in order.expressions:
        place = _place(_plain(key.this, ""), selects, catalog)
        if place:
            key.set("this", exp.Literal.number(place))


def _selects(query: Any) -> Iterator[exp.Select]:
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.SetOperation):
        yield from _selects(query.this)
        yield from _selects(query.expression)
    elif isinstance(query, exp.Select):
        yield query


def _place(key: Any, selects: list[exp.Select], catalog: Catalog) -> int:
    """The number of the column; 0: it is a name, a number, or no column."""
    if isinstance(key, exp.Literal):
        return 0
    is_column = isinstance(key, exp.Column)
    columns = [_columns(select, catalog) for select in selects]
    names = {item.alias_or_name.lower() for each in columns for item in each or ()}
    if is_column and not key.table and key.name in names:
        return 0
    for select, items in zip(selects, columns, strict=True):
        if items is None:
            return 0
        alias = _only_source(select) if is_column else ""
        wanted = _plain(key, alias)
        for place, item in enumerate(items, 1):
            if _plain(item.unalias(), alias) == wanted:
                return place
    return 0


def _columns(select: exp.Select, catalog: Catalog) -> list[Any] | None:
    """What the SELECT yields, with the columns that `*` of a table stands for; None: that is not known."""
    named = {cte.alias.lower() for cte in select.root().find_all(exp.CTE)}
    tables = {table.name.lower(): table for table in catalog.tables if table.name.lower() not in named}
    items: list[Any] = []
    for item in select.expressions:
        if not item.is_star or isinstance(item, exp.Count):
            items.append(item)
            continue
        source = select.args["from_"].this if _only_source(select) else None
        definition = tables.get(source.name.lower()) if isinstance(source, exp.Table) else None
        star = item.this if isinstance(item, exp.Column) else item
        if definition is None or any(star.args.values()):
            return None
        items += [exp.column(column.name) for column in definition.columns]
    return items


def _only_source(select: exp.Select) -> str:
    """The name of what the SELECT reads, if it reads one thing."""
    source = select.args.get("from_")
    return source.this.alias_or_name.lower() if source is not None and not select.args.get("joins") else ""


def _plain(expression: Any, alias: str) -> Any:
    """To be compared: names in lower case, without parentheses, and without the name of the only source."""
    tree = exp.Paren(this=expression.copy())
    for node in list(tree.walk()):
        if isinstance(node, exp.Identifier):
            node.set("this", node.name.lower())
            node.set("quoted", False)
        elif isinstance(node, exp.Paren) and node is not tree:
            node.replace(node.this)
    for column in list(tree.find_all(exp.Column)):
        if alias and column.table == alias:
            column.set("table", None)
    return tree.this
