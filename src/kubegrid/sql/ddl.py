"""Statements that define: CREATE TABLE, CREATE TABLE … AS, ALTER TABLE … ADD COLUMN, DROP TABLE, TRUNCATE; read, not done.

`read` gives one of the classes below, whose definitions are checked by the same rules as those of manifests and clients
(`base.table_definitions`). What SQL has and a grid has not (constraints beyond the key, views, schemas, changes of a column)
is refused with what to do instead. Who does it is `query.writing_tables`; columns and clauses are read in `ddl_clauses`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sqlglot
from sqlglot import exp

from kubegrid.base.table_definitions import parse_column, parse_definition
from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import Column, TableDefinition
from kubegrid.sql import ddl_clauses, statements
from kubegrid.sql.ddl_dialect import DIALECT
from kubegrid.sql.errors import NotSupported, SyntaxProblem, WriteRefused
from kubegrid.sql.statements import Statement

KEY_REMEDY = "Every table has a primary key: add PRIMARY KEY (column, …)."
AS_REMEDY = "Say which columns are the key: CREATE TABLE t (PRIMARY KEY (column, …)) AS SELECT …"


@dataclass(frozen=True, slots=True)
class CreateTable:
    definition: TableDefinition
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class CreateTableAs:
    """Types and, if `names` is empty, names of the columns are those of the query."""

    name: str
    names: tuple[str, ...]
    document: dict[str, Any]
    """The definition without its columns."""
    query: exp.Query
    if_not_exists: bool

    def definition(self, columns: tuple[tuple[str, str], ...]) -> TableDefinition:
        """With the columns of the query: name and DuckDB type of each. Raises WriteRefused."""
        if self.names and len(self.names) != len(columns):
            raise WriteRefused(
                f"table {self.name} has {len(self.names)} names of columns, and its query {len(columns)}"
            )
        names = self.names or tuple(name for name, _ in columns)
        key = [_spelt(name, names) for name in self.document["key"]]
        described = [
            {"name": name, "type": kind, "nullable": name not in key}
            for name, (_, kind) in zip(names, columns, strict=True)
        ]
        return _definition(self.name, {**_respelt(self.document, names), "columns": described})


@dataclass(frozen=True, slots=True)
class AddColumns:
    table: str
    columns: tuple[Column, ...]
    if_exists: bool
    if_not_exists: frozenset[str]
    """Columns that may be there already."""


@dataclass(frozen=True, slots=True)
class DropTables:
    names: tuple[str, ...]
    if_exists: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    names: tuple[str, ...]


Definition = CreateTable | CreateTableAs | AddColumns | DropTables | Truncate


def read(statement: Statement) -> Definition:
    """What a statement of kind create, ctas, alter, drop or truncate asks for. Raises SqlError."""
    tree = _tree(statement)
    match tree:
        case exp.Create(kind="TABLE"):
            return _create(tree, statement)
        case exp.Create(kind="INDEX"):
            raise NotSupported(
                "CREATE INDEX is not supported: an index is declared with its table",
                remedy="Write CREATE TABLE … (…, INDEX HASH (column, …)), or INDEX ORDERED (…) for ranges.",
            )
        case exp.Alter(kind="TABLE"):
            return _alter(tree)
        case exp.Drop(kind="TABLE"):
            names = tuple(ddl_clauses.table_name(table) for table in tree.args.get("tables") or [tree.this])
            return DropTables(names, bool(tree.args.get("exists")))
        case exp.TruncateTable():
            return Truncate(tuple(ddl_clauses.table_name(table) for table in tree.expressions))
    kind = tree.args.get("kind") or ""
    word = statement.tokens[0].text.upper()
    raise NotSupported(
        f"{word} {kind} is not supported: there are tables, and nothing else to define".replace("  ", " ")
    )


def _tree(statement: Statement) -> Any:
    tokens = list(statement.tokens)
    try:
        trees = DIALECT.parser().parse(tokens, statement.text)
    except sqlglot.errors.ParseError as error:
        for token, following in pairwise(tokens):
            if (token.text.upper(), following.text.upper()) == ("GENERATED", "ALWAYS"):
                raise statements.problem(NotSupported, ddl_clauses.NO_GENERATED, statement.text, token.start) from None
        raise statements.not_sql(error, statement.text) from None
    if len(trees) != 1 or trees[0] is None or isinstance(trees[0], exp.Command):
        what = " ".join(token.text.upper() for token in tokens[:2])
        known = "CREATE TABLE, CREATE TABLE … AS, ALTER TABLE … ADD COLUMN, DROP TABLE and TRUNCATE"
        raise statements.problem(
            SyntaxProblem, f"this {what} is not understood; there are {known}", statement.text, tokens[0].start
        )
    return trees[0]


def _create(tree: exp.Create, statement: Statement) -> CreateTable | CreateTableAs:
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    name = ddl_clauses.table_name(table)
    if tree.args.get("replace"):
        raise NotSupported(f"CREATE OR REPLACE is not supported: DROP TABLE {name} first, its records go with it")
    clauses = ddl_clauses.read(name, tree)
    exists = bool(tree.args.get("exists"))
    document = clauses.document
    query = tree.expression or None
    if query is None:
        if not document["key"]:
            raise WriteRefused(f"table {name} has no PRIMARY KEY", remedy=KEY_REMEDY)
        if clauses.names:
            raise WriteRefused(f"table {name}: column {clauses.names[0]} has no type")
        names = tuple(column["name"] for column in clauses.columns)
        described = {**_respelt(document, names), "columns": clauses.columns}
        return CreateTable(_definition(name, described), exists)
    if not document["key"]:
        raise WriteRefused(f"table {name} has no PRIMARY KEY", remedy=AS_REMEDY)
    if clauses.columns:
        column = clauses.columns[0]["name"]
        raise NotSupported(
            f"column {column} has a type, and CREATE TABLE … AS takes the types of its query",
            remedy=f"Write the name alone, and CAST({column} AS …) in the query.",
        )
    return CreateTableAs(name, clauses.names, document, statement.expression or query, exists)


def _alter(tree: exp.Alter) -> AddColumns:
    table = ddl_clauses.table_name(tree.this)
    columns = []
    may_be_there = set()
    for action in tree.args["actions"]:
        if not isinstance(action, exp.ColumnDef) or action.args.get("position"):
            raise NotSupported(
                f"ALTER TABLE {table} can only ADD COLUMN, at the end: what is there stays as it is",
                remedy="For anything else make a table of another definition and INSERT … SELECT into it.",
            )
        document = ddl_clauses.column(table, action)
        if document.pop("key", False):
            raise WriteRefused(f"table {table}: the key of a table that exists cannot be changed")
        try:
            column = parse_column(document, table)
        except DefinitionError as error:
            raise WriteRefused(str(error)) from None
        if action.args.get("exists"):
            may_be_there.add(column.name)
        columns.append(column)
    return AddColumns(table, tuple(columns), bool(tree.args.get("exists")), frozenset(may_be_there))


def _definition(name: str, document: dict[str, Any]) -> TableDefinition:
    try:
        return parse_definition(name, document)
    except DefinitionError as error:
        raise WriteRefused(str(error)) from None


def _respelt(document: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """With columns spelt as they were declared, because SQL does not tell upper from lower case."""
    spelt = dict(document)
    for clause in ("key", "partition_by"):
        spelt[clause] = [_spelt(name, names) for name in document[clause]]
    spelt["indexes"] = [
        {**index, "columns": [_spelt(name, names) for name in index["columns"]]} for index in document["indexes"]
    ]
    return spelt


def _spelt(name: str, names: tuple[str, ...]) -> str:
    return next((other for other in names if other.lower() == name.lower()), name)
