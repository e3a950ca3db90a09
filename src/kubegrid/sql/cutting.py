"""Cuts a resolved block in two: the statement that each partition runs, and the SELECT over what they yield.

Rows (with DISTINCT, top-k), groups that lie in one partition each, and groups whose parts have to be merged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.sql import plans
from kubegrid.sql.aggregates import Parts
from kubegrid.sql.block import Block, Item
from kubegrid.sql.functions import deterministic, is_aggregate, is_window_function, runs_per_row
from kubegrid.sql.joins import Joined
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.sources import Source

ALL_ROWS = "__all"
"""What follows a broadcast table's name where all of its rows are meant."""


@dataclass(frozen=True, slots=True)
class Cut:
    fragment: exp.Select
    kind: str
    final: Callable[[str], exp.Select] | None
    """From the name of the fragment's relation; None: its rows are the answer, of all partitions together."""


def cut(block: Block, own: list[Source], alone: bool) -> Cut:
    """`alone`: all rows of the block are in one partition. Raises NotPushable."""
    names = _names(block.items)
    if alone:
        return _whole(block, own, names)
    for condition in (*block.where, *(part for joined in block.joins for part in joined.on)):
        _row_only(condition)
    if not block.aggregated:
        if block.windowed:
            raise NotPushable("a window over rows of several partitions")
        return _rows(block, _core(block, own), names)
    for key in block.group or ():
        _row_only(key)
    if block.group and not block.windowed and any(_whole_groups(source, block.group) for source in own):
        grouped = _core(block, own)
        _grouped(grouped, block)
        return _rows(block, grouped, names, plans.GROUPS)
    return _parts(block, own, names)


def _row_only(expression: Any) -> None:
    if not runs_per_row(expression):
        raise NotPushable(f"{expression.sql('duckdb')[:60]} is no function of one row")


def _names(items: list[Item]) -> list[str]:
    """The fragment's columns: the names of the answer's where they are there and unlike each other."""
    taken: set[str] = set()
    found = []
    for place, item in enumerate(items):
        name = item.name or ""
        found.append(f"__c{place}" if not name or name.lower() in taken else name)
        taken.add(name.lower())
    return found


def _core(block: Block, own: list[Source]) -> exp.Select:
    """FROM and WHERE over the partition's tables."""
    made = exp.Select()
    for place, joined in enumerate(block.joins):
        table = _table(joined.source, own)
        if place == 0:
            made.set("from_", exp.From(this=table))
        else:
            made.append("joins", _join(joined, table))
    if block.where:
        made.set("where", exp.Where(this=_all(block.where)))
    return made


def _table(source: Source, own: list[Source]) -> exp.Table:
    definition = source.table
    name = "" if definition is None else definition.name
    name = name if any(source is each for each in own) else name + ALL_ROWS
    alias = exp.TableAlias(this=exp.to_identifier(source.spelt, quoted=True))
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=None if source.spelt == name else alias)


def _join(joined: Joined, table: exp.Table) -> exp.Join:
    on = _all(joined.on) if joined.on else None
    kind = joined.kind
    if on is None and not (joined.inner and kind in ("", "CROSS")):
        on = exp.true()
    if on is None:
        kind = "CROSS"
    elif kind == "CROSS":
        kind = ""
    return exp.Join(this=table, on=on, side=joined.side or None, kind=kind or None)


def _all(conditions: list[Any]) -> Any:
    whole: Any = None
    for condition in conditions:
        part = condition.copy()
        part = exp.Paren(this=part) if isinstance(part, exp.Or) else part
        whole = part if whole is None else exp.And(this=whole, expression=part)
    return whole


def _grouped(select: exp.Select, block: Block) -> None:
    if block.group:
        select.set("group", exp.Group(expressions=[_key(key) for key in block.group]))
    if block.having:
        select.set("having", exp.Having(this=_all(block.having)))


def _key(key: Any) -> Any:
    """A key of GROUP BY or ORDER BY; a number there would be taken for a position."""
    return exp.Paren(this=exp.Cast(this=key.copy(), to=exp.DataType.build("INT"))) if _is_number(key) else key.copy()


def _is_number(key: Any) -> bool:
    return isinstance(key, exp.Literal) and not key.is_string


def _whole(block: Block, own: list[Source], names: list[str]) -> Cut:
    made = _core(block, own)
    made.set(
        "expressions", [_named(item.expression.copy(), name) for item, name in zip(block.items, names, strict=True)]
    )
    _grouped(made, block)
    if block.qualify:
        made.set("qualify", exp.Qualify(this=_all(block.qualify)))
    if block.distinct:
        made.set("distinct", exp.Distinct())
    if block.order:
        made.set("order", exp.Order(expressions=[ordered.copy() for ordered in block.order]))
    _limited(made, block.limit, block.offset)
    return Cut(made, plans.WHOLE, None)


