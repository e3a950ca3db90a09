"""What a member tells of itself: its record for the managers, and `/v1/member` for everybody.

Next on the path: `coordination.records`.
"""

import os
from typing import TYPE_CHECKING, Any

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.coordination import MemberRecord
from kubegrid.replication import Role

if TYPE_CHECKING:
    from kubegrid.node.pod import DataPod


def member_record(pod: "DataPod") -> MemberRecord:
    """What the managers, and through them everybody, are told of this member."""
    config = pod.config
    replica = pod.replica
    last = replica.last
    return MemberRecord(
        name=config.name,
        incarnation=pod.me.incarnation,
        partition=config.partition,
        ordinal=config.ordinal,
        role=replica.role.value,
        serving=replica.serving,
        epoch=replica.epoch,
        commit=replica.commit.seq,
        address=config.advertise,
        resp_port=pod.resp_port,
        http_port=pod.http_port,
        replication_port=pod.replication_port,
        flight_port=0 if pod.flight.complaint else pod.flight.port,
        host=config.host,
        zone=config.zone,
        pid=os.getpid(),
        memory_bytes=pod.keyspace.used_bytes,
        started_at=pod.started_at,
        last_epoch=last.epoch,
        last_seq=last.seq,
        complete=replica.role in (Role.PRIMARY, Role.BACKUP) or last.epoch > 0,
        catalog_adopted=pod.catalog.adopted_version,
        catalog_known=pod.catalog.newest.version,
    )


def described(pod: "DataPod") -> dict[str, Any]:
    """`/v1/member`: the record, flat, and more: enough for `kubegrid status` when every manager is dead."""
    configuration = pod.replica.configuration
    reason = pod.not_ready_because()
    return {
        **msgspec.to_builtins(member_record(pod)),
        "grid": pod.config.grid,
        "id": pod.config.grid_id,
        "partitions": pod.config.partitions,
        "slots": pod.topology.partitions[pod.config.partition].slots,
        "ready": not reason,
        "not_ready_because": reason or None,
        "open": pod.member.open(),
        "configuration": None if configuration is None else _as_object(configuration),
        "configuration_version": pod.replica.token,
        "managers_connected": pod.client.connected,
        "coordinator_complaint": pod.coordinator.complaint or pod.catalog.complaint or None,
        "limit_bytes": pod.keyspace.limit_bytes,
        "rss_bytes": pod.housekeeping.memory.rss_bytes,
        "flight_complaint": pod.flight.complaint or None,
        "keys": pod.keyspace.key_count,
        "loop_turn_longest_ms": round(pod.housekeeping.loop_watch.longest_ms, 3),
        "events": dict(pod.replica.stats),
    }


def _as_object(configuration: Configuration) -> dict[str, Any]:
    """With names, unlike on the wire; a member is `[name, incarnation]`."""
    return {name: getattr(configuration, name) for name in configuration.__struct_fields__}
