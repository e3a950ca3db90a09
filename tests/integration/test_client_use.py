"""The client as a program uses it: threads, forks, limits, time-outs, the end, and what is said when something is wrong."""

import asyncio
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pydantic
import pytest
from tests.integration.member_processes import grid_processes
from tests.ports import HeldPorts

import kubegrid
from kubegrid.base.errors import UsageError
from kubegrid.client import Grid, clock
from kubegrid.client.deadline import CURRENT


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with kubegrid.local() as embedded:
        yield embedded


@pytest.fixture(autouse=True)
def empty(grid: Grid) -> None:
    for name in grid.tables():
        grid.table(name).drop()
    grid.execute_everywhere("FLUSHALL")


@dataclass
class Trade:
    book: str
    id: int
    notional: Decimal
    price: float | None = None


def trades(grid: Grid) -> "kubegrid.Table[Trade]":
    return grid.table(Trade, key=["book", "id"], partition_by=["book"], index=["price"])


# -- threads, forks, loops -----------------------------------------------------------------------------------------------


def test_threads_share_a_client_and_its_connections_are_bounded(grid: Grid) -> None:
    with kubegrid.connect(grid.members[0], connections=3) as shared:
        threads = [threading.Thread(target=lambda: [shared.incr("n") for _ in range(50)]) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shared.get("n") == b"1000"
        assert len(shared.caller.pool(shared.members[0]).free) <= 3


def test_a_thread_that_gets_no_connection_within_its_deadline_says_so(grid: Grid) -> None:
    with kubegrid.connect(grid.members[0], connections=1) as shared:
        table = trades(shared)
        taker = threading.Thread(target=lambda: table.take("book = 'none'", timeout=60))
        taker.start()
        while b"blocked_clients:1" not in grid.execute("INFO", "clients"):
            time.sleep(0.01)
        with pytest.raises(kubegrid.UnavailableError, match="connections were in use"), kubegrid.deadline(0.1):
            shared.get("n")
        trades(grid).write(Trade("none", 1, Decimal(1)))
        taker.join()


def test_a_fork_uses_connections_and_ids_of_its_own(grid: Grid) -> None:
    with kubegrid.connect(grid.members[0]) as shared:
        shared.incr("n")
        identity = shared.caller.of_slot[0].ids.client
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answers = [shared.incr("n") for _ in range(100)]
                right = len(set(answers)) == 100 and shared.caller.of_slot[0].ids.client != identity
                os.write(writing, b"right" if right else b"wrong")
            except BaseException as error:
                os.write(writing, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        for _ in range(100):
            shared.incr("n")
        assert os.read(reading, 1000) == b"right"
        os.waitpid(child, 0)
        assert shared.get("n") == b"201"


def test_an_embedded_grid_is_refused_in_a_forked_child(grid: Grid) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            grid.get("n")
        except Exception as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    assert b"forked" in os.read(reading, 1000)
    os.waitpid(child, 0)
    assert grid.get("n") is None


async def test_thousands_of_awaitables_are_answered_in_their_places(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0], in_flight=100) as many:
        await asyncio.gather(*[many.set(f"k{n}", n) for n in range(5000)])
        values = await asyncio.gather(*[many.get(f"k{n}") for n in range(5000)])
        assert values == [b"%d" % n for n in range(5000)]


async def test_more_waiting_requests_than_the_limit_are_refused_not_done(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0], in_flight=10, waiting=20) as few:
        await few.get("a")
        futures = [few.incr("n") for _ in range(30)]
        with pytest.raises(kubegrid.OverloadedError):
            few.incr("n")
        assert sorted(await asyncio.gather(*futures)) == list(range(1, 31))


async def test_many_at_once_wait_for_room_instead_of_being_refused_half_way(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0], in_flight=10, waiting=20) as few:
        await few.get("a")
        others = [few.incr("n") for _ in range(25)]
        await few.set_many({f"k{n}": n for n in range(300)})
        assert await few.get_many([f"k{n}" for n in range(300)]) == [b"%d" % n for n in range(300)]
        assert sorted(await asyncio.gather(*others)) == list(range(1, 26))


