"""Cuts a resolved block in two: the statement that each partition runs, and the SELECT over what they yield.

Rows (with DISTINCT, top-k), groups that lie in one partition each, and groups whose parts have to be merged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.sql import plans
from kubegrid.sql.block import Block
from kubegrid.sql.building import all_of, core, finished, limited, named, ordered_by, relation, with_groups
from kubegrid.sql.fragments import sql_of
from kubegrid.sql.functions import deterministic, runs_per_row
from kubegrid.sql.groups import partial_groups, whole_groups
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.resolving import Item
from kubegrid.sql.sources import Source

THRESHOLD_ROWS_MAX = 1000
"""A top-k of more rows is asked for as it is: to look for the last of them takes its time, too."""


@dataclass(frozen=True, slots=True)
class Cut:
    fragment: exp.Select
    kind: str
    final: Callable[[str], exp.Select] | None
    """From the name of the fragment's relation; None: its rows are the answer, of all partitions together."""
    threshold: plans.Threshold | None = None


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
        return _rows(block, core(block, own), names)
    for key in block.group or ():
        _row_only(key)
    if block.group and not block.windowed and any(whole_groups(source, block.group) for source in own):
        grouped = core(block, own)
        with_groups(grouped, block)
        return _rows(block, grouped, names, plans.GROUPS)
    made, final = partial_groups(block, own, names)
    return Cut(made, plans.AGGREGATE, final)


def _names(items: list[Item]) -> list[str]:
    """The fragment's columns: the names of the answer's where they are there and unlike each other."""
    taken: set[str] = set()
    found = []
    for place, item in enumerate(items):
        name = item.name or ""
        found.append(f"__c{place}" if not name or name.lower() in taken else name)
        taken.add(name.lower())
    return found


def _whole(block: Block, own: list[Source], names: list[str]) -> Cut:
    made = core(block, own)
    made.set(
        "expressions", [named(item.expression.copy(), name) for item, name in zip(block.items, names, strict=True)]
    )
    with_groups(made, block)
    if block.qualify:
        made.set("qualify", exp.Qualify(this=all_of(block.qualify)))
    if block.distinct:
        made.set("distinct", exp.Distinct())
    if block.order:
        made.set("order", exp.Order(expressions=[ordered.copy() for ordered in block.order]))
    limited(made, block.limit, block.offset)
    return Cut(made, plans.WHOLE, None)


def _rows(block: Block, made: exp.Select, names: list[str], kind: str = "") -> Cut:
    """Every row of the answer is one of a partition; the first of all are among the first of each."""
    columns = [named(item.expression.copy(), name) for item, name in zip(block.items, names, strict=True)]
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
            columns.append(named(ordered.this.copy(), same))
        order.append(ordered_by(ordered, exp.column(same, quoted=True)))
    made.set("expressions", columns)
    if block.distinct:
        made.set("distinct", exp.Distinct())
    threshold = _threshold(block, made, order) if not kind else None
    if block.limit is not None:
        if order:
            made.set("order", exp.Order(expressions=[each.copy() for each in order]))
        limited(made, block.limit + block.offset, 0)
    kind = kind or _kind_of_rows(block, bool(order))
    if not (order or block.distinct or block.limit is not None or block.offset):
        return Cut(made, kind, None)

    def final(name: str) -> exp.Select:
        select = exp.select(*(exp.column(each, quoted=True) for each in names)).from_(relation(name))
        finished(select, block, order)
        return select

    return Cut(made, kind, final, threshold)


def _threshold(block: Block, rows: exp.Select, order: list[exp.Ordered]) -> plans.Threshold | None:
    """Of a top-k over `rows`. With DISTINCT a row of one partition may be another's, too, so their number says nothing."""
    if block.limit is None or not order or block.distinct or order[0].args.get("nulls_first"):
        return None
    count = block.limit + block.offset
    if not 0 < count <= THRESHOLD_ROWS_MAX:
        return None
    descending = bool(order[0].args.get("desc"))
    column = order[0].this.sql("duckdb")
    before = f"SELECT * FROM ({sql_of(rows)}) AS __top WHERE {column} {'>=' if descending else '<='} "
    after = f"{sql_of(exp.Order(expressions=[each.copy() for each in order]))} LIMIT {count}"
    return plans.Threshold(order[0].this.name, descending, count, before, f" {after.lstrip()}")


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


def _row_only(expression: Any) -> None:
    if not runs_per_row(expression):
        raise NotPushable(f"{expression.sql('duckdb')[:60]} is no function of one row")
