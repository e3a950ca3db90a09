"""redis-py's `RedisCluster`, unmodified and with its defaults, synchronous and asynchronous, RESP2 and RESP3."""

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import LoadBalancingStrategy, RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError, WatchError
from tests.e2e.live_grid import WAIT_S, LiveGrid, live_grid, wait_until


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("redis_py")) as grid:
        yield grid


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(grid: LiveGrid, request: pytest.FixtureRequest) -> Iterator["RedisCluster[Any]"]:
    client = grid.client(protocol=request.param)
    client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    client.close()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
async def async_client(grid: LiveGrid, request: pytest.FixtureRequest) -> AsyncIterator["AsyncRedisCluster[Any]"]:
    client = AsyncRedisCluster(host="127.0.0.1", port=grid.port, protocol=request.param)
    await client.flushall(target_nodes=AsyncRedisCluster.PRIMARIES)
    yield client
    await client.aclose()


def test_it_finds_every_member_and_every_slot(grid: LiveGrid, client: "RedisCluster[Any]") -> None:
    assert {node.port for node in client.get_nodes()} == {grid.resp_port(name) for name in grid.names()}
    assert len(client.get_primaries()) == 3
    assert client.nodes_manager.slots_cache.keys() == set(range(16384))
    assert client.cluster_info(target_nodes=RedisCluster.RANDOM)["cluster_state"] == "ok"


def test_strings_of_every_slot_are_written_and_read_back(client: "RedisCluster[Any]") -> None:
    for number in range(300):
        assert client.set(f"string:{number}", f"value {number}")
    assert [client.get(f"string:{number}") for number in range(300)] == [f"value {n}".encode() for n in range(300)]
    assert client.incr("counter") == 1
    assert client.incrbyfloat("counter", 0.5) == 1.5
    assert client.append("string:0", "!") == 8
    assert client.getrange("string:0", 0, 4) == b"value"
    assert client.set("string:0", "new", xx=True, get=True) == b"value 0!"
    assert client.set("string:0", "newer", nx=True) is None
    assert client.getdel("string:0") == b"new"
    assert client.get("string:0") is None


def test_keys_of_several_slots_in_one_call_are_spread_by_the_client(client: "RedisCluster[Any]") -> None:
    pairs = {f"spread:{number}": str(number) for number in range(50)}
    assert client.mset_nonatomic(pairs)
    assert client.mget_nonatomic(list(pairs)) == [value.encode() for value in pairs.values()]
    assert client.exists(*pairs) == 50
    assert client.delete(*pairs) == 50


def test_keys_of_several_slots_in_one_command_are_refused(client: "RedisCluster[Any]") -> None:
    with pytest.raises((RedisClusterException, RedisError, ResponseError)):
        client.mset({"spread:a": "1", "spread:b": "2"})
    assert client.mset({"{tag}:a": "1", "{tag}:b": "2"})
    assert client.mget("{tag}:a", "{tag}:b") == [b"1", b"2"]


def test_hashes(client: "RedisCluster[Any]") -> None:
    fields = {f"field {number}": f"value {number}" for number in range(40)}
    assert client.hset("hash", mapping=fields) == 40
    assert client.hgetall("hash") == {name.encode(): value.encode() for name, value in fields.items()}
    assert client.hmget("hash", ["field 1", "none"]) == [b"value 1", None]
    assert client.hincrby("hash", "count", 3) == 3
    assert client.hdel("hash", "field 1", "none") == 1
    assert client.hlen("hash") == 40
    assert not client.hexists("hash", "field 1")
    assert len(list(client.hscan_iter("hash"))) == 40
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        client.incr("hash")


def test_a_pipeline_over_all_partitions_keeps_the_order_of_its_answers(client: "RedisCluster[Any]") -> None:
    with client.pipeline() as pipe:
        for number in range(500):
            pipe.set(f"piped:{number}", number)
            pipe.get(f"piped:{number}")
        answers = pipe.execute()
    assert answers[::2] == [True] * 500
    assert answers[1::2] == [str(number).encode() for number in range(500)]


def test_a_transaction_happens_as_a_whole(client: "RedisCluster[Any]") -> None:
    with client.pipeline(transaction=True) as pipe:
        pipe.set("{account}:a", 10)
        pipe.decrby("{account}:a", 3)
        pipe.incrby("{account}:b", 3)
        assert pipe.execute()[1:] == [7, 3]


def test_a_transaction_whose_watched_key_changed_does_nothing(client: "RedisCluster[Any]") -> None:
    client.set("{account}:a", 10)
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("{account}:a")
        assert pipe.get("{account}:a") == b"10"
        client.incr("{account}:a")
        pipe.multi()
        pipe.set("{account}:a", 0)
        with pytest.raises(WatchError):
            pipe.execute()
    assert client.get("{account}:a") == b"11"


def test_scanning_the_cluster_finds_every_key_once(client: "RedisCluster[Any]") -> None:
    wanted = {f"scanned:{number}".encode() for number in range(2000)}
    with client.pipeline() as pipe:
        for key in wanted:
            pipe.set(key, 1)
        pipe.execute()
    client.set("other", 1)
    found = list(client.scan_iter(match="scanned:*", count=100))
    assert len(found) == 2000
    assert set(found) == wanted
    assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == 2001
    tens = client.keys("scanned:1?", target_nodes=RedisCluster.PRIMARIES)
    assert set(tens) == {f"scanned:1{digit}".encode() for digit in range(10)}


