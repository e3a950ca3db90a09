"""Every data command against a real Redis 7.0: random sequences with difficult arguments, replies compared byte for byte.

Replies without an order are sorted before, and random ones are compared by what must hold of them. The clock of the
keyspace is the wall clock here; times are compared within the second or two that the test may take.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import hiredis
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kubegrid.base.settings import StoreSettings
from kubegrid.store import COMMANDS, Keyspace

REDIS = shutil.which("redis-server")
if REDIS is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)

Command = list[bytes]


class Redis:
    """A real server on a Unix socket, and a connection for each protocol version."""

    def __init__(self, folder: Path) -> None:
        path = folder / "redis.sock"
        self.process = subprocess.Popen(
            [str(REDIS), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not _listens(path):
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)
        self.connections = {version: self._connect(path, version) for version in (2, 3)}

    def _connect(self, path: Path, version: int) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        connection.settimeout(60)
        if version == 3:
            connection.sendall(b"HELLO 3\r\n")
            data = connection.recv(65536)
            assert data.startswith(b"%"), data
        return connection

    def call(self, args: Command, version: int) -> bytes:
        connection = self.connections[version]
        connection.sendall(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in args))
        raw = b""
        reader = hiredis.Reader()
        while True:
            data = connection.recv(1 << 20)
            raw += data
            reader.feed(data)
            if reader.gets() is not False:
                return raw

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        self.process.terminate()
        self.process.wait()


def _listens(path: Path) -> bool:
    """The path is there before that."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="kg-redis-") as folder:
        server = Redis(Path(folder))
        yield server
        server.close()


# -- arguments -----------------------------------------------------------------------------------------------------

KEYS = [b"{t}a", b"{t}b", b"{t}c", b"{t}", b"{t}key:with a long name and \x00\xff bytes"]
INTS = [
    b"0", b"1", b"-1", b"2", b"3", b"5", b"10", b"100", b"-5", b"9223372036854775807", b"-9223372036854775808",
    b"9223372036854775806", b"9223372036854775808", b"-9223372036854775809", b"4611686018427387904",
    b"-9223372036854775807", b"+1", b"01", b"-0", b" 1", b"1 ", b"", b"abc", b"1.0", b"1e3", b"0x10", b"1_0", b"-",
    b"\xd9\xa1", b"00", b"99999999999999999999999", b"1\x00",
]  # fmt: skip
FLOATS = [
    b"10.50", b"0.1", b"3.0e3", b"5.0e3", b"2.0e2", b"-0.1", b"1e-7", b"1e17", b"1e18", b"123456789.123456789", b"inf",
    b"-inf", b"+Infinity", b"nan", b".5", b"5.", b".", b"1e", b"0x1p3", b"0x.8", b"0xA", b" 1.5", b"1.5 ", b"", b"-0.0",
    b"+3", b"1e4000", b"1e4932", b"1e5000", b"-1e5000", b"1e-4950", b"1e-5000", b"1e-6000", b"3.00000000000000000001",
    b"17179869184", b"0.00000000000000001", b"9007199254740993", b"18446744073709551617", b"1.1", b"1e-18", b"5e-18",
    b"1e4931", b"99999999999999999999", b"0.3333333333333333333", b"1e99999999999", b"1.5\x00", b"0e99999999999",
]  # fmt: skip
TEXTS = [
    b"", b"foo", b"foobar", b"ohmytext", b"mynewtext", b"x" * 44, b"y" * 45, b"z" * 64, b"w" * 65, b"\x00\xff\r\n",
    b"ab" * 40, b"12345678901234567890", b"9999",
]  # fmt: skip
FIELDS = [b"f", b"g", b"h", b"", b"1", b"field with spaces", b"L" * 65, b"\xff\x00"]
PATTERNS = [
    b"*", b"**", b"", b"?", b"f*", b"*t}*", b"{t}?", b"[a-c]", b"{t}[a-b]", b"{t}[^a]", b"{t}[b-a]", b"\\{t\\}a", b"[",
    b"[^", b"[\\]", b"{t}[a-]", b"{t}[", b"{t}a\\", b"*a*b*c*d*", b"[^\\x]*", b"f[", b"*[^]", b"{t}[^b", b"{t}[a",
    b"{t}[z\\", b"\\", b"***{t}***", b"?*?", b"*a", b"*]", b"[[]", b"[]]",
]  # fmt: skip

