"""The counters of INFO: what was executed, refused and found, and how long commands took.

The time of a command is that of the calls which were measured (`dispatch.SAMPLE_MASK`), times the number of calls; GET
and SET, which are executed together, have their share of their turns.
"""

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubegrid.node.context import NodeContext

Fields = dict[str, object]

EXPIRIES_LOOKED_AT = 64
"""Keys whose remaining time makes up `avg_ttl`."""


class Statistics:
    """What INFO counts of one command."""

    __slots__ = ("failed", "refused", "sampled", "sampled_us", "spent_us")

    def __init__(self) -> None:
        self.failed = 0
        """Executed, and answered with an error."""
        self.refused = 0
        """Not executed: wrong arguments, another member's slot, no memory."""
        self.sampled = 0
        self.sampled_us = 0.0
        """Calls whose time was measured, and that time: measuring each would cost a fifth of a short one."""
        self.spent_us = 0.0
        """Time that was measured otherwise, for calls that are not sampled."""

    def usec(self, calls: int) -> float:
        """Microseconds that `calls` calls took, as far as that is known."""
        return self.spent_us if not self.sampled else self.sampled_us / self.sampled * calls


_NOTHING = Statistics()


def stats(node: "NodeContext") -> Fields:
    """What there is not here (channels, forks, defragmentation) is counted as 0, for tools that ask for it."""
    return {
        "total_connections_received": node.connections_accepted,
        "total_commands_processed": sum(node.operations.values()),
        "instantaneous_ops_per_sec": node.rates.commands_per_second,
        "rejected_connections": node.connections_refused,
        "expired_keys": node.keyspace.expired,
        "evicted_keys": 0,
        "keyspace_hits": node.hits,
        "keyspace_misses": node.misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "pubsubshard_channels": 0,
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "tracking_total_keys": 0,
        "tracking_total_items": 0,
        "tracking_total_prefixes": 0,
        "unexpected_error_replies": 0,
        "total_error_replies": sum(node.errors.values()),
    }


def commandstats(node: "NodeContext") -> Fields:
    """One line for each command that was called or refused."""
    fields: Fields = {}
    for name, calls in node.operations.items():
        more = node.statistics.get(name, _NOTHING)
        if calls or more.refused:
            usec = more.usec(calls)
            fields[f"cmdstat_{name}"] = (
                f"calls={calls},usec={usec:.0f},usec_per_call={usec / max(1, calls):.2f},"
                f"rejected_calls={more.refused},failed_calls={more.failed}"
            )
    return fields


def errorstats(node: "NodeContext") -> Fields:
    return {f"errorstat_{code}": f"count={count}" for code, count in sorted(node.errors.items())}


def keyspace(node: "NodeContext") -> Fields:
    """One line for the one database there is; none when it is empty."""
    held = node.keyspace
    if not held.key_count:
        return {}
    tables = [expires for expires in held.expires if expires is not None]
    some = list(islice((at_ms for expires in tables for at_ms in expires.values()), EXPIRIES_LOOKED_AT))
    average_ms = sum(max(0, at_ms - held.now_ms) for at_ms in some) // max(1, len(some))
    return {"db0": f"keys={held.key_count},expires={sum(map(len, tables))},avg_ttl={average_ms}"}
