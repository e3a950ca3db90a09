"""Keys whose time is over during CLIENT PAUSE: missing for whoever asks, but kept until the pause ends, as in Redis 7."""

import time
from collections.abc import Iterator

import pytest
from tests.unit.node.drive import Client, Drive
from tests.unit.node.test_session_against_redis import Redis, RedisClient


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


LOOKING = "GET k; GET kept; EXISTS k h; HGETALL h; TTL k; TYPE h; OBJECT ENCODING k; TOUCH k; DBSIZE; SCAN 0 COUNT 100"
DURING_A_PAUSE = {
    "looked at": ["SET k v PX 60", "HSET h f v", "PEXPIRE h 60", "SET kept v", "CLIENT PAUSE 60000 WRITE",
                  "sleep", *LOOKING.split("; ")],
    "before the pause": ["SET k v PX 60", "sleep", "GET k", "CLIENT PAUSE 60000 WRITE", "DBSIZE"],
    "watched": ["SET k v PX 60", "WATCH k", "CLIENT PAUSE 60000 WRITE", "sleep", "MULTI", "PING", "EXEC", "DBSIZE"],
    "read in a transaction": ["SET k v PX 60", "CLIENT PAUSE 60000 WRITE", "sleep", "MULTI", "GET k", "EXEC", "DBSIZE"],
}  # fmt: skip


def passes(drive: Drive) -> None:
    """A while in which the primary looks for keys whose time is over."""
    drive.later()
    drive.keyspace.now_ms += 300
    drive.keyspace.expire_slice(1000)
    drive.keyspace.validate()


@pytest.mark.parametrize("name", DURING_A_PAUSE)
def test_what_expires_during_a_pause_is_missing_but_stays_as_in_redis(redis: Redis, name: str) -> None:
    drive = Drive()
    ours, theirs = drive.connect(), RedisClient(redis)
    theirs.raw("FLUSHALL")
    for line in [*DURING_A_PAUSE[name], "CLIENT UNPAUSE", "sleep", "DBSIZE"]:
        if line == "sleep":
            passes(drive)
            time.sleep(0.3)
        else:
            assert ours.raw(*line.split()) == theirs.raw(*line.split()), line


def paused(words: str) -> tuple[Drive, Client]:
    """A member with a key whose time is over since the pause began."""
    drive = Drive()
    client = drive.connect()
    client("SET", "k", "v", "PX", "60")
    client("CLIENT", "PAUSE", *words.split())
    passes(drive)
    return drive, client


@pytest.mark.parametrize("words", ["60000", "60000 ALL", "60000 WRITE"])
def test_nothing_is_deleted_before_the_pause_ends(words: str) -> None:
    drive, _ = paused(words)
    assert drive.keyspace.key_count == 1 and drive.keyspace.expired == 0
    drive.time_passes()
    passes(drive)
    assert drive.keyspace.key_count == 0 and drive.keyspace.expired == 1


def test_keys_stay_until_the_longer_of_two_pauses_ends() -> None:
    drive, client = paused("60000 WRITE")
    client("CLIENT", "PAUSE", 60000)
    client("CLIENT", "UNPAUSE")  # ends the pause of writes only
    passes(drive)
    assert drive.keyspace.key_count == 1


def test_a_transaction_that_begins_a_pause_writes_over_keys_whose_time_is_over() -> None:
    drive = Drive()
    client = drive.connect()
    client("HSET", "h", "f", "v")
    client("PEXPIRE", "h", "60")
    drive.keyspace.now_ms += 100
    for request in ("MULTI", "CLIENT PAUSE 60000 WRITE", "HSET h g w", "EXEC"):
        client(*request.split())
    assert client("HGETALL", "h") == [b"g", b"w"]
    drive.keyspace.validate()
