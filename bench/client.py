"""KubeGrid's Python client against redis-py's `RedisCluster` on the same grid, and against Hazelcast 5 and Ignite 2 with theirs.

    python -m bench.client [--rounds 5] [--seconds 1] [--only redis-py|hazelcast|ignite] [--members-sleep]

For the figures of `README.md`: a machine with nothing else running, `python -m bench.client --rounds 5 --seconds 2`
(about 4 minutes, most of it the Java peers' start and warming up).

One partition with a synchronous backup; Hazelcast and Ignite are two nodes each with one synchronous backup. 10,000 keys,
100-byte values, one process, one thread. "Single" is one operation after the other; "no busy wait" the same with
`connect(…, busy_wait=0)`, for which there is no goal. "In flight" is 1,000 at a time: with asyncio, 1,000 awaitables
gathered; with a pipeline, 1,000 commands in one. Clients and servers share the machine's cores.
redis-py's asyncio client has one command under way on a connection, so it is allowed a connection for each.
Hazelcast's `set` is compared, not its `put`, which would also send the old value back.
"""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis.asyncio
from redis.cluster import RedisCluster

import kubegrid
from bench import java_peers
from bench.local_grid import running_grid
from bench.measuring import HEADING, Comparison, compare

KEYS = [f"key:{number:06d}" for number in range(10_000)]
VALUE = b"x" * 100
SINGLES = 100
"""Single operations between two looks at the clock."""
IN_FLIGHT = 1000
SINGLE_AT_LEAST = 1.4
IN_FLIGHT_AT_LEAST = 3.0
PEER_AT_LEAST = 3.0
PEER_WARM_UP_ROUNDS = 3
"""More rounds for the Java peers before measuring: their code is compiled while it runs."""

Operations = tuple[Callable[[str], Any], Callable[[str], Any], Callable[[int], int], Callable[[int], int]]
"""put and get of one key; many puts and many gets at once, from the number of the call to how many."""


def singles(operation: Callable[[str], Any]) -> Callable[[int], int]:
    """`SINGLES` operations, one after the other."""

    def work(call: int) -> int:
        start = call * SINGLES % len(KEYS)
        for key in KEYS[start : start + SINGLES]:
            operation(key)
        return SINGLES

    return work


def gathered(loop: asyncio.AbstractEventLoop, operation: Callable[[str], Awaitable[Any]]) -> Callable[[int], int]:
    """`IN_FLIGHT` operations gathered."""

    async def all_of(start: int) -> None:
        await asyncio.gather(*[operation(key) for key in KEYS[start : start + IN_FLIGHT]])

    def work(call: int) -> int:
        loop.run_until_complete(all_of(call * IN_FLIGHT % len(KEYS)))
        return IN_FLIGHT

    return work


def piped(collect: Callable[[list[str]], None]) -> Callable[[int], int]:
    """`IN_FLIGHT` commands in one pipeline."""

    def work(call: int) -> int:
        start = call * IN_FLIGHT % len(KEYS)
        collect(KEYS[start : start + IN_FLIGHT])
        return IN_FLIGHT

    return work


