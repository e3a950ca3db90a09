"""What counts as a change of a watched key: the same as in an installed Redis 7, command by command."""

import time
from collections.abc import Iterator

import pytest
from tests.unit.node.drive import Client, Drive
from tests.unit.node.test_session_against_redis import Redis, RedisClient

BEFORE = ["FLUSHALL", "SET {t}k 10", "HSET {t}h f 1 g x", "SET {t}e v EX 1000", "SET {t}text abc"]
CHANGES = [
    "SET {t}k 10", "SET {t}k 11 NX", "SET {t}none 1 XX", "SET {t}none 1 NX", "SET {t}k 1 XX GET", "SET {t}e v KEEPTTL",
    "GET {t}k", "GETEX {t}k", "GETEX {t}e PERSIST", "GETEX {t}k PERSIST", "GETEX {t}k EX 100", "GETEX {t}e EXAT 1",
    "GETDEL {t}k", "GETDEL {t}none", "GETSET {t}k 10", "GETSET {t}none 1", "SETNX {t}k 1", "SETNX {t}none 1",
    "SETEX {t}k 100 v", "SETEX {t}k 0 v", "APPEND {t}k x", 'APPEND {t}k ""', 'APPEND {t}none ""', "SETRANGE {t}k 0 x",
    'SETRANGE {t}k 0 ""', 'SETRANGE {t}none 5 ""', "STRLEN {t}k", "INCR {t}k", "INCRBY {t}k 0", "INCRBYFLOAT {t}k 0",
    "INCR {t}text", "INCRBYFLOAT {t}text 1", "INCR {t}h", "DECRBY {t}none 0", "MSET {t}k 10 {t}none 1",
    "MSETNX {t}k 1 {t}none 1", "MSETNX {t}none 1 {t}other 1", "HSET {t}h f 1", "HSET {t}h n 1", "HSETNX {t}h f 2",
    "HSETNX {t}h n 2", "HMSET {t}h f 1", "HDEL {t}h none", "HDEL {t}h f", "HDEL {t}h f g", "HDEL {t}none f",
    "HINCRBY {t}h f 0", "HINCRBY {t}h g 1", "HINCRBYFLOAT {t}h f 0", "HINCRBYFLOAT {t}h g 1", "HGET {t}h f", "HSET {t}k f v",
    "DEL {t}k", "DEL {t}none", "UNLINK {t}h", "EXPIRE {t}k 100", "EXPIRE {t}none 100", "EXPIRE {t}e 100 NX",
    "EXPIRE {t}e 100 GT", "EXPIRE {t}e 100 LT", "EXPIRE {t}k -1", "PEXPIREAT {t}k 1", "PERSIST {t}k", "PERSIST {t}e",
    "TTL {t}e", "TOUCH {t}k", "OBJECT ENCODING {t}k", "RENAME {t}k {t}k", "RENAME {t}k {t}none", "RENAME {t}none {t}k",
    "RENAMENX {t}k {t}h", "RENAMENX {t}k {t}none", "COPY {t}k {t}none", "COPY {t}k {t}h", "COPY {t}k {t}h REPLACE",
    "COPY {t}none {t}k", "FLUSHALL", "FLUSHDB", "EXISTS {t}k", "TYPE {t}k", "LCS {t}k {t}text", "HRANDFIELD {t}h",
]  # fmt: skip
KEYS = ("{t}k", "{t}h", "{t}e", "{t}text", "{t}none")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def words(line: str) -> list[str]:
    return ["" if word == '""' else word for word in line.split()]


def outcome(watcher: Client | RedisClient, other: Client | RedisClient, key: str, change: str) -> bytes:
    """The reply of an EXEC whose client watched `key` while another did `change`."""
    for line in BEFORE:
        other.raw(*words(line))
    watcher.raw("WATCH", key)
    other.raw(*words(change))
    watcher.raw("MULTI")
    watcher.raw("PING")
    return watcher.raw("EXEC")


def test_the_same_changes_void_a_transaction(redis: Redis) -> None:
    drive = Drive()
    drive.keyspace.now_ms = time.time_ns() // 1_000_000
    ours, theirs = (drive.connect(), drive.connect()), (RedisClient(redis), RedisClient(redis))
    different = [
        (key, change)
        for change in CHANGES
        for key in KEYS
        if outcome(*ours, key, change) != outcome(*theirs, key, change)
    ]
    assert not different


EXPIRING = {
    "over between WATCH and EXEC": ["SET k v PX 400", "WATCH k", "sleep", "MULTI", "PING", "EXEC"],
    "over and written anew in the transaction": [
        "SET k v PX 400",
        "WATCH k",
        "sleep",
        "MULTI",
        "SET k w",
        "EXEC",
        "GET k",
    ],
    "over before WATCH": ["SET k v PX 400", "sleep", "WATCH k", "MULTI", "PING", "EXEC"],
    "over before MULTI, looked at": ["SET k v PX 400", "WATCH k", "sleep", "GET k", "MULTI", "PING", "EXEC"],
    "a hash": ["HSET h f v", "PEXPIRE h 400", "WATCH h", "sleep", "MULTI", "HGETALL h", "EXEC"],
    "another key": ["SET k v PX 400", "SET {k}2 v", "WATCH {k}2", "sleep", "MULTI", "GET k", "EXEC"],
    "persisted in time by the watcher": ["SET k v PX 400", "WATCH k", "PERSIST k", "sleep", "MULTI", "PING", "EXEC"],
    "forgotten": ["SET k v PX 400", "WATCH k", "UNWATCH", "sleep", "MULTI", "GET k", "EXEC"],
}


@pytest.mark.parametrize("name", EXPIRING)
def test_a_watched_key_whose_time_is_over_counts_as_in_redis(redis: Redis, name: str) -> None:
    drive = Drive()
    ours, theirs = drive.connect(), RedisClient(redis)
    theirs.raw("FLUSHALL")
    at = EXPIRING[name].index("sleep")
    before, after = ([words(line) for line in lines] for lines in (EXPIRING[name][:at], EXPIRING[name][at + 1 :]))
    assert b"".join(ours.raw(*each) for each in before) == theirs.together(
        *before
    )  # in Redis before its time is over, too
    drive.keyspace.now_ms += 500
    time.sleep(0.5)
    for each in after:
        assert ours.raw(*each) == theirs.raw(*each), each