async def test_many_at_once_that_find_no_room_at_all_are_refused_not_done(silent: "Silent") -> None:
    async with await kubegrid.connect_async(f"127.0.0.1:{silent.port}", in_flight=10, waiting=20, timeout=0.5) as few:
        others = [few.get("a") for _ in range(20)]
        with pytest.raises(kubegrid.OverloadedError):
            await few.set_many({"a": 1, "b": 2})
        await asyncio.gather(*others, return_exceptions=True)


async def test_a_cancelled_request_does_not_mix_up_the_others(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0]) as shared:
        await shared.set("a", "x")
        futures = [asyncio.ensure_future(shared.get("a")) for _ in range(100)]
        for future in futures[::2]:
            future.cancel()
        assert await asyncio.gather(*futures[1::2]) == [b"x"] * 50


# -- times and ends ------------------------------------------------------------------------------------------------------


class Silent:
    """A member that takes connections and requests and answers nothing; `map_of` makes it tell that it serves all slots."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.requests = 0
        self.identities: set[bytes] = set()
        """Under which numbered writes came."""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        fields = [b"id", b"x", b"port", self.port, b"ip", b"127.0.0.1", b"role", b"master", b"health", b"online"]
        node = b"".join(b":%d\r\n" % f if isinstance(f, int) else b"$%d\r\n%b\r\n" % (len(f), f) for f in fields)
        shards = b"*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*10\r\n" + node
        while data := connection.recv(65536):
            if b"SHARDS" in data:
                connection.sendall(shards)
            else:
                _, once, rest = data.partition(b"KG.ONCE\r\n$16\r\n")
                if once:
                    self.identities.add(rest[:16])
                self.requests += 1

    def wait_for(self, requests: int, identities: int = 0) -> None:
        until = time.monotonic() + 60
        while self.requests < requests or len(self.identities) < identities:
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.fixture
def silent() -> Iterator[Silent]:
    member = Silent()
    yield member
    member.socket.close()


def test_a_member_that_never_answers_ends_reads_not_done_and_writes_in_doubt(silent: Silent) -> None:
    with kubegrid.connect(f"127.0.0.1:{silent.port}", timeout=2.0, silence=0.2) as grid:
        with pytest.raises(kubegrid.UnavailableError, match=r"silent|did not answer") as read:
            grid.get("a")
        assert read.value.outcome is kubegrid.Outcome.NOT_DONE
        with pytest.raises(kubegrid.OutcomeUnknownError, match="SET was sent") as written:
            grid.set("a", 1)
        assert written.value.outcome is kubegrid.Outcome.UNKNOWN
        with pytest.raises(kubegrid.PartlyDoneError) as many, grid.pipeline() as pipe:
            pipe.get("a")
            pipe.incr("b")
        assert many.value.outcome is kubegrid.Outcome.UNKNOWN
    assert silent.requests > 3


def test_without_ids_a_write_is_not_sent_a_second_time(silent: Silent) -> None:
    address = f"127.0.0.1:{silent.port}"
    with kubegrid.connect(address, silence=0.5, request_ids=False) as grid, pytest.raises(kubegrid.OutcomeUnknownError):
        grid.incr("a")
    silent.wait_for(1)
    assert silent.requests == 1


async def test_the_async_client_says_the_same_of_a_silent_member(silent: Silent) -> None:
    async with await kubegrid.connect_async(f"127.0.0.1:{silent.port}", timeout=2.0, silence=0.2) as grid:
        with pytest.raises(kubegrid.UnavailableError):
            await grid.get("a")
        with pytest.raises(kubegrid.OutcomeUnknownError):
            await grid.set("a", 1)
        with pytest.raises(kubegrid.UnavailableError), kubegrid.deadline(0.3):
            await grid.get("a")


async def test_the_async_client_says_how_long_it_tried(silent: Silent) -> None:
    """From the asking on, not from the first thing that went wrong."""
    async with await kubegrid.connect_async(f"127.0.0.1:{silent.port}", timeout=0.3, silence=30) as grid:
        with pytest.raises(kubegrid.UnavailableError, match=r"GET was not served within 0\.3 s"):
            await grid.get("a")


async def test_several_reads_of_which_some_fail_are_not_done(silent: Silent) -> None:
    address = f"127.0.0.1:{silent.port}"
    with kubegrid.connect(address, timeout=0.3, silence=0.1) as grid:
        with pytest.raises(kubegrid.UnavailableError, match="GET was not served"):
            grid.get_many(["a", "b"])
        with pytest.raises(kubegrid.UnavailableError, match="EXISTS was not served"):
            grid.exists("a", "b")
        with pytest.raises(kubegrid.PartlyDoneError):
            grid.set_many({"a": 1, "b": 2})
    async with await kubegrid.connect_async(address, timeout=0.3, silence=0.1) as other:
        with pytest.raises(kubegrid.UnavailableError, match="GET was not served"):
            await other.get_many(["a", "b"])


async def test_a_write_that_had_no_time_left_was_not_sent_and_is_not_in_doubt(grid: Grid) -> None:
    late = CURRENT.set(clock.now() - 1)
    try:
        for ask in (lambda: grid.incr("n"), lambda: grid.set_many({"n": 1}), lambda: grid.table(Trade, key="id")):
            with pytest.raises(kubegrid.UnavailableError, match=r"was not served within 0 s|in time"):
                ask()
    finally:
        CURRENT.reset(late)
    async with await kubegrid.connect_async(grid.members[0]) as other:
        late = CURRENT.set(clock.now() - 1)
        try:
            with pytest.raises(kubegrid.UnavailableError):
                await other.incr("n")
        finally:
            CURRENT.reset(late)
    assert (grid.get("n"), grid.tables()) == (None, [])


async def test_a_value_that_is_too_long_is_refused_and_nothing_is_in_doubt(grid: Grid) -> None:
    most = int(grid.execute("CONFIG", "GET", "proto-max-bulk-len")[1])
    long = b"x" * (most + 1)
    too_long = "a word of the command is longer than a member takes"
    with kubegrid.connect(grid.members[0], connections=1) as shared:
        for _ in range(2):
            with pytest.raises(kubegrid.RejectedError, match=too_long):
                shared.set("k", long)
        shared.set("k", long[:most])
        assert shared.length("k") == most
        with pytest.raises(kubegrid.PartlyDoneError, match=too_long), shared.pipeline() as pipe:
            pipe.set("k", long)
            pipe.incr("n")
    async with await kubegrid.connect_async(grid.members[0]) as other:
        with pytest.raises(kubegrid.RejectedError, match=too_long):
            await other.set("k", long)
        assert await other.get("n") == b"1"


def test_a_timeout_below_the_silence_ends_the_first_attempt(silent: Silent) -> None:
    with kubegrid.connect(f"127.0.0.1:{silent.port}", timeout=0.5, silence=60) as grid:
        started = time.monotonic()
        with pytest.raises(kubegrid.UnavailableError):
            grid.get("a")
        with pytest.raises(kubegrid.PartlyDoneError), grid.pipeline() as pipe:
            pipe.get("a")
            pipe.get("b")
        assert time.monotonic() - started < 30


def test_what_was_sent_before_a_long_sleep_of_the_machine_is_not_sent_again(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of deadlines goes on while the machine is suspended: here it jumps by ten minutes in the first attempt."""
    with kubegrid.connect(f"127.0.0.1:{silent.port}", timeout=60, silence=3.0) as grid:
        slept = threading.Event()
        monkeypatch.setattr(clock, "now", lambda: time.monotonic() + (600 if slept.is_set() else 0))

        def sleep() -> None:
            silent.wait_for(1)
            slept.set()

        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        with pytest.raises(kubegrid.OutcomeUnknownError):
            grid.incr("a")
        sleeper.join()
    assert silent.requests == 1