class Ours:
    """The same operations through KubeGrid's clients."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.grid = kubegrid.connect(f"127.0.0.1:{port}")
        self.sleeping = kubegrid.connect(f"127.0.0.1:{port}", busy_wait=0)
        self.asynchronous = loop.run_until_complete(kubegrid.connect_async(f"127.0.0.1:{port}"))

    def put(self, key: str) -> Any:
        return self.grid.set(key, VALUE)

    def get(self, key: str) -> Any:
        return self.grid.get(key)

    def put_sleeping(self, key: str) -> Any:
        return self.sleeping.set(key, VALUE)

    def get_sleeping(self, key: str) -> Any:
        return self.sleeping.get(key)

    def put_async(self, key: str) -> Awaitable[Any]:
        return self.asynchronous.set(key, VALUE)

    def get_async(self, key: str) -> Awaitable[Any]:
        return self.asynchronous.get(key)

    def put_piped(self, keys: list[str]) -> None:
        with self.grid.pipeline() as pipe:
            for key in keys:
                pipe.set(key, VALUE)

    def get_piped(self, keys: list[str]) -> None:
        with self.grid.pipeline() as pipe:
            found = [pipe.get(key) for key in keys]
        assert found[0].result() == VALUE

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        self.grid.close()
        self.sleeping.close()
        loop.run_until_complete(self.asynchronous.close())


def against_redis_py(
    ours: Ours, port: int, loop: asyncio.AbstractEventLoop, options: dict[str, Any]
) -> list[Comparison]:
    theirs = RedisCluster(host="127.0.0.1", port=port)
    asynchronous = redis.asyncio.RedisCluster(host="127.0.0.1", port=port, max_connections=2 * IN_FLIGHT)

    def put_piped(keys: list[str]) -> None:
        pipe = theirs.pipeline(transaction=False)
        for key in keys:
            pipe.set(key, VALUE)
        pipe.execute()

    def get_piped(keys: list[str]) -> None:
        pipe = theirs.pipeline(transaction=False)
        for key in keys:
            pipe.get(key)
        assert pipe.execute()[0] == VALUE

    def in_flight(name: str, mine: Callable[[int], int], other: Callable[[int], int]) -> Comparison:
        return compare(f"redis-py: {name}, 1,000 in flight", mine, other, at_least=IN_FLIGHT_AT_LEAST, **options)

    single = {"at_least": SINGLE_AT_LEAST, **options}
    aside = {"at_least": None, **options}
    put, get = singles(lambda key: theirs.set(key, VALUE)), singles(theirs.get)
    found = [
        compare("redis-py: SET, single", singles(ours.put), put, **single),
        compare("redis-py: GET, single", singles(ours.get), get, **single),
        compare("redis-py: SET, single, no busy wait", singles(ours.put_sleeping), put, **aside),
        compare("redis-py: GET, single, no busy wait", singles(ours.get_sleeping), get, **aside),
        in_flight("SET, asyncio", gathered(loop, ours.put_async), gathered(loop, lambda k: asynchronous.set(k, VALUE))),
        in_flight("GET, asyncio", gathered(loop, ours.get_async), gathered(loop, asynchronous.get)),
        in_flight("SET, pipeline", piped(ours.put_piped), piped(put_piped)),
        in_flight("GET, pipeline", piped(ours.get_piped), piped(get_piped)),
    ]
    loop.run_until_complete(asynchronous.aclose())
    theirs.close()
    return found


def mend_hazelcasts_waking() -> None:
    """Let Hazelcast's client 5.5 be as fast as it is meant to be.

    It wakes its reactor through a pipe, unless that was done already and not been noticed. The reactor notices first and
    empties the pipe then, so the byte of a request in between is lost, and nobody writes one again: every later request waits
    for the reactor's next look, 10 ms. Here the pipe is emptied first.
    """
    reactor: Any = importlib.import_module("hazelcast.reactor")

    def handle_read(waker: Any) -> None:
        with suppress(OSError):
            while len(os.read(waker._read_fd, 4096)) == 4096:
                pass
        waker.awake = False

    reactor._PipedWaker.handle_read = handle_read


@contextmanager
def hazelcast_operations() -> Iterator[Operations]:
    """put, get, and many of both at once."""
    client_module: Any = importlib.import_module("hazelcast")
    mend_hazelcasts_waking()
    futures: Any = importlib.import_module("hazelcast.future")
    with java_peers.running_hazelcast() as addresses:
        client = client_module.HazelcastClient(cluster_name="bench", cluster_members=addresses)
        try:
            many = client.get_map("bench")
            one = many.blocking()

            def put_many(keys: list[str]) -> None:
                futures.combine_futures([many.set(key, VALUE) for key in keys]).result()

            def get_many(keys: list[str]) -> None:
                futures.combine_futures([many.get(key) for key in keys]).result()

            yield lambda key: one.set(key, VALUE), one.get, piped(put_many), piped(get_many)
        finally:
            client.shutdown()


@contextmanager
def ignite_operations(loop: asyncio.AbstractEventLoop) -> Iterator[Operations]:
    """put, get, and many of both at once."""
    ignite: Any = importlib.import_module("pyignite")
    config: Any = importlib.import_module("pyignite.datatypes.cache_config")
    properties: Any = importlib.import_module("pyignite.datatypes.prop_codes")
    settings = {
        properties.PROP_NAME: "bench",
        properties.PROP_BACKUPS_NUMBER: 1,
        properties.PROP_CACHE_MODE: config.CacheMode.PARTITIONED,
        properties.PROP_WRITE_SYNCHRONIZATION_MODE: config.WriteSynchronizationMode.FULL_SYNC,
    }
    with java_peers.running_ignite() as addresses:
        client = ignite.Client(partition_aware=True)
        asynchronous = ignite.AioClient(partition_aware=True)
        with client.connect(addresses):
            one = client.get_or_create_cache(settings)
            loop.run_until_complete(asynchronous._connect(addresses))
            many = loop.run_until_complete(asynchronous.get_cache("bench"))
            yield (
                lambda key: one.put(key, VALUE),
                one.get,
                gathered(loop, lambda key: many.put(key, VALUE)),
                gathered(loop, many.get),
            )
            loop.run_until_complete(asynchronous.close())


def against_peer(
    name: str,
    ours: Ours,
    operations: Operations,
    loop: asyncio.AbstractEventLoop,
    options: dict[str, Any],
) -> list[Comparison]:
    put, get, put_many, get_many = operations
    for _ in range(PEER_WARM_UP_ROUNDS):
        for work in (singles(put), singles(get), put_many, get_many):
            for call in range(10 if work in (put_many, get_many) else 50):
                work(call)
    put_async, get_async = gathered(loop, ours.put_async), gathered(loop, ours.get_async)
    wanted = {"at_least": PEER_AT_LEAST, **options}
    aside = {"at_least": None, **options}
    return [
        compare(f"{name}: put, single", singles(ours.put), singles(put), **wanted),
        compare(f"{name}: get, single", singles(ours.get), singles(get), **wanted),
        compare(f"{name}: put, single, no busy wait", singles(ours.put_sleeping), singles(put), **aside),
        compare(f"{name}: get, single, no busy wait", singles(ours.get_sleeping), singles(get), **aside),
        compare(f"{name}: put, 1,000 in flight", put_async, put_many, **wanted),
        compare(f"{name}: get, 1,000 in flight", get_async, get_many, **wanted),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="about how long one round of one figure takes")
    parser.add_argument("--only", choices=["redis-py", "hazelcast", "ignite"])
    parser.add_argument("--members-sleep", action="store_true", help="our grid has `busyWait: false` in its manifest")
    args = parser.parse_args()
    options: dict[str, Any] = {"rounds": args.rounds, "seconds": args.seconds}
    loop = asyncio.new_event_loop()
    found: list[Comparison] = []
    missing = ""
    print(HEADING)
    with running_grid(partitions=1, backups=1, busy_wait=not args.members_sleep) as grid:
        ours = Ours(grid.port, loop)
        ours.grid.set_many(dict.fromkeys(KEYS, VALUE))
        if args.only in (None, "redis-py"):
            found += against_redis_py(ours, grid.port, loop, options)
        try:
            if args.only != "redis-py":
                java_peers.prepare()
            if args.only in (None, "hazelcast"):
                with hazelcast_operations() as operations:
                    found += against_peer("Hazelcast 5", ours, operations, loop, options)
            if args.only in (None, "ignite"):
                with ignite_operations(loop) as operations:
                    found += against_peer("Ignite 2", ours, operations, loop, options)
        except java_peers.PeerMissing as problem:
            missing = str(problem)
        ours.close(loop)
    loop.close()
    if missing:
        print(f"not compared with the Java peers: {missing}", file=sys.stderr)
    return 0 if found and all(one.reached for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
