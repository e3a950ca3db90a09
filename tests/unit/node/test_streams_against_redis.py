"""Whole streams of bytes to a connection and to an installed Redis 7: the same bytes, or the same end, must come back.

What single requests answer is compared elsewhere; here it is about lines typed by hand, thousands of requests at once,
large replies, replies turned off, and where a stream ends.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator

import hiredis
import pytest
from tests.unit.node.test_session_against_redis import Redis, RedisClient
from tests.unit.node.test_turn import Member

from kubegrid.base.settings import ClientSettings

QUIET_S = 0.15
"""When Redis has sent nothing for so long, and answered somebody else, twice over, that was all."""
PATIENCE_S = 60


def packed(*lines: str) -> bytes:
    return b"".join(hiredis.pack_command(tuple(line.split())) for line in lines)


def mixed(count: int) -> bytes:
    """Requests of many kinds in an order that is always the same."""
    choice = random.Random(7)
    kinds = (
        "SET k{n} v{n}", "GET k{n}", "INCR n{n}", "GET n{n}", "HSET h{n} f v", "HGET h{n} f", "APPEND s{n} x", "DEL k{n}",
        "EXISTS k{n}", "SET {{t}}{n} 1", "MGET {{t}}{n} {{t}}x", "PING", "STRLEN s{n}", "INCR h{n}", "NOSUCH {n}", "TTL k{n}",
    )  # fmt: skip
    return packed(*[choice.choice(kinds).format(n=choice.randrange(200)) for _ in range(count)])


STREAMS: dict[str, bytes] = {
    "a line": b"PING\r\n",
    "lines of every kind": b"SET a 'hello world'\r\nGET a\nget a\r\n  SET   b   1  \r\nINCR b\r\n\r\n\r\nPING\r\n",
    "escapes": b'SET a "x\\x41\\n\\r\\t\\"\\\\q"\r\nGET a\r\nSET a \'it\\\'s\'\r\nGET a\r\nSET "" ""\r\nGET ""\r\n',
    "a line between requests": packed("SET a 1") + b"GET a\r\n" + packed("GET a") + b"\r\n" + packed("PING"),
    "quotes that do not end": b"PING\r\nSET a 'b\r\nPING\r\n",
    "quotes in the middle": b"PING\r\nSET a 'b'c\r\nPING\r\n",
    "an unknown word": b"foo bar\r\nPING\r\n",
    "no count": packed("PING") + b"*abc\r\n" + packed("PING"),
    "no length": packed("PING") + b"*1\r\n$abc\r\nPING\r\n",
    "a negative length": b"*1\r\n$-1\r\n",
    "a length too long": b"*1\r\n$536870913\r\n",
    "an element that is no string": b"*2\r\n$3\r\nGET\r\n:5\r\n",
    "too many elements": b"*1048577\r\n",
    "empty arrays": b"*0\r\n*-1\r\n" + packed("PING"),
    "ten thousand requests": mixed(10_000),
    "ten thousand of one kind": packed(*["SET a 1"] * 5000, *["GET a"] * 5000),
    "replies off and on": packed("CLIENT REPLY OFF", "SET a 1", "GET a", "PING", "CLIENT REPLY ON", "GET a"),
    "a reply skipped": packed("SET a 1", "CLIENT REPLY SKIP", "GET a", "GET a", "CLIENT REPLY SKIP", "FOO", "PING"),
    "off, skipped, on": packed("CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "PING", "CLIENT REPLY ON", "PING"),
    "skipped twice": packed("CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "ECHO a", "ECHO b"),
    "a reset whose reply is skipped": packed("CLIENT REPLY SKIP", "RESET", "PING", "CLIENT REPLY OFF", "PING", "RESET", "PING"),
    "transactions": packed("MULTI", "SET {t}a 1", "INCR {t}a", "EXEC", "MULTI", "FOO", "EXEC", "MULTI", "GET", "DISCARD"),
    "the end in the middle": packed("SET a 1", "QUIT", "SET a 2", "GET a"),
    "the end in a transaction": packed("MULTI", "SET a 2", "QUIT", "EXEC"),
    "another protocol on the way": packed("HSET h f v", "HGETALL h", "RESET", "HGETALL h", "GET none", "RESET"),
    "the head of a web page": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + packed("PING"),
    "a large value": hiredis.pack_command(("SET", "big", "x" * 3_000_000)) + packed("STRLEN big", "GET big", "PING"),
    "many large values": b"".join(hiredis.pack_command(("SET", f"{{t}}{n}", f"{n}" * 50_000)) for n in range(10))
    + packed("MGET " + " ".join(f"{{t}}{n}" for n in range(10)) + " {t}none", "GETRANGE {t}3 10 20"),
}  # fmt: skip


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
async def member() -> AsyncIterator[Member]:
    made = Member(ClientSettings())
    made.port = await made.server.listen("127.0.0.1", 0)
    yield made
    await made.server.close()


async def answers_of_redis(redis: Redis, stream: bytes) -> tuple[bytes, bool]:
    """What Redis sent, and whether it closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    writer.write(packed("FLUSHALL") + stream)
    received = b""
    closed = False
    quiet = 0
    while not closed and quiet < 2:
        try:
            async with asyncio.timeout(QUIET_S if received else PATIENCE_S):
                data = await reader.read(1 << 20)
        except TimeoutError:
            assert received, "Redis does not answer"
            await asyncio.to_thread(RedisClient(redis).raw, "PING")  # it may have had no time
            quiet += 1
            continue
        except ConnectionResetError:
            data = b""
        quiet = 0
        received += data
        closed = not data
    writer.close()
    return received.removeprefix(b"+OK\r\n"), closed


async def answers_of_member(member: Member, stream: bytes, expected: bytes, closed: bool) -> tuple[bytes, bool]:
    """As many bytes as Redis sent, and more if there are; to the end if Redis closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", member.port)
    writer.write(stream)
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        while len(received) < len(expected) or closed:
            try:
                data = await reader.read(1 << 20)
            except ConnectionResetError:
                data = b""
            received += data
            if not data:
                writer.close()
                return received, True
    writer.close()
    return received, False


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_is_answered_as_by_redis(redis: Redis, member: Member, name: str) -> None:
    expected, closed = await answers_of_redis(redis, STREAMS[name])
    received, ended = await answers_of_member(member, STREAMS[name], expected, closed)
    at = next((i for i, (a, b) in enumerate(zip(received, expected, strict=False)) if a != b), -1)
    assert at < 0, (received[max(0, at - 80) : at + 80], expected[max(0, at - 80) : at + 80])
    assert (len(received), ended) == (len(expected), closed)


async def test_requests_that_arrive_a_byte_at_a_time(redis: Redis, member: Member) -> None:
    stream = packed("SET a 1", "INCR a") + b"GET a\r\n" + packed("MULTI", "GET a", "EXEC")
    expected, _ = await answers_of_redis(redis, stream)
    reader, writer = await asyncio.open_connection("127.0.0.1", member.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in stream:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.readexactly(len(expected)) == expected
    writer.close()
