"""From a query to a plan: what the partitions compute, and what is left for the coordinating pod.

A query is a tree of SELECTs (CTEs, subqueries, operands of UNION …). Every SELECT that the partitions can compute each
for itself becomes a fragment, and a SELECT over what the fragment yields takes its place (`cutting`). Every other one
stays as it is, over the rows of its tables that it needs (`scans`). So the final statement is always the user's own
query with parts of it done before. A query whose rows are all in one partition goes there as a whole.

What must be certain before anything is pushed: whose column a name is (`sources`, `block`), that rows which meet in a
join lie together (`colocation`), that a function gives the same everywhere (`functions`), that an aggregate can be
merged (`aggregates`). In doubt the rows are gathered. Next: `query`, which runs plans.
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Catalog
from kubegrid.sql.block import Block
from kubegrid.sql.colocation import filtered_columns, filters, own_rows
from kubegrid.sql.cutting import cut
from kubegrid.sql.errors import TooMuch
from kubegrid.sql.fragments import Fragments, sql_of
from kubegrid.sql.merging import merging
from kubegrid.sql.plans import Plan
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.refusals import check
from kubegrid.sql.routing import reached
from kubegrid.sql.scans import gather
from kubegrid.sql.set_orders import number_keys
from kubegrid.sql.single import whole_query
from kubegrid.sql.sources import BESIDE, Cte, Known, Sources, is_join, output_names

_INSIDE = (exp.Select, exp.SetOperation, exp.Subquery)


def plan(statement: Any, catalog: Catalog, partitions: int) -> Plan:
    """Raises SqlError: UnknownName, NotSupported, TooMuch. `columns` of the plan and its fragments are left empty."""
    try:
        return _plan(statement, catalog, partitions)
    except RecursionError:
        raise TooMuch("the statement is nested too deep", remedy="Write parts of it as CTEs (WITH …).") from None


def _plan(statement: Any, catalog: Catalog, partitions: int) -> Plan:
    tree = statement.copy()
    check(tree, catalog)
    fragments = Fragments(catalog, partitions)
    whole = whole_query(tree, fragments)
    if whole is not None:
        return whole
    _without_schema(tree)
    planning = _Planning(fragments, _asks_odd_names(tree))
    root = exp.Paren(this=tree)
    planning.query(tree, {}, top=True)
    if planning.answer is not None and planning.answer == fragments.made[0].name and len(fragments.made) == 1:
        return Plan(tuple(fragments.made), None)
    return Plan(tuple(fragments.made), sql_of(root.this), merging=merging(root.this))


def _without_schema(tree: Any) -> None:
    """`main.t.x` as `t.x`: a relation of the final statement is in no schema."""
    for column in tree.find_all(exp.Column):
        if column.args.get("db") is not None and column.db.lower() == "main":
            column.set("db", None)
            column.set("catalog", None)


class _Planning:
    """One walk over the tree, which it changes."""

    def __init__(self, fragments: Fragments, names_asked: bool) -> None:
        self._names_asked = names_asked
        self._fragments = fragments
        self._catalog = fragments.catalog
        self.answer: str | None = None
        """The fragment whose rows are the answer as they are."""

    def query(self, query: Any, known: Known, top: bool = False) -> None:
        ctes: list[tuple[exp.With, Known]] = []
        while True:
            with_ = query.args.get("with_")
            if with_ is not None:
                known = self._named(with_, known)
                ctes.append((with_, known))
            inner = query.this if isinstance(query, exp.Subquery) else query
            if isinstance(inner, exp.SetOperation):
                number_keys(query, inner, self._catalog)
            if isinstance(query, exp.Subquery):
                top = top and not any(query.args.get(name) for name in ("order", "limit", "offset"))
                query = query.this
            elif isinstance(query, exp.SetOperation):
                self.query(query.expression, known)
                query, top = query.this, False
            else:
                break
        if isinstance(query, exp.Select):
            self._select(query, known, top)
        elif isinstance(query, exp.Expression):
            self._inside(query, known)
        for with_, seen in reversed(ctes):
            self._ctes(with_, seen)

    def _named(self, with_: exp.With, known: Known) -> Known:
        """With the queries that it gives names to. They are planned after what asks for them, which may see through
        them, so that nothing is left of them to do."""
        known = dict(known)
        for cte in with_.expressions:
            name = cte.alias.lower()
            if with_.args.get("recursive"):
                known[name] = Cte()
            elif cte.args["alias"].args.get("columns"):
                known[name] = Cte(known=dict(known))
            else:
                before = dict(known)
                known[name] = Cte(output_names(cte.this, self._catalog, before), cte.this, before)
        return known

    def _ctes(self, with_: exp.With, known: Known) -> None:
        """Plan those that something still refers to, the last one first; drop the others."""
        recursive = bool(with_.args.get("recursive"))
        above: Any = with_.parent
        for cte in reversed(list(with_.expressions)):
            inside = {id(table) for table in cte.find_all(exp.Table)}
            referred = any(
                table.name.lower() == cte.alias.lower() and id(table) not in inside
                for table in above.find_all(exp.Table)
            )
            if referred or recursive:
                self.query(cte.this, known if recursive else known[cte.alias.lower()].known)
            else:
                cte.pop()
        if not with_.expressions:
            with_.pop()

    def _select(self, select: exp.Select, known: Known, top: bool) -> None:
        try:
            self._push(select, known, top)
        except NotPushable:
            self._inside(select, known)

    def _push(self, select: exp.Select, known: Known, top: bool) -> None:
        block = Block(select, known, catalog=self._catalog)
        if self._names_asked and not top and any(item.name is None for item in block.items):
            raise NotPushable("a column without a name, which could be asked for by the one that DuckDB gives it")
        if not top and len({(item.name or str(place)).lower() for place, item in enumerate(block.items)}) < len(
            block.items
        ):
            raise NotPushable("two columns of one name")
        own = own_rows(block)
        reach = reached(own, filters(block), filtered_columns(block), self._fragments.partitions)
        sets = [each.partitions for each in reach.values() if each.partitions is not None]
        asked = frozenset.intersection(*sets) if sets else None
        alone = self._fragments.partitions == 1 or (asked is not None and len(asked) == 1)
        done = cut(block, own, alone)
        tables = [(source.table, reach[source.alias]) for source in own if source.table is not None]
        others = [each.source.table for each in block.joins if all(each.source is not mine for mine in own)]
        name = self._fragments.add(
            done.fragment,
            done.kind,
            asked,
            tables,
            [table.name for table in others if table is not None],
            done.threshold,
        )
        with_ = select.args.get("with_")
        if done.final is None and top:
            self.answer = name
        final = done.final(name) if done.final is not None else _all_of(name, block)
        if with_ is not None:
            final.set("with_", with_)
        select.replace(final)

    def _inside(self, node: Any, known: Known) -> None:
        """Plan the queries inside of a SELECT that is not pushed, then gather what its own tables have."""
        tables: list[exp.Table] = []
        self._walk(node, node, known, tables)
        if not isinstance(node, exp.Select):
            return
        sources = Sources(node, self._catalog, known)
        plain = [source.node for source in sources.tables]
        others = [
            table
            for table in tables
            if isinstance(table.this, exp.Identifier)
            and all(table is not each for each in plain)
            and self._fragments.table(table, known) is not None
        ]
        gather(node, sources, others, self._fragments)

    def _walk(self, start: Any, of: Any, known: Known, tables: list[exp.Table]) -> None:
        """Plan the queries inside of this part of `of`, and collect its tables, also those of `(a JOIN b ON …)`."""
        for each in list(start.walk(prune=lambda inner: inner is not of and isinstance(inner, (*_INSIDE, exp.With)))):
            if isinstance(each, exp.Table):
                tables.append(each)
            elif isinstance(each, _INSIDE) and each is not of:
                if isinstance(each, exp.Subquery) and is_join(each):
                    self._walk(each.this, of, known, tables)
                else:
                    if isinstance(each.parent, exp.Exists):
                        _without_columns(each)
                    self.query(each, known)
                for name in BESIDE if isinstance(each, exp.Subquery) else ():
                    for beside in each.args.get(name) or ():
                        self._walk(beside, of, known, tables)


def _without_columns(query: Any) -> None:
    """`EXISTS (SELECT * …)` asks for no column."""
    plain = isinstance(query, exp.Select) and not any(query.args.get(name) for name in ("distinct", "group", "having"))
    if plain and all(isinstance(item, exp.Star) for item in query.expressions):
        query.set("expressions", [exp.Literal.number(1)])


def _asks_odd_names(tree: Any) -> bool:
    """Whether it may ask for a column by the name that DuckDB makes of an expression, such as "sum(x)"."""
    for node in tree.find_all(exp.Identifier, exp.SetOperation, exp.Join):
        if isinstance(node, exp.Identifier):
            if node.quoted and not node.name.isidentifier():
                return True
        elif (node.args.get("by_name")) or (isinstance(node, exp.Join) and node.method):
            return True
    return False


def _all_of(name: str, block: Block) -> exp.Select:
    columns = []
    taken: set[str] = set()
    for place, item in enumerate(block.items):
        spelt = item.name if item.name and item.name.lower() not in taken else f"__c{place}"
        taken.add((item.name or "").lower())
        columns.append(exp.column(spelt, quoted=True))
    return exp.select(*columns).from_(exp.Table(this=exp.to_identifier(name, quoted=True)))
