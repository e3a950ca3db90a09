"""Whom a member believes: coordinators without their data, other grids, and people without the secret."""

import asyncio
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes, wait_until

from kubegrid import transport


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path, copies=2, replication=PATIENT) as grid:
        yield grid.start()


def writes_go_on(grid: GridProcesses, name: str, seconds: float) -> None:
    client = grid.client(name)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert client.set("key", "value")
        time.sleep(0.01)


def complaints(grid: GridProcesses, name: str, words: str) -> int:
    return sum(words in line for line in grid.log(name).splitlines())


def test_a_manager_that_lost_its_data_is_refused_and_the_data_go_on(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    before = wait_until(lambda: pair.describe(primary))
    pair.kill("m0")
    for path in (pair.folder / "m0").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    pair.start_manager()
    wait_until(lambda: (pair.describe(primary) or {}).get("managers_connected"), what="the manager is back")
    writes_go_on(pair, primary, 4)
    after = wait_until(lambda: pair.describe(primary))
    assert after["configuration"] == before["configuration"]
    assert pair.wait_whole() == primary


def test_a_manager_with_older_data_changes_nothing(pair: GridProcesses) -> None:
    primary = pair.wait_whole()
    backup = next(name for name in pair.members() if name != primary)
    pair.kill("m0")
    shutil.copytree(pair.folder / "m0", pair.folder / "old")
    pair.start_manager()
    wait_until(lambda: (pair.describe(primary) or {}).get("managers_connected"), what="the manager is back")
    assert pair.hand_over(primary) == backup
    pair.wait_whole()
    pair.kill("m0")
    shutil.rmtree(pair.folder / "m0")
    shutil.move(pair.folder / "old", pair.folder / "m0")
    pair.start_manager()
    writes_go_on(pair, backup, 4)
    described = wait_until(lambda: pair.describe(backup))
    assert described["configuration"]["primary"][0] == backup
    assert pair.wait_whole() == backup


def test_a_grid_with_a_secret_lets_in_who_knows_it(tmp_path: Path) -> None:
    with grid_processes(tmp_path, copies=2, secret="correct horse") as grid:
        primary = grid.start().wait_whole()
        assert grid.client(primary).set("key", "value")
        stranger = redis.Redis(port=grid.ports[primary][0])
        with pytest.raises(redis.AuthenticationError):
            stranger.get("key")
        hello = transport.Hello(kind="member", grid=grid.grid_id, name="p0-1", incarnation=uuid.uuid4().hex)
        for secret in (None, b"wrong"):
            with pytest.raises(transport.TransportError):
                asyncio.run(connect(grid.ports[primary][2], hello, secret))
        grid.secret = "wrong"
        assert grid.get(primary, "/v1/member")[0] == 401
        assert grid.get(primary, "/readyz")[0] == 200


async def connect(port: int, hello: transport.Hello, secret: bytes | None) -> None:
    await transport.connect("127.0.0.1", port, hello, secret, lambda *_: None, lambda *_: None, timeout_s=30)


def test_a_peer_that_sends_garbage_is_cut_and_nothing_else_happens(pair: GridProcesses) -> None:
    primary = pair.wait_whole()

    async def send_garbage() -> str:
        closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        hello = transport.Hello(kind="member", grid=pair.grid_id, name="p0-1", incarnation=uuid.uuid4().hex)
        link = await transport.connect(
            "127.0.0.1",
            pair.ports[primary][2],
            hello,
            None,
            lambda *_: None,
            lambda _, reason: closed.set_result(reason),
            timeout_s=30,
        )
        link.send(b"\xc1 this is no message")
        return await asyncio.wait_for(closed, 60)

    asyncio.run(send_garbage())
    assert complaints(pair, primary, "peer cut") == 1
    assert pair.client(primary).set("key", "value")
    assert pair.wait_whole() == primary


def test_a_member_with_an_unusable_configuration_says_so_in_one_line(tmp_path: Path) -> None:
    with grid_processes(tmp_path, copies=1) as grid:
        grid.start_member("p0-0", partitions=0)
        assert grid.processes["p0-0"].wait(60) == 2
        assert grid.log("p0-0").strip().startswith("kubegrid node: ")
        assert len(grid.log("p0-0").strip().splitlines()) == 1
