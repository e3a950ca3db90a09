"""The state of a grid as `status --json` tells it, put together from who answers.

A manager knows everything but the truth about processes, which the folder's locks know; when no manager answers, the
members tell what they know of themselves. Asking is done by `read`; putting together is pure.
"""

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubegrid.base.ids import slots_of_partition
from kubegrid.base.sql_address import flight_address
from kubegrid.runtime import http, processes
from kubegrid.runtime.folder import Folder
from kubegrid.runtime.http import HttpError
from kubegrid.runtime.state import GridState, MemberPlace

Status = dict[str, Any]
ASKED_AT_ONCE_MAX = 32
MEMBER_TIMEOUT_S = 1.0
SILENT = "it runs, but does not answer; members go on serving"


def read(folder: Folder, grid: GridState, secret: str | None) -> Status:
    """Ask managers, else members; never raises for somebody who does not answer."""
    pids = {name: processes.pid_of(name, folder) for name in grid.names}
    told = from_manager(grid, secret, pids)
    if told is None:
        told = from_members(grid, _ask_members(grid, secret, pids))
    return with_processes(grid, told, pids)


def from_manager(grid: GridState, secret: str | None, pids: Mapping[str, int | None] | None = None) -> Status | None:
    """The first manager's answer that is about this grid."""
    for manager, address in zip(grid.managers, grid.manager_addresses(), strict=True):
        if pids is not None and pids.get(manager.name) is None:
            continue
        with contextlib.suppress(HttpError):
            answer = http.get(address, "/v1/status", secret)
            if isinstance(answer, dict) and isinstance(answer.get("partitions"), list):
                return answer
    return None


def _ask_members(grid: GridState, secret: str | None, pids: Mapping[str, int | None]) -> dict[str, Status]:
    def ask(member: MemberPlace) -> tuple[str, Any]:
        with contextlib.suppress(HttpError):
            return member.name, http.get(grid.http_address(member), "/v1/member", secret, MEMBER_TIMEOUT_S)
        return member.name, None

    asked = [member for member in grid.members if pids.get(member.name) is not None]
    if not asked:
        return {}
    with ThreadPoolExecutor(min(len(asked), ASKED_AT_ONCE_MAX)) as pool:
        return {name: answer for name, answer in pool.map(ask, asked) if isinstance(answer, dict)}


def from_members(grid: GridState, answers: Mapping[str, Status]) -> Status:
    """What the members tell, without any manager. For each partition the configuration of the highest epoch counts."""
    partitions = []
    for number in range(grid.spec.partitions):
        places = [member for member in grid.members if member.partition == number]
        told = [answers[place.name] for place in places if place.name in answers]
        configuration = max((_configuration(answer) for answer in told), key=lambda c: c["epoch"], default=_UNKNOWN)
        primary = configuration["primary"]
        serving = primary in answers and bool(answers[primary].get("serving"))
        alive = any(_in_sync(answer, configuration) for answer in told)
        partitions.append(
            {
                "id": number,
                "slots": [list(slots_of_partition(number, grid.spec.partitions))],
                "epoch": configuration["epoch"],
                "state": "serving" if serving else "recovering" if alive else "down",
                "primary": primary,
                "in_sync": configuration["in_sync"],
                "members": [_member(grid, place, answers[place.name]) for place in places if place.name in answers],
            }
        )
    return {"grid": grid.name, "id": grid.id, "partitions": partitions, "managers": []}


_UNKNOWN: dict[str, Any] = {"epoch": 0, "primary": None, "in_sync": [], "incarnations": []}


def _configuration(answer: Status) -> dict[str, Any]:
    told = answer.get("configuration")
    if not isinstance(told, dict):
        return _UNKNOWN
    return {
        "epoch": told.get("epoch", 0),
        "primary": _name(told.get("primary")),
        "in_sync": sorted(filter(None, map(_name, told.get("in_sync", [])))),
        "incarnations": [list(member) for member in told.get("in_sync", []) if isinstance(member, list | tuple)],
    }


def _in_sync(answer: Status, configuration: dict[str, Any]) -> bool:
    """Whether the member that answered is in sync: it, and not an earlier process of its name."""
    return [answer.get("name"), answer.get("incarnation")] in configuration["incarnations"]


def _name(member: Any) -> str | None:
    """A member is told as its name, as [name, incarnation], or as {"name": …}."""
    if isinstance(member, dict):
        member = member.get("name")
    elif isinstance(member, list) and member:
        member = member[0]
    return member.split("/")[0] if isinstance(member, str) else None


