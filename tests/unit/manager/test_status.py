"""The status that a manager tells."""

import msgspec
import pytest
from tests.unit.manager.test_beginning import A, B, record

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.manager.beginning import Wait
from kubegrid.manager.status import grid_status, partition_status

CONFIGURATION = Configuration("g", 0, 3, A, (A, B))
MANAGER = {"name": "m0", "coordinator_state": "ok"}


def serving(member: Member = A):
    return msgspec.structs.replace(record(member), role="primary", serving=True)


def one(records, configuration=CONFIGURATION, explanation="why"):
    return partition_status(0, 3, 2, configuration, records, Wait(explanation))


@pytest.mark.parametrize(
    ("records", "configuration", "state"),
    [
        ([serving(), record(B)], CONFIGURATION, "serving"),
        ([record(A), record(B)], CONFIGURATION, "recovering"),
        ([record(B)], CONFIGURATION, "recovering"),
        ([record(Member("p0-0", "new"))], CONFIGURATION, "down"),
        ([serving(Member("p0-0", "new"))], CONFIGURATION, "down"),
        ([], CONFIGURATION, "down"),
        ([record(A)], None, "down"),
    ],
)
def test_a_partition_serves_only_with_the_configured_primary_serving(records, configuration, state):
    status = one(records, configuration)
    assert status["state"] == state
    assert status["explanation"] == ("" if state == "serving" else "why")
    assert [member["name"] for member in status["members"]] == ["p0-0", "p0-1"]


def test_a_partition_that_cannot_promote_by_itself_is_down():
    state = partition_status(0, 3, 2, CONFIGURATION, [record(B)], Wait("why"), can_promote=False)["state"]
    assert state == "down"


def test_absent_members_are_stopped():
    member = one([serving()])["members"][1]
    assert member["role"] == "stopped" and member["pid"] is None and member["resp"] is None


@pytest.mark.parametrize(
    ("partitions", "manager", "state"),
    [
        ([one([serving(), record(B)])], MANAGER, "serving"),
        ([one([serving()], Configuration("g", 0, 4, A, (A,)))], MANAGER, "degraded"),
        ([one([serving()]), one([])], MANAGER, "degraded"),
        ([one([serving()])], MANAGER | {"coordinator_state": "lost"}, "degraded"),
        ([one([record(A)])], MANAGER, "down"),
    ],
)
def test_the_grid_is_as_well_as_its_parts(partitions, manager, state):
    assert grid_status("n", "g", 2, partitions, [manager])["state"] == state


def test_the_flight_port_of_a_serving_primary_is_where_sql_is_asked():
    def listening(record, port):
        return msgspec.structs.replace(record, flight_port=port)

    partition = one([listening(serving(), None), listening(record(B), 8815)])
    address = f"{record(B).address}:8815"
    assert [member["flight"] for member in partition["members"]] == [None, address]
    assert [member["flight_opening"] for member in partition["members"]] == [True, False]
    could_not = one([listening(serving(), 0)])["members"][0]
    assert (could_not["flight"], could_not["flight_opening"]) == (None, False)
    assert grid_status("g", "id", 2, [partition], [MANAGER])["sql"] == {"flight": address}
    partition = one([listening(serving(), 8816), listening(record(B), 8815)])
    assert grid_status("g", "id", 2, [partition], [MANAGER])["sql"]["flight"].endswith(":8816")
    assert grid_status("g", "id", 2, [one([])], [MANAGER])["sql"] == {"flight": None}
