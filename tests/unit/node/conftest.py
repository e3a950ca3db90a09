"""A member that is driven without sockets, and one client of it. A module that wants another member has its own `drive`."""

import pytest
from tests.unit.node.drive import Client, Drive


@pytest.fixture
def drive() -> Drive:
    return Drive()


@pytest.fixture
def client(drive: Drive) -> Client:
    return drive.connect()
