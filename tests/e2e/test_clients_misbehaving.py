"""Clients that send nonsense, stop half-way, or never read: what they do stays their own trouble."""

import contextlib
import os
import random
import socket
import time
from collections.abc import Iterator

import hiredis
import psutil
import pytest
from tests.e2e.live_grid import LiveGrid, RawConnection, live_grid, wait_until

MIB = 2**20
UNREAD_BYTES_MAX = 150 * MIB
"""What an unread connection may cost a member: the output limit (64 MiB), twice, with room."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("misbehaving"), partitions=1, backups=1) as grid:
        yield grid


@pytest.fixture
def grid(running: LiveGrid) -> Iterator[LiveGrid]:
    """The same grid for all, which must come out of every test as it went in: same processes, same epoch, serving."""
    before = [running.pid(name) for name in running.names()]
    epoch = running.partition()["epoch"]
    yield running
    assert [running.pid(name) for name in running.names()] == before
    assert running.partition()["epoch"] == epoch
    with running.raw("p0-0") as raw:
        assert raw.call("SET", "after", "1") == b"OK"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"*1\r\n$-5\r\n",
        b"*2\r\n$3\r\nGET\r\n:5\r\n",
        b"*99999999999\r\n",
        b"*1\r\n$99999999999\r\n",
        b'SET a "unbalanced\r\n',
        b"*abc\r\n",
        b"\x00" * 70_000,
        b"x" * 70_000,
    ],
    ids=[
        "negative-length",
        "not-a-string",
        "too-many",
        "too-long",
        "quotes",
        "not-a-number",
        "zeros",
        "no-end",
    ],
)
def test_a_malformed_request_closes_its_own_connection_with_an_error(grid: LiveGrid, nonsense: bytes) -> None:
    with grid.raw("p0-0") as bystander, grid.raw("p0-0") as raw:
        assert bystander.call("PING") == b"PONG"
        raw.send("PING")
        raw.socket.sendall(nonsense)
        assert raw.reply() == b"PONG"
        answer = raw.reply()
        assert isinstance(answer, hiredis.ReplyError)
        assert "Protocol error" in str(answer)
        assert raw.at_end()
        assert bystander.call("PING") == b"PONG"


def test_random_bytes_on_every_port_harm_nobody(grid: LiveGrid) -> None:
    chance = random.Random(20131)
    ports = [port for name in ["m0", *grid.names()] for port in _listening(grid.pid(name))]
    assert len(ports) == 2 * 4 + 2
    for port in ports:
        for size in (1, 7, 100, 5000):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(chance.randbytes(size))
    wait_until(grid.is_whole, what="the grid whole")
    with grid.raw("p0-0") as raw:
        assert raw.call("PING") == b"PONG"


def _listening(pid: int) -> list[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return [connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN]


def test_a_request_in_halves_is_answered_when_it_is_whole(grid: LiveGrid) -> None:
    request = hiredis.pack_command(("SET", "halves", "value" * 1000))
    with grid.raw("p0-0") as raw:
        for start in range(0, len(request), 611):
            raw.socket.sendall(request[start : start + 611])
            time.sleep(0.001)  # so that the pieces arrive as pieces
        assert raw.reply() == b"OK"
        assert raw.call("STRLEN", "halves") == 5000


def test_half_a_request_and_then_nothing_is_not_executed_and_holds_up_nobody(grid: LiveGrid) -> None:
    with grid.raw("p0-0") as raw:
        raw.socket.sendall(b"*3\r\n$3\r\nSET\r\n$6\r\nnobody\r\n$1000\r\nxyz")
        with grid.raw("p0-0") as bystander:
            assert bystander.call("GET", "nobody") is None
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.at_end()
    with grid.raw("p0-0") as bystander:
        assert bystander.call("GET", "nobody") is None


def test_replies_that_nobody_reads_are_bounded(grid: LiveGrid) -> None:
    pid = grid.pid("p0-0")
    value = os.urandom(MIB)
    with grid.raw("p0-0") as bystander:
        assert bystander.call("SET", "big", value) == b"OK"
        before = psutil.Process(pid).memory_info().rss
        greedy = [_Deaf(grid) for _ in range(4)]
        try:
            peak = 0
            for _ in range(200):
                for client in greedy:
                    client.ask_more()
                peak = max(peak, psutil.Process(pid).memory_info().rss - before)
                assert bystander.call("STRLEN", "big") == MIB
            assert peak < UNREAD_BYTES_MAX, f"grew by {peak // MIB} MiB"
        finally:
            for client in greedy:
                client.close()
        assert bystander.call("GET", "big") == value
        bystander.call("DEL", "big")


class _Deaf:
    """Asks for the big value again and again, a gigabyte in all, and never reads."""

    def __init__(self, grid: LiveGrid) -> None:
        self._raw: RawConnection = grid.raw("p0-0")
        self._raw.socket.setblocking(False)
        self._request = hiredis.pack_command(("GET", "big"))

    def ask_more(self) -> None:
        with contextlib.suppress(
            BlockingIOError, ConnectionError
        ):  # it reads no more of us, or has closed: both are right
            self._raw.socket.send(self._request * 5)

    def close(self) -> None:
        self._raw.close()


def test_a_frame_a_key_and_a_value_over_their_limits_are_refused(grid: LiveGrid) -> None:
    with grid.raw("p0-0") as raw:
        answer = raw.call("SET", "k" * (64 * 1024 + 1), "value")
        assert isinstance(answer, hiredis.ReplyError)
        assert raw.call("PING") == b"PONG"
    with grid.raw("p0-0") as raw:
        raw.socket.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (64 * MIB + 1))
        answer = raw.reply()
        assert isinstance(answer, hiredis.ReplyError)
        assert "Protocol error: invalid bulk length" in str(answer)
        assert raw.at_end()


def test_a_thousand_connections_that_come_and_go_leave_nothing_behind(grid: LiveGrid) -> None:
    process = psutil.Process(grid.pid("p0-0"))
    before = process.num_fds()
    for _ in range(10):
        connections = [grid.raw("p0-0") for _ in range(100)]
        for raw in connections:
            raw.send("PING")
        for raw in connections:
            raw.close()
    wait_until(lambda: process.num_fds() <= before + 5, what="the member's sockets closed")
