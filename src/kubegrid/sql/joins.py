"""How the sources of a block are joined, and seeing through those that are plain queries themselves.

`FROM (SELECT * FROM flights WHERE …) AS f` is `FROM flights AS f` with one more condition; so is a CTE of that kind.
Whatever writes SQL wraps tables like this, and without seeing through it the partitions could only send all rows.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.sources import BESIDE, Known, Source

_KINDS = {
    *(("", ""), ("", "INNER"), ("", "CROSS"), ("LEFT", ""), ("LEFT", "OUTER"), ("RIGHT", ""), ("RIGHT", "OUTER")),
    *(("FULL", ""), ("FULL", "OUTER"), ("", "SEMI"), ("", "ANTI"), ("LEFT", "SEMI"), ("LEFT", "ANTI")),
}
_MORE_THAN_A_QUERY = ("pivots", "sample", *BESIDE)
"""Of something in FROM: what its rows are beside those of its table or query."""


@dataclass(slots=True)
class Joined:
    """A source, how it is joined to those before it, and on what."""

    source: Source
    side: str = ""
    """"", LEFT, RIGHT or FULL."""
    kind: str = ""
    """"", CROSS, SEMI or ANTI."""
    on: list[Any] = field(default_factory=list)

    @property
    def inner(self) -> bool:
        return not self.side and self.kind not in ("SEMI", "ANTI")


def joined_as(source: Source) -> Joined:
    """Without its conditions."""
    join = source.join
    if join is None:
        return Joined(source)
    side, kind = join.side.upper(), join.kind.upper()
    extra = any(value for name, value in join.args.items() if name not in ("this", "on", "side", "kind", "using"))
    if extra or (side, kind) not in _KINDS:
        raise NotPushable("a join of another kind")
    half = kind in ("SEMI", "ANTI")
    return Joined(source, "" if half else side, kind if half or kind == "CROSS" else "")


def plain_query(source: Source, known: Known) -> tuple[exp.Select, Known]:
    """The query that the source is, and the CTEs it sees."""
    node = source.node
    if node.alias_column_names or any(node.args.get(name) for name in _MORE_THAN_A_QUERY):
        raise NotPushable(f"{source.spelt} is no plain table")
    query = node
    if isinstance(node, exp.Table):
        cte = known.get(node.name.lower()) if isinstance(node.this, exp.Identifier) and not node.db else None
        query, known = (cte.query, cte.known) if cte is not None else (None, known)
    while isinstance(query, exp.Subquery) and not any(
        query.args.get(name) for name in ("with_", "order", "limit", "offset")
    ):
        query = query.this
        if isinstance(query, exp.Subquery) and any(query.args.get(name) for name in ("alias", *_MORE_THAN_A_QUERY)):
            raise NotPushable("parentheses around something in FROM")
    if not isinstance(query, exp.Select) or query.args.get("with_"):
        raise NotPushable(f"{source.spelt or 'a source'} is no plain table")
    return query, known


def unfolded(joined: Joined, inner: list[Joined], where: list[Any], first: bool) -> tuple[list[Joined], list[Any]]:
    """The joins that stand for a joined query, and the conditions that go to WHERE.

    `inner` and `where` are the query's own; an outer join must not be able to tell the difference.
    """
    source = joined.source
    if source.nullable and (where or len(inner) > 1) and (first or joined.side != "LEFT"):
        raise NotPushable("conditions inside of what an outer join may lack")
    if source.nullable and not all(isinstance(value, exp.Column) for value in (source.view or {}).values()):
        raise NotPushable("values computed inside of what an outer join may lack")
    for each in inner:
        each.source.nullable = each.source.nullable or source.nullable
    if first:
        return inner, where
    if len(inner) > 1:
        raise NotPushable("a join inside of a join")
    if joined.side in ("RIGHT", "FULL") and where:
        raise NotPushable("conditions inside of what an outer join keeps")
    on = joined.on if joined.inner else joined.on + where
    kind = "" if joined.kind == "CROSS" and on else joined.kind
    return [Joined(inner[0].source, joined.side, kind, on)], where if joined.inner else []
