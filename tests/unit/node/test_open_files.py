"""As many clients as the process may have open files for, and no more."""

import resource

import pytest
from tests.unit.node.drive import Drive

from kubegrid.node import open_files
from kubegrid.node.open_files import RESERVED

Limits = tuple[int, int]


class System:
    """The limits of open files that a process would have: soft and hard."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limits: Limits, refuses: bool = False) -> None:
        self.limits = limits
        self.refuses = refuses
        monkeypatch.setattr(resource, "getrlimit", lambda what: self.limits)
        monkeypatch.setattr(resource, "setrlimit", self.set)

    def set(self, what: int, limits: Limits) -> None:
        assert what == resource.RLIMIT_NOFILE
        if self.refuses:
            raise ValueError("current limit exceeds maximum limit")
        self.limits = limits


def test_a_low_soft_limit_is_raised_for_the_clients_and_for_the_member_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, (1024, resource.RLIM_INFINITY))
    assert open_files.make_room(10_000) == 10_000
    assert system.limits == (10_000 + RESERVED, resource.RLIM_INFINITY)


@pytest.mark.parametrize("limits", [(65536, 65536), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)])
def test_a_limit_that_suffices_stays(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    system = System(monkeypatch, limits)
    assert open_files.make_room(10_000) == 10_000
    assert system.limits == limits


def test_a_low_hard_limit_leaves_room_for_fewer_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, (1024, 4096))
    assert open_files.make_room(10_000) == 4096 - RESERVED
    assert system.limits == (4096, 4096)


def test_a_system_that_raises_nothing_leaves_what_the_soft_limit_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    System(monkeypatch, (1024, resource.RLIM_INFINITY), refuses=True)
    assert open_files.make_room(10_000) == 1024 - RESERVED


def test_more_clients_than_the_system_allows_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, (1024, 4096))
    client = Drive().connect()
    refusal = str(client("CONFIG", "SET", "maxclients", "4000"))
    assert refusal.endswith(f"not able to handle the specified number of clients, try with {4096 - RESERVED}")
    assert client("CONFIG", "GET", "maxclients") == [b"maxclients", b"10000"]
    assert client("CONFIG", "SET", "maxclients", "2000") == b"OK"
    assert system.limits == (2000 + RESERVED, 4096)
