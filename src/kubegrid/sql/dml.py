"""INSERT, UPDATE and DELETE as a SELECT that computes, and a rule for what its rows become.

A statement that writes is never run by DuckDB itself. What it would make of the rows is *selected*, like any query, at a
commit point of every partition; the rows come back to the coordinating pod and become operations of KG.REWRITE:

    INSERT … SELECT, VALUES   the rows given, in the order of `Insert.columns`; a row must be missing, or `conflict` says
    UPDATE                    all columns of each record as it is to be, and `__version`: it must still be at that
    DELETE                    the columns of the key, and `__version`

So every expression means what it means in a SELECT. The columns of a key are where a record lives and cannot be updated.
ON CONFLICT DO UPDATE is computed from the rows given (`excluded`) and the records that are there (`merged`). Pure; the
select is planned by `planner` and run by `query.writing`. Targets and assignments are read in `dml_assignments`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.sql import dml_assignments as assignments
from kubegrid.sql import dml_conflicts
from kubegrid.sql.ddl_dialect import keep_commas
from kubegrid.sql.dml_conflicts import AS_TEXT, VERSION, Cell, Conflict
from kubegrid.sql.errors import NotSupported, SqlError, TypeProblem, UnknownName, WriteRefused
from kubegrid.sql.statements import DELETE, INSERT, UPDATE, Statement
from kubegrid.sql.whole_rows import spell_out

_RETURNING = "Select the rows afterwards, by their keys."


@dataclass(frozen=True, slots=True)
class Insert:
    table: TableDefinition
    columns: tuple[str, ...]
    """What the rows have, in this order; empty: what the names of the query's columns say (BY NAME)."""
    query: exp.Query | None
    rows: tuple[tuple[Cell, ...], ...]
    """If there is no query."""
    conflict: Conflict

    def named(self, names: Sequence[str]) -> "Insert":
        """With the table's columns that the query's columns `names` are for. Raises SqlError."""
        if not self.columns:
            columns = assignments.columns(self.table, list(names), "INSERT BY NAME")
            return dataclasses.replace(self, columns=columns, conflict=self.conflict.of(self.table, columns))
        if len(names) != len(self.columns):
            raise _other_count(self.table, len(self.columns), len(names), "its query gives")
        return self


def handed_over(query: exp.Query, columns: Sequence[tuple[str, str]]) -> exp.Query:
    """The query of an INSERT with the columns of types that Arrow cannot carry as text. `columns`: its names and types."""
    if not any(kind in AS_TEXT for _, kind in columns):
        return query
    chosen = []
    for place, (name, kind) in enumerate(columns):
        value: Any = exp.column(f"c{place}", table="given")
        if kind in AS_TEXT:
            value = exp.cast(value, "VARCHAR")
        chosen.append(exp.alias_(value, name, quoted=True))
    alias = exp.TableAlias(
        this=exp.to_identifier("given"), columns=[exp.to_identifier(f"c{i}") for i in range(len(columns))]
    )
    return exp.select(*chosen).from_(exp.Subquery(this=query.copy(), alias=alias))


@dataclass(frozen=True, slots=True)
class Update:
    table: TableDefinition
    assigned: tuple[str, ...]
    query: exp.Query
    """Every column of the table, then `__version`."""


@dataclass(frozen=True, slots=True)
class Delete:
    table: TableDefinition
    query: exp.Query
    """The columns of the key, then `__version`."""


Change = Insert | Update | Delete


def read(statement: Statement, catalog: Catalog) -> Change:
    """What a statement of kind insert, update or delete asks for. Raises SqlError."""
    tree = statement.expression
    if tree.args.get("returning"):
        raise NotSupported("RETURNING is not supported", remedy=_RETURNING)
    if statement.kind == INSERT:
        return _insert(tree, catalog)
    if statement.kind == UPDATE:
        return _update(tree, catalog)
    assert statement.kind == DELETE
    return _delete(tree, catalog)


def source(statement: Statement, catalog: Catalog) -> exp.Query | None:
    """The SELECT that the statement runs, for EXPLAIN; None: the rows stand in the statement. Raises SqlError."""
    return read(statement, catalog).query


# -- INSERT ----------------------------------------------------------------------------------------------------------


