"""What the calls of this project's own programs carry. Pure: bytes in, values out, and back.

A ticket is one of three:

    {"sql": …}                        a statement of a client (`wire.sql_tickets`)
    {"fragment": {…}, "seal": …, …}      a fragment for this partition, from the member that coordinates (`access`)
    protobuf                          Flight SQL (`messages`); never begins with a brace

`CANCEL` is an action that ends a statement or a fragment by its name: a client that waits for the first row of an answer
has no stream yet that it could close. A descriptor's path names what is written to: `["table", "trades"]`.
"""

from typing import TypeVar

import msgspec

from kubegrid.columns.requests import FragmentRequest
from kubegrid.wire.sql_tickets import TicketError

CANCEL = "kubegrid.cancel"
"""Action: end a running statement by its id. Ids are long and random: who knows one may end it."""
TABLE = "table"
"""First word of the path of a descriptor that names a table."""
TICKET_BYTES_MAX = 4 * 2**20
"""Of a ticket, a command or an action's body: a statement of the longest kind with its parameters, and some room."""


Shape = TypeVar("Shape")


class FragmentTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`partition` is whom it is meant for: a member that was moved or renamed must not answer for another one."""

    fragment: msgspec.Raw
    partition: int
    name: str = ""
    """By which it can be cancelled."""
    seal: str = ""


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    statement_id: str


def is_json(ticket: bytes) -> bool:
    return ticket[:1] == b"{"


def is_fragment(ticket: bytes) -> bool:
    return ticket[:12] == b'{"fragment":'


def sealed_text(partition: int, body: bytes) -> bytes:
    """What a seal is made over: the same body means another thing in another partition."""
    return b"%d " % partition + body


def decode_fragment(ticket: bytes) -> FragmentTicket:
    """Raises TicketError."""
    return _decoded(ticket, FragmentTicket)


def decode_request(ticket: FragmentTicket) -> FragmentRequest:
    """What is in it, once the seal was found right. Raises TicketError."""
    return _decoded(bytes(ticket.fragment), FragmentRequest)


def decode_cancel(body: bytes) -> str:
    """The name of what is to end. Raises TicketError."""
    return _decoded(body, CancelRequest).statement_id


def _decoded(data: bytes, shape: type[Shape]) -> Shape:
    if len(data) > TICKET_BYTES_MAX:
        raise TicketError(f"a ticket of {len(data)} bytes; the longest that is read has {TICKET_BYTES_MAX}")
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TicketError(f"the ticket makes no sense: {error}") from error