async def test_nor_by_the_async_client(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await kubegrid.connect_async(f"127.0.0.1:{silent.port}", timeout=60, silence=3.0) as grid:
        slept = threading.Event()
        monkeypatch.setattr(clock, "now", lambda: time.monotonic() + (600 if slept.is_set() else 0))
        write = grid.incr("a")
        await asyncio.to_thread(silent.wait_for, 1)
        slept.set()
        with pytest.raises(kubegrid.OutcomeUnknownError):
            await write
    assert silent.requests == 1


async def test_takes_that_are_given_up_use_one_identity(silent: Silent) -> None:
    """Members remember an identity for ten minutes, and 10,000 of them."""
    async with await kubegrid.connect_async(f"127.0.0.1:{silent.port}") as grid:

        async def take() -> None:
            async with grid.caller.apart() as caller:
                await caller.submit((b"KG.TAKE", b"trades", b"TRUE"), 0, True, long=True)

        for number in range(20):
            taking = asyncio.create_task(take())
            await asyncio.to_thread(silent.wait_for, number + 1)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
    assert len(silent.identities) == 1


def test_takes_that_end_in_errors_use_one_identity(silent: Silent) -> None:
    with kubegrid.connect(f"127.0.0.1:{silent.port}", silence=0.01) as grid:
        for number in range(5):
            with pytest.raises(kubegrid.OutcomeUnknownError):
                grid.caller.call_long((b"KG.TAKE", b"trades", b"TRUE"), 0, True, clock.now() + 0.5)
            silent.wait_for(number + 1)
    assert len(silent.identities) == 1


def test_a_closed_client_says_that_it_is_closed(grid: Grid) -> None:
    ended = kubegrid.connect(grid.members[0])
    table = trades(ended)
    ended.close()
    ended.close()
    with pytest.raises(kubegrid.ClosedError, match="closed"):
        ended.get("a")
    with pytest.raises(kubegrid.ClosedError, match="closed"):
        table.read(("FX", 1))
    with pytest.raises(kubegrid.ClosedError, match="closed"), ended.pipeline() as pipe:
        pipe.get("a")
    with pytest.raises(kubegrid.ClosedError, match="closed"):
        table.read(("FX", 1), max_staleness_ms=100)


@pytest.mark.parametrize("ended", [True, False])
def test_an_async_client_in_another_loop_says_what_to_do(grid: Grid, ended: bool) -> None:
    first = asyncio.new_event_loop()
    client = first.run_until_complete(kubegrid.connect_async(grid.members[0]))
    table = first.run_until_complete(client.table(Trade, key=["book", "id"]))
    assert first.run_until_complete(client.incr("n")) == 1  # put on its way before the loop runs
    if ended:
        first.close()
    asked = [
        lambda: client.get("n"),
        lambda: client.get_many(["n"]),
        lambda: client.sql("SELECT 1"),
        lambda: client.sql_stream("SELECT 1"),
        lambda: client.execute_everywhere("DBSIZE"),
        lambda: table.find(),
        lambda: table.take(timeout=0.1),
        lambda: table.read(("FX", 1), max_staleness_ms=5),
        lambda: table.write_many([Trade("FX", 1, Decimal(1))]),
    ]

    async def elsewhere() -> None:
        for ask in asked:
            with pytest.raises(
                kubegrid.ClosedError, match=r"belongs to another event loop.*\n.*connect_async in this one"
            ):
                await ask()  # type: ignore[no-untyped-call]
        if ended:
            await client.close()
            await client.close()
            assert client.closed

    asyncio.run(elsewhere())
    assert grid.get("n") == b"1"
    if not ended:
        assert first.run_until_complete(client.get("n")) == b"1"
        first.run_until_complete(client.close())
        first.close()


async def test_an_async_client_of_the_parent_can_be_closed_in_a_fork(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0]) as client:
        await client.incr("n")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                try:
                    client.get("n")
                except kubegrid.ClosedError as error:
                    os.write(writing, str(error).encode())
                asyncio.run(client.close())
                os.write(writing, b" closed")
            except BaseException as error:
                os.write(writing, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        told = os.read(reading, 1000)
        assert told.startswith(b"this async client belongs to the parent of this process\n")
        assert told.endswith(b" closed")
        assert await client.incr("n") == 2


def test_an_async_client_in_another_thread_says_the_same(grid: Grid) -> None:
    async def used() -> None:
        async with await kubegrid.connect_async(grid.members[0]) as client:
            with pytest.raises(kubegrid.ClosedError, match="another event loop"):
                await asyncio.to_thread(lambda: client.get("n"))
            assert await client.get("n") is None

    asyncio.run(used())


TAKE = (b"KG.TAKE", b"trades", b"TRUE")


@pytest.mark.parametrize(
    ("ask", "kind", "outcome"),
    [
        (lambda grid: grid.get("a"), kubegrid.ClosedError, kubegrid.Outcome.NOT_DONE),
        (lambda grid: grid.get_many(["a", "b"]), kubegrid.ClosedError, kubegrid.Outcome.NOT_DONE),
        (lambda grid: grid.incr("a"), kubegrid.OutcomeUnknownError, kubegrid.Outcome.UNKNOWN),
        (lambda grid: grid.set_many({"a": 1, "b": 2}), kubegrid.PartlyDoneError, kubegrid.Outcome.UNKNOWN),
        (
            lambda grid: grid.caller.call_long(TAKE, 0, True, clock.now() + 3600),
            kubegrid.OutcomeUnknownError,
            kubegrid.Outcome.UNKNOWN,
        ),
    ],
)
def test_what_other_threads_have_under_way_ends_when_the_client_is_closed(
    silent: Silent, ask: Callable[[Grid], object], kind: type[Exception], outcome: kubegrid.Outcome
) -> None:
    grid = kubegrid.connect(f"127.0.0.1:{silent.port}", silence=0.05, timeout=300)
    ended: list[kubegrid.ClientError] = []

    def work() -> None:
        try:
            ask(grid)
        except kubegrid.ClientError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    silent.wait_for(1)
    grid.close()
    thread.join(60)
    assert [(type(error), error.outcome) for error in ended] == [(kind, outcome)]


async def test_a_take_of_the_async_client_ends_when_it_is_closed(grid: Grid) -> None:
    other = await kubegrid.connect_async(grid.members[0])
    table = await other.table(Trade, key=["book", "id"])
    taking = asyncio.create_task(table.take("book = 'none'", timeout=3600))
    while b"blocked_clients:1" not in grid.execute("INFO", "clients"):
        await asyncio.sleep(0.01)
    await other.close()
    with pytest.raises(kubegrid.OutcomeUnknownError, match="was closed"):
        await taking
    while b"blocked_clients:0" not in grid.execute("INFO", "clients"):
        await asyncio.sleep(0.01)


async def test_closing_the_async_client_ends_what_is_on_its_way(silent: Silent) -> None:
    grid = await kubegrid.connect_async(f"127.0.0.1:{silent.port}")
    read, write = grid.get("a"), grid.set("a", 1)
    await asyncio.to_thread(silent.wait_for, 1, identities=1)
    await grid.close()
    await grid.close()
    with pytest.raises(kubegrid.ClosedError):
        await read
    with pytest.raises(kubegrid.OutcomeUnknownError):
        await write
    with pytest.raises(kubegrid.ClosedError):
        grid.get("a")


def test_a_grid_that_is_not_there_is_told_address_by_address() -> None:
    with HeldPorts(2) as (one, two), pytest.raises(kubegrid.GridNotReachableError) as raised:
        kubegrid.connect(f"127.0.0.1:{one},127.0.0.1:{two}")
    assert raised.value.attempts == {f"127.0.0.1:{port}": "connection refused" for port in (one, two)}


async def test_the_async_client_tells_the_same() -> None:
    with HeldPorts(1) as (port,), pytest.raises(kubegrid.GridNotReachableError, match="connection refused"):
        await kubegrid.connect_async(f"127.0.0.1:{port}")


def test_a_secret_is_asked_for_and_a_wrong_one_refused(tmp_path: Path) -> None:
    with grid_processes(tmp_path, partitions=1, copies=1, secret="open sesame, please") as processes:
        processes.start()
        address = f"127.0.0.1:{processes.ports['p0-0'][0]}"
        with kubegrid.connect(address, password="open sesame, please") as inside:
            assert inside.set("a", 1)
        for password in (None, "another one"):
            with pytest.raises(kubegrid.AccessError, match="password"):
                kubegrid.connect(address, password=password)


# -- tables --------------------------------------------------------------------------------------------------------------


class TradeStruct(msgspec.Struct):
    book: str
    id: int
    notional: Decimal
    price: float | None = None


class TradeModel(pydantic.BaseModel):
    book: str
    id: int
    notional: Decimal
    price: float | None = None


@pytest.mark.parametrize("kind", [Trade, TradeStruct, TradeModel])
def test_records_come_back_as_the_class_that_was_written(grid: Grid, kind: type) -> None:
    table = grid.table(kind, name="of_a_class", key=["book", "id"], partition_by=["book"])
    record = kind(book="FX", id=1, notional=Decimal("1.5"))
    assert table.write(record) > 0
    assert table.read(("FX", 1)) == record
    assert table.find("id = 1") == [record]
    assert table.take() == record
    assert table.read(("FX", 1)) is None


def test_an_arrow_schema_a_dict_and_a_name_give_dicts(grid: Grid) -> None:
    schema = pa.schema([("symbol", pa.string()), ("price", pa.float64())])
    by_schema = grid.table(schema, name="prices", key="symbol", index="price")
    by_schema.write({"symbol": "EURUSD", "price": 1.1})
    columns = [{"name": "symbol", "type": "TEXT", "nullable": False}, {"name": "price", "type": "DOUBLE"}]
    by_dict = grid.table({"columns": columns}, name="prices", key="symbol", index="price")
    assert by_dict.read("EURUSD") == grid.table("prices").read("EURUSD") == {"symbol": "EURUSD", "price": 1.1}


def test_a_table_of_the_same_name_and_another_schema_is_refused_with_the_difference(grid: Grid) -> None:
    trades(grid)
    with pytest.raises(kubegrid.TableExistsError, match="index"):
        grid.table(Trade, key=["book", "id"], partition_by=["book"])
    with pytest.raises(kubegrid.BadDefinitionError, match="key"):
        grid.table(Trade, name="other")
    with pytest.raises(kubegrid.UnknownTableError, match="did you mean 'trades'"):
        grid.table("traeds")
    with pytest.raises(UsageError, match="class"):
        grid.table(7)


def test_what_does_not_fit_is_refused_and_changes_nothing(grid: Grid) -> None:
    table = trades(grid)
    good = Trade("FX", 1, Decimal(1))
    with pytest.raises(kubegrid.BadValueError, match=r"record 1: table trades, column id: 'x'"):
        table.write_many([good, Trade("FX", "x", Decimal(1))])  # type: ignore[arg-type]
    with pytest.raises(kubegrid.BadValueError, match="NaN"):
        table.write(Trade("FX", 1, Decimal("NaN")))
    with pytest.raises(kubegrid.BadValueError, match="a record is a Trade"):
        table.write({"book": "FX"})  # type: ignore[arg-type]
    with pytest.raises(kubegrid.BadValueError, match="its key is"):
        table.read("FX")
    with pytest.raises(kubegrid.BadValueError, match="on_duplicate"):
        table.write(good, on_duplicate="replaec")
    with pytest.raises(kubegrid.UnknownColumnError, match="did you mean 'price'"):
        table.change(("FX", 1), set={"prize": 1})
    with pytest.raises(kubegrid.UnknownColumnError, match="did you mean 'price'"):
        table.change(("FX", 1), increment={"prize": 1})
    with pytest.raises(kubegrid.PredicateError):
        table.count("price <")
    assert table.count() == 0


def test_a_predicate_and_a_limit_that_are_none_are_refused_with_what_they_are(grid: Grid) -> None:
    trades = grid.table(Trade, key=["book", "id"], name="trades")
    for ask in (trades.find, trades.count, trades.take):
        with pytest.raises(UsageError, match='a predicate is a str, as in "price > 1", not NoneType'):
            ask(None)  # type: ignore[arg-type]
    for limit in (-1, 1.5, "x"):
        with pytest.raises(UsageError, match="limit is a whole number"):
            trades.find(limit=limit)  # type: ignore[arg-type]
    assert trades.find(limit=0) == []


def test_a_table_that_is_altered_while_it_is_written_goes_on_being_written(grid: Grid) -> None:
    table = trades(grid)
    table.write(Trade("FX", 1, Decimal(1)))
    other = grid.table("trades")
    other.add_column("venue", "VARCHAR")
    assert table.write(Trade("FX", 2, Decimal(2))) > 0
    assert table.write_many(Trade("FX", n, Decimal(n)) for n in range(3, 1500)) == 1497
    with grid.transaction("FX") as t:
        t.write(table, Trade("FX", 2000, Decimal(2)))
    assert table.read(("FX", 2)) == Trade("FX", 2, Decimal(2))
    assert other.read(("FX", 2000)) == {"book": "FX", "id": 2000, "notional": Decimal(2), "price": None, "venue": None}
    assert table.count() == 1500


def test_a_table_that_was_made_anew_is_not_taken_for_the_old_one(grid: Grid) -> None:
    table = trades(grid)
    table.drop()
    with pytest.raises(kubegrid.UnknownTableError):
        table.read(("FX", 1))
    columns = [{"name": "book", "type": "VARCHAR"}, {"name": "id", "type": "BIGINT"}, {"name": "x", "type": "DOUBLE"}]
    anew = grid.table({"columns": columns}, name="trades", key=["book", "id"], partition_by=["book"])
    anew.write({"book": "FX", "id": 1, "x": 1.0})
    with pytest.raises(kubegrid.UnknownTableError, match="made anew"):
        table.read(("FX", 1))


# -- transactions --------------------------------------------------------------------------------------------------------


def test_a_transaction_that_read_what_was_changed_meanwhile_does_nothing(grid: Grid) -> None:
    table = trades(grid)
    table.write(Trade("FX", 1, Decimal(1), 1.0))
    with pytest.raises(kubegrid.ConflictError) as raised, grid.transaction("FX") as t:
        assert t.read(table, ("FX", 1)) is not None
        assert t.read(table, ("FX", 2)) is None
        table.write(Trade("FX", 2, Decimal(2)))
        t.change(table, ("FX", 1), increment={"price": 1})
        t.execute("SET", "{FX}:done", 1)
    assert raised.value.outcome is kubegrid.Outcome.NOT_DONE
    assert grid.get("{FX}:done") is None


def test_transfers_of_many_threads_keep_the_sum(grid: Grid) -> None:
    table = trades(grid)
    table.write_many(Trade("FX", n, Decimal(1), 100.0) for n in range(4))

    def transfer(source: int, target: int) -> None:
        with grid.transaction("FX") as t:
            one, other = t.read(table, ("FX", source)), t.read(table, ("FX", target))
            assert one is not None and other is not None and one.price is not None and other.price is not None
            t.write(table, Trade("FX", source, Decimal(1), one.price - 1))
            t.write(table, Trade("FX", target, Decimal(1), other.price + 1))

    def work(number: int) -> None:
        for step in range(25):
            source = (number + step) % 4
            kubegrid.retry_on_conflict(functools.partial(transfer, source, (source + 1 + step % 3) % 4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(trade.price or 0.0 for trade in table.find()) == 400.0


def test_keys_of_another_slot_are_refused_before_anything_is_sent(grid: Grid) -> None:
    table = trades(grid)
    with pytest.raises(kubegrid.BadValueError, match="partition_by"), grid.transaction("FX") as t:
        t.write(table, Trade("EU", 1, Decimal(1)))
    with pytest.raises(UsageError, match="write"), grid.transaction("FX") as t:
        t.execute("GET", "{FX}:a")
    with pytest.raises(UsageError, match="ended"):
        t.write(table, Trade("FX", 1, Decimal(1)))
    with pytest.raises(UsageError, match="tag"):
        grid.transaction("a}b")


def test_an_exception_inside_sends_nothing(grid: Grid) -> None:
    with pytest.raises(ZeroDivisionError), grid.transaction("FX") as t:
        t.execute("SET", "{FX}:a", 1)
        raise ZeroDivisionError
    assert grid.get("{FX}:a") is None


def test_two_takers_never_get_the_same_record(grid: Grid) -> None:
    table = trades(grid)
    table.write_many(Trade("FX", n, Decimal(1)) for n in range(200))
    taken: list[int] = []

    def take() -> None:
        while (trade := table.take("book = 'FX'")) is not None:
            taken.append(trade.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(200))


async def test_a_take_that_waits_holds_up_nothing_else(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0]) as shared:
        table = await shared.table(Trade, key=["book", "id"], partition_by=["book"], index=["price"])
        waiting = asyncio.create_task(table.take("book = 'FX'", timeout=20))
        while not (await shared.execute("INFO", "clients")).count(b"blocked_clients:1"):
            await asyncio.sleep(0.01)
        assert await shared.incr("n") == 1
        await table.write(Trade("FX", 1, Decimal(1)))
        assert (await waiting) == Trade("FX", 1, Decimal(1))


async def test_takes_that_wait_do_not_wait_for_each_other(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0]) as shared:
        table = await shared.table(Trade, key=["book", "id"], partition_by=["book"], index=["price"])
        never = asyncio.create_task(table.take("book = 'none'", timeout=30))
        some = [asyncio.create_task(table.take(f"book = 'b{number}'", timeout=30)) for number in range(5)]
        while b"blocked_clients:6" not in await shared.execute("INFO", "clients"):
            await asyncio.sleep(0.01)
        for number in reversed(range(5)):
            await table.write(Trade(f"b{number}", number, Decimal(1)))
            assert (await some[number]) == Trade(f"b{number}", number, Decimal(1))
        never.cancel()
        while b"blocked_clients:0" not in await shared.execute("INFO", "clients"):
            await asyncio.sleep(0.01)


async def test_any_number_of_keys_are_read_in_parts(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0], in_flight=10, waiting=50) as few:
        await few.set_many({f"k{number}": number for number in range(1000)})
        assert await few.get_many([f"k{number}" for number in range(1000)]) == [b"%d" % n for n in range(1000)]