def _rows(block: Block, made: exp.Select, names: list[str], kind: str = "") -> Cut:
    """Every row of the answer is one of a partition; the first of all are among the first of each."""
    columns = [_named(item.expression.copy(), name) for item, name in zip(block.items, names, strict=True)]
    for item in block.items:
        _pushed(item.expression, kind)
    order: list[exp.Ordered] = []
    for ordered in block.order:
        same = next(
            (name for item, name in zip(block.items, names, strict=True) if item.expression == ordered.this), None
        )
        if same is None:
            if block.distinct:
                raise NotPushable("DISTINCT ordered by what is not in its answer")
            _pushed(ordered.this, kind)
            same = f"__o{len(order)}"
            columns.append(_named(ordered.this.copy(), same))
        order.append(_ordered(ordered, exp.column(same, quoted=True)))
    made.set("expressions", columns)
    if block.distinct:
        made.set("distinct", exp.Distinct())
    if block.limit is not None:
        if order:
            made.set("order", exp.Order(expressions=[each.copy() for each in order]))
        _limited(made, block.limit + block.offset, 0)
    kind = kind or _kind_of_rows(block, bool(order))
    if not (order or block.distinct or block.limit is not None or block.offset):
        return Cut(made, kind, None)

    def final(name: str) -> exp.Select:
        select = exp.select(*(exp.column(each, quoted=True) for each in names)).from_(_relation(name))
        _finished(select, block, order)
        return select

    return Cut(made, kind, final)


def _pushed(expression: Any, kind: str) -> None:
    if not kind:
        _row_only(expression)
    elif not deterministic(expression) or expression.find(exp.Select, exp.SetOperation, exp.Window):
        raise NotPushable("it is not the same in every partition")


def _kind_of_rows(block: Block, ordered: bool) -> str:
    if block.limit is not None and ordered:
        return plans.TOP_K
    if block.distinct:
        return plans.DISTINCT
    return plans.JOIN if len(block.joins) > 1 else plans.SCAN


def _parts(block: Block, own: list[Source], names: list[str]) -> Cut:
    """Groups with parts in several partitions."""
    keys = block.group or []
    parts = Parts(block.tables, local=lambda value: any(_whole_groups(source, [value]) for source in own))
    items = [_merged(item.expression, keys, parts) for item in block.items]
    having = [_merged(condition, keys, parts) for condition in block.having]
    qualify = [_merged(condition, keys, parts) for condition in block.qualify]
    order = [_ordered(each, _merged(each.this, keys, parts)) for each in block.order]
    key_columns = [exp.column(f"__g{place}", quoted=True) for place in range(len(keys))]
    columns = [_named(key.copy(), f"__g{place}") for place, key in enumerate(keys)]
    columns += [_named(value.copy(), f"__d{place}") for place, value in enumerate(parts.distinct)]
    grouped = len(columns)
    columns += [_named(each.copy(), f"__a{place}") for place, each in enumerate(parts.expressions)]
    if not columns:
        raise NotPushable("nothing is asked of the rows")
    made = _core(block, own)
    made.set("expressions", columns)
    if grouped:
        made.set("group", exp.Group(expressions=[exp.Literal.number(place + 1) for place in range(grouped)]))

    def final(name: str) -> exp.Select:
        columns = [_named(item, output) for item, output in zip(items, names, strict=True)]
        select = exp.select(*columns).from_(_with_means(name, parts, key_columns))
        if key_columns:
            select.set("group", exp.Group(expressions=[column.copy() for column in key_columns]))
        if having:
            select.set("having", exp.Having(this=_all(having)))
        if qualify:
            select.set("qualify", exp.Qualify(this=_all(qualify)))
        _finished(select, block, order)
        return select

    return Cut(made, plans.AGGREGATE, final)


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
        return _relation(name)
    columns: list[Any] = [exp.Star()]
    for place, (count, mean) in enumerate(parts.means):
        weighted = exp.Mul(this=exp.column(count, quoted=True), expression=exp.column(mean, quoted=True))
        total = exp.Window(this=exp.Sum(this=weighted), partition_by=[key.copy() for key in keys])
        rows = exp.Window(this=exp.Sum(this=exp.column(count, quoted=True)), partition_by=[key.copy() for key in keys])
        columns.append(_named(exp.Div(this=total, expression=rows), f"__m{place}"))
    inner = exp.select(*columns).from_(_relation(name))
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("__p", quoted=True)))


def _whole_groups(source: Source, keys: list[Any]) -> bool:
    """Whether each group of these keys is in one partition, because they hold all that makes the source's slot."""
    if source.table is None or source.nullable:
        return False
    columns = {(key.table.lower(), key.name) for key in keys if isinstance(key, exp.Column)}
    return all((source.alias, name) in columns for name in source.table.partition_by or source.table.key)


def _finished(select: exp.Select, block: Block, order: list[exp.Ordered]) -> None:
    if block.distinct:
        select.set("distinct", exp.Distinct())
    if order:
        select.set("order", exp.Order(expressions=[each.copy() for each in order]))
    _limited(select, block.limit, block.offset)


def _limited(select: exp.Select, limit: int | None, offset: int) -> None:
    if limit is not None:
        select.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    if offset:
        select.set("offset", exp.Offset(expression=exp.Literal.number(offset)))


def _ordered(ordered: exp.Ordered, key: Any) -> exp.Ordered:
    made = ordered.copy()
    made.set("this", key)
    return made


def _named(expression: Any, name: str) -> Any:
    if isinstance(expression, exp.Column) and expression.name == name:
        return expression
    return exp.Alias(this=expression, alias=exp.to_identifier(name, quoted=True))


def _relation(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
