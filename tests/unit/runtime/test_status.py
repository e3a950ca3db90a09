"""The status of a grid, put together from a manager's or the members' answers and from what is known of processes."""

from typing import Any

import pytest

from kubegrid.base.manifest import GridSpec
from kubegrid.runtime import layout, status
from kubegrid.runtime.state import GridState

RUNNING = {"m0": 1, "p0-0": 10, "p0-1": 11, "p1-0": 20, "p1-1": 21}


@pytest.fixture
def grid() -> GridState:
    return layout.make(
        name="demo", grid_id="id", spec=GridSpec(partitions=2), given={}, port=17_000, bind="127.0.0.1", advertise=None
    )


def managers_answer(**changes: Any) -> status.Status:
    partitions = [
        {
            "id": number,
            "slots": [[0, 8191]],
            "epoch": 3,
            "state": "serving",
            "primary": f"p{number}-0",
            "in_sync": [f"p{number}-0", f"p{number}-1"],
            "members": [
                {"name": f"p{number}-{ordinal}", "role": role, "pid": 5, "commit": 7, "memory": 9}
                for ordinal, role in enumerate(("primary", "backup"))
            ],
        }
        for number in range(2)
    ]
    partitions[0] |= changes
    managers = [{"name": "m0", "pid": 5, "http": "x", "coordinator": "embedded", "leader": True}]
    return {"grid": "demo", "id": "id", "state": "serving", "partitions": partitions, "managers": managers}


def test_who_has_no_process_is_stopped_whatever_the_manager_says(grid: GridState) -> None:
    told = status.with_processes(grid, managers_answer(), {**RUNNING, "p0-1": None})
    member = told["partitions"][0]["members"][1]
    assert (member["role"], member["pid"], member["resp"]) == ("stopped", None, None)
    assert told["partitions"][0]["state"] == "serving"
    assert told["partitions"][0]["members"][0]["pid"] == 10


def test_a_partition_whose_primary_has_no_process_is_recovering_and_the_grid_degraded(grid: GridState) -> None:
    told = status.with_processes(grid, managers_answer(), {**RUNNING, "p0-0": None})
    assert (told["partitions"][0]["state"], told["state"]) == ("recovering", "degraded")


def test_a_missing_copy_or_manager_degrades(grid: GridState) -> None:
    assert status.with_processes(grid, managers_answer(), RUNNING)["state"] == "serving"
    short = status.with_processes(grid, managers_answer(in_sync=["p0-0"]), RUNNING)
    assert short["state"] == "degraded"
    assert status.missing(short, 2) == ["partition 0 has 1 of 2 copies in sync (p0-1 is backup)"]
    assert status.with_processes(grid, managers_answer(), {**RUNNING, "m0": None})["state"] == "degraded"


def test_a_manager_that_runs_but_does_not_answer_degrades(grid: GridState) -> None:
    answer = {**managers_answer(), "managers": []}
    told = status.with_processes(grid, answer, RUNNING)
    assert (told["state"], told["managers"][0]["coordinator_state"]) == ("degraded", "silent")
    assert status.missing(told, 2) == ["manager m0: it runs, but does not answer; members go on serving"]
    assert "advice" not in status.with_processes(grid, answer, {**RUNNING, "m0": None})["managers"][0]


def test_without_any_process_the_grid_is_down(grid: GridState) -> None:
    told = status.with_processes(grid, status.from_members(grid, {}), {})
    assert told["state"] == "down" and {p["state"] for p in told["partitions"]} == {"down"}
    assert [len(p["members"]) for p in told["partitions"]] == [2, 2]


def members_answer(name: str, epoch: int, primary: str | None, role: str, serving: bool) -> status.Status:
    in_sync = [[primary, "i"]] if primary else []
    configuration = {"epoch": epoch, "primary": in_sync[0] if primary else None, "in_sync": in_sync}
    return {
        "name": name,
        "role": role,
        "serving": serving,
        "commit": 4,
        "memory_bytes": 5,
        "configuration": configuration,
    }


