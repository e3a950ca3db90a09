"""What SLOWLOG, MEMORY STATS and ACL tell of the same requests, here and in an installed Redis 7 in cluster mode."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.node.drive import Drive, decode
from tests.unit.node.test_session_against_redis import Redis, RedisClient

from kubegrid.wire.command_table import COMMANDS

LONG = "x" * 1000


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"), "s3cret")
    yield server
    server.stop()


def words_and_name(entries: list[Any]) -> list[Any]:
    return [(entry[3], entry[5]) for entry in entries]


REQUESTS = (
    "SET k v; GET k; get k; GET; FOO; PING; HGET k f; MSET {a}1 x {a}2 y; CLIENT SETNAME me; KEYS *; DEL k; "
    "MULTI; SET k 1; INCR k; KEYS *; EXEC; MULTI; GET k; DISCARD; WATCH k; UNWATCH; FLUSHALL; DBSIZE; WAIT 0 1; "
    "AUTH default x; AUTH x; HELLO 2 AUTH default x; HELLO 2 AUTH default x SETNAME me; CONFIG GET save; SLOWLOG LEN"
)


def test_the_same_requests_are_kept(redis: Redis) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    requests = [request.split() for request in REQUESTS.split("; ")]
    requests += [["SET", "k", LONG], ["HSET", "h", *map(str, range(32))], ["DEL", *("{a}" for _ in range(31))]]
    kept = []
    for client in (ours, theirs):
        client.raw("FLUSHALL")
        client.raw("CONFIG", "SET", "slowlog-log-slower-than", "0")
        client.raw("SLOWLOG", "RESET")
        for request in requests:
            client.raw(*request)
        kept.append(words_and_name(decode(client.raw("SLOWLOG", "GET", "-1"))))
        client.raw("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    assert kept[0] == kept[1]


def test_an_entry_has_the_form_of_redis(redis: Redis) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    shapes = []
    for client in (ours, theirs):
        client.raw("CONFIG", "SET", "slowlog-log-slower-than", "0")
        client.raw("GET", "k")
        entry = decode(client.raw("SLOWLOG", "GET", "1"))[0]
        client.raw("CONFIG", "SET", "slowlog-log-slower-than", "10000")
        shapes.append([type(value) for value in entry])
        assert entry[4].startswith(b"127.0.0.1:")
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_the_fields_of_memory_are_some_of_those_of_redis(redis: Redis, protocol: str) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    types = []
    for client in (ours, theirs):
        client.raw("HELLO", protocol)
        client.raw("SET", "k", "v")
        reply = decode(client.raw("MEMORY", "STATS"))
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        types.append({name: type(value) for name, value in pairs})
    mine, real = types
    assert mine.items() <= real.items()
    assert {b"total.allocated", b"keys.count", b"dataset.bytes", b"fragmentation"} <= mine.keys()


def test_the_user_is_shown_with_the_hash_of_the_password(guarded_redis: Redis) -> None:
    ours, theirs = Drive(secret=b"s3cret").connect(), RedisClient(guarded_redis)
    for line in ("AUTH s3cret", "ACL LIST", "ACL GETUSER default", "ACL WHOAMI"):
        assert ours.raw(*line.split()) == theirs.raw(*line.split()), line


def test_categories_have_the_commands_that_they_have_in_redis(redis: Redis) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    known = set()
    for command in COMMANDS.values():
        known.update(info.name.encode() for info in command.subcommands.values() or (command,))
    own = {
        name for name in known if name.startswith((b"kg.", b"json.")) or name in (b"client|setinfo", b"client|no-touch")
    }
    for category in decode(theirs.raw("ACL", "CAT")):
        mine = set(decode(ours.raw("ACL", "CAT", category.decode())))
        real = set(decode(theirs.raw("ACL", "CAT", category.decode())))
        assert mine - own == real & known, category


def test_passwords_have_as_many_digits_as_in_redis(redis: Redis) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    for bits in ((), ("1",), ("4",), ("5",), ("4096",)):
        mine, real = (decode(client.raw("ACL", "GENPASS", *bits)) for client in (ours, theirs))
        assert len(mine) == len(real)
        int(mine, 16)
