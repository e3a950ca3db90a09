"""Flight SQL: its commands, answered from the catalog or handed to the engine; prepared statements.

A question runs when its ticket is brought (`DoGet`), so nothing is kept between the two calls: the ticket holds the text
and the parameters. A statement that writes runs in the first call (`GetFlightInfo`), because a driver may never bring
the ticket, or bring it and go away; what it did is then in the ticket.

Next on the path of the data: `statements`; `prepared`; `catalog_answers`, `sql_info` and `type_info`.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import flight

from kubegrid.flight import catalog_answers, messages, sql_info, type_info
from kubegrid.flight.prepared import IDLE_S, PreparedStatements
from kubegrid.flight.service import Service
from kubegrid.flight.statements import COUNT_SCHEMA, Statements, count_stream
from kubegrid.sql.errors import NotSupported
from kubegrid.wire import sql_tickets
from kubegrid.wire.sql_tickets import Statement, TicketError

CREATE_PREPARED = "CreatePreparedStatement"
CLOSE_PREPARED = "ClosePreparedStatement"
ACTIONS = {CREATE_PREPARED: "Prepare a statement.", CLOSE_PREPARED: "Forget a prepared statement."}
UNKNOWN = -1
"""Of rows and bytes that an answer will have."""


class Done(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In a ticket: the statement has been carried out, and this is how many records it changed."""

    changed: int


