"""A member that is driven without sockets, and one client of it. A module that wants another member has its own `drive`."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from tests.unit.node.drive import Client, Drive


@pytest.fixture
def drive() -> Drive:
    return Drive()


@pytest.fixture
def client(drive: Drive) -> Client:
    return drive.connect()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of data pods: its transports are none of asyncio's classes."""
    return {"uvloop": uvloop.new_event_loop}