def _insert(tree: exp.Insert, catalog: Catalog) -> Insert:
    given = tree.this
    named = [] if not isinstance(given, exp.Schema) else [entry.name for entry in given.expressions]
    target = given.this if isinstance(given, exp.Schema) else given
    table = assignments.target(target, catalog)
    if tree.args.get("overwrite") or tree.args.get("partition") or tree.args.get("where"):
        raise NotSupported("INSERT OVERWRITE is not supported: TRUNCATE the table first, or use INSERT OR REPLACE")
    columns = assignments.columns(table, named, "INSERT") if named else table.names
    body = tree.expression or None
    rows: tuple[tuple[Cell, ...], ...] = ()
    query: exp.Query | None = None
    if tree.args.get("default"):
        check_given(table, ())
        rows, columns = ((None,) * len(table.columns),), table.names
    elif isinstance(body, exp.Values):
        if tree.args.get("by_name"):
            raise NotSupported("INSERT BY NAME is for a SELECT, whose columns have names")
        rows = tuple(_cells(row) for row in body.expressions)
        for row in rows:
            if len(row) != len(columns):
                raise _other_count(table, len(columns), len(row), "a row of VALUES has")
    elif isinstance(body, exp.Query):
        query = _with(body.copy(), tree)
    else:
        raise NotSupported("INSERT takes VALUES or a SELECT")
    conflict = dml_conflicts.read(tree, table, target)
    if tree.args.get("by_name"):
        return Insert(table, (), query, rows, conflict)
    check_given(table, columns, whole=conflict.action == dml_conflicts.FAIL)
    return Insert(table, columns, query, rows, conflict.of(table, columns))


def check_given(table: TableDefinition, columns: Sequence[str], *, whole: bool = True) -> None:
    """Every column that must have a value is given one; not `whole`: every one of the key. Raises WriteRefused."""
    for column in table.columns:
        if column.required and column.name not in columns and (whole or column.name in table.key):
            raise WriteRefused(
                f"column {column.name} of table {table.name} is NOT NULL and has no default, and the INSERT gives it no value"
            )


def _cells(row: Any) -> tuple[Cell, ...]:
    cells = row.expressions if isinstance(row, exp.Tuple) else [row.unnest()]
    return tuple(map(assignments.given, cells))


# -- UPDATE, DELETE --------------------------------------------------------------------------------------------------


def _update(tree: exp.Update, catalog: Catalog) -> Update:
    table = assignments.target(tree.this, catalog)
    _no_limit(tree)
    name = tree.this.alias or tree.this.name
    assigned = dict(assignments.read(table, tree.expressions, {name, tree.this.name}))
    chosen: list[Any] = []
    for place, column in enumerate(table.columns):
        value: Any = exp.column(column.name, table=exp.to_identifier(name, quoted=True), quoted=True)
        if column.name in assigned:
            value = assigned[column.name]
            value = assignments.default(column) if value is None else value.copy()
        if column.type.name in AS_TEXT:
            value = exp.cast(exp.cast(value, column.type.name, dialect="duckdb"), "VARCHAR")
        chosen.append(exp.alias_(value, f"c{place}"))
    others = tree.args.get("from_")
    query = _matching(tree, name, chosen, [] if others is None else [others.this])
    spell_out(query, table, name, catalog)
    return Update(table, tuple(assigned), query)


def _delete(tree: exp.Delete, catalog: Catalog) -> Delete:
    table = assignments.target(tree.this, catalog)
    _no_limit(tree)
    name = tree.this.alias or tree.this.name
    alias = exp.to_identifier(name, quoted=True)
    chosen = [
        exp.alias_(exp.column(column, table=alias.copy(), quoted=True), f"c{i}") for i, column in enumerate(table.key)
    ]
    query = _matching(tree, name, chosen, tree.args.get("using") or [])
    spell_out(query, table, name, catalog)
    return Delete(table, query)


def _matching(tree: Any, name: str, chosen: list[Any], others: list[Any]) -> exp.Select:
    """The SELECT of the records that an UPDATE or DELETE is about."""
    version = exp.column(VERSION, table=exp.to_identifier(name, quoted=True), quoted=True)
    query = exp.select(*chosen, exp.alias_(version, f"c{len(chosen)}")).from_(tree.this.copy())
    for other in others:
        other = other.copy()
        joins = other.args.get("joins") or []
        other.set("joins", None)
        query.append("joins", exp.Join(this=other))
        for join in joins:
            query.append("joins", join)
    keep_commas(query)
    if tree.args.get("where") is not None:
        query.set("where", tree.args["where"].copy())
    _with(query, tree)
    return query


def _with(query: exp.Query, tree: Any) -> exp.Query:
    """With the CTEs that stand before the statement."""
    before = tree.args.get("with_")
    if before is not None:
        own = query.args.get("with_")
        both = before.copy()
        if own is not None:
            both.set("expressions", [*both.expressions, *own.expressions])
            both.set("recursive", both.args.get("recursive") or own.args.get("recursive"))
        query.set("with_", both)
    return query


def _no_limit(tree: Any) -> None:
    if tree.args.get("limit") or tree.args.get("order"):
        raise NotSupported(
            "UPDATE and DELETE have no ORDER BY and no LIMIT",
            remedy="Choose the records by key: WHERE key IN (SELECT key FROM … ORDER BY … LIMIT …).",
        )


def _other_count(table: TableDefinition, wanted: int, given: int, what: str) -> SqlError:
    columns = f"{wanted} columns are" if wanted != 1 else "one column is"
    kind = UnknownName if not wanted else TypeProblem
    return kind(f"{columns} to be written in table {table.name}, and {what} {given}")
