"""CREATE, ALTER, DROP and TRUNCATE, carried out by the manager like the commands KG.CREATE and so on.

A change is made when every serving primary has adopted it; this pod waits until it knows it as well, so that the next
statement that it is asked finds the table. Whether a table may be there already is SQL's question (IF NOT EXISTS). It is
asked here first, for a good message, and answered by the manager (`KG.CREATE … NEW`): of several that create one name at a
time one makes it. None of this is under the statement's id: our client does not send a definition again by itself.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from kubegrid.base import tables
from kubegrid.base.table_errors import TableConflict
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.errors import ClientError, DoneError, OutcomeUnknownError
from kubegrid.query.writer import Queries
from kubegrid.query.writing_errors import sql_error
from kubegrid.query.writing_sending import Sending
from kubegrid.sql import ddl, dml, dml_assignments, dml_conflicts
from kubegrid.sql.errors import PartlyDone, SqlError, UnknownName, WriteRefused
from kubegrid.sql.statements import Statement

KNOWN_AFTER_S = 5.0
"""How long this pod waits at most to hear of a change that every primary has adopted."""
LOOK_AGAIN_S = 0.005
LOOK_AT_TABLES = "Look at what is there (SHOW TABLES, DESCRIBE) before running it again."
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
                    try:
                        self.create(create.definition)
                    except WriteRefused:
                        if not (create.if_not_exists and self._made_meanwhile(create.definition.name)):
                            raise
            case ddl.CreateTableAs() as create:
                if not self._there(create.name, create.if_not_exists):
                    definition = create.definition(self._queries.columns(create.query))
                    table = msgspec.structs.replace(definition, schema=FIRST_SCHEMA)
                    return dml.Insert(table, table.names, create.query, (), dml_conflicts.Conflict(dml_conflicts.FAIL))
            case ddl.AddColumns() as alter:
                self._add(alter)
            case ddl.DropTables() as drop:
                there = [found for name in drop.names if (found := self._found(name, drop.if_exists))]
                self._each("dropped", there, self.drop)
            case ddl.Truncate() as truncate:
                emptied = [dml_assignments.table_named(asked, self._queries.catalog).name for asked in truncate.names]
                self._each("emptied", emptied, self._truncate)
        return None

    def _each(self, done: str, names: Sequence[str], change: Callable[[str], None]) -> None:
        """One table after the other. Raises SqlError that says which are done, if some are."""
        for number, name in enumerate(names):
            try:
                change(name)
            except SqlError as error:
                if number == 0:
                    raise
                before = ", ".join(names[:number])
                raise PartlyDone(
                    f"table {before} was {done}; then, of table {name}: {error.message}",
                    remedy=LOOK_AT_TABLES,
                    outcome_known=error.outcome_known,
                ) from error

    def _truncate(self, name: str) -> None:
        table = self._queries.catalog.table(name)
        self._change("KG.TRUNCATE", name)
        self._known(lambda catalog: table.id not in catalog.by_id)

    def drop(self, name: str) -> None:
        self._change("KG.DROP", name)
        self._known(lambda catalog: name not in catalog.by_name)

    def create(self, definition: TableDefinition) -> int:
        """The id of the table, which was not there before; 0 when it was made and its id is not known. Raises WriteRefused if
        there is a table of that name."""
        table = self._change("KG.CREATE", definition.name, _json(definition.to_json()), "NEW")
        self._known(lambda catalog: definition.name in catalog.by_name)
        return table if isinstance(table, int) else 0

    def take_back(self, name: str, table: int) -> None:
        """Drop the table that `create` made, and no other that has the name now."""
        if table:
            with contextlib.suppress(UnknownName):
                self._change("KG.DROP", name, "ID", table)
            self._known(lambda catalog: table not in catalog.by_id)

    def _made_meanwhile(self, name: str) -> bool:
        self._known(lambda catalog: name in catalog.by_name)
        return name in self._queries.catalog.by_name

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

    def _change(self, *words: Any) -> Any:
        """The reply; None when the change was made, and a partition follows later. Raises SqlError."""
        args = tuple(word.encode() if isinstance(word, str) else word for word in words)
        request = Request(args, 0, True, long=True, once=False)
        try:
            reply = run_batch(self._sending.caller, [request], self._sending.client_deadline)[0]
        except ClientError as ended:  # the pod ends: the answer may have been lost with it
            reply = OutcomeUnknownError(sql_error(ended).message)
        if isinstance(reply, DoneError):
            return None
        if isinstance(reply, ClientError):
            error = sql_error(reply)
            if not error.outcome_known:
                raise type(error)(error.message, remedy=LOOK_AT_TABLES, outcome_known=False) from reply
            raise error from reply
        return reply

    def _known(self, holds: Callable[[Catalog], bool]) -> None:
        """Wait until this pod knows the change."""
        until = min(self._sending.deadline, time.monotonic() + KNOWN_AFTER_S)
        while not holds(self._queries.catalog) and time.monotonic() < until:
            time.sleep(LOOK_AGAIN_S)
