"""Members that look for what comes next before they sleep: real processes, and what their metrics tell of it."""

import time
from pathlib import Path

import pytest
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes

from kubegrid.base.spinning import PROCESSORS_MIN, processors


def looked_s(grid: GridProcesses, name: str) -> float:
    """For how long the member has looked so far."""
    for line in grid.get(name, "/metrics")[1].decode().splitlines():
        if line.startswith("kubegrid_busy_wait_seconds_total "):
            return float(line.split()[1])
    raise AssertionError("no such metric")


@pytest.mark.parametrize("looker", ["p0-0", "p0-1"])
def test_primary_and_backup_look_while_one_client_writes_and_sleep_then(tmp_path: Path, looker: str) -> None:
    with grid_processes(tmp_path, replication=PATIENT) as grid:
        grid.start_manager()
        for name in grid.names:
            grid.start_member(name, busy_wait=name == looker)
        assert grid.wait_whole() == "p0-0"
        with grid.client("p0-0") as client:
            for number in range(500):
                assert client.set("k", number)
                assert client.get("k") == b"%d" % number
        spent = {name: looked_s(grid, name) for name in grid.names}
        assert {name for name in grid.names if spent[name]} == ({looker} if processors() >= PROCESSORS_MIN else set())
        time.sleep(0.5)  # beacons come and go, and nobody looks for the next
        assert {name: looked_s(grid, name) for name in grid.names} == spent
