"""ON CONFLICT, INSERT OR REPLACE, INSERT OR IGNORE: what becomes of a row whose key is there already.

DO UPDATE is a SELECT over two relations, `excluded` and the table's name, which `query.writing_merge` fills: the rows given,
and the records that are there under the same keys.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.base.tables import TableDefinition
from kubegrid.sql import dml_assignments as assignments
from kubegrid.sql.errors import NotSupported, WriteRefused

VERSION = "__version"
EXCLUDED = "excluded"
PLACE = "__place"
AS_TEXT = frozenset(("HUGEINT", "UHUGEINT"))
"""Types of 128 bits, which Arrow cannot carry: their values are handed over as text."""
FAIL, NOTHING, MERGE = "fail", "do nothing", "do update"

Cell = exp.Expr | None
"""Of VALUES; None: DEFAULT."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """What becomes of a row whose key is there already."""

    action: str
    target: str = ""
    """The table's name in `assigned` and `where`: its alias, if it has one."""
    assigned: tuple[tuple[str, Cell], ...] = ()
    where: Any = None
    replaces: bool = False
    """Every column that the rows have is assigned (OR REPLACE); the others stay as they are."""

    def of(self, table: TableDefinition, columns: Sequence[str]) -> "Conflict":
        """For rows that have these columns."""
        if not self.replaces:
            return self
        others = [column for column in columns if column not in table.key]
        replaced = tuple((column, exp.column(column, table=EXCLUDED, quoted=True)) for column in others)
        return dataclasses.replace(self, assigned=replaced)


def read(tree: exp.Insert, table: TableDefinition, target: exp.Table) -> Conflict:
    name = target.alias or target.name
    clause = tree.args.get("conflict")
    alternative = str(tree.args.get("alternative") or "").upper()
    if alternative:
        if clause is not None:
            raise NotSupported(
                f"INSERT OR {alternative} … and ON CONFLICT say two things of one key; write one of them"
            )
        if alternative not in ("REPLACE", "IGNORE"):
            raise NotSupported(
                f"INSERT OR {alternative} … is not supported; there are OR REPLACE, OR IGNORE, ON CONFLICT"
            )
        return Conflict(NOTHING) if alternative == "IGNORE" else Conflict(MERGE, name, replaces=True)
    if clause is None:
        return Conflict(FAIL)
    if clause.args.get("duplicate") or clause.args.get("constraint"):
        raise NotSupported("write ON CONFLICT DO NOTHING, or ON CONFLICT (key) DO UPDATE SET …")
    if clause.args.get("index_predicate"):
        raise NotSupported(
            "WHERE cannot stand before DO: there are no keys of some rows only",
            remedy="A condition for the change stands at the end: ON CONFLICT (key) DO UPDATE SET … WHERE …",
        )
    named = [entry.find(exp.Identifier) or entry for entry in clause.args.get("conflict_keys") or ()]
    if named and {entry.name.lower() for entry in named} != {column.lower() for column in table.key}:
        raise WriteRefused(
            f"ON CONFLICT ({', '.join(entry.name for entry in named)}): only the key of table {table.name} is unique, "
            f"and that is ({', '.join(table.key)})"
        )
    if clause.text("action").upper() == "DO NOTHING":
        return Conflict(NOTHING)
    assigned = assignments.read(table, clause.expressions, {name, table.name})
    where = clause.args.get("where")
    condition = where.this if where is not None else None
    for part in (condition, *(value for _, value in assigned)):
        if part is not None and part.find(exp.Query) is not None:
            raise NotSupported("a subquery cannot stand in DO UPDATE", remedy="Compute it in the SELECT of the INSERT.")
        for dot in part.find_all(exp.Dot) if part is not None else ():
            if isinstance(dot.this, exp.Identifier) and dot.this.name.lower() in (name.lower(), EXCLUDED):
                raise NotSupported(f"{dot.this.name} as a whole cannot stand in DO UPDATE", remedy="Name its columns.")
    return Conflict(MERGE, name, assigned, condition)


def merged(table: TableDefinition, conflict: Conflict) -> str:
    """DuckDB's SELECT of the rows that DO UPDATE makes, over two relations: `excluded`, the rows given with `__place`, and
    the records that are there with `__version`, under the name of the table. Yields `__place`, `__version`, and columns."""
    values = dict(conflict.assigned)
    alias = exp.to_identifier(conflict.target, quoted=True)

    def here(expression: Any) -> Any:
        """A column without a table is the record's."""
        found = expression.copy()
        for column in list(found.find_all(exp.Column)):
            if not column.table:
                column.set("table", alias.copy())
        return found

    columns = []
    for column in table.columns:
        if column.name not in values:
            chosen: Any = exp.column(column.name, table=alias.copy(), quoted=True)
        elif values[column.name] is None:
            chosen = assignments.default(column)
        else:
            chosen = here(values[column.name])
        if column.type.name in AS_TEXT:
            chosen = exp.cast(exp.cast(chosen, column.type.name, dialect="duckdb"), "VARCHAR")
        columns.append(exp.alias_(chosen, column.name, quoted=True))
    places = [exp.column("__place", table=EXCLUDED), exp.column(VERSION, table=alias.copy())]
    on = [
        exp.EQ(
            this=exp.column(name, table=EXCLUDED, quoted=True),
            expression=exp.column(name, table=alias.copy(), quoted=True),
        )
        for name in table.key
    ]
    query = exp.select(*places, *columns).from_(EXCLUDED).join(exp.Table(this=alias.copy()), on=exp.and_(*on))
    if conflict.where is not None:
        query = query.where(here(conflict.where))
    return query.sql("duckdb")
