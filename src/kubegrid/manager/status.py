"""The status of a grid as `GET /v1/status` tells it, from configurations and records. Pure.

The local runtime corrects it by what it knows about processes (`runtime.status`); states mean the same there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import member_name, slots_of_partition
from kubegrid.base.sql_address import flight_address
from kubegrid.coordination import MemberRecord
from kubegrid.manager.beginning import Wait


def partition_status(
    number: int,
    partitions: int,
    copies: int,
    configuration: Configuration | None,
    records: Sequence[MemberRecord],
    wait: Wait,
    note: str = "",
    *,
    can_promote: bool = True,
) -> dict[str, Any]:
    """One entry of `partitions`; `note` says how it last began again.

    Without a serving primary it is `recovering` while it can have one by itself: a member of its in-sync set lives, and
    the coordinator, which a promotion needs, has its data (`can_promote`). Else it is `down`.
    """
    primary = configuration.primary if configuration else None
    in_sync = configuration.in_sync if configuration else ()
    by_name = {record.name: record for record in records}
    serving = any(record.member == primary and record.serving and record.role == "primary" for record in records)
    alive = any(record.member in in_sync for record in records)
    names = {member_name(number, ordinal) for ordinal in range(copies)} | set(by_name)
    return {
        "id": number,
        "slots": [list(slots_of_partition(number, partitions))],
        "epoch": configuration.epoch if configuration else 0,
        "state": "serving" if serving else "recovering" if alive and can_promote else "down",
        "primary": primary.name if primary else None,
        "in_sync": sorted(member.name for member in in_sync),
        "members": [_member(name, by_name.get(name)) for name in sorted(names)],
        "note": note,
        "explanation": "" if serving else wait.explanation,
        "waiting_for": "accept-loss" if wait.for_person and not serving else None,
    }


def _member(name: str, record: MemberRecord | None) -> dict[str, Any]:
    if record is None:
        absent: dict[str, Any] = dict.fromkeys(("pid", "zone", "resp", "http", "flight", "incarnation"))
        return {"name": name, "role": "stopped", "host": "", "commit": 0, "memory": 0} | absent
    return {
        "name": name,
        "role": record.role if record.role in ("primary", "backup") else "joining",
        "pid": record.pid or None,
        "host": record.host,
        "zone": record.zone,
        "resp": f"{record.address}:{record.resp_port}",
        "http": f"{record.address}:{record.http_port}",
        "flight": f"{record.address}:{record.flight_port}" if record.flight_port else None,
        "flight_opening": record.flight_port is None,
        "commit": record.commit,
        "memory": record.memory_bytes,
        "incarnation": record.incarnation,
        "serving": record.serving,
        "epoch": record.epoch,
    }


def grid_status(
    name: str, grid: str, copies: int, partitions: list[dict[str, Any]], managers: list[Mapping[str, Any]]
) -> dict[str, Any]:
    """The whole."""
    whole = all(p["state"] == "serving" and len(p["in_sync"]) >= copies for p in partitions) and all(
        manager["coordinator_state"] == "ok" for manager in managers
    )
    if not any(p["state"] == "serving" for p in partitions):
        state = "down"
    else:
        state = "serving" if whole else "degraded"
    return {
        "grid": name,
        "id": grid,
        "state": state,
        "partitions": partitions,
        "managers": [dict(manager) for manager in managers],
        "sql": {"flight": flight_address(partitions)},
    }