async def test_a_lost_link_keeps_the_order_and_stops_nothing_however_many_wait(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0], timeout=120) as many:
        await many.get("a")
        counts = [asyncio.ensure_future(many.incr("n")) for _ in range(10_000)]
        sets = [asyncio.ensure_future(many.set("last", number)) for number in range(10_000)]
        for at in (10, 3000, 12_000):
            await (counts + sets)[at]
            for link in many.caller.members.links():
                link.lose("lost by the test")
        assert sorted(await asyncio.gather(*counts)) == list(range(1, 10_001))
        assert all(await asyncio.gather(*sets))
        assert await many.get("last") == b"9999"


def test_threads_with_large_batches_do_not_wait_for_each_other(grid: Grid) -> None:
    with kubegrid.connect(grid.members[0], in_flight=2000) as shared:
        values = [{f"{thread}:{number}": number for number in range(4000)} for thread in range(4)]
        threads = [threading.Thread(target=shared.set_many, args=(one,)) for one in values]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert grid.execute("DBSIZE") == 16_000


def test_a_take_that_waits_holds_up_no_other_writes(grid: Grid) -> None:
    with kubegrid.connect(grid.members[0]) as shared:
        table = trades(shared)
        taker = threading.Thread(target=lambda: table.take("book = 'FX'", timeout=60))
        taker.start()
        while b"blocked_clients:1" not in shared.execute("INFO", "clients"):
            time.sleep(0.01)
        with shared.pipeline() as pipe:
            for number in range(9000):
                pipe.set("k", number)
        assert shared.incr("n") == 1
        assert taker.is_alive()
        table.write(Trade("FX", 1, Decimal(1)))
        taker.join(60)
        assert not taker.is_alive()
