"""valkey-glide's cluster client, unmodified: its core is not Python's, and it asks other questions than redis-py."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from glide import (
    ClusterBatch,
    ClusterScanCursor,
    ExpirySet,
    ExpiryType,
    GlideClusterClient,
    GlideClusterClientConfiguration,
    GlideError,
    NodeAddress,
    ProtocolVersion,
    RequestError,
)
from tests.e2e.live_grid import WAIT_S, LiveGrid, live_grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("glide")) as grid:
        yield grid


@pytest.fixture(params=[ProtocolVersion.RESP2, ProtocolVersion.RESP3], ids=["RESP2", "RESP3"])
async def client(grid: LiveGrid, request: pytest.FixtureRequest) -> AsyncIterator[GlideClusterClient]:
    configuration = GlideClusterClientConfiguration(
        addresses=[NodeAddress("127.0.0.1", grid.port)], protocol=request.param, request_timeout=20_000
    )
    client = await GlideClusterClient.create(configuration)
    await client.flushall()
    yield client
    await client.close()


async def test_strings_of_every_slot_are_written_and_read_back(client: GlideClusterClient) -> None:
    for number in range(200):
        assert await client.set(f"glide:{number}", f"value {number}") == "OK"
    assert [await client.get(f"glide:{n}") for n in range(200)] == [f"value {n}".encode() for n in range(200)]
    assert await client.dbsize() == 200
    assert await client.incrby("count", 5) == 5
    assert await client.exists(["glide:1", "glide:2", "none"]) == 2
    assert await client.delete([f"glide:{number}" for number in range(200)]) == 200


async def test_many_keys_in_one_call(client: GlideClusterClient) -> None:
    assert await client.mset({f"many:{number}": str(number) for number in range(100)}) == "OK"
    assert await client.mget([f"many:{number}" for number in range(100)]) == [str(n).encode() for n in range(100)]


async def test_hashes(client: GlideClusterClient) -> None:
    assert await client.hset("hash", {"a": "1", "b": "2"}) == 2
    assert await client.hgetall("hash") == {b"a": b"1", b"b": b"2"}
    assert await client.hincrby("hash", "a", 4) == 5
    with pytest.raises(RequestError, match="WRONGTYPE"):
        await client.incr("hash")


async def test_transactions_and_pipelines(client: GlideClusterClient) -> None:
    transaction = ClusterBatch(is_atomic=True)
    transaction.set("{t}:a", "1")
    transaction.incr("{t}:a")
    assert await client.exec(transaction, raise_on_error=True) == ["OK", 2]
    pipeline = ClusterBatch(is_atomic=False)
    for number in range(50):
        pipeline.set(f"piped:{number}", str(number))
    assert await client.exec(pipeline, raise_on_error=True) == ["OK"] * 50
    assert await client.get("piped:49") == b"49"


async def test_scanning_the_cluster_finds_every_key_once(client: GlideClusterClient) -> None:
    await client.mset({f"scanned:{number}": "1" for number in range(500)})
    cursor = ClusterScanCursor()
    found: list[bytes] = []
    while not cursor.is_finished():
        cursor, keys = await client.scan(cursor, match="scanned:*", count=50)  # type: ignore[misc,assignment]
        found += keys  # type: ignore[arg-type]
    assert sorted(found) == sorted(f"scanned:{number}".encode() for number in range(500))


async def test_expiry(client: GlideClusterClient) -> None:
    await client.set("brief", "here", expiry=ExpirySet(ExpiryType.SEC, 100))
    assert 0 < await client.ttl("brief") <= 100
    assert await client.pexpire("brief", 1)
    for _ in range(1000):
        if await client.get("brief") is None:
            break
    assert await client.exists(["brief"]) == 0


async def test_it_finds_the_new_primary_after_a_failover(grid: LiveGrid, client: GlideClusterClient) -> None:
    await asyncio.to_thread(grid.wait_whole)
    victim = grid.primary(1)
    keys = grid.keys_of(1, "failover")
    acknowledged = []
    for _ in range(100):
        acknowledged.append(next(keys))
        await client.set(acknowledged[-1], "value")
    await asyncio.to_thread(grid.kill, victim)
    until = time.monotonic() + WAIT_S
    answered = 0
    while answered < 100:
        assert time.monotonic() < until, "the client did not find the new primary"
        key = next(keys)
        with contextlib.suppress(GlideError):
            await client.set(key, "value")
            acknowledged.append(key)
            answered += 1
    assert await client.mget(acknowledged) == [b"value"] * len(acknowledged)
    await asyncio.to_thread(grid.wait_whole)
