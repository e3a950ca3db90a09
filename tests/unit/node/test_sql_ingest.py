"""Bulk writes: a stream's batches become entries in its order, each once, answered when confirmed; refusals end the stream."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pytest
from tests.unit.node.drive import Drive
from tests.unit.node.sql_member import TRADES, Replicator, never

from kubegrid.base.settings import ClientSettings
from kubegrid.base.table_definitions import parse_column, parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.client.bulk.writing import FEW_ROWS
from kubegrid.node.ingest_batch import BATCH_ROWS, RECORDS_MAX
from kubegrid.node.sql_ingest import LARGE_BYTES, Ingest
from kubegrid.node.turn import Turn
from kubegrid.replication import Gate
from kubegrid.sql.errors import Cancelled, NotSupported, Unavailable, WriteRefused
from kubegrid.store.effects import BLOCK, RECORDS, REQUEST
from kubegrid.store.row_blocks import BLOCK_ROWS_MIN
from kubegrid.store.slots import slot_of

Answer = TypeVar("Answer")
CLIENT = b"c" * 16
END = object()


class Stream:
    """Both ends of a DoPut as the ingest sees them: `read_chunk` and `write`."""

    def __init__(self, member: "Member", *words: str, cancelled: Callable[[], bool] = never) -> None:
        self.incoming: queue.Queue[Any] = queue.Queue()
        self.answers: queue.Queue[Any] = queue.Queue()
        self.failure: Exception | None = None
        self.data: Any = None
        self.app_metadata: Any = None
        self._thread = threading.Thread(target=self._serve, args=(member, list(words), cancelled), daemon=True)
        self._thread.start()

    def _serve(self, member: "Member", words: list[str], cancelled: Callable[[], bool]) -> None:
        try:
            member.ingest.serve(words, self, self, cancelled)
        except Exception as error:
            self.failure = error
            self.answers.put(error)

    def read_chunk(self) -> "Stream":
        given = self.incoming.get()
        if given is END:
            raise StopIteration
        self.data, self.app_metadata = given
        return self

    def write(self, buffer: Any) -> None:
        self.answers.put(msgspec.msgpack.decode(buffer.to_pybytes()))

    def put(self, batch: Any, seq: int, acked: int = 0, client: bytes = CLIENT) -> None:
        self.incoming.put((batch, pa.py_buffer(msgspec.msgpack.encode((client, seq, acked)))))

    def answer(self) -> tuple[int, bytes]:
        found = self.answers.get(timeout=20)
        if isinstance(found, Exception):
            raise found
        return found[0], found[1]

    def end(self) -> None:
        self.incoming.put(END)
        self._thread.join(20)
        assert not self._thread.is_alive()


class Member:
    """The first of two partitions, primary, in a loop of its own thread; gate and commit point are moved by the test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.drive = Drive(partitions=2)
        self.keyspace = self.drive.keyspace
        self.replicator = Replicator()
        self.turn = Turn(self.loop, self.keyspace, self.replicator, ClientSettings())
        self.ingest = Ingest(self.loop, self.turn, self.drive.node, self._no_caller)
        self.change(lambda catalog: Catalog().create(parse_definition(None, msgspec.json.encode(TRADES))))

    def _no_caller(self) -> Any:
        raise AssertionError("nothing is to be sent to others")

    def in_loop(self, function: Callable[[], Answer]) -> Answer:
        async def run() -> Answer:
            found = function()
            while self.turn.running or self.turn.scheduled:
                await asyncio.sleep(0)
            return found

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def change(self, how: Callable[[Catalog], Catalog]) -> None:
        self.in_loop(lambda: self.turn.work(lambda: self.keyspace.adopt_catalog(how(self.keyspace.catalog))))
        self.replicator.entries.clear()

    def set(self, **state: Any) -> None:
        """Of the replicator; then what a tick does."""

        def work() -> None:
            for name, value in state.items():
                setattr(self.replicator, name, value)
            self.turn.input(lambda: None)

        self.in_loop(work)

    def stream(self, mode: str = "replace", schema: int = 1, **more: Any) -> Stream:
        return Stream(self, "trades", mode, str(schema), **more)

    def prices(self) -> dict[int, Any]:
        """id → price of every record."""

        def read() -> dict[int, Any]:
            table = self.keyspace.tables.by_name[b"trades"]
            self.keyspace.validate()
            values = [value for values in self.keyspace.slots for value in (values or {}).values()]
            records = [self.keyspace.blocks.record(value) if type(value) is int else value for value in values]
            rows = [table.codec.decode(record[12:]) for record in records]
            return {row[1]: row[2] for row in rows}

        return self.in_loop(read)

    def effects(self) -> list[int]:
        """The code of each effect."""
        return [code for effects, _ in self.replicator.entries for code in effects[::2]]

    def close(self) -> None:
        self.ingest.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def member() -> Iterator[Member]:
    made = Member()
    yield made
    made.close()