key = st.sampled_from(KEYS)
field = st.sampled_from(FIELDS)
integer = st.one_of(st.sampled_from(INTS), st.integers(-(2**63) - 2, 2**63 + 1).map(b"%d".__mod__))
small = st.one_of(st.integers(-8, 8).map(b"%d".__mod__), st.sampled_from(INTS))
number = st.one_of(
    st.sampled_from(FLOATS),
    st.sampled_from(INTS),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20).map(
        lambda d: str(d).encode()
    ),
    st.floats(allow_nan=False).map(lambda f: repr(f).encode()),
)
value = st.one_of(st.sampled_from(TEXTS), st.sampled_from(INTS), st.sampled_from(FLOATS), st.binary(max_size=80))
seconds = st.one_of(
    st.sampled_from([b"100000", b"200000", b"0", b"-1", b"-100", b"9223372036854775", b"9223372036854776"]),
    st.sampled_from(INTS),
)
moments = st.one_of(
    st.sampled_from([b"1", b"1000", b"33177117420", b"33177117420000", b"0", b"-1", b"9223372036854775"]),
    st.sampled_from(INTS),
)


def words(*options: bytes) -> st.SearchStrategy[bytes]:
    """One of these words in some spelling, now and then one that does not exist."""
    spelled = [w for o in options for w in (o, o.lower(), o.capitalize())]
    return st.sampled_from([*spelled, *spelled, b"bogus", b""])


def command(*parts: Any) -> st.SearchStrategy[Command]:
    """A fixed name or a strategy for each argument; a strategy of lists adds several."""
    strategies = [
        st.just([p]) if isinstance(p, bytes) else p.map(lambda v: v if type(v) is list else [v]) for p in parts
    ]
    return st.tuples(*strategies).map(lambda lists: [arg for part in lists for arg in part])


def some(strategy: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=most).map(
        lambda items: [arg for item in items for arg in (item if type(item) is list else [item])]
    )


