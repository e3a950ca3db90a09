"""KG.ENDPOINTS: where the members listen, told by the member that is asked, which opens its own Flight port for it."""

import json
from typing import Any

import msgspec
import pytest
from tests.unit.node.drive import Client, Drive, error_text

from kubegrid.node import session_endpoints


class Opening:
    """A Flight port that listens at the n-th look."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    @property
    def settled(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.fixture
def drive() -> Drive:
    return Drive(partitions=3)


def told(client: Client) -> list[dict[str, Any]]:
    return json.loads(client("KG.ENDPOINTS"))


def test_members_are_told_by_partition_the_primary_first(client: Client) -> None:
    entries = told(client)
    assert [(entry["name"], entry["partition"], entry["role"]) for entry in entries[:2]] == [
        ("p0-0", 0, "primary"),
        ("p0-1", 0, "backup"),
    ]
    assert entries[0] == {"name": "p0-0", "partition": 0, "role": "primary", "resp": "127.0.0.1:7000", "flight": None}
    assert {entry["partition"] for entry in entries} == {0, 1, 2}


def test_flight_ports_are_told_once_they_are_registered(drive: Drive, client: Client) -> None:
    member, record = next(iter(drive.topology.records.items()))
    drive.topology.records[member] = msgspec.structs.replace(record, flight_port=8815)
    drive.topology._build(record.partition)
    assert [entry["flight"] for entry in told(client) if entry["name"] == record.name] == ["127.0.0.1:8815"]


def test_the_own_port_is_opened_and_waited_for(drive: Drive, client: Client) -> None:
    drive.node.flight = Opening(looks=3)
    assert told(client) and drive.node.flight.begun == 1
    assert told(client) and drive.node.flight.begun == 1, "it listens now"


def test_a_port_that_does_not_open_keeps_nobody_for_long(
    drive: Drive, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_endpoints, "OWN_PORT_WAIT_MS", 1)
    drive.node.flight = Opening(looks=10**9)
    assert told(client)[0]["flight"] is None


def test_it_is_no_part_of_a_transaction(client: Client) -> None:
    client("MULTI")
    assert error_text(client("KG.ENDPOINTS")) == "ERR KG.ENDPOINTS is not allowed in a transaction"
