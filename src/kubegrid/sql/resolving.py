"""Whose column each name of a SELECT is: columns under their tables' aliases, `*` spelt out, USING as equality.

DuckDB's rules: a column goes before an alias, except in ORDER BY, where a bare name is an alias first. Where a name is
both and the rule is not as plain as that, it is not certain, and NotPushable is raised.
"""

from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.sql import conjuncts
from kubegrid.sql.joins import Joined
from kubegrid.sql.pushable import NotPushable
from kubegrid.sql.sources import VERSION, Source, Sources


@dataclass(slots=True)
class Item:
    """One column of the answer."""

    expression: Any
    name: str | None
    """As others may refer to it; None: it has no name of its own."""


class Resolving:
    """Of one SELECT; its items are resolved one after the other, because later ones may use the names of earlier."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.items: list[Item] = []
        self._joined: list[Joined] = []
        """The sources that SELECT itself has, views as one."""
        self._using: dict[str, Source] = {}
        """Lower-case name of a column of USING → the source that it stands for."""
        self._aliases: dict[str, Any] = {}

    def _using_pair(self, name: str, source: Source, before: list[Source], made: Joined) -> exp.Expression:
        if not (made.inner or made.side == "LEFT" or made.kind) or self.sources.all[0].nullable:
            raise NotPushable("USING in a RIGHT or FULL join")
        left = self._using.get(name)
        if left is None:
            owners = [each for each in before if each.names is not None and name in each.names]
            if len(owners) != 1 or owners[0].nullable:
                raise NotPushable("USING a column of several tables")
            left = owners[0]
        self._using[name] = left
        return exp.EQ(this=_column(left, name), expression=_column(source, name))

    def _item(self, item: Any) -> None:
        star = item if isinstance(item, exp.Star) else item.this if isinstance(item, exp.Column) else None
        if isinstance(star, exp.Star):
            self._star(item, star)
            return
        if isinstance(item, exp.Alias):
            expression = self._resolved(item.this, aliases=True)
            name = item.alias.lower()
            # A name given twice stands for neither.
            self._aliases[name] = None if name in self._aliases else expression
            self.items.append(Item(expression, item.alias))
            return
        expression = self._resolved(item, aliases=True)
        asked, found = conjuncts.unwrapped(item), conjuncts.unwrapped(expression)
        name = asked.name if isinstance(asked, exp.Column) else ""
        if isinstance(found, exp.Column) and found.name.lower() == name.lower():
            name = found.name  # as it is spelt in the table
        self.items.append(Item(expression, name or None))

    def _star(self, item: Any, star: exp.Star) -> None:
        if star.args.get("rename"):
            raise NotPushable("* RENAME")
        without = {column.name.lower() for column in star.args.get("except_") or ()}
        replaced = {alias.alias.lower(): alias.this for alias in star.args.get("replace") or ()}
        wanted = item.table.lower() if isinstance(item, exp.Column) else None
        if wanted is not None and wanted not in self.sources.by_alias:
            raise NotPushable("* of something else")
        for joined in self._joined:
            source = joined.source
            if (wanted is not None and source.alias != wanted) or joined.kind in ("SEMI", "ANTI"):
                continue
            for name in source.real:
                merged = wanted is None and name in self._using and self._using[name] is not source
                if name == VERSION or name in without or merged:
                    continue
                real = source.real[name]
                if name in replaced:
                    self.items.append(Item(self._resolved(replaced[name]), real))
                else:
                    self.items.append(Item(_column(source, name), real))

    def _resolved(self, node: Any, aliases: bool = False, strict: bool = False) -> Any:
        """The expression with each column under its table's alias and own name. `strict`: no name may be both a
        column and an alias, because then the clause decides which it is."""
        if node.find(exp.Select, exp.SetOperation) is not None:
            raise NotPushable("a query inside of it")
        holder = exp.Paren(this=node.copy())
        for column in conjuncts.columns_of(holder):
            if isinstance(column.this, exp.Star):
                raise NotPushable("a * inside of an expression")
            name = column.name.lower()
            meant = self._aliases.get(name) if not column.table else None
            is_alias = not column.table and name in self._aliases
            source = self._using.get(name) if not column.table else None
            source = source or self.sources.owner(column)
            if source is not None and not (strict and is_alias and meant != _column(source, name)):
                column.replace(_column(source, name))
            elif is_alias and meant is not None and (aliases or strict) and not self.sources.has(name):
                column.replace(exp.Paren(this=meant.copy()))
            else:
                raise NotPushable(f"{column.sql('duckdb')} is not certainly a column of its tables")
        return holder.this


def _column(source: Source, name: str) -> Any:
    if source.view is not None:
        value = source.view[name].copy()
        return value if isinstance(value, exp.Column) else exp.Paren(this=value)
    return exp.column(source.real[name], table=source.spelt, quoted=True)