def own(count: int) -> list[int]:
    """Ids of rows that belong to the first of two partitions."""
    found: list[int] = []
    number = 0
    while len(found) < count:
        number += 1
        if slot_of(b"trades:FX:%d" % number) < 8192:
            found.append(number)
    return found


IDS = own(BATCH_ROWS + 1)
FEW = BLOCK_ROWS_MIN - 1
"""Rows that always become records."""


def rows(ids: list[int], price: float) -> Any:
    return pa.record_batch(
        [pa.array(["FX"] * len(ids)), pa.array(ids, pa.int64()), pa.array([price] * len(ids))], ["book", "id", "price"]
    )


@pytest.mark.parametrize(("size", "effect"), [(FEW, RECORDS), (FEW + 1, BLOCK)])
def test_each_batch_is_one_entry_with_its_answer_for_whoever_asks_again(member: Member, size: int, effect: int) -> None:
    stream = member.stream()
    for number in range(5):
        stream.put(rows(IDS[number * size : number * size + size], float(number)), seq=number + 1)
    assert [stream.answer() for _ in range(5)] == [
        (number + 1, b"*3\r\n:%d\r\n:%d\r\n:0\r\n" % (number * size + 1, size)) for number in range(5)
    ]
    stream.end()
    assert member.effects() == [effect, REQUEST] * 5
    assert len(member.replicator.entries) == 5
    assert member.prices() == {IDS[place]: place // size for place in range(5 * size)}


def test_the_largest_batch_of_new_rows_is_taken_and_a_larger_one_refused(member: Member) -> None:
    stream = member.stream()
    stream.put(rows(IDS[:BATCH_ROWS], 1.0), seq=1)
    assert stream.answer()[1].startswith(b"*3")
    stream.put(rows(IDS[: BATCH_ROWS + 1], 1.0), seq=2)
    assert stream.answer()[1].startswith(b"-SPLIT a batch of 16385 rows; 16384 are the most")
    stream.end()
    assert member.effects() == [BLOCK, REQUEST]


def test_the_largest_batch_of_rows_that_are_there_is_taken_and_a_larger_one_refused_and_not_remembered(
    member: Member,
) -> None:
    first = member.stream()
    first.put(rows(IDS[: RECORDS_MAX + 1], 1.0), seq=1)
    first.answer()
    first.put(rows(IDS[: RECORDS_MAX + 1], 2.0), seq=2)
    assert first.answer()[1].startswith(b"-SPLIT a batch of 2049 rows that become records; 2048 are the most")
    first.end()
    again = member.stream()
    again.put(rows(IDS[:RECORDS_MAX], 3.0), seq=2)
    again.put(rows(IDS[1 : RECORDS_MAX + 1], 4.0), seq=3)
    assert [again.answer()[1].split(b"\r\n")[2] for _ in range(2)] == [b":2048"] * 2
    again.end()
    assert member.effects() == [BLOCK, REQUEST, RECORDS, REQUEST, RECORDS, REQUEST]
    assert set(member.prices().values()) == {3.0, 4.0}


def test_a_table_whose_rows_must_become_records_takes_small_batches_only(member: Member) -> None:
    member.change(lambda catalog: catalog.create(parse_definition("spots", {**TRADES, "name": "spots", "ttl": 60})))
    stream = Stream(member, "spots", "replace", "1")
    stream.put(rows(IDS[: RECORDS_MAX + 1], 1.0), seq=1)
    assert stream.answer()[1].startswith(b"-SPLIT a batch of 2049 rows; 2048 are the most")
    stream.end()


def test_a_batch_of_too_many_bytes_is_refused_and_one_long_row_is_not(member: Member) -> None:
    member.change(lambda catalog: catalog.add_column("trades", parse_column({"name": "note", "type": "VARCHAR"})))

    def noted(ids: list[int], size: int) -> Any:
        return pa.record_batch(
            [pa.array(["FX"] * len(ids)), pa.array(ids, pa.int64()), pa.array(["x" * size] * len(ids))],
            ["book", "id", "note"],
        )

    stream = member.stream(schema=2)
    stream.put(noted(IDS[:100], 10_000), seq=1)  # as columns
    assert stream.answer()[1].startswith(b"*3")
    stream.put(noted(IDS[200:201], 1_000_000), seq=2)
    assert stream.answer()[1].startswith(b"*3")
    stream.put(noted(IDS[300:400], 30_000), seq=3)
    assert stream.answer()[1].startswith(b"-SPLIT a batch whose columns have more than 2097152 bytes")
    stream.end()
    again = member.stream(schema=2)
    again.put(noted(IDS[:100], 15_000), seq=4)  # as records, for they are there
    assert again.answer()[1].startswith(b"-SPLIT a batch whose records have more than 1048576 bytes")
    again.end()


def test_a_batch_that_is_sent_again_is_answered_and_not_executed(member: Member) -> None:
    first = member.stream()
    first.put(rows(IDS[:2], 1.0), seq=1)
    answer = first.answer()
    first.put(rows(IDS[:2], 2.0), seq=2)
    first.answer()
    first.end()
    again = member.stream()
    again.put(rows(IDS[:2], 1.0), seq=1)
    assert again.answer() == answer
    assert member.prices() == {IDS[0]: 2.0, IDS[1]: 2.0}
    again.put(rows(IDS[:1], 3.0), seq=3, acked=3)
    again.answer()
    again.put(rows(IDS[:1], 1.0), seq=1)
    assert again.answer()[1].startswith(b"-STALEID")
    again.end()


def test_an_answer_leaves_when_its_entry_is_confirmed_and_not_before(member: Member) -> None:
    member.set(confirmed=0)
    stream = member.stream()
    stream.put(rows(IDS[:2], 1.0), seq=1)
    stream.put(rows(IDS[2:4], 1.0), seq=2)
    while len(member.turn.pending) < 2:
        pass
    assert stream.answers.empty()
    member.set(confirmed=member.replicator.last_seq - 1)
    assert stream.answer()[0] == 1
    assert stream.answers.empty()
    member.set(confirmed=member.replicator.last_seq)
    assert stream.answer()[0] == 2
    stream.end()


def test_what_a_deposed_primary_wrote_is_answered_as_unknown(member: Member) -> None:
    member.set(confirmed=0)
    stream = member.stream()
    stream.put(rows(IDS[:2], 1.0), seq=1)
    while not member.turn.pending:
        pass
    member.in_loop(lambda: member.turn.drop_replies("this member is not the primary any more"))
    assert stream.answer() == (1, b"-UNKNOWN this member is not the primary any more\r\n")
    stream.end()


def test_after_a_refused_batch_nothing_of_its_stream_is_executed(member: Member) -> None:
    member.set(confirmed=0)  # so that all of them are on their way before the first is answered
    stream = member.stream("fail")
    stream.put(rows(IDS[:2], 1.0), seq=1)
    stream.put(rows(IDS[1:3], 2.0), seq=2)
    stream.put(rows(IDS[3:5], 3.0), seq=3)
    while len(member.turn.pending) < 2:
        pass
    member.set(confirmed=1 << 60)
    assert stream.answer()[1].startswith(b"*3")
    assert stream.answer()[1] == b"-EXISTS 'trades:FX:%d' exists already; nothing was written\r\n" % IDS[1]
    stream.end()  # the third was refused as well if it was handed in already, and not looked at else
    assert member.prices() == {IDS[0]: 1.0, IDS[1]: 1.0}


def test_existing_records_are_kept_when_asked(member: Member) -> None:
    stream = member.stream("keep")
    stream.put(rows(IDS[:2], 1.0), seq=1)
    stream.put(rows(IDS[1:3], 2.0), seq=2)
    assert [stream.answer()[1].split(b"\r\n")[2:4] for _ in range(2)] == [[b":2", b":0"], [b":1", b":1"]]
    stream.end()
    assert member.prices() == {IDS[0]: 1.0, IDS[1]: 1.0, IDS[2]: 2.0}


def test_rows_of_another_partition_are_refused_with_its_primary(member: Member) -> None:
    foreign = next(number for number in range(1, 1000) if slot_of(b"trades:FX:%d" % number) >= 8192)
    stream = member.stream()
    stream.put(rows([IDS[0], foreign], 1.0), seq=1)
    assert stream.answer()[1] == b"-MOVED %d 127.0.0.1:7002\r\n" % slot_of(b"trades:FX:%d" % foreign)
    stream.end()
    assert member.prices() == {}


def test_a_bad_row_is_refused_with_its_place(member: Member) -> None:
    stream = member.stream()
    batch = pa.record_batch([pa.array(["FX", None]), pa.array(IDS[:2])], ["book", "id"])
    stream.put(batch, seq=1)
    assert stream.answer()[1] == (
        b"-BADVALUE table trades, column book: row 2 of the batch: NULL is no value of a NOT NULL column (VARCHAR)\r\n"
    )
    stream.end()


@pytest.mark.parametrize(
    ("state", "reply"),
    [({"open": Gate.CLOSED}, b"-CLUSTERDOWN"), ({"writable": False}, b"-NOREPLICAS")],
)
def test_a_member_that_may_not_write_refuses_at_once_and_remembers_nothing(
    member: Member, state: dict[str, Any], reply: bytes
) -> None:
    member.set(**state, confirmed=0)
    stream = member.stream()
    stream.put(rows(IDS[:1], 1.0), seq=1)
    assert stream.answer()[1].startswith(reply)
    stream.end()
    member.set(open=Gate.OPEN, writable=True, confirmed=1 << 60)
    again = member.stream()
    again.put(rows(IDS[:1], 1.0), seq=1)
    assert again.answer()[1].startswith(b"*3")
    again.end()


def test_a_full_member_refuses(member: Member) -> None:
    member.in_loop(lambda: member.keyspace.set_limit(0, None))
    stream = member.stream()
    stream.put(rows(IDS[:1], 1.0), seq=1)
    assert stream.answer()[1].startswith(b"-OOM")
    stream.end()


def test_a_full_member_that_still_deletes_a_dropped_table_asks_to_be_asked_again(member: Member) -> None:
    stream = member.stream()
    stream.put(rows(IDS[:FEW], 1.0), seq=1)
    assert stream.answer()[1].startswith(b"*3")
    stream.end()
    member.change(lambda catalog: catalog.drop("trades"))
    member.change(lambda catalog: catalog.create(parse_definition(None, msgspec.json.encode(TRADES))))
    member.in_loop(lambda: member.keyspace.set_limit(0, None))
    stream = Stream(member, "trades", "replace", "1")
    stream.put(rows(IDS[:1], 2.0), seq=2, acked=1)
    assert stream.answer()[1].startswith(b"-TRYAGAIN this member is full")
    stream.end()

    def sweep() -> None:
        while member.keyspace.sweep_slice(1000):
            pass

    member.in_loop(lambda: member.turn.work(sweep))
    stream = Stream(member, "trades", "replace", "1")
    stream.put(rows(IDS[:1], 2.0), seq=2, acked=1)
    assert stream.answer()[1].startswith(b"-OOM")
    stream.end()


def test_batches_wait_while_requests_are_held(member: Member) -> None:
    member.set(open=Gate.HOLD)
    stream = member.stream()
    stream.put(rows(IDS[:1], 1.0), seq=1)
    with pytest.raises(queue.Empty):
        stream.answers.get(timeout=0.05)
    member.set(open=Gate.OPEN)
    assert stream.answer()[1].startswith(b"*3")
    stream.end()


def test_a_schema_that_changed_is_refused_before_and_within_a_stream(member: Member) -> None:
    stream = member.stream()
    stream.put(rows(IDS[:1], 1.0), seq=1)
    stream.answer()
    member.change(lambda catalog: catalog.add_column("trades", parse_column({"name": "note", "type": "VARCHAR"})))
    stream.put(rows(IDS[1:2], 1.0), seq=2)
    assert stream.answer()[1] == b"-SCHEMA table trades is at 2, not 1\r\n"
    stream.end()
    late = member.stream(schema=1)
    late.put(rows(IDS[1:2], 1.0), seq=2)
    assert late.answer()[1] == b"-SCHEMA table trades is at 2, not 1\r\n"
    late.end()
    new = member.stream(schema=2)
    new.put(rows(IDS[1:2], 1.0), seq=2)
    assert new.answer()[1].startswith(b"*3")
    new.end()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("trade", "replace", "1"), WriteRefused, "no table 'trade'; did you mean 'trades'"),
        (("trades", "overwrite", "1"), NotSupported, "table, mode, number of the schema"),
        (("trades", "replace"), NotSupported, "table, mode, number of the schema"),
    ],
)
def test_a_path_that_names_nothing_is_refused(
    member: Member, words: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Stream(member, *words).answer()


def test_a_member_that_is_no_primary_says_nothing_about_tables_that_it_may_not_know_yet(member: Member) -> None:
    member.set(open=Gate.CLOSED)
    with pytest.raises(Unavailable, match="not the primary"):
        Stream(member, "trade", "replace", "1").answer()


def test_a_batch_without_a_request_id_is_refused(member: Member) -> None:
    stream = member.stream()
    stream.incoming.put((rows(IDS[:1], 1.0), None))
    with pytest.raises(NotSupported, match="client, seq, acked"):
        stream.answer()


def test_large_batches_of_anybody_are_written_one_after_the_other(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: queue.Queue[Any] = queue.Queue()
    may_end = threading.Semaphore(0)

    def write_many(encoder: Any, mode: str, batch: Any) -> int:
        begun.put(batch)
        may_end.acquire()
        return len(batch)

    monkeypatch.setattr(member.ingest, "_write_many", write_many)
    large, small = [pa.record_batch({"text": ["x" * size] * (FEW_ROWS + 1)}) for size in (10_000, 1)]
    assert large.nbytes > LARGE_BYTES
    written: queue.Queue[int] = queue.Queue()
    threads = [
        threading.Thread(target=lambda batch=batch: written.put(member.ingest.write("trades", batch, {})), daemon=True)
        for batch in (large, large, small)
    ]
    for thread in threads[:2]:
        thread.start()
    assert begun.get(timeout=20) is large
    threads[2].start()
    assert begun.get(timeout=20) is small, "the second large one did not wait"
    may_end.release(3)
    assert begun.get(timeout=20) is large
    assert [written.get(timeout=20) for _ in threads] == [FEW_ROWS + 1] * 3


def test_a_stream_ends_when_its_client_is_gone_or_its_member_stops(member: Member) -> None:
    member.set(confirmed=0)
    gone = threading.Event()
    stream = member.stream(cancelled=gone.is_set)
    stream.put(rows(IDS[:1], 1.0), seq=1)
    gone.set()
    stream.incoming.put(END)
    with pytest.raises(Cancelled):
        stream.answer()
    other = member.stream()
    other.put(rows(IDS[:1], 1.0), seq=2)
    while len(member.turn.pending) < 2:
        pass
    member.ingest.close()
    other.incoming.put(END)
    with pytest.raises(Unavailable):
        other.answer()
