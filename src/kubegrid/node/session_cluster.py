"""CLUSTER: the grid in the words of Redis Cluster, so that cluster clients find every slot.

A partition is a shard, its primary a master, its in-sync backups replicas. A member that is still joining holds no
complete copy: it is shown as a loading replica in SHARDS and left out elsewhere, lest clients read from it. The
bus port of a node is the member's replication port. Everything is read from `topology`, which decides nothing.
"""

import time
from collections.abc import Callable

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.node.context import Session
from kubegrid.node.session_views import MemberView, PartitionView
from kubegrid.store import slot_of
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

GET_KEYS_MAX = 100_000
"""Most keys that CLUSTER GETKEYSINSLOT answers in one reply."""

Handler = Callable[[Session, list[bytes]], bytes]

_HELP = (
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    Always 0: members do not report each other.",
    "COUNTKEYSINSLOT <slot>",
    "    How many keys of the slot are held here.",
    "GETKEYSINSLOT <slot> <count>",
    "    Some keys of the slot.",
    "INFO",
    "    Whether all slots are served, and by how many members.",
    "KEYSLOT <key>",
    "    The slot of a key.",
    "LINKS",
    "    Always empty: there is no cluster bus.",
    "MYID",
    "    The identifier of this member.",
    "NODES",
    "    The members. Output format:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    The backups of a primary, as lines of NODES.",
    "SHARDS",
    "    The partitions with their slots and members.",
    "SLAVES <node-id>",
    "    The same as REPLICAS.",
    "SLOTS",
    "    The ranges of slots, each with its primary and its backups.",
    "HELP",
    "    This text.",
)


def _encoded_once(name: str, encode: Handler) -> Handler:
    """A grid may have a thousand partitions, and every new client asks: encode again only when something changed."""

    def answer(session: Session, args: list[bytes]) -> bytes:
        node = session.node
        known = node.cluster_replies.get((name, session.resp))
        changes = node.topology.changes
        if known is None or known[0] != changes:
            known = (changes, encode(session, args))
            node.cluster_replies[name, session.resp] = known
        return known[1]

    return answer


def _slots(session: Session, args: list[bytes]) -> bytes:
    resp3 = session.resp == 3
    parts: list[bytes] = []
    for partition in session.node.topology.partitions:
        if partition.primary is None:
            continue
        nodes = [_slots_node(member, resp3) for member in (partition.primary, *partition.backups)]
        for first, last in partition.slots:
            parts.append(resp.array([resp.integer(first), resp.integer(last), *nodes]))
    return resp.array(parts)


def _slots_node(member: MemberView, resp3: bool) -> bytes:
    return resp.array(
        [
            resp.bulk(member.host.encode()),
            resp.integer(member.port),
            resp.bulk(member.node_id.encode()),
            resp.map_header(0, resp3),
        ]
    )


def _shards(session: Session, args: list[bytes]) -> bytes:
    resp3 = session.resp == 3
    parts: list[bytes] = []
    for partition in session.node.topology.partitions:
        bounds = [resp.integer(bound) for pair in partition.slots for bound in pair]
        nodes: list[bytes] = []
        if partition.primary is not None:
            nodes.append(_shards_node(partition.primary, "master", "online", resp3))
        nodes += [_shards_node(member, "replica", "online", resp3) for member in partition.backups]
        nodes += [_shards_node(member, "replica", "loading", resp3) for member in partition.joining]
        parts.append(
            resp.map_of([resp.bulk(b"slots"), resp.array(bounds), resp.bulk(b"nodes"), resp.array(nodes)], resp3)
        )
    return resp.array(parts)


def _shards_node(member: MemberView, role: str, health: str, resp3: bool) -> bytes:
    host = resp.bulk(member.host.encode())
    return resp.map_of(
        [
            resp.bulk(b"id"),
            resp.bulk(member.node_id.encode()),
            resp.bulk(b"port"),
            resp.integer(member.port),
            resp.bulk(b"ip"),
            host,
            resp.bulk(b"endpoint"),
            host,
            resp.bulk(b"role"),
            resp.bulk(role.encode()),
            resp.bulk(b"replication-offset"),
            resp.integer(member.commit),
            resp.bulk(b"health"),
            resp.bulk(health.encode()),
        ],
        resp3,
    )


def _nodes(session: Session, args: list[bytes]) -> bytes:
    topology = session.node.topology
    me = topology.me
    lines: list[str] = []
    shown = False
    for partition in topology.partitions:
        primary = partition.primary
        if primary is not None:
            slots = " ".join(f"{first}-{last}" if first != last else str(first) for first, last in partition.slots)
            lines.append(_node_line(primary, me, "master", "-", partition, slots))
            shown = shown or primary.node_id == me.node_id
        master = "-" if primary is None else primary.node_id
        for member in partition.backups:
            lines.append(_node_line(member, me, "slave", master, partition, ""))
            shown = shown or member.node_id == me.node_id
    if not shown:
        # A member that is in no configuration yet still has to recognise itself in the list.
        own = next((p for p in topology.partitions if p.id == getattr(me, "partition", -1)), topology.partitions[0])
        lines.append(_node_line(me, me, "slave", own.primary.node_id if own.primary else "-", own, ""))
    return resp.verbatim("".join(lines).encode(), session.resp == 3)