def both(a: st.SearchStrategy[bytes], b: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.tuples(a, b).map(list)


set_option = st.one_of(
    words(b"NX", b"XX", b"GET", b"KEEPTTL"),
    both(words(b"EX", b"PX"), seconds),
    both(words(b"EXAT", b"PXAT"), moments),
    st.just(b"EX"),
)
getex_option = st.one_of(
    words(b"PERSIST"), both(words(b"EX", b"PX"), seconds), both(words(b"EXAT", b"PXAT"), moments), words(b"EX", b"PXAT")
)
scan_option = st.one_of(
    both(words(b"COUNT"), st.one_of(st.just(b"1000"), small)),
    both(words(b"MATCH"), st.sampled_from(PATTERNS)),
)
type_option = both(words(b"TYPE"), st.sampled_from([b"string", b"hash", b"HASH", b"list", b"none", b""]))
lcs_option = st.one_of(words(b"LEN", b"IDX", b"WITHMATCHLEN", b"IDX"), both(words(b"MINMATCHLEN"), small))
pairs = some(both(key, value), 1)
fields = some(both(field, value), 1, 6)
many_fields = st.integers(100, 140).map(lambda n: [b"%d" % i for i in range(2 * n)])

strings = st.one_of(
    command(b"SET", key, value),
    command(b"SET", key, value),
    command(b"SET", key, integer),
    command(b"SET", key, value, some(set_option)),
    command(b"GET", key),
    command(st.sampled_from([b"SETNX", b"GETSET", b"APPEND"]), key, value),
    command(st.sampled_from([b"SETEX", b"PSETEX"]), key, seconds, value),
    command(st.sampled_from([b"GETDEL", b"STRLEN"]), key),
    command(b"GETEX", key, some(getex_option, 0, 2)),
    command(b"MGET", some(key, 1)),
    command(st.sampled_from([b"MSET", b"MSETNX"]), pairs, some(key, 0, 1)),
    command(st.sampled_from([b"GETRANGE", b"SUBSTR"]), key, small, small),
    command(b"SETRANGE", key, small.filter(lambda b: len(b) < 9), value),
    command(b"LCS", key, key, some(lcs_option)),
)
counters = st.one_of(
    command(st.sampled_from([b"INCR", b"DECR"]), key),
    command(st.sampled_from([b"INCRBY", b"DECRBY"]), key, integer),
    command(b"INCRBYFLOAT", key, number),
    command(b"SET", key, number),
    command(b"SET", key, integer),
    command(b"HSET", key, field, number),
    command(b"HSET", key, field, integer),
    command(b"HINCRBY", key, field, integer),
    command(b"HINCRBYFLOAT", key, field, number),
)
hashes = st.one_of(
    command(st.sampled_from([b"HSET", b"HMSET"]), key, fields, some(field, 0, 1)),
    command(st.sampled_from([b"HSET", b"HMSET"]), key, fields),
    command(b"HSET", key, many_fields),
    command(b"HSETNX", key, field, value),
    command(st.sampled_from([b"HGET", b"HEXISTS", b"HSTRLEN"]), key, field),
    command(b"HMGET", key, some(field, 1)),
    command(st.sampled_from([b"HGETALL", b"HKEYS", b"HVALS", b"HLEN"]), key),
    command(b"HDEL", key, some(field, 1, 6)),
    command(b"HRANDFIELD", key, some(small, 0, 1), some(words(b"WITHVALUES"), 0, 1)),
    command(
        b"HSCAN", key, st.sampled_from([b"0", b"0", b"x", b"", b"+", b"00", b"99999999999999999999"]), some(scan_option)
    ),
)
keyspace_commands = st.one_of(
    command(st.sampled_from([b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"]), some(key, 1)),
    command(b"TYPE", key),
    command(b"OBJECT", words(b"ENCODING", b"REFCOUNT", b"FREQ", b"HELP"), some(key, 0, 1)),
    command(st.sampled_from([b"EXPIRE", b"PEXPIRE"]), key, seconds, some(words(b"NX", b"XX", b"GT", b"LT"), 0, 2)),
    command(st.sampled_from([b"EXPIREAT", b"PEXPIREAT"]), key, moments, some(words(b"NX", b"XX", b"GT", b"LT"), 0, 2)),
    command(st.sampled_from([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"PERSIST"]), key),
    command(b"SCAN", st.sampled_from([b"0", b"0", b"-", b"1x", b" 0"]), some(st.one_of(scan_option, type_option))),
    command(b"KEYS", st.sampled_from(PATTERNS)),
    command(st.sampled_from([b"DBSIZE", b"RANDOMKEY"])),
    command(st.sampled_from([b"RENAME", b"RENAMENX"]), key, key),
    command(
        b"COPY",
        key,
        key,
        some(
            st.one_of(words(b"REPLACE"), both(words(b"DB"), st.sampled_from([b"0", b"99", b"x", b"99999999999"]))), 0, 2
        ),
    ),
    command(st.sampled_from([b"FLUSHALL", b"FLUSHDB"]), some(words(b"SYNC", b"ASYNC"), 0, 2)),
)
any_command = st.one_of(strings, hashes, counters, keyspace_commands)

# -- comparing -----------------------------------------------------------------------------------------------------

TIMES = {b"TTL": 2, b"EXPIRETIME": 2, b"PTTL": 2000, b"PEXPIRETIME": 2000}


def decoded(raw: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(raw)
    return reader.gets()


def paired(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return sorted(zip(flat[0::2], flat[1::2], strict=True))


def same(args: Command, ours: bytes, theirs: bytes, history: "Differential") -> bool:
    if ours == theirs:
        return True
    name = args[0]
    if ours[:1] != theirs[:1] or ours[:1] == b"-":
        return False
    a, b = decoded(ours), decoded(theirs)
    if name in TIMES:
        return abs(a - b) <= TIMES[name]
    if name in (b"KEYS", b"HKEYS", b"HVALS"):
        return sorted(a) == sorted(b)
    if name == b"HGETALL":
        return a == b if type(a) is dict else paired(a) == paired(b)
    if name == b"SCAN":
        return a[0] == b[0] and sorted(a[1]) == sorted(b[1])
    if name == b"HSCAN":
        return type(a[0]) is type(b[0]) and (b[0] != b"0" or a[0] != b"0" or paired(a[1]) == paired(b[1]))
    if name == b"RANDOMKEY":
        return a is not None and b is not None
    if name == b"HRANDFIELD":
        if type(a) is not list:
            return type(a) is type(b) is bytes
        return len(a) == len(b) and [type(x) for x in a] == [type(x) for x in b]
    if name == b"OBJECT" and args[1].upper() in (b"ENCODING", b"REFCOUNT"):
        # Redis remembers how a value came about; here it follows from the value.
        return args[2] in history.reworked
    return False


class Differential:
    """The same commands to both, from an empty keyspace on."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        redis.call([b"FLUSHALL"], 2)
        self.keyspace = Keyspace(StoreSettings(), 0, 16383, random=Random(1).randrange)
        self.keyspace.primary = True
        self.reworked: set[bytes] = set()

    def step(self, args: Command, version: int) -> None:
        self.keyspace.now_ms = time.time_ns() // 1_000_000
        theirs = self.redis.call(args, version)
        ours = COMMANDS[args[0]](self.keyspace, args, version == 3)
        if not isinstance(ours, bytes):
            while True:
                try:
                    next(ours)
                except StopIteration as done:
                    ours = done.value
                    break
        if args[0] in (b"RENAME", b"RENAMENX", b"COPY", b"HDEL", b"HSET", b"HMSET"):
            self.reworked.update(args[1:3])
        assert same(args, ours, theirs, self), f"RESP{version} {args!r}\n ours   {ours!r}\n theirs {theirs!r}"

    def finish(self) -> None:
        """Both hold the same data."""
        self.keyspace.validate()
        for name in KEYS:
            self.step([b"TYPE", name], 2)
            self.step([b"GET", name], 2)
            self.step([b"HGETALL", name], 2)
            self.step([b"PEXPIRETIME", name], 2)
        self.step([b"DBSIZE"], 2)


RUNS = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def run(redis: Redis, commands: list[tuple[Command, int]]) -> None:
    both = Differential(redis)
    for args, version in commands:
        if version in (2, 3) and accepted(args):
            both.step(args, version)
    both.finish()


ARITIES = {
    b"LCS": 3, b"SETRANGE": 4, b"HRANDFIELD": 2, b"OBJECT": 2, b"HSET": 4, b"HMSET": 4, b"MSET": 3, b"MSETNX": 3,
}  # fmt: skip


def accepted(args: Command) -> bool:
    return len(args) >= ARITIES.get(args[0], 1) and not hasty(args)


def hasty(args: Command) -> bool:
    """Whether a key might end in the middle of the test, in one server before the other."""
    spans = {b"PEXPIRE": 2, b"PSETEX": 2, b"EXPIRE": 2, b"SETEX": 2}
    places = [spans[args[0]]] if args[0] in spans else []
    places += [
        i + 1 for i, arg in enumerate(args[:-1]) if args[0] in (b"SET", b"GETEX") and arg.upper() in (b"PX", b"EX")
    ]
    return any(args[i].isdigit() and 0 < int(args[i]) < 20_000 for i in places)


def sequences(commands: st.SearchStrategy[Command]) -> st.SearchStrategy[list[tuple[Command, int]]]:
    return st.lists(st.tuples(commands, st.sampled_from([2, 3])), min_size=1, max_size=25)


@RUNS
@given(sequences(any_command))
@example([([b"SET", b"{t}a", b"10.50"], 2), ([b"INCRBYFLOAT", b"{t}a", b"0.1"], 3)])
@example([([b"SET", b"{t}a", b"5.0e3"], 2), ([b"INCRBYFLOAT", b"{t}a", b"2.0e2"], 3)])
def test_all_commands_answer_as_redis_does(redis: Redis, commands: list[tuple[Command, int]]) -> None:
    run(redis, commands)


@RUNS
@given(sequences(st.one_of(strings, keyspace_commands)))
def test_strings_answer_as_redis_does(redis: Redis, commands: list[tuple[Command, int]]) -> None:
    run(redis, commands)


@RUNS
@given(sequences(hashes))
def test_hashes_answer_as_redis_does(redis: Redis, commands: list[tuple[Command, int]]) -> None:
    run(redis, commands)


@RUNS
@given(sequences(counters))
def test_counters_answer_as_redis_does(redis: Redis, commands: list[tuple[Command, int]]) -> None:
    run(redis, commands)


@RUNS
@given(
    st.text("abx*?[]^-\\", max_size=8).map(str.encode),
    st.lists(st.text("abx*?[]^-\\", max_size=6).map(str.encode), min_size=1, max_size=10),
)
def test_patterns_match_what_redis_matches(redis: Redis, pattern: bytes, names: list[bytes]) -> None:
    both = Differential(redis)
    for name in names:
        both.step([b"HSET", KEYS[0], name, b"1"], 2)
    both.step([b"HSCAN", KEYS[0], b"0", b"MATCH", pattern, b"COUNT", b"1000"], 2)


@RUNS
@example(b"abcab" * 40, b"bacbd" * 41)
@given(st.text("ab", max_size=12).map(str.encode), st.text("ab", max_size=12).map(str.encode))
def test_lcs_finds_the_ranges_that_redis_finds(redis: Redis, a: bytes, b: bytes) -> None:
    both = Differential(redis)
    both.step([b"MSET", KEYS[0], a, KEYS[1], b], 2)
    for options in ([b"LEN"], [b"IDX"], [], [b"IDX", b"WITHMATCHLEN", b"MINMATCHLEN", b"2"]):
        both.step([b"LCS", KEYS[0], KEYS[1], *options], 3)