def _member(grid: GridState, place: MemberPlace, answer: Status) -> Status:
    return {
        "name": place.name,
        "role": answer.get("role", "joining"),
        "pid": answer.get("pid"),
        "host": answer.get("host", ""),
        "zone": answer.get("zone"),
        "resp": f"{grid.advertise}:{place.resp_port}",
        "http": grid.http_address(place),
        "flight": f"{grid.advertise}:{answer['flight_port']}" if answer.get("flight_port") else None,
        "commit": answer.get("commit", 0),
        "memory": answer.get("memory_bytes", answer.get("memory", 0)),
    }


def with_processes(grid: GridState, told: Status, pids: Mapping[str, int | None]) -> Status:
    """Correct what was told by what is certain here: who has no process is stopped, whatever his lease says."""
    by_id = {partition.get("id"): partition for partition in told["partitions"]}
    partitions = []
    for number in range(grid.spec.partitions):
        partition = dict(by_id.get(number) or from_members(grid, {})["partitions"][number])
        known = {member["name"]: member for member in partition["members"]}
        partition["members"] = [
            _with_process(grid, place, known.get(place.name), pids.get(place.name))
            for place in grid.members
            if place.partition == number
        ]
        if partition["state"] == "serving" and pids.get(partition["primary"] or "") is None:
            partition["state"] = "recovering"
        if all(pids.get(name) is None for name in partition["in_sync"]):
            partition["state"] = "down"
        partitions.append(partition)
    result = {**told, "partitions": partitions, "managers": _managers(grid, told, pids)}
    result["state"] = grid_state(result, grid.spec.copies)
    result["sql"] = {"flight": flight_address(partitions)}
    return {"grid": grid.name, "id": grid.id, "state": result.pop("state"), **result}


def _with_process(grid: GridState, place: MemberPlace, known: Status | None, pid: int | None) -> Status:
    if pid is None:
        base = {**(known or _member(grid, place, {}))}
        stopped = {"role": "stopped", "pid": None, "resp": None, "http": None, "flight": None}
        return base | stopped | {"commit": 0, "memory": 0}
    return {**(known or _member(grid, place, {})), "pid": pid}


def _managers(grid: GridState, told: Status, pids: Mapping[str, int | None]) -> list[Status]:
    """One that has a process, but answers nobody (it is stopped, or only beginning), is `silent`."""
    known = {manager["name"]: manager for manager in told["managers"]}
    silent = {"coordinator_state": "silent", "advice": SILENT} if not known else {}
    result = []
    for place, address in zip(grid.managers, grid.manager_addresses(), strict=True):
        pid = pids.get(place.name)
        base = {"name": place.name, "http": address if pid else None, "coordinator": "embedded", "leader": False}
        result.append(
            base
            | known.get(place.name, silent if pid else {})
            | {"pid": pid}
            | ({} if pid else {"http": None, "leader": False})
        )
    return result


def grid_state(status: Status, copies: int) -> str:
    """`serving` when nothing lacks, `down` when no partition serves, else `degraded`."""
    partitions = status["partitions"]
    if not any(partition["state"] == "serving" for partition in partitions):
        return "down"
    return "degraded" if missing(status, copies) else "serving"


def opening(status: Status) -> list[str]:
    """What a grid that is whole has not opened yet, in words: members open their Flight ports a moment after the start.
    One that could not open it is not waited for; its log says why."""
    members = [member for partition in status["partitions"] for member in partition["members"]]
    if flight_address(status["partitions"]) or not any(member.get("flight_opening") for member in members):
        return []
    return ["no member listens for SQL (Arrow Flight) yet"]


def missing(status: Status, copies: int) -> list[str]:
    """What keeps the grid from being whole, in words; empty when nothing does."""
    lacks = []
    for partition in status["partitions"]:
        label = f"partition {partition['id']}"
        if partition["state"] != "serving":
            why = str(partition.get("explanation") or "no primary serves")
            lacks.append(f"{label} is {partition['state']}: {why.removeprefix(f'{label}: ').removeprefix(f'{label} ')}")
        elif len(partition["in_sync"]) < copies:
            away = [
                f"{member['name']} is {member['role']}"
                for member in partition["members"]
                if member["name"] not in partition["in_sync"]
            ]
            lacks.append(f"{label} has {len(partition['in_sync'])} of {copies} copies in sync ({', '.join(away)})")
    for manager in status["managers"]:
        if manager["pid"] is None:
            lacks.append(f"manager {manager['name']} does not answer")
        elif manager.get("coordinator_state", "ok") != "ok":
            lacks.append(f"manager {manager['name']}: {manager.get('advice') or manager['coordinator_state']}")
    return lacks
