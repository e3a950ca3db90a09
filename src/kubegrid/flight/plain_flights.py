"""Flight without Flight SQL: what GetFlightInfo and ListFlights tell of tables, and of statements as JSON."""

from collections.abc import Sequence
from typing import Any

from pyarrow import flight

from kubegrid.base.tables import Catalog
from kubegrid.flight import tickets
from kubegrid.flight.catalog_answers import described_schema
from kubegrid.flight.statements import COUNT_SCHEMA
from kubegrid.wire import sql_tickets
from kubegrid.wire.sql_tickets import TicketError

UNKNOWN = -1


def of_table(catalog: Catalog, name: str) -> Any:
    """Its schema, and the ticket that reads all of it. Raises UnknownTable with the nearest name."""
    definition = catalog.table(name)
    quoted = name.replace('"', '""')
    ticket = sql_tickets.encode(f'SELECT * FROM "{quoted}"')
    descriptor = flight.FlightDescriptor.for_path(tickets.TABLE, name)
    return _info(described_schema(definition), descriptor, ticket)


def of_path(catalog: Catalog, path: Sequence[bytes]) -> Any:
    """Raises TicketError, UnknownTable."""
    words = [part.decode("utf-8", "replace") for part in path]
    if len(words) != 2 or words[0] != tickets.TABLE:
        raise TicketError(f"a table is at the path ({tickets.TABLE!r}, its name), not at {tuple(words)}")
    return of_table(catalog, words[1])


def of_statement(descriptor: Any, schema: Any) -> Any:
    """`schema` None: it writes. The ticket is the statement itself: it runs when it is brought."""
    return _info(COUNT_SCHEMA if schema is None else schema, descriptor, descriptor.command)


def _info(schema: Any, descriptor: Any, ticket: bytes) -> Any:
    return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], UNKNOWN, UNKNOWN)
