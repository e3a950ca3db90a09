"""KG.ENDPOINTS: where the members of the grid listen, by name: RESP for commands, Arrow Flight for SQL and batches.

A client that knows one Redis port finds every Flight port by it. The member asked first sees to its own Flight port: a
pod opens it a moment after its start (it is long to import), and an embedded grid only when somebody asks. So the answer
may take that moment; it never takes longer than `OWN_PORT_WAIT_MS`. Next on the path of the data: `topology`.
"""

import time
from collections.abc import Generator
from typing import Any

import msgspec

from kubegrid.node.context import Session
from kubegrid.node.session_views import MemberView, PartitionView
from kubegrid.wire import resp

LOOK_AGAIN_MS = 5
OWN_PORT_WAIT_MS = 1000
"""Longest wait for the own Flight port; then it is told as absent, and who needs it asks again. Shorter than any client's
patience with a command."""
_Steps = Generator[int | None, None, bytes]


def _endpoints(session: Session, args: list[bytes]) -> bytes | _Steps:
    flight = session.node.flight
    return _told(session) if flight is None or flight.settled else _waiting(session, flight)


def _waiting(session: Session, flight: Any) -> _Steps:
    flight.begin()
    until = time.monotonic() + OWN_PORT_WAIT_MS / 1000
    while not flight.settled and time.monotonic() < until:
        yield LOOK_AGAIN_MS
    return _told(session)


def _told(session: Session) -> bytes:
    return resp.bulk(msgspec.json.encode([_entry(p, m) for p in session.node.topology.partitions for m in _members(p)]))


def _members(partition: PartitionView) -> list[MemberView]:
    """The primary first: who asks it saves a step."""
    first = [] if partition.primary is None else [partition.primary]
    return [*first, *partition.backups, *partition.joining]


def _entry(partition: PartitionView, member: MemberView) -> dict[str, Any]:
    primary = partition.primary is not None and member.node_id == partition.primary.node_id
    joining = any(member.node_id == other.node_id for other in partition.joining)
    return {
        "name": member.name,
        "partition": partition.id,
        "role": "primary" if primary else "joining" if joining else "backup",
        "resp": f"{member.host}:{member.port}",
        "flight": None if member.flight is None else f"{member.host}:{member.flight}",
    }


HANDLERS = {"kg.endpoints": _endpoints}