def _node_line(member: MemberView, me: MemberView, role: str, master: str, partition: PartitionView, slots: str) -> str:
    flags = f"myself,{role}" if member.node_id == me.node_id else role
    pong_ms = 0 if member.node_id == me.node_id else time.time_ns() // 1_000_000
    words = (
        f"{member.node_id} {member.host}:{member.port}@{member.replication} {flags} {master} 0 {pong_ms} "
        f"{partition.epoch} connected"
    )
    return f"{words} {slots}\n" if slots else f"{words}\n"


def _replicas(session: Session, args: list[bytes]) -> bytes:
    """The lines of CLUSTER NODES for the backups of one primary."""
    topology = session.node.topology
    wanted = args[2].decode("latin-1")
    for partition in topology.partitions:
        primary = partition.primary
        if any(member.node_id == wanted for member in partition.backups):
            return resp.error("ERR The specified node is not a master")
        if primary is not None and primary.node_id == wanted:
            lines = [_node_line(b, topology.me, "slave", wanted, partition, "") for b in partition.backups]
            return resp.array_of_bulks([line.rstrip("\n").encode() for line in lines])
    return resp.error(b"ERR Unknown node %b" % args[2])


def _count_failure_reports(session: Session, args: list[bytes]) -> bytes:
    """Who has failed is decided by the coordinator's configurations, not by what members say of each other."""
    topology = session.node.topology
    known = {topology.me.node_id}
    for partition in topology.partitions:
        members = (partition.primary, *partition.backups, *partition.joining)
        known.update(member.node_id for member in members if member is not None)
    if args[2].decode("latin-1") not in known:
        return resp.error(b"ERR Unknown node %b" % args[2])
    return resp.ZERO


def _links(session: Session, args: list[bytes]) -> bytes:
    """Redis' links are those of its cluster bus, over which nodes gossip; there is none."""
    return resp.EMPTY_ARRAY


def _info(session: Session, args: list[bytes]) -> bytes:
    topology = session.node.topology
    assigned = served = size = known = 0
    for partition in topology.partitions:
        slots = sum(last - first + 1 for first, last in partition.slots)
        assigned += slots
        known += (partition.primary is not None) + len(partition.backups) + len(partition.joining)
        if partition.primary is not None:
            served += slots
            size += 1
    own = next((p.epoch for p in topology.partitions if p.id == getattr(topology.me, "partition", -1)), 0)
    fields = {
        "cluster_state": "ok" if served == SLOT_COUNT else "fail",
        "cluster_slots_assigned": assigned,
        "cluster_slots_ok": served,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": assigned - served,
        "cluster_known_nodes": known,
        "cluster_size": size,
        "cluster_current_epoch": topology.epoch,
        "cluster_my_epoch": own,
        "cluster_stats_messages_sent": 0,
        "cluster_stats_messages_received": 0,
        "total_cluster_links_buffer_limit_exceeded": 0,
    }
    text = "".join(f"{name}:{value}\r\n" for name, value in fields.items())
    return resp.verbatim(text.encode(), session.resp == 3)


def _keyslot(session: Session, args: list[bytes]) -> bytes:
    return resp.integer(slot_of(args[2]))


def _myid(session: Session, args: list[bytes]) -> bytes:
    return resp.bulk(session.node.topology.me.node_id.encode())


def _countkeysinslot(session: Session, args: list[bytes]) -> bytes:
    slot = parse_int64(args[2])
    if slot is None:
        return resp.ERR_NOT_INTEGER
    if not 0 <= slot < SLOT_COUNT:
        return resp.error("ERR Invalid slot")
    return resp.integer(len(session.node.keyspace.slots[slot] or ()))


def _getkeysinslot(session: Session, args: list[bytes]) -> bytes:
    slot = parse_int64(args[2])
    count = parse_int64(args[3])
    if slot is None or count is None:
        return resp.ERR_NOT_INTEGER
    if not 0 <= slot < SLOT_COUNT or count < 0:
        return resp.error("ERR Invalid slot or number of keys")
    keys: list[bytes] = []
    for key in session.node.keyspace.slots[slot] or ():
        if len(keys) >= min(count, GET_KEYS_MAX):
            break
        keys.append(key)
    return resp.array_of_bulks(keys)


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS: dict[str, Handler] = {
    "cluster|slots": _encoded_once("slots", _slots),
    "cluster|shards": _encoded_once("shards", _shards),
    "cluster|nodes": _encoded_once("nodes", _nodes),
    "cluster|replicas": _replicas,
    "cluster|slaves": _replicas,
    "cluster|links": _links,
    "cluster|count-failure-reports": _count_failure_reports,
    "cluster|info": _info,
    "cluster|keyslot": _keyslot,
    "cluster|myid": _myid,
    "cluster|countkeysinslot": _countkeysinslot,
    "cluster|getkeysinslot": _getkeysinslot,
    "cluster|help": _help,
}
