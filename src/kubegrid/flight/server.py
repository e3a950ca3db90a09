"""The Flight server of one pod: takes calls in gRPC's threads and hands each to who knows its kind.

    DoGet           a statement, a fragment, or what Flight SQL's GetFlightInfo gave a ticket for
    GetFlightInfo   Flight SQL's commands; our JSON statements and tables, for clients that ask before they get
    GetSchema       the schema of the same
    DoPut           rows for a table; Flight SQL's updates, parameters, and bulk ingestion
    DoAction        prepared statements; the end of a statement
    ListFlights     the tables

Everything that goes wrong leaves as a `FlightError` (`failures`). Next on the path of the data: `statements` and
`fragments` (what runs), `sql_commands` (Flight SQL), `puts` (what comes in).
"""

import ctypes
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pyarrow import flight

from kubegrid.flight import plain_flights, sql_commands, tickets
from kubegrid.flight.access import Access, Door, NoQuestions
from kubegrid.flight.calls import OTHER, Calls
from kubegrid.flight.failures import let_go, outgoing
from kubegrid.flight.fragments import FragmentCalls
from kubegrid.flight.prepared import PreparedStatements
from kubegrid.flight.puts import Puts
from kubegrid.flight.service import Service
from kubegrid.flight.sql_commands import SqlCommands
from kubegrid.flight.statements import Statements
from kubegrid.wire import sql_tickets
from kubegrid.wire.sql_tickets import TicketError

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def _telling(method: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Whatever a method raises leaves as a FlightError."""

    @wraps(method)
    def call(*args: Given.args, **named: Given.kwargs) -> Answer:
        try:
            return method(*args, **named)
        except Exception as error:
            told = outgoing(error)
            let_go(error)
        raise told

    return call


class FlightServer(flight.FlightServerBase):  # type: ignore[misc] # pyarrow ships no types
    """Listens from its making on. Invariant: after `refuse` no call begins, and every running one counts as cancelled."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        self.calls = Calls()
        self._access = Access(service.secret, service.grid_id)
        self._statements = Statements(service, self.calls)
        self._fragments = FragmentCalls(service, self.calls, self._access)
        self._service = service
        self._sql = SqlCommands(service, self._statements)
        self._puts = Puts(service, self.calls, self._statements, self._sql.prepared)
        place = f"[{host}]" if ":" in host else host
        super().__init__(
            f"grpc://{place}:{port}", auth_handler=NoQuestions(), middleware={"access": Door(self._access)}
        )

    @property
    def prepared(self) -> PreparedStatements:
        return self._sql.prepared

    # -- calls -----------------------------------------------------------------------------------------------------

    @_telling
    def do_get(self, context: Any, ticket: Any) -> Any:
        given = _limited(ticket.ticket)
        if tickets.is_fragment(given):
            return self._fragments.run(given, context)
        if tickets.is_json(given):
            return self._statements.answer(sql_tickets.decode(given), context)
        return self._sql.get(given, context)

    @_telling
    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        with self.calls.call(OTHER, context):
            return self._known(descriptor) or self._sql.info(_with_command(descriptor), context)

    @_telling
    def get_schema(self, context: Any, descriptor: Any) -> Any:
        with self.calls.call(OTHER, context):
            known = self._known(descriptor)
            return self._sql.schema(_with_command(descriptor)) if known is None else flight.SchemaResult(known.schema)

    @_telling
    def list_flights(self, context: Any, criteria: Any) -> Iterator[Any]:
        names = sorted(self._service.catalog().by_name)
        return iter([plain_flights.of_table(self._service.catalog(), name) for name in names])

    @_telling
    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        self._puts.put(context, descriptor, reader, writer)

    @_telling
    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        body = _limited(action.body.to_pybytes())
        if action.type == tickets.CANCEL:
            self.calls.cancel(tickets.decode_cancel(body))
            return iter(())
        if action.type in sql_commands.ACTIONS:
            with self.calls.call(OTHER, context):
                return iter(self._sql.act(action.type, body))
        raise TicketError(f"no action {action.type[:200]!r} here")

    @_telling
    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        return [
            (tickets.CANCEL, 'End a running statement: {"statement_id": …}.'),
            *sql_commands.ACTIONS.items(),
        ]

    def _known(self, descriptor: Any) -> Any:
        """What is told of a table or of a statement as JSON; None for Flight SQL."""
        if descriptor.descriptor_type == flight.DescriptorType.PATH:
            return plain_flights.of_path(self._service.catalog(), descriptor.path)
        if tickets.is_json(descriptor.command):
            statement = sql_tickets.decode(_limited(descriptor.command))
            described = self._statements.describe(statement.sql, statement.parameters)
            return plain_flights.of_statement(descriptor, described.schema)
        return None

    # -- the end ---------------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Begin nothing any more; whoever runs is told at its next look that nobody wants it."""
        self.calls.closing = True

    def close(self) -> None:
        """Stop listening and wait for the calls that run. Blocks."""
        self.refuse()
        self.shutdown()

    def abandon(self) -> None:
        """Never wait for its calls, not at the end of the process either: for a call that cannot end, and after a fork,
        where gRPC's threads are the parent's."""
        for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined] # the only way to it
            found = finalizer.peek()
            if found is not None and found[0] is self:
                finalizer.detach()
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(found))


def _with_command(descriptor: Any) -> Any:
    _limited(descriptor.command)
    return descriptor


def _limited(data: bytes) -> bytes:
    if len(data) > tickets.TICKET_BYTES_MAX:
        raise TicketError(f"{len(data)} bytes where a ticket is expected; {tickets.TICKET_BYTES_MAX} is the most")
    return data
