"""The pieces that statements of partitions and final statements are built of."""

from typing import Any

from sqlglot import exp

from kubegrid.sql.block import Block
from kubegrid.sql.joins import Joined
from kubegrid.sql.sources import Source

ALL_ROWS = "__all"
"""What follows a broadcast table's name where all of its rows are meant."""


def core(block: Block, own: list[Source]) -> exp.Select:
    """FROM and WHERE over the partition's tables."""
    made = exp.Select()
    for place, joined in enumerate(block.joins):
        table = _table(joined.source, own)
        if place == 0:
            made.set("from_", exp.From(this=table))
        else:
            made.append("joins", _join(joined, table))
    if block.where:
        made.set("where", exp.Where(this=all_of(block.where)))
    return made


def _table(source: Source, own: list[Source]) -> exp.Table:
    definition = source.table
    name = "" if definition is None else definition.name
    name = name if any(source is each for each in own) else name + ALL_ROWS
    alias = exp.TableAlias(this=exp.to_identifier(source.spelt, quoted=True))
    return exp.Table(this=exp.to_identifier(name, quoted=True), alias=None if source.spelt == name else alias)


def _join(joined: Joined, table: exp.Table) -> exp.Join:
    on = all_of(joined.on) if joined.on else None
    kind = joined.kind
    if on is None and not (joined.inner and kind in ("", "CROSS")):
        on = exp.true()
    if on is None:
        kind = "CROSS"
    elif kind == "CROSS":
        kind = ""
    return exp.Join(this=table, on=on, side=joined.side or None, kind=kind or None)


def all_of(conditions: list[Any]) -> Any:
    whole: Any = None
    for condition in conditions:
        part = condition.copy()
        part = exp.Paren(this=part) if isinstance(part, exp.Or) else part
        whole = part if whole is None else exp.And(this=whole, expression=part)
    return whole


def with_groups(select: exp.Select, block: Block) -> None:
    if block.group:
        select.set("group", exp.Group(expressions=[_key(key) for key in block.group]))
    if block.having:
        select.set("having", exp.Having(this=all_of(block.having)))


def _key(key: Any) -> Any:
    """A key of GROUP BY or ORDER BY; a number there would be taken for a position."""
    return exp.Paren(this=exp.Cast(this=key.copy(), to=exp.DataType.build("INT"))) if _is_number(key) else key.copy()


def _is_number(key: Any) -> bool:
    return isinstance(key, exp.Literal) and not key.is_string


def finished(select: exp.Select, block: Block, order: list[exp.Ordered]) -> None:
    if block.distinct:
        select.set("distinct", exp.Distinct())
    if order:
        select.set("order", exp.Order(expressions=[each.copy() for each in order]))
    limited(select, block.limit, block.offset)


def limited(select: exp.Select, limit: int | None, offset: int) -> None:
    if limit is not None:
        select.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    if offset:
        select.set("offset", exp.Offset(expression=exp.Literal.number(offset)))


def ordered_by(ordered: exp.Ordered, key: Any) -> exp.Ordered:
    made = ordered.copy()
    made.set("this", key)
    return made


def named(expression: Any, name: str) -> Any:
    if isinstance(expression, exp.Column) and expression.name == name:
        return expression
    return exp.Alias(this=expression, alias=exp.to_identifier(name, quoted=True))


def relation(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
