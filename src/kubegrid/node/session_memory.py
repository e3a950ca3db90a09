"""MEMORY: what a key occupies, and what this member's memory goes to.

`STATS` has the fields of Redis that have a true value here; those that are about its allocator are left out.
"""

from kubegrid.base.process_memory import process_memory
from kubegrid.node.context import Session
from kubegrid.store import memory_usage
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

NEARLY_FULL_PART = 0.9
"""Of the limit, from which on DOCTOR says so."""

_HELP = (
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    Whether memory runs short, in words.",
    "MALLOC-STATS",
    "    That the allocator tells nothing of itself.",
    "PURGE",
    "    Accepted: free pages go back to the system by themselves.",
    "STATS",
    "    What the memory of this member goes to.",
    "USAGE <key> [SAMPLES <count>]",
    "    Bytes that the key and its value occupy, as this server counts them. SAMPLES is accepted and",
    "    not needed: every value knows its size.",
    "HELP",
    "    This text.",
)


def _usage(session: Session, args: list[bytes]) -> bytes:
    index = 3
    while index < len(args):
        if args[index].lower() != b"samples" or index + 1 >= len(args):
            return resp.ERR_SYNTAX
        samples = parse_int64(args[index + 1])
        if samples is None:
            return resp.ERR_NOT_INTEGER
        if samples < 0:
            return resp.ERR_SYNTAX
        index += 2
    size = memory_usage(session.node.keyspace, args[2])
    return resp.null(session.resp == 3) if size is None else resp.integer(size)


def _stats(session: Session, args: list[bytes]) -> bytes:
    node = session.node
    used_bytes = node.keyspace.used_bytes
    keys = node.keyspace.key_count
    resident_bytes = process_memory().resident_bytes
    peak_bytes = max(node.rates.peak_bytes, used_bytes)
    fields: dict[str, int | float] = {
        "peak.allocated": peak_bytes,
        "total.allocated": used_bytes,
        "clients.slaves": 0,
        "clients.normal": sum(client.held_bytes() for client in node.sessions.values()),
        "cluster.links": 0,
        "aof.buffer": 0,
        "lua.caches": 0,
        "functions.caches": 0,
        "keys.count": keys,
        "keys.bytes-per-key": used_bytes // keys if keys else 0,
        "dataset.bytes": used_bytes,
        "dataset.percentage": 100.0,
        "peak.percentage": 100 * used_bytes / peak_bytes if peak_bytes else 100.0,
        "fragmentation": resident_bytes / max(1, used_bytes),
        "fragmentation.bytes": resident_bytes - used_bytes,
    }
    resp3 = session.resp == 3
    parts: list[bytes] = []
    for name, value in fields.items():
        parts.append(resp.bulk(name.encode()))
        parts.append(resp.double(value, resp3) if isinstance(value, float) else resp.integer(value))
    return resp.map_of(parts, resp3)


def _doctor(session: Session, args: list[bytes]) -> bytes:
    keyspace = session.node.keyspace
    used, limit = keyspace.used_bytes, keyspace.limit_bytes
    share = 100 * used / max(1, limit)
    if used < limit * NEARLY_FULL_PART:
        text = (
            f"Records and keys take {used} bytes, {share:.0f}% of the {limit} that they may take. Nothing runs short.\n"
        )
    else:
        text = (
            f"Records and keys take {used} bytes, {share:.0f}% of the {limit} that they may take. Past that, writes are "
            "refused with -OOM; reads and deletions go on.\n"
        )
    return resp.verbatim(text.encode(), session.resp == 3)


def _malloc_stats(session: Session, args: list[bytes]) -> bytes:
    return resp.bulk(b"Stats not supported for the current allocator")


def _purge(session: Session, args: list[bytes]) -> bytes:
    """Redis answers so, too, where its allocator cannot be asked; here `memory_watch` asks it when that helps."""
    return resp.OK


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS = {
    "memory|usage": _usage,
    "memory|stats": _stats,
    "memory|doctor": _doctor,
    "memory|malloc-stats": _malloc_stats,
    "memory|purge": _purge,
    "memory|help": _help,
}
