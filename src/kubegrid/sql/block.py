"""A SELECT whose every name is resolved, so that it can be cut into what partitions do and what is left.

`Block` takes only what can be understood whole without binding types: every source is a table of the catalog, or a
query that only chooses rows and columns of such; every column is certainly one of theirs; `*` is spelt out, aliases and
positions are replaced by what they stand for. Anything else raises NotPushable, which is no error: the rows are gathered
then, and DuckDB binds the query itself. Next: `cutting`.
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Catalog
from kubegrid.sql import conjuncts
from kubegrid.sql.functions import has_aggregate, runs_per_row
from kubegrid.sql.joins import Joined, joined_as, plain_query, unfolded
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.resolving import Resolving
from kubegrid.sql.sources import Known, Source, Sources

LIMIT_MAX = 2**40
_TAKEN = {
    "expressions",
    "from_",
    "joins",
    "where",
    "group",
    "having",
    "qualify",
    "order",
    "limit",
    "offset",
    "distinct",
}


class Block(Resolving):
    """The parts of a resolved SELECT; its trees are its own."""

    def __init__(self, select: exp.Select, known: Known, *, catalog: Catalog) -> None:
        self._select = select = _copied(select)
        for name, value in select.args.items():
            if value and name not in _TAKEN:
                raise NotPushable(f"it has {name.strip('_')}")
        super().__init__(Sources(select, catalog, known))
        if not self.sources.all:
            raise NotPushable("it reads no table")
        if any(_outside_where(collation, select) for collation in select.find_all(exp.Collate)):
            raise NotPushable("a collation, which values lose on their way")
        views = {
            source.alias: self._view(source, catalog, known) for source in self.sources.all if source.table is None
        }
        if any(source.names is None for source in self.sources.all):
            raise NotPushable("the columns of a source are not known")
        self._joined = [self._join(source) for source in self.sources.all]
        for item in select.expressions:
            self._item(item)
        self.where = self._conditions("where")
        self.group = self._group()
        self.having = self._conditions("having", strict=True)
        self.qualify = self._conditions("qualify", strict=True)
        self.order = self._order()
        self.distinct = self._distinct()
        self.limit, self.offset = self._number("limit"), self._number("offset") or 0
        self.joins: list[Joined] = []
        for place, joined in enumerate(self._joined):
            view = views.get(joined.source.alias)
            made, where = ([joined], []) if view is None else unfolded(joined, view.joins, view.where, place == 0)
            self.joins += made
            self.where += where
        self.tables = {joined.source.alias: joined.source for joined in self.joins}
        """By their aliases in lower case."""
        if len(self.tables) < len(self.joins):
            raise NotPushable("two tables of one alias")

    @property
    def aggregated(self) -> bool:
        return bool(self.group is not None or self.having or any(has_aggregate(each) for each in self._outputs()))

    @property
    def windowed(self) -> bool:
        return bool(self.qualify or any(each.find(exp.Window) for each in self._outputs()))

    def _outputs(self) -> list[Any]:
        return [item.expression for item in self.items] + [ordered.this for ordered in self.order]

    def _view(self, source: Source, catalog: Catalog, known: Known) -> "Block":
        """See through a query in FROM that only chooses rows and columns."""
        inner = Block(*plain_query(source, known), catalog=catalog)
        names = [(item.name or "").lower() for item in inner.items]
        changed = inner.aggregated or inner.windowed or inner.distinct or inner.limit is not None or inner.offset
        if changed or "" in names or len(set(names)) < len(names):
            raise NotPushable(f"{source.spelt or 'a source'} is no plain choice of rows")
        trees = [item.expression for item in inner.items] + inner.where + [on for each in inner.joins for on in each.on]
        if not all(map(runs_per_row, trees)):
            raise NotPushable(f"{source.spelt} has more than functions of a row")
        prefix = f"{source.spelt}."
        for column in [column for tree in trees for column in conjuncts.columns_of(tree)]:
            column.set("table", exp.to_identifier(prefix + column.table, quoted=True))
        for joined in inner.joins:
            joined.source.spelt = prefix + joined.source.spelt
            joined.source.alias = joined.source.spelt.lower()
        source.view = {name: item.expression for name, item in zip(names, inner.items, strict=True)}
        source.names = frozenset(names)
        source.real = {name: str(item.name) for name, item in zip(names, inner.items, strict=True)}
        return inner

    def _join(self, source: Source) -> Joined:
        made = joined_as(source)
        join = source.join
        if join is None:
            return made
        before = self.sources.all[: self.sources.all.index(source)]
        for identifier in join.args.get("using") or ():
            made.on.append(self._using_pair(identifier.name.lower(), source, before, made))
        on = join.args.get("on")
        for part in conjuncts.split(on):
            made.on.append(self._resolved(part))
        if made.on == [exp.true()]:
            made.on = []
        return made

    def _conditions(self, clause: str, strict: bool = False) -> list[Any]:
        there = self._select.args.get(clause)
        if there is None:
            return []
        return [self._resolved(part, aliases=True, strict=strict) for part in conjuncts.split(there.this)]

    def _group(self) -> list[Any] | None:
        group = self._select.args.get("group")
        if group is None:
            return None
        if any(value for name, value in group.args.items() if name not in ("expressions", "all")):
            raise NotPushable("GROUPING SETS")
        if group.args.get("all"):
            keys = [item.expression for item in self.items if not has_aggregate(item.expression)]
        else:
            keys = [self._key(key) for key in group.expressions]
        found: list[Any] = []
        for key in keys:
            if isinstance(key, exp.Tuple | exp.GroupingSets | exp.Cube | exp.Rollup) or has_aggregate(key):
                raise NotPushable("GROUP BY something else than values")
            if key.find(exp.Column) is None:  # DuckDB takes constants for no keys, but not always
                raise NotPushable("GROUP BY a constant")
            if key not in found:
                found.append(key)
        return found

    def _key(self, key: Any) -> Any:
        inner = conjuncts.unwrapped(key)
        if isinstance(inner, exp.Literal) and not inner.is_string:
            return self._at(inner)
        return self._resolved(key, aliases=True)

    def _at(self, literal: exp.Literal) -> Any:
        place = int(literal.this) if str(literal.this).isdecimal() else 0
        if not 1 <= place <= len(self.items):
            raise NotPushable("a position that is not there")
        return self.items[place - 1].expression.copy()

    def _order(self) -> list[exp.Ordered]:
        order = self._select.args.get("order")
        if order is None:
            return []
        found: list[exp.Ordered] = []
        for ordered in order.expressions:
            if not isinstance(ordered, exp.Ordered) or ordered.args.get("with_fill"):
                raise NotPushable("ORDER BY of another kind")
            for expression in self._order_keys(ordered.this):
                if expression.find(exp.Column) is None and runs_per_row(expression):
                    continue  # the same in every row; a number would be taken for a position, a text refused
                made = ordered.copy()
                made.set("this", expression)
                found.append(made)
        return found

    def _order_keys(self, key: Any) -> list[Any]:
        inner = conjuncts.unwrapped(key)
        if isinstance(key, exp.Var) and key.name.upper() == "ALL":
            return [item.expression.copy() for item in self.items]
        if isinstance(inner, exp.Literal):
            if inner.is_string:
                raise NotPushable("ORDER BY a text")
            return [self._at(inner)]
        if isinstance(inner, exp.Column) and not inner.table:
            named = [item.expression for item in self.items if (item.name or "").lower() == inner.name.lower()]
            if named and all(each == named[0] for each in named):
                return [named[0].copy()]
            if named:
                raise NotPushable("ORDER BY a name that two columns have")
        return [self._resolved(key, strict=True)]

    def _distinct(self) -> bool:
        distinct = self._select.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            raise NotPushable("DISTINCT ON")
        return distinct is not None

    def _number(self, clause: str) -> int | None:
        there = self._select.args.get(clause)
        if there is None:
            return None
        number = there.args.get("expression")
        options = there.args.get("limit_options") or there.args.get("expressions")
        if options or not isinstance(number, exp.Literal) or number.is_string or not str(number.this).isdecimal():
            raise NotPushable(f"{clause.upper()} of something else than a number")
        value = int(number.this)
        if value > LIMIT_MAX:
            raise NotPushable(f"{clause.upper()} of a very large number")
        return value


def _copied(select: exp.Select) -> exp.Select:
    """A copy without its CTEs, which stay where they are."""
    with_ = select.args.pop("with_", None)
    try:
        return select.copy()
    finally:
        if with_ is not None:
            select.set("with_", with_)


def _outside_where(node: Any, select: exp.Select) -> bool:
    where = node.find_ancestor(exp.Where, exp.Select)
    return not isinstance(where, exp.Where) or where.parent is not select
