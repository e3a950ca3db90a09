"""Many writes under one request id: in order, applied once, each with an answer of its own, whatever becomes of replies."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.node.drive import Client, Drive

import kubegrid
from kubegrid.client import parcel
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.errors import ClientError, RejectedError

CUT = None
"""Instead of a reply: the connection is closed."""
MAP = [b"id", b"x", b"port", 0, b"ip", b"127.0.0.1", b"role", b"master", b"health", b"online"]


class Scripted:
    """A member that really executes requests, one client after the other, and whose replies a test may spoil.

    `spoil(words, execute)` is asked about every request from a client: it gives the reply, or CUT.
    """

    def __init__(self) -> None:
        self.drive = Drive()
        self.requests: list[list[bytes]] = []
        self.spoil: Callable[[list[bytes], Callable[[], bytes]], bytes | None] = lambda words, execute: execute()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        client = self.drive.connect()
        with connection:
            while data := connection.recv(1 << 20):
                for words in client.reader.feed(data):
                    reply = self._reply(client, words)
                    if reply is CUT:
                        return
                    connection.sendall(reply)

    def _reply(self, client: Client, words: list[bytes]) -> bytes | None:
        if words[:2] == [b"CLUSTER", b"SHARDS"]:
            fields: list[Any] = [self.port if word == 0 else word for word in MAP]
            node = b"".join(b":%d\r\n" % f if isinstance(f, int) else b"$%d\r\n%b\r\n" % (len(f), f) for f in fields)
            return b"*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*10\r\n" + node
        with self._lock:
            self.requests.append(words)
            return self.spoil(words, lambda: client.raw(*words))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def member() -> Iterator[Scripted]:
    member = Scripted()
    yield member
    member.socket.close()


Writer = Callable[[Scripted, list[tuple[Any, ...]]], list[Any]]


def by_pipeline(member: Scripted, writes: list[tuple[Any, ...]]) -> list[Any]:
    """What each write answered, errors too."""
    with kubegrid.connect(member.address, timeout=5) as grid:
        pipe = grid.pipeline()
        pending = [pipe.execute(*write) for write in writes]
        with contextlib.suppress(ClientError):
            pipe.send()
        return [_result(one) for one in pending]


def _result(pending: Any) -> Any:
    try:
        return pending.result()
    except ClientError as error:
        return error


def by_gathering(member: Scripted, writes: list[tuple[Any, ...]]) -> list[Any]:
    async def run() -> list[Any]:
        async with await kubegrid.connect_async(member.address, timeout=5) as grid:
            await grid.get("begin")
            return list(await asyncio.gather(*[grid.execute(*write) for write in writes], return_exceptions=True))

    return asyncio.run(run())


both = pytest.mark.parametrize("write", [by_pipeline, by_gathering])


@both
def test_a_thousand_writes_are_a_few_requests(member: Scripted, write: Writer) -> None:
    writes = [("SET", f"k{number % 700}", number) for number in range(1000)]
    assert write(member, writes) == [b"OK"] * 1000
    once = [words for words in member.requests if words[0] == parcel.ONCE]
    assert len(once) == 1000 / parcel.COMMANDS_MAX
    assert member.drive.connect()("GET", "k299") == b"999"


@both
def test_order_is_kept_around_what_travels_by_itself(member: Scripted, write: Writer) -> None:
    long = "x" * 2 * parcel.ONE_BYTES_MAX
    writes = [
        *(("SET", "a", 1), ("INCR", "a"), ("GET", "a"), ("APPEND", "a", long), ("GETDEL", "a")),
        *(("HSET", "a", "f", 1), ("HINCRBY", "a", "f", 2), ("HGETALL", "a"), ("DEL", "a"), ("EXISTS", "a")),
    ]
    assert write(member, writes) == [
        *(b"OK", 2, b"2", len(long) + 1, b"2" + long.encode()),
        *(1, 3, [b"f", b"3"], 1, 0),
    ]


@both
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_writes_whose_replies_are_lost_are_applied_once(member: Scripted, write: Writer, lost: int) -> None:
    times = 0

    def lose(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        nonlocal times
        reply = execute()
        times += words[0] == parcel.ONCE
        return CUT if words[0] == parcel.ONCE and times <= lost else reply

    member.spoil = lose
    count = 3 * parcel.COMMANDS_MAX
    assert write(member, [("INCR", "n")] * count) == list(range(1, count + 1))
    member.drive.keyspace.validate()


@both
def test_writes_that_were_refused_for_a_while_are_applied_once_and_in_order(member: Scripted, write: Writer) -> None:
    refusals = 0

    def refuse(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        nonlocal refusals
        if words[0] == parcel.ONCE and refusals < 6:  # two rounds of three
            refusals += 1
            return b"-CLUSTERDOWN The cluster is down\r\n"
        return execute()

    member.spoil = refuse
    count = 3 * parcel.COMMANDS_MAX
    assert write(member, [("APPEND", "a", number % 10) for number in range(count)]) == list(range(1, count + 1))
    assert member.drive.connect()("GET", "a") == b"0123456789" * (count // 10)


@both
def test_what_is_wrong_with_one_write_is_told_for_that_one(member: Scripted, write: Writer) -> None:
    member.drive.connect()("HSET", "h", "f", "v")
    answers = write(member, [("SET", "a", 1), ("INCR", "h"), ("SET", "k" * 2000, 1), ("INCR", "a"), ("SETEX", "a", 1)])
    assert [answers[0], answers[3]] == [b"OK", 2]
    assert isinstance(answers[1], kubegrid.WrongTypeError)
    assert "wrong number of arguments" in str(answers[4])
    assert all(answer.outcome is kubegrid.Outcome.NOT_DONE for answer in (answers[1], answers[4]))


@both
def test_an_older_member_gets_each_write_by_itself(member: Scripted, write: Writer) -> None:
    def old(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        return b"-ERR unknown command 'KG.BATCH'\r\n" if parcel.BATCH in words else execute()

    member.spoil = old
    assert write(member, [("APPEND", "a", number) for number in range(9)]) == list(range(1, 10))
    assert member.drive.connect()("GET", "a") == b"012345678"


@both
def test_a_forgotten_identity_is_replaced(member: Scripted, write: Writer) -> None:
    forgotten = 0

    def forget(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        nonlocal forgotten
        if words[0] == parcel.ONCE and not forgotten:
            forgotten += 1
            return b"-STALEID request 1 was answered\r\n"
        return execute()

    member.spoil = forget
    assert write(member, [("INCR", "n")] * 4) == [1, 2, 3, 4]
    assert len({words[1] for words in member.requests if words[0] == parcel.ONCE}) == 2


@both
def test_another_number_of_replies_is_no_reply(member: Scripted, write: Writer) -> None:
    spoiled = 0

    def spoil(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        nonlocal spoiled
        reply = execute()
        if parcel.BATCH in words and not spoiled:
            spoiled += 1
            return b"*1\r\n:1\r\n"
        return reply

    member.spoil = spoil
    assert write(member, [("INCR", "n")] * 4) == [1, 2, 3, 4]


async def test_what_is_said_to_be_not_done_is_not_done_later(member: Scripted) -> None:
    """Writes with different deadlines are refused together; the one that ends meanwhile is not sent with the others again."""
    down = True

    def refuse(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        return b"-CLUSTERDOWN The cluster is down\r\n" if down and words[0] == parcel.ONCE else execute()

    member.spoil = refuse
    async with await kubegrid.connect_async(member.address, timeout=5) as grid:
        await grid.get("begin")
        with kubegrid.deadline(0.2):
            short = grid.incr("short")
        long = grid.incr("long")
        with pytest.raises(kubegrid.UnavailableError) as ended:
            await short
        assert ended.value.outcome is kubegrid.Outcome.NOT_DONE
        down = False
        assert await long == 1
        assert await grid.get("short") is None


async def test_a_parcel_whose_callers_have_all_gone_is_not_sent_again(member: Scripted) -> None:
    sent = asyncio.Event()
    loop = asyncio.get_running_loop()

    def lose(words: list[bytes], execute: Callable[[], bytes]) -> bytes | None:
        if words[0] == parcel.ONCE:
            loop.call_soon_threadsafe(sent.set)
            return CUT
        return execute()

    async with await kubegrid.connect_async(member.address, timeout=5) as grid:
        await grid.get("begin")
        member.spoil = lose
        futures = [asyncio.ensure_future(grid.incr("n")) for _ in range(3)]
        await sent.wait()
        for future in futures:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)
        member.spoil = lambda words, execute: execute()
        assert await grid.incr("m") == 1
        assert await grid.get("n") is None


def test_a_number_of_the_callers_own_that_was_answered_before_is_told_so(member: Scripted) -> None:
    with kubegrid.connect(member.address, timeout=5) as grid:
        request = Request((parcel.ONCE, b"own identity 016", 1, 1, b"SET", b"k", b"v"), 0, True, once=False)
        later = Request((parcel.ONCE, b"own identity 016", 2, 2, b"SET", b"k", b"w"), 0, True, once=False)
        assert run_batch(grid.caller, [request, later]) == [b"OK", b"OK"]
        (again,) = run_batch(grid.caller, [request])
        assert isinstance(again, RejectedError)
        assert again.code == "STALEID"
