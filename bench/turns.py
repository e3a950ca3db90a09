"""How long the serving loop stands still: the longest turn of a primary and of its backup under work that could stop it.

    python -m bench.turns [--keys 1000000] [--only NAME]

For the figures of `README.md`: a machine with nothing else running (about 6 minutes). Each piece of work runs on a partition
with a backup; then both members are asked for the longest turn of the time since (`/v1/member`), which they also measure as
the delay of a timer, so whatever else kept the loop from turning counts, too. The limit of the design is 50 ms.
"""

import argparse
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import redis

import kubegrid
from bench.local_grid import LocalGrid, running_grid

LIMIT_MS = 50
FORGET_S = 21.0
"""After which a member no longer tells of a turn that is over."""
BATCH = 10_000
MIB = 1024 * 1024

Work = Callable[[redis.Redis, kubegrid.Grid, int], object]


def fill(client: redis.Redis, keys: int, **options: Any) -> None:
    for start in range(0, keys, BATCH):
        pipe = client.pipeline(transaction=False)
        for number in range(start, min(keys, start + BATCH)):
            pipe.set(f"key:{number}", b"x" * 100, **options)
        pipe.execute()


def all_keys(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    return len(client.keys("*7*"))


def flush(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    return client.flushall()


def expire_together(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    """A tenth of the keys, within one millisecond."""
    fill(client, keys // 10, pxat=int(time.time() * 1000) + 4000)
    time.sleep(8)
    return client.dbsize()


def big_hash(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    for start in range(0, keys, BATCH):
        client.hset("hash", mapping={f"field:{number}": b"x" * 20 for number in range(start, start + BATCH)})
    client.hlen("hash")
    return client.delete("hash")


def long_replies(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    """HGETALL and MSET of as many fields and keys as one command may touch at once."""
    mapping: dict[Any, Any] = {f"field:{number}": b"x" * 20 for number in range(20_000)}
    client.hset("hash20000", mapping=dict(list(mapping.items())[:10_000]))
    client.hset("hash20000", mapping=dict(list(mapping.items())[10_000:]))
    for _ in range(10):
        client.hgetall("hash20000")
        client.mset({f"{{one}}:{name}": mapping[name] for name in list(mapping)[:10_000]})
    return client.delete("hash20000")


def large_values(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    for number in range(10):
        client.set(f"large:{number % 2}", b"x" * (16 * MIB))
        client.get(f"large:{number % 2}")
    return client.delete("large:0", "large:1")


def transactions(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    """MULTI with as many commands as it may queue."""
    for _ in range(5):
        pipe = client.pipeline(transaction=True)
        for number in range(10_000):
            pipe.set(f"{{one}}:{number}", b"x" * 100)
        pipe.execute()
    return client.dbsize()


def many_tables(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    """The last ten of 1,000 tables with twenty columns each."""
    columns = [{"name": f"column_{number}", "type": "BIGINT"} for number in range(20)]
    for number in range(1000):
        grid.table({"name": f"table_{number}", "columns": columns, "key": ["column_0"]})
    return len(grid.tables())


def long_predicate(client: redis.Redis, grid: kubegrid.Grid, keys: int) -> object:
    numbers = grid.table({"name": "numbers", "columns": [{"name": "n", "type": "BIGINT"}], "key": ["n"]})
    numbers.write_many([{"n": number} for number in range(keys // 10)])
    predicate = " OR ".join(f"n = {number}" for number in range(100))
    for turn in range(5):
        numbers.find(f"{predicate} OR n = {turn}")
    return numbers.count("n > 0")


WORKS: dict[str, tuple[Work, bool]] = {
    "KEYS over all keys": (all_keys, True),
    "FLUSHALL": (flush, True),
    "a tenth of the keys expires together": (expire_together, False),
    "a hash of as many fields: HSET, DEL": (big_hash, False),
    "HGETALL of 20,000 fields, MSET of 10,000 keys": (long_replies, False),
    "values of 16 MiB: SET, GET": (large_values, False),
    "MULTI of 10,000 SET": (transactions, False),
    "1,000 tables of 20 columns": (many_tables, False),
    "KG.FIND with 101 conditions": (long_predicate, False),
}
"""What is done, and whether the keys have to be there before."""


def longest_ms(running: LocalGrid) -> tuple[float, float]:
    """Of the primary and of the backup."""
    members = running.status()["partitions"][0]["members"]
    found = {}
    for member in members:
        with urllib.request.urlopen(f"http://{member['http']}/v1/member") as answer:
            found[member["role"]] = float(json.load(answer)["loop_turn_longest_ms"])
    return found["primary"], found["backup"]


def catch_up(running: LocalGrid) -> float:
    """The backup is killed and comes back: a snapshot of all keys. Seconds until it is in sync again."""
    running.kill(int(running.member("p0-1")["pid"]))
    started = time.monotonic()
    while True:
        status = running.status()
        if (
            status["state"] == "serving"
            and len(status["partitions"][0]["in_sync"]) == 2
            and time.monotonic() > started + 2
        ):
            return time.monotonic() - started
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", choices=[*WORKS, "a backup comes back"])
    args = parser.parse_args()
    most = 0.0
    print("| work | longest turn, primary | backup |\n|---|---|---|")
    with (
        running_grid(partitions=1, backups=1) as running,
        kubegrid.connect(f"127.0.0.1:{running.port}", timeout=60.0) as grid,
    ):
        client = redis.Redis(port=running.port)

        def measure(name: str, work: Callable[[], object]) -> None:
            nonlocal most
            time.sleep(FORGET_S)
            work()
            time.sleep(1.0)
            primary, backup = longest_ms(running)
            most = max(most, primary, backup)
            print(f"| {name} | {primary:.0f} ms | {backup:.0f} ms |", flush=True)

        if args.only in (None, "a backup comes back"):
            fill(client, args.keys)
            measure("a backup comes back", lambda: catch_up(running))
        for name, (work, filled) in WORKS.items():
            if args.only in (None, name):
                if filled:
                    fill(client, args.keys)
                measure(name, lambda work=work: work(client, grid, args.keys))  # type: ignore[misc]
    print(f"longest: {most:.0f} ms (at most {LIMIT_MS})")
    return 0 if most <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
