"""Groups with parts in several partitions: what each partition aggregates, and the SELECT that merges the parts."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from kubegrid.sql.aggregates import Parts
from kubegrid.sql.block import Block
from kubegrid.sql.building import all_of, core, finished, named, ordered_by, relation
from kubegrid.sql.functions import is_aggregate, is_window_function
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.sources import Source


def partial_groups(block: Block, own: list[Source], names: list[str]) -> tuple[exp.Select, Callable[[str], exp.Select]]:
    """The statement of the partitions, and the merging one from the name of their relation. Raises NotPushable."""
    keys = block.group or []
    parts = Parts(block.tables, local=lambda value: any(whole_groups(source, [value]) for source in own))
    items = [_merged(item.expression, keys, parts) for item in block.items]
    having = [_merged(condition, keys, parts) for condition in block.having]
    qualify = [_merged(condition, keys, parts) for condition in block.qualify]
    order = [ordered_by(each, _merged(each.this, keys, parts)) for each in block.order]
    if parts.counted and parts.distinct:
        raise NotPushable("several columns counted by their distinct values")
    key_columns = [exp.column(f"__g{place}", quoted=True) for place in range(len(keys))]
    columns = [named(key.copy(), f"__g{place}") for place, key in enumerate(keys)]
    columns += [named(value.copy(), f"__d{place}") for place, value in enumerate(parts.distinct)]
    grouped = len(columns)
    columns += [named(each.copy(), f"__a{place}") for place, each in enumerate(parts.expressions)]
    if not columns:
        raise NotPushable("nothing is asked of the rows")
    made = core(block, own)
    made.set("expressions", columns)
    if grouped:
        made.set("group", exp.Group(expressions=[exp.Literal.number(place + 1) for place in range(grouped)]))

    def final(name: str) -> exp.Select:
        columns = [named(item, output) for item, output in zip(items, names, strict=True)]
        select = exp.select(*columns).from_(_with_means(name, parts, key_columns))
        if key_columns:
            select.set("group", exp.Group(expressions=[column.copy() for column in key_columns]))
        if having:
            select.set("having", exp.Having(this=all_of(having)))
        if qualify:
            select.set("qualify", exp.Qualify(this=all_of(qualify)))
        finished(select, block, order)
        return select

    return made, final


def _merged(expression: Any, keys: list[Any], parts: Parts) -> Any:
    """The expression over the relation of parts."""
    holder = exp.Paren(this=expression.copy())
    waiting = [holder.this]
    while waiting:
        node = waiting.pop()
        place = next((place for place, key in enumerate(keys) if type(key) is type(node) and key == node), None)
        if place is not None:
            node.replace(exp.column(f"__g{place}", quoted=True))
        elif _is_aggregated(node):
            node.replace(parts.merged(node))
        else:
            waiting += node.iter_expressions()
    for node in holder.walk():
        if isinstance(node, exp.Column) and node.table:
            raise NotPushable(f"{node.sql('duckdb')} is neither a key of the groups nor in an aggregate")
        if isinstance(node, exp.Select | exp.SetOperation | exp.Subquery | exp.Star) and not isinstance(
            node.parent, exp.Count
        ):
            raise NotPushable("a query inside of an aggregation")
    return holder.this


def _is_aggregated(node: Any) -> bool:
    function = node
    while isinstance(function, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        function = function.this
    return is_aggregate(function) and not is_window_function(function)


def _with_means(name: str, parts: Parts, keys: list[exp.Column]) -> Any:
    """The relation, with the mean of the whole group beside each part where a variance is merged."""
    if not parts.means:
        return relation(name)
    columns: list[Any] = [exp.Star()]
    for place, (count, mean) in enumerate(parts.means):
        weighted = exp.Mul(this=exp.column(count, quoted=True), expression=exp.column(mean, quoted=True))
        total = exp.Window(this=exp.Sum(this=weighted), partition_by=[key.copy() for key in keys])
        rows = exp.Window(this=exp.Sum(this=exp.column(count, quoted=True)), partition_by=[key.copy() for key in keys])
        columns.append(named(exp.Div(this=total, expression=rows), f"__m{place}"))
    inner = exp.select(*columns).from_(relation(name))
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("__p", quoted=True)))


def whole_groups(source: Source, keys: list[Any]) -> bool:
    """Whether each group of these keys is in one partition, because they hold all that makes the source's slot."""
    if source.table is None or source.nullable:
        return False
    columns = {(key.table.lower(), key.name) for key in keys if isinstance(key, exp.Column)}
    return all((source.alias, name) in columns for name in source.table.partition_by or source.table.key)
