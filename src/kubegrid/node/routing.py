"""Whether this member may execute a command on a slot now, and what the client is told if not.

The answers are those of Redis Cluster, so that clients find their way by themselves: `-MOVED` to the member that can,
`-CLUSTERDOWN` when none is known, `-LOADING` while a member that has just started has not heard yet who is primary of what.
A member whose copy is still being filled sends reads, too, to the primary: clients follow `-MOVED`, and take that member, which
`CLUSTER SLOTS` does not name, out of their maps. `-LOADING` they would hand to the application.
Asked only when the fast check of `dispatch` (an open gate, an owned slot) did not pass.
"""

from kubegrid.node.context import Session
from kubegrid.replication import Role
from kubegrid.store import refusals, slot_of
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

READONLY_REPLICA = b"-READONLY You can't write against a read only replica.\r\n"
SEVERAL_PARTITIONS = b"-CROSSSLOT Keys in request are not all of this partition\r\n"


def refuse_slot(session: Session, slot: int, reads_only: bool) -> bytes | None:
    """Why a command on `slot` may not run here; None when it may (a read on a backup after READONLY)."""
    node = session.node
    topology = node.topology
    partition = topology.partition_of(slot)
    primary = partition.primary
    if node.keyspace.slots[slot] is None:
        if primary is None:
            return resp.ERR_SLOT_NOT_SERVED if topology.heard else resp.ERR_LOADING
        return moved(slot, primary.host, primary.port)
    if session.turn.open_gate:
        return None
    role = node.replica.role
    if reads_only and session.readonly and role is Role.BACKUP:
        return None
    if primary is None and not topology.heard:
        return resp.ERR_LOADING
    if primary is None or role is Role.PRIMARY or primary.node_id == topology.me.node_id:
        # The primary of this slot is this member without its lease, or a member that nobody has heard of.
        return resp.ERR_CLUSTERDOWN
    return moved(slot, primary.host, primary.port)


def refuse_everywhere(session: Session, args: list[bytes], reads_only: bool) -> bytes | None:
    """The same for a command about all of this member's keys (KEYS, SCAN, DBSIZE, FLUSHALL), which names no slot."""
    if session.turn.open_gate:
        return None
    role = session.node.replica.role
    if role is Role.BACKUP:
        return None if reads_only else READONLY_REPLICA
    return resp.ERR_LOADING if role is Role.JOINING else resp.ERR_CLUSTERDOWN


def refuse_partition(session: Session, args: list[bytes], reads_only: bool) -> bytes | None:
    """The same for a command about records of the partition (KG.WRITE, KG.FIND): its first slot stands for all of it."""
    return None if session.turn.open_gate else refuse_slot(session, session.node.keyspace.owned.start, reads_only)


def refuse_records(session: Session, args: list[bytes], reads_only: bool) -> bytes | None:
    """The same for `KG.READ table [MAXSTALENESS ms] key [key …]`: the keys may be of several slots of this partition.

    What a backup may answer is settled here, so the option is taken out of `args`.
    """
    refusal = _refuse_stale(session, args)
    if refusal is not None:
        return refusal
    node = session.node
    if len(args) > node.store_settings.atomic_units_max:
        return refusals.too_many(node.keyspace, "kg.read")
    slots = node.keyspace.slots
    foreign: bytes | None = None
    here = False
    for key in args[2:]:
        slot = slot_of(key)
        if slots[slot] is not None:
            here = True
        elif foreign is None:
            foreign = refuse_slot(session, slot, reads_only)
    if foreign is not None:
        return SEVERAL_PARTITIONS if here else foreign
    return refuse_partition(session, args, reads_only)


def _refuse_stale(session: Session, args: list[bytes]) -> bytes | None:
    """Take `MAXSTALENESS ms` out; a backup whose copy may be older than that says how old it may be."""
    if len(args) < 4 or args[2].upper() != b"MAXSTALENESS":
        return None
    bound_ms = parse_int64(args[3])
    if bound_ms is None or bound_ms < 0:
        return resp.error("ERR MAXSTALENESS is a number of milliseconds, not negative")
    if len(args) == 4:
        return resp.error("ERR wrong number of arguments for 'kg.read' command")
    del args[2:4]
    node = session.node
    if session.turn.open_gate or node.replica.role is not Role.BACKUP:
        return None
    stale_ms = session.turn.member.staleness_ms(session.turn.member.now_ms())
    if stale_ms is None:
        return resp.error("STALE this copy does not know how old it is")
    return None if stale_ms <= bound_ms else resp.error(f"STALE this copy may be {stale_ms} ms old")


def moved(slot: int, host: str, port: int) -> bytes:
    return resp.error(f"MOVED {slot} {host}:{port}")


def with_address(session: Session, reply: bytes) -> bytes:
    """The store answers `-MOVED slot` for a record of another partition; it does not know who serves that."""
    slot = int(reply[7:])
    return refuse_slot(session, slot, False) or resp.ERR_CLUSTERDOWN
