"""CREATE, ALTER, DROP and TRUNCATE, carried out by the manager like the commands KG.CREATE and so on.

A change is made when every serving primary has adopted it; this pod waits until it knows it as well, so that the next
statement that it is asked finds the table. Whether a table may be there already is SQL's question (IF NOT EXISTS), so it
is asked here; the manager would take the same definition twice.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from kubegrid.base import tables
from kubegrid.base.table_errors import TableConflict
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.errors import ClientError, DoneError
from kubegrid.query.writer import Queries
from kubegrid.query.writing_errors import sql_error
from kubegrid.query.writing_sending import Sending
from kubegrid.sql import ddl, dml, dml_assignments, dml_conflicts
from kubegrid.sql.errors import UnknownName, WriteRefused
from kubegrid.sql.statements import Statement

KNOWN_AFTER_S = 5.0
"""How long this pod waits at most to hear of a change that every primary has adopted."""
LOOK_AGAIN_S = 0.005
FIRST_SCHEMA = 1
"""Of every new table."""

_json = msgspec.json.Encoder(decimal_format="number").encode


class Definitions:
    """For one statement."""

    def __init__(self, sending: Sending, queries: Queries) -> None:
        self._sending = sending
        self._queries = queries

    def carry_out(self, statement: Statement) -> dml.Insert | None:
        """Do what it says. Of CREATE TABLE … AS nothing is done: the answer is what to insert into the table that is then to
        be created, so that a query that fails leaves no table behind. Raises SqlError."""
        match ddl.read(statement):
            case ddl.CreateTable() as create:
                if not self._there(create.definition.name, create.if_not_exists):
                    self.create(create.definition)
            case ddl.CreateTableAs() as create:
                if not self._there(create.name, create.if_not_exists):
                    definition = create.definition(self._queries.columns(create.query))
                    table = msgspec.structs.replace(definition, schema=FIRST_SCHEMA)
                    return dml.Insert(table, table.names, create.query, (), dml_conflicts.Conflict(dml_conflicts.FAIL))
            case ddl.AddColumns() as alter:
                self._add(alter)
            case ddl.DropTables() as drop:
                for name in [found for name in drop.names if (found := self._found(name, drop.if_exists))]:
                    self.drop(name)
            case ddl.Truncate() as truncate:
                for asked in truncate.names:
                    self._truncate(dml_assignments.table_named(asked, self._queries.catalog))
        return None

    def _truncate(self, table: TableDefinition) -> None:
        self._change("KG.TRUNCATE", table.name)
        self._known(lambda catalog: table.id not in catalog.by_id)

    def drop(self, name: str) -> None:
        self._change("KG.DROP", name)
        self._known(lambda catalog: name not in catalog.by_name)

    def create(self, definition: TableDefinition) -> None:
        self._change("KG.CREATE", definition.name, _json(definition.to_json()))
        self._known(lambda catalog: definition.name in catalog.by_name)

    def _add(self, alter: ddl.AddColumns) -> None:
        name = self._found(alter.table, alter.if_exists)
        if name is None:
            return
        definition = self._queries.catalog.table(name)
        known = {column.lower() for column in definition.names}
        added = [
            column
            for column in alter.columns
            if not (column.name in alter.if_not_exists and column.name.lower() in known)
        ]
        for column in added:  # all of them are checked before the first is added
            try:
                definition = tables.add_column(definition, column)
            except TableConflict as error:
                raise WriteRefused(error.message, remedy=error.remedy) from None
        for column in added:
            self._change("KG.ALTER", name, "ADD", "COLUMN", _json(column.to_json()))
            self._known(lambda catalog, column=column: column.name in catalog.by_name[name].positions)  # type: ignore[misc]

    def _there(self, name: str, may_be_there: bool) -> bool:
        """Raises WriteRefused if there is such a table and may not be."""
        known = next((table for table in self._queries.catalog.by_name if table.lower() == name.lower()), None)
        if known is not None and not may_be_there:
            raise WriteRefused(
                f"table {known} exists already",
                remedy=f"CREATE TABLE IF NOT EXISTS leaves it as it is; DROP TABLE {known} removes it with its records.",
            )
        return known is not None

    def _found(self, name: str, may_be_missing: bool) -> str | None:
        try:
            return dml_assignments.table_named(name, self._queries.catalog).name
        except UnknownName:
            if may_be_missing:
                return None
            raise

    def _change(self, *words: Any) -> None:
        args = tuple(word.encode() if isinstance(word, str) else word for word in words)
        request = Request(args, 0, True, long=True, once=False)
        reply = run_batch(self._sending.caller, [request], self._sending.client_deadline)[0]
        # A change that was made and that a partition follows later is a change that was made.
        if isinstance(reply, ClientError) and not isinstance(reply, DoneError):
            raise sql_error(reply) from reply

    def _known(self, holds: Callable[[Catalog], bool]) -> None:
        """Wait until this pod knows the change."""
        until = min(self._sending.deadline, time.monotonic() + KNOWN_AFTER_S)
        while not holds(self._queries.catalog) and time.monotonic() < until:
            time.sleep(LOOK_AGAIN_S)
