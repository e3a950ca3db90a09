"""A client that looks for replies before it sleeps: it gets the same, and gives up at the same time."""

import socket
from collections.abc import Iterator

import pytest

import kubegrid
from kubegrid.base.errors import UsageError
from kubegrid.client import ClientOptions, Grid
from kubegrid.client.connection import Connection, SilentError, pack_command
from kubegrid.client.options import BUSY_WAIT_MAX_S
from kubegrid.client.spinning import Spinning


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with kubegrid.local() as embedded:
        yield embedded


@pytest.mark.parametrize("busy_wait", [0, 0.00001, BUSY_WAIT_MAX_S])
def test_short_and_long_replies_are_the_same(grid: Grid, busy_wait: float) -> None:
    long = b"x" * 1_000_000
    with kubegrid.connect(grid.members[0], busy_wait=busy_wait) as watching:
        for number in range(200):
            assert watching.set("k", number) is True
            assert watching.get("k") == b"%d" % number
        watching.set("long", long)
        assert watching.get("long") == long
        with watching.pipeline() as pipe:
            counts = [pipe.incr("n") for _ in range(500)]
        assert [count.result() for count in counts] == list(range(1, 501))
        watching.delete("n", "k", "long")


def test_a_connection_that_breaks_is_made_anew(grid: Grid) -> None:
    with kubegrid.connect(grid.members[0], busy_wait=0.0005) as watching:
        watching.set("k", 1)
        for pool in watching.caller.pools.values():
            for connection in pool.free:
                connection.sock.shutdown(socket.SHUT_RDWR)
        assert watching.get("k") == b"1"


def test_silence_is_noticed_as_without() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        connection = Connection(address, None, False, 1.0, 0.1, Spinning(BUSY_WAIT_MAX_S))
        with pytest.raises(SilentError):
            connection.call(pack_command(("PING",)))
        connection.close()


@pytest.mark.parametrize("odd", [-1, BUSY_WAIT_MAX_S * 2, "1"])
def test_an_odd_time_is_refused(odd: object) -> None:
    with pytest.raises(UsageError, match="busy_wait"):
        ClientOptions.of({"busy_wait": odd})
