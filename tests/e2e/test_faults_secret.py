"""Who may talk to a grid: clients with the password, members with the secret, and nobody from elsewhere without one."""

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
from redis.cluster import RedisCluster
from redis.exceptions import AuthenticationError, RedisClusterException
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until

from kubegrid import transport

SECRET = "correct horse battery staple"


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("secret"), partitions=1, secret=SECRET) as grid:
        yield grid


def test_a_client_must_authenticate_first(grid: LiveGrid) -> None:
    with grid.raw("p0-0") as raw:
        for words in (["GET", "key"], ["SET", "key", "value"], ["CLUSTER", "SLOTS"], ["INFO"], ["FLUSHALL"]):
            answer = raw.call(*words)
            assert isinstance(answer, hiredis.ReplyError)
            assert str(answer).startswith("NOAUTH Authentication required")
        answer = raw.call("AUTH", "wrong")
        assert str(answer).startswith("WRONGPASS invalid username-password pair or user is disabled.")
        assert str(raw.call("GET", "key")).startswith("NOAUTH")
        assert raw.call("AUTH", SECRET) == b"OK"
        assert raw.call("SET", "key", "value") == b"OK"
    with grid.raw("p0-0") as raw:
        assert raw.call("AUTH", "default", SECRET) == b"OK"
        assert raw.call("GET", "key") == b"value"
    with grid.raw("p0-0") as raw:
        assert isinstance(raw.call("HELLO", "3", "AUTH", "default", SECRET), dict)
        assert raw.call("GET", "key") == b"value"


def test_redis_py_with_and_without_the_password(grid: LiveGrid) -> None:
    with contextlib.closing(grid.client()) as client:
        assert client.set("key", "value")
    with pytest.raises((AuthenticationError, RedisClusterException)):
        RedisCluster(host="127.0.0.1", port=grid.port).get("key")
    with pytest.raises((AuthenticationError, RedisClusterException)):
        RedisCluster(host="127.0.0.1", port=grid.port, password="wrong").get("key")


def test_rest_wants_the_secret_and_probes_do_not(grid: LiveGrid) -> None:
    member = grid.member("p0-0")["http"]
    manager = grid.status()["managers"][0]["http"]
    for address, path in ((manager, "/v1/status"), (member, "/v1/member")):
        assert _get(address, path) == 401
        assert _get(address, path, "wrong") == 401
        assert _get(address, path, SECRET) == 200
    for path in ("/livez", "/readyz", "/metrics"):
        assert _get(member, path) == 200
        assert _get(manager, path) == 200


def _get(address: str, path: str, secret: str | None = None) -> int:
    request = urllib.request.Request(f"http://{address}{path}")
    if secret is not None:
        request.add_header("Authorization", f"Bearer {secret}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def replication_port(grid: LiveGrid, name: str) -> int:
    return int(json.loads(grid.places.config(name).read_text())["replication_port"])


def knock(running: LiveGrid, port: int, secret: bytes | None, **changes: object) -> str:
    """Try to make a link as a member of the grid would; why it was refused."""
    hello = transport.Hello(kind="member", grid=running.status()["id"], name="p0-1", incarnation="intruder")
    hello = transport.Hello(**{f: getattr(hello, f) for f in hello.__struct_fields__} | changes)

    async def try_it() -> str:
        try:
            link = await transport.connect(
                "127.0.0.1", port, hello, secret, lambda link, payload: None, lambda link, reason: None, timeout_s=5
            )
        except transport.Refused as refused:
            return str(refused)
        link.close("not expected")
        return ""

    return asyncio.run(try_it())


@pytest.mark.parametrize("who", ["p0-0", "m0"])
def test_a_peer_without_or_with_a_wrong_secret_is_refused(grid: LiveGrid, who: str) -> None:
    config = json.loads(grid.places.config(who).read_text())
    port = config["replication_port"] if who == "p0-0" else config["coordination_port"]
    refusal = knock(grid, port, None)
    assert "was not" in refusal
    assert "secret" in refusal
    refusal = knock(grid, port, b"another secret")
    assert "another secret" in refusal
    wait_until(lambda: "member p0-1 was not" in grid.log(who), what="the refusal in the log, both named")
    wait_until(lambda: "the proof of member p0-1 is wrong" in grid.log(who), what="the wrong proof in the log")


@pytest.mark.parametrize("who", ["p0-0", "m0"])
def test_a_peer_of_another_protocol_version_is_refused_both_named(grid: LiveGrid, who: str) -> None:
    config = json.loads(grid.places.config(who).read_text())
    port = config["replication_port"] if who == "p0-0" else config["coordination_port"]
    refusal = knock(grid, port, SECRET.encode(), versions=(90, 95))
    assert "no protocol version in common" in refusal
    assert f"{'member' if who == 'p0-0' else 'manager'} {who} speaks 1" in refusal
    assert "member p0-1 speaks 90 to 95" in refusal
    wait_until(lambda: "member p0-1 speaks 90 to 95" in grid.log(who), what="the refusal in the log")
    assert f"{who} speaks 1" in grid.log(who)


def test_a_peer_of_another_grid_is_refused(grid: LiveGrid) -> None:
    refusal = knock(grid, replication_port(grid, "p0-0"), SECRET.encode(), grid="00000000-0000-0000-0000-000000000000")
    assert "another grid" in refusal


def test_the_secret_stands_in_no_log_no_argument_and_no_environment(grid: LiveGrid) -> None:
    for name in ["m0", "supervisor", *grid.names()]:
        assert SECRET not in grid.log(name)
    for process in grid.processes():
        assert SECRET not in " ".join(process.cmdline())
        if "--config" in process.cmdline():
            assert SECRET not in str(process.environ())
    readable = [
        file for file in grid.directory.rglob("*") if file.is_file() and SECRET in file.read_text(errors="replace")
    ]
    assert [file.name for file in readable] == ["secret"]
    assert readable[0].stat().st_mode & 0o077 == 0


def test_listening_elsewhere_without_a_secret_is_refused(tmp_path: Path) -> None:
    grid = LiveGrid(tmp_path, partitions=1)
    manifest = grid.write_manifest()
    for address in ("0.0.0.0", "192.0.2.7"):
        done = grid.run("up", str(manifest), "--bind", address, "--port", str(grid.port), "--detach", check=False)
        assert done.returncode == 2
        assert "secret" in done.stderr
    assert not grid.places.grid.exists()
    assert grid.processes() == []


def test_without_a_secret_everything_listens_on_loopback_only(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1) as grid:
        for name in ["m0", *grid.names()]:
            process = next(p for p in grid.processes() if p.pid == grid.pid(name))
            # gRPC's sockets are of IPv6, with the address of IPv4 mapped into it.
            addresses = [c.laddr.ip for c in process.net_connections("inet") if c.status == "LISTEN"]
            listening = [address.removeprefix("::ffff:") for address in addresses]
            assert listening
            assert set(listening) == {"127.0.0.1"}