class SqlCommands:
    """Of one port."""

    def __init__(self, service: Service, statements: Statements) -> None:
        self._service = service
        self._statements = statements
        self.prepared = PreparedStatements()

    # -- GetFlightInfo, GetSchema ----------------------------------------------------------------------------------

    def info(self, descriptor: Any, context: Any) -> Any:
        """What `GetFlightInfo` answers. Raises SqlError, TicketError."""
        name, command = messages.unpack(descriptor.command)
        if name == "CommandStatementQuery":
            _no_transaction(command)
            return self._statement_info(descriptor, Statement(sql=command.query), context)
        if name == "CommandPreparedStatementQuery":
            prepared = self.prepared.find(command.prepared_statement_handle)
            if prepared.writes:
                return self._done(descriptor, self._statements.change(prepared.statements(), context))
            return self._statement_info(descriptor, prepared.statement(), context)
        return _info(self._schema(name, command), descriptor, descriptor.command)

    def schema(self, descriptor: Any) -> Any:
        """What `GetSchema` answers. Raises SqlError, TicketError."""
        name, command = messages.unpack(descriptor.command)
        if name == "CommandStatementQuery":
            sql = command.query
        elif name == "CommandPreparedStatementQuery":
            sql = self.prepared.find(command.prepared_statement_handle).sql
        else:
            return flight.SchemaResult(self._schema(name, command))
        return flight.SchemaResult(self._statements.describe(sql).schema or COUNT_SCHEMA)

    def _statement_info(self, descriptor: Any, statement: Statement, context: Any) -> Any:
        description = self._statements.describe(statement.sql, statement.parameters)
        if description.writes:
            return self._done(descriptor, self._statements.change([statement], context))
        handle = sql_tickets.encode(statement.sql, statement.parameters)
        return _info(description.schema, descriptor, messages.pack("TicketStatementQuery", statement_handle=handle))

    def _done(self, descriptor: Any, changed: int) -> Any:
        handle = msgspec.json.encode(Done(changed=changed))
        return _info(COUNT_SCHEMA, descriptor, messages.pack("TicketStatementQuery", statement_handle=handle))

    def _schema(self, name: str, command: Any) -> Any:
        if name == "CommandGetTables":
            return catalog_answers.TABLES_WITH_SCHEMA if command.include_schema else catalog_answers.TABLES
        schema = _SCHEMAS.get(name)
        if schema is None:
            raise TicketError(f"{name} of Flight SQL is no command that has an answer")
        return schema

    # -- DoGet -----------------------------------------------------------------------------------------------------

    def get(self, ticket: bytes, context: Any) -> Any:
        """The stream for a ticket that `info` gave. Raises SqlError, TicketError."""
        name, command = messages.unpack(ticket)
        if name == "TicketStatementQuery":
            handle = command.statement_handle
            if handle.startswith(b'{"changed":'):
                try:
                    return count_stream(msgspec.json.decode(handle, type=Done).changed)
                except msgspec.MsgspecError as error:
                    raise TicketError(f"the ticket makes no sense: {error}") from error
            return self._statements.answer(sql_tickets.decode(handle), context)
        self._schema(name, command)
        return flight.RecordBatchStream(self._table(name, command))

    def _table(self, name: str, command: Any) -> Any:
        answers: dict[str, Callable[[], Any]] = {
            "CommandGetCatalogs": catalog_answers.catalogs,
            "CommandGetDbSchemas": lambda: catalog_answers.schemas(
                _given(command, "catalog"), _given(command, "db_schema_filter_pattern")
            ),
            "CommandGetTables": lambda: catalog_answers.tables(
                self._service.catalog(),
                _given(command, "catalog"),
                _given(command, "db_schema_filter_pattern"),
                _given(command, "table_name_filter_pattern"),
                command.table_types,
                with_schema=command.include_schema,
            ),
            "CommandGetTableTypes": catalog_answers.table_types,
            "CommandGetPrimaryKeys": lambda: catalog_answers.primary_keys(
                self._service.catalog(), _given(command, "catalog"), _given(command, "db_schema"), command.table
            ),
            "CommandGetSqlInfo": lambda: sql_info.answer(command.info, self._service.version, int(IDLE_S * 1000)),
            "CommandGetXdbcTypeInfo": lambda: type_info.answer(_given(command, "data_type")),
        }
        return answers.get(name, catalog_answers.foreign_keys)()

    # -- DoAction --------------------------------------------------------------------------------------------------

    def act(self, kind: str, body: bytes) -> list[bytes]:
        """What an action answers. Raises SqlError, TicketError."""
        name, request = messages.unpack(body)
        if name != f"Action{kind}Request":
            raise TicketError(f"{name} is not what the action {kind} takes")
        if kind == CLOSE_PREPARED:
            self.prepared.remove(request.prepared_statement_handle)
            return []
        _no_transaction(request)
        description = self._statements.describe(request.query)
        handle = self.prepared.add(request.query, description.parameters, description.writes)
        answer = messages.pack(
            "ActionCreatePreparedStatementResult",
            prepared_statement_handle=handle,
            # By a schema without columns a driver knows that the statement is to be sent as an update.
            dataset_schema=_serialized(pa.schema([]) if description.writes else description.schema),
            parameter_schema=_serialized(self._statements.parameters(request.query)),
        )
        return [answer]


_SCHEMAS = {
    "CommandGetCatalogs": catalog_answers.CATALOGS,
    "CommandGetDbSchemas": catalog_answers.SCHEMAS,
    "CommandGetTableTypes": catalog_answers.TYPES,
    "CommandGetPrimaryKeys": catalog_answers.PRIMARY_KEYS,
    "CommandGetExportedKeys": catalog_answers.FOREIGN_KEYS,
    "CommandGetImportedKeys": catalog_answers.FOREIGN_KEYS,
    "CommandGetCrossReference": catalog_answers.FOREIGN_KEYS,
    "CommandGetSqlInfo": sql_info.SCHEMA,
    "CommandGetXdbcTypeInfo": type_info.SCHEMA,
}


def _info(schema: Any, descriptor: Any, ticket: bytes) -> Any:
    """One endpoint without an address: the ticket is for whoever was asked."""
    return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], UNKNOWN, UNKNOWN)


def _given(command: Any, field: str) -> Any:
    return getattr(command, field) if command.HasField(field) else None


def _no_transaction(command: Any) -> None:
    if command.HasField("transaction_id"):
        raise NotSupported(
            "a statement as part of a transaction", remedy="Each statement stands for itself here: use autocommit."
        )


def _serialized(schema: Any) -> bytes:
    return bytes(schema.serialize().to_pybytes())