def test_keys_expire(client: "RedisCluster[Any]") -> None:
    client.set("brief", "here", px=150)
    client.hset("brief:hash", "field", "here")
    client.pexpire("brief:hash", 150)
    client.set("long", "here", ex=100)
    assert 0 < client.pttl("brief") <= 150
    assert 0 < client.ttl("long") <= 100
    wait_until(lambda: client.get("brief") is None and not client.exists("brief:hash"), what="the keys expiring")
    assert client.persist("long")
    assert client.ttl("long") == -1


def test_backups_answer_reads_of_clients_that_ask_for_it(grid: LiveGrid) -> None:
    client = grid.client(load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN)
    client.set("replicated", "value")
    answers = {client.get("replicated") for _ in range(20)}
    wait_until(lambda: {client.get("replicated") for _ in range(20)} == {b"value"}, what="the backup having it")
    assert answers <= {b"value", None}  # committed data, possibly old
    client.close()


def test_unknown_commands_are_answered_as_redis_does(grid: LiveGrid) -> None:
    with grid.raw("p0-0") as raw:
        answer = raw.call("NOSUCH", "key", "value")
        assert str(answer) == "ERR unknown command 'NOSUCH', with args beginning with: 'key' 'value' "
        assert raw.call("PING") == b"PONG"


@pytest.mark.parametrize("protocol", [2, 3])
def test_types_of_answers_follow_the_protocol(grid: LiveGrid, protocol: int) -> None:
    with grid.raw("p0-0") as raw:
        hello = raw.call("HELLO", str(protocol))
        assert isinstance(hello, dict if protocol == 3 else list)
        raw.call("DEL", grid.key_of(0))
        raw.call("HSET", grid.key_of(0), "field", "value")
        assert raw.call("HGETALL", grid.key_of(0)) == ({b"field": b"value"} if protocol == 3 else [b"field", b"value"])


async def test_asyncio_strings_and_hashes(async_client: "AsyncRedisCluster[Any]") -> None:
    for number in range(100):
        assert await async_client.set(f"async:{number}", number)
    assert [await async_client.get(f"async:{n}") for n in range(100)] == [str(n).encode() for n in range(100)]
    assert await async_client.hset("hash", mapping={"a": "1", "b": "2"}) == 2
    assert await async_client.hgetall("hash") == {b"a": b"1", b"b": b"2"}


async def test_asyncio_pipeline_and_scan(async_client: "AsyncRedisCluster[Any]") -> None:
    async with async_client.pipeline() as pipe:
        for number in range(300):
            pipe.set(f"async:{number}", number)
        assert await pipe.execute() == [True] * 300
    found = [key async for key in async_client.scan_iter(match="async:*")]
    assert sorted(found) == sorted(f"async:{number}".encode() for number in range(300))


async def test_asyncio_transaction(async_client: "AsyncRedisCluster[Any]") -> None:
    async with async_client.pipeline(transaction=True) as pipe:
        pipe.set("{t}:a", 1)
        pipe.incr("{t}:a")
        assert (await pipe.execute())[1:] == [2]


async def test_asyncio_watch(async_client: "AsyncRedisCluster[Any]") -> None:
    await async_client.set("{t}:a", 1)
    async with async_client.pipeline(transaction=True) as pipe:
        await pipe.watch("{t}:a")
        await async_client.incr("{t}:a")
        pipe.multi()
        pipe.set("{t}:a", 0)
        with pytest.raises(WatchError):
            await pipe.execute()
    assert await async_client.get("{t}:a") == b"2"


async def test_asyncio_finds_the_new_primary_after_a_failover(grid: LiveGrid) -> None:
    await asyncio.to_thread(grid.wait_whole)
    victim = grid.primary(1)
    keys = grid.keys_of(1, "failover")
    client = AsyncRedisCluster(host="127.0.0.1", port=grid.port)
    acknowledged = [next(keys) for _ in range(100)]
    for key in acknowledged:
        await client.set(key, "value")
    await asyncio.to_thread(grid.kill, victim)
    until = time.monotonic() + WAIT_S
    answered = 0
    while answered < 100:
        assert time.monotonic() < until, "the client did not find the new primary"
        key = next(keys)
        with contextlib.suppress(RedisError, RedisClusterException, OSError):
            await client.set(key, "value")
            acknowledged.append(key)
            answered += 1
    assert [await client.get(key) for key in acknowledged] == [b"value"] * len(acknowledged)
    await client.aclose()
    await asyncio.to_thread(grid.wait_whole)


FORKING = """
    import os, sys
    from redis.cluster import LoadBalancingStrategy, RedisCluster

    client = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))
    for n in range(50):
        client.set(f"before:{n}", n)
    child = os.fork()
    who = "parent" if child else "child"
    for n in range(1000):
        client.set(f"{who}:{n}", f"{who} {n}")
        got = client.get(f"{who}:{n}")
        if got != f"{who} {n}".encode():
            print(f"{who} wrote {n} and read {got}")
            os._exit(1)
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)
"""


def test_a_client_that_forks_goes_on_on_both_sides(grid: LiveGrid) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKING), str(grid.port)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with contextlib.closing(grid.client()) as client:
        assert client.mget_nonatomic("parent:999", "child:999") == [b"parent 999", b"child 999"]