def test_without_a_manager_the_members_newest_configuration_counts(grid: GridState) -> None:
    answers = {
        "p0-0": members_answer("p0-0", 3, "p0-0", "primary", True),  # deposed, and does not know yet
        "p0-1": members_answer("p0-1", 4, "p0-1", "primary", True),
    }
    told = status.with_processes(grid, status.from_members(grid, answers), {**RUNNING, "m0": None})
    first, second = told["partitions"]
    assert (first["primary"], first["epoch"], first["state"], first["in_sync"]) == ("p0-1", 4, "serving", ["p0-1"])
    assert first["members"][1]["memory"] == 5
    assert second["state"] == "down" and told["state"] == "degraded"


def test_without_a_manager_a_partition_recovers_only_while_a_member_in_sync_lives(grid: GridState) -> None:
    answers = {
        "p0-1": members_answer("p0-1", 3, "p0-1", "backup", False) | {"incarnation": "i"},
        "p1-0": members_answer("p1-0", 3, "p1-0", "joining", False) | {"incarnation": "another"},
    }
    told = status.with_processes(grid, status.from_members(grid, answers), {**RUNNING, "m0": None})
    assert [partition["state"] for partition in told["partitions"]] == ["recovering", "down"]
    assert told["state"] == "down", "nothing serves"


def test_a_partition_is_down_when_no_member_in_sync_has_a_process(grid: GridState) -> None:
    told = status.with_processes(grid, managers_answer(in_sync=["p0-0"]), {**RUNNING, "p0-0": None})
    assert (told["partitions"][0]["state"], told["state"]) == ("down", "degraded")


def test_what_is_missing_repeats_no_label(grid: GridState) -> None:
    answer = managers_answer(state="down", primary=None, explanation="partition 0: all copies were lost")
    assert status.missing(status.with_processes(grid, answer, RUNNING), 2) == [
        "partition 0 is down: all copies were lost"
    ]


def test_a_coordinator_that_lost_its_data_is_missing(grid: GridState) -> None:
    answer = managers_answer()
    answer["managers"][0] |= {"coordinator_state": "lost", "advice": "rebuild it"}
    assert status.missing(status.with_processes(grid, answer, RUNNING), 2) == ["manager m0: rebuild it"]


def flight_ports(answer: status.Status) -> status.Status:
    for partition in answer["partitions"]:
        for member in partition["members"]:
            member["flight"] = f"127.0.0.1:{member['name']}"
    return answer


def test_sql_is_asked_at_a_serving_primary_and_at_nobody_without_a_process(grid: GridState) -> None:
    told = status.with_processes(grid, flight_ports(managers_answer()), RUNNING)
    assert told["sql"] == {"flight": "127.0.0.1:p0-0"}
    told = status.with_processes(grid, flight_ports(managers_answer()), {**RUNNING, "p0-0": None})
    assert told["sql"] == {"flight": "127.0.0.1:p1-0"}
    told = status.with_processes(grid, flight_ports(managers_answer()), {"m0": 1, "p0-1": 11})
    assert told["sql"] == {"flight": "127.0.0.1:p0-1"}
    assert status.opening(told) == []


def test_a_grid_whose_members_are_opening_their_ports_for_sql_is_whole_but_not_open(grid: GridState) -> None:
    answer = managers_answer()
    assert status.opening(status.with_processes(grid, answer, RUNNING)) == [], "a manager that tells nothing of it"
    member = answer["partitions"][0]["members"][0]
    member |= {"flight": None, "flight_opening": True}
    told = status.with_processes(grid, answer, RUNNING)
    assert told["sql"] == {"flight": None}
    assert told["state"] == "serving" and status.missing(told, 2) == []
    assert status.opening(told) == ["no member listens for SQL (Arrow Flight) yet"]
    member["flight_opening"] = False
    assert status.opening(status.with_processes(grid, answer, RUNNING)) == [], "it could not be opened"


def test_members_tell_their_flight_ports_when_no_manager_does(grid: GridState) -> None:
    answer = {"role": "primary", "serving": True, "flight_port": 8815, "resp_port": 1, "commit": 3}
    told = status.with_processes(grid, status.from_members(grid, {"p0-0": answer}), {"p0-0": 10})
    assert told["sql"] == {"flight": "127.0.0.1:8815"}
