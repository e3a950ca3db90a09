"""Whether this member may execute a command on a slot now, and what the client is told if not.

The answers are those of Redis Cluster, so that clients find their way by themselves: `-MOVED` to the member that can,
`-CLUSTERDOWN` when none is known, `-LOADING` while a copy is still being filled. CONTRACTS.md, "What a client sees while
something fails". Asked only when the fast check of `dispatch` (an open gate, an owned slot) did not pass.
"""

from kubegrid.node.context import Session
from kubegrid.replication import Role
from kubegrid.wire import resp

READONLY_REPLICA = b"-READONLY You can't write against a read only replica.\r\n"


def refuse_slot(session: Session, slot: int, reads_only: bool) -> bytes | None:
    """Why a command on `slot` may not run here; None when it may (a read on a backup after READONLY)."""
    node = session.node
    topology = node.topology
    partition = topology.partition_of(slot)
    primary = partition.primary
    if node.keyspace.slots[slot] is None:
        if primary is None:
            return resp.ERR_SLOT_NOT_SERVED
        return moved(slot, primary.host, primary.port)
    if session.turn.open_gate:
        return None
    role = node.replica.role
    if reads_only and session.readonly:
        if role is Role.BACKUP:
            return None
        if role is Role.JOINING:
            return resp.ERR_LOADING
    if primary is None or role is Role.PRIMARY or primary.node_id == topology.me.node_id:
        # The primary of this slot is this member without its lease, or a member that nobody has heard of.
        return resp.ERR_CLUSTERDOWN
    return moved(slot, primary.host, primary.port)


def refuse_everywhere(session: Session, reads_only: bool) -> bytes | None:
    """The same for a command about all of this member's keys (KEYS, SCAN, DBSIZE, FLUSHALL), which names no slot."""
    if session.turn.open_gate:
        return None
    role = session.node.replica.role
    if role is Role.BACKUP:
        return None if reads_only else READONLY_REPLICA
    return resp.ERR_LOADING if role is Role.JOINING else resp.ERR_CLUSTERDOWN


def moved(slot: int, host: str, port: int) -> bytes:
    return resp.error(f"MOVED {slot} {host}:{port}")
