"""Calls of the members among themselves: fragments of statements that another pod coordinates.

Next on the path of the data: `node.sql_fragments`.
"""

from typing import Any

from kubegrid.flight import tickets
from kubegrid.flight.access import UNSEALED, Access
from kubegrid.flight.calls import FRAGMENT, Calls
from kubegrid.flight.service import Service
from kubegrid.flight.streams import AnswerStream
from kubegrid.sql.errors import Unavailable
from kubegrid.wire.sql_tickets import TicketError


class FragmentCalls:
    """Of one port. Nothing of a ticket is looked at before its seal was found right."""

    def __init__(self, service: Service, calls: Calls, access: Access) -> None:
        self._service = service
        self._calls = calls
        self._access = access

    def run(self, data: bytes, context: Any) -> Any:
        """The stream of a fragment's rows. Raises SqlError, TicketError."""
        ticket = tickets.decode_fragment(data)
        self._check(ticket.partition, bytes(ticket.fragment), ticket.seal)
        request = tickets.decode_request(ticket)
        call = self._calls.begin(FRAGMENT, context, ticket.name)
        try:
            reader = self._service.fragments().run(request, call.cancelled)
        except BaseException as error:
            call.fail(error)
        return AnswerStream(iter(reader), call, reader.close).as_stream(reader.schema)

    def _check(self, partition: int, body: bytes, seal: str) -> None:
        if not self._access.sealed(tickets.sealed_text(partition, body), seal):
            raise TicketError(UNSEALED)
        if partition != self._service.partition:
            raise Unavailable(f"{self._service.name} is no member of partition {partition}")
