"""Which tables of a join each partition can join alone, because rows that match are in the same one.

Two tables lie together where the join asks for equality of all their `partition_by` columns, in order, and these have
the same text in keys: the slot is made of nothing else. Without `partition_by` the slot is made of the whole key with
the table's name in it, so such a table lies together only with itself. A broadcast table is at hand everywhere, but
must not be on a side of an outer join whose rows appear also without a match: every partition would yield them. Nor may
it be the table that a statement writes: the versions of rows are known where these are a partition's own.
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.column_numbers import IntegerType
from kubegrid.base.column_type import ColumnType
from kubegrid.sql import conjuncts
from kubegrid.sql.block import Block
from kubegrid.sql.joins import Joined
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.sources import VERSION, Source

Pair = tuple[tuple[str, str], tuple[str, str]]
"""Two columns that are equal, each as alias and lower-case name."""


def own_rows(block: Block) -> list[Source]:
    """The sources that each partition reads as its own rows; it reads the others, broadcast tables, whole.

    Raises NotPushable if the partitions cannot do the join each for itself.
    """
    parts = [joined for joined in block.joins if not _table(joined.source).broadcast]
    if not parts:
        return [_first_of_broadcast(block)]
    if any(_table(joined.source).broadcast and _asks_version(block, joined.source) for joined in block.joins):
        raise NotPushable("versions of rows of a broadcast table, whose parts from other partitions have none")
    outer = any(joined.side in ("RIGHT", "FULL") for joined in block.joins)
    pairs = filtered_columns(block)
    placed: list[Joined] = []
    for place, joined in enumerate(block.joins):
        if _table(joined.source).broadcast:
            if joined.side in ("RIGHT", "FULL"):
                raise NotPushable("rows of a broadcast table that match nothing would come from every partition")
            continue
        if not placed:
            if place and not (joined.inner or joined.side == "RIGHT"):
                raise NotPushable("rows of a broadcast table that match nothing would come from every partition")
        elif outer or not joined.inner:
            inside = _pairs(joined.on)
            if not any(lie_together(joined.source, other.source, inside) for other in placed):
                raise NotPushable("an outer join of rows that lie in different partitions")
        placed.append(joined)
    _connected(placed, pairs)
    return [joined.source for joined in placed]


def _asks_version(block: Block, source: Source) -> bool:
    asked = [column for item in block.items for column in conjuncts.columns_of(item.expression)]
    return (source.alias, VERSION) in map(name_of, asked)


def _first_of_broadcast(block: Block) -> Source:
    """Of broadcast tables alone one gives its own rows, so that every row comes once."""
    if any(joined.side in ("RIGHT", "FULL") for joined in block.joins):
        raise NotPushable("an outer join of broadcast tables")
    return block.joins[0].source


def _connected(placed: list[Joined], pairs: list[Pair]) -> None:
    """Every source lies together with the others: by what filters rows, or by what it is outer-joined on."""
    reached, waiting = placed[:1], placed[1:]
    while waiting:
        for joined in waiting:
            if any(_meet(joined, other, pairs) or _meet(other, joined, pairs) for other in reached):
                reached.append(joined)
                waiting.remove(joined)
                break
        else:
            raise NotPushable("a join of rows that lie in different partitions")


def _meet(one: Joined, other: Joined, pairs: list[Pair]) -> bool:
    return lie_together(one.source, other.source, pairs if one.inner else _pairs(one.on))


def filters(block: Block) -> list[Any]:
    """The conditions that are true of every row of the answer. What an outer join asks for is not among them: a row
    that does not have it appears all the same, and so does one that a RIGHT or FULL join keeps."""
    conditions = list(block.where)
    if not any(joined.side in ("RIGHT", "FULL") for joined in block.joins):
        conditions += [part for joined in block.joins if joined.inner for part in joined.on]
    return conditions


def filtered_columns(block: Block) -> list[Pair]:
    """The columns that every row of the answer has equal."""
    return _pairs(filters(block))


def _pairs(conditions: list[exp.Expression]) -> list[Pair]:
    found: list[Pair] = []
    for condition in conditions:
        inner = conjuncts.unwrapped(condition)
        if isinstance(inner, exp.EQ):
            left, right = conjuncts.unwrapped(inner.this), conjuncts.unwrapped(inner.expression)
            if isinstance(left, exp.Column) and isinstance(right, exp.Column):
                found.append((name_of(left), name_of(right)))
    return found


def name_of(column: exp.Column) -> tuple[str, str]:
    return column.table.lower(), column.name.lower()


def lie_together(one: Source, other: Source, pairs: list[Pair]) -> bool:
    """Whether rows of both that the pairs make equal are in the same partition."""
    left, right = _table(one), _table(other)
    if left.partition_by and right.partition_by:
        columns = list(zip(left.partition_by, right.partition_by, strict=False))
        if len(left.partition_by) != len(right.partition_by):
            return False
    elif left is right:
        columns = [(name, name) for name in left.key]
    else:
        return False
    for mine, theirs in columns:
        a, b = (one.alias, mine.lower()), (other.alias, theirs.lower())
        if (a, b) not in pairs and (b, a) not in pairs:
            return False
        if not same_text(left.column(mine).type, right.column(theirs).type):
            return False
    return True


def same_text(one: ColumnType, other: ColumnType) -> bool:
    """Whether equal values of both types are spelt alike in keys."""
    return one == other or (isinstance(one, IntegerType) and isinstance(other, IntegerType))


def _table(source: Source) -> Any:
    return source.table
