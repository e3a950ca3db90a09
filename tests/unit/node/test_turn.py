"""The connection and the turn with real sockets, a real keyspace and real dispatch; what is confirmed is up to the test."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import hiredis
import pytest
from tests.unit.node.confirmed_by_hand import ConfirmedByHand
from tests.unit.node.drive import Drive
from tests.unit.node.table_rows import JOBS, packed
from tests.unit.store.block_scripts import load

from kubegrid.base import spinning
from kubegrid.base.process_memory import ProcessMemory
from kubegrid.base.settings import MIB, ClientSettings, StoreSettings
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.node import housekeeping, looking
from kubegrid.node.connection import BYTES_PER_UNIT
from kubegrid.node.housekeeping import Housekeeping
from kubegrid.node.looking import Looking
from kubegrid.node.memory_watch import MemoryWatch
from kubegrid.node.server import RespServer
from kubegrid.node.turn import FEW, TURN_UNITS, Turn
from kubegrid.replication import Gate
from kubegrid.store.blocks import OPENING_UNITS, ROW_UNITS
from kubegrid.store.record_writes import WRITTEN_UNITS

PATIENCE_S = 20


class Member:
    def __init__(self, clients: ClientSettings) -> None:
        self.drive = Drive(clients=clients)
        self.replicator = ConfirmedByHand()
        self.turn = Turn(asyncio.get_running_loop(), self.drive.keyspace, self.replicator, clients)
        self.server = RespServer(self.turn, self.drive.node)
        self.port = 0

    async def connect(self) -> "Client":
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 16))

    def poke(self) -> None:
        """What a tick does: run the end of a turn."""
        self.turn.input(lambda: None)

    def watch_spending(self) -> list[int]:
        """Grows by one with each turn from now on: the units that it spent."""
        spent: list[int] = []
        collect = self.turn._collect

        def watch(need: int) -> None:
            spent.append(TURN_UNITS - self.turn.units_left)
            collect(need)

        self.turn._collect = watch  # type: ignore[method-assign]
        return spent


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parser = hiredis.Reader()

    def send(self, *commands: tuple[str | bytes, ...]) -> None:
        self.writer.write(b"".join(hiredis.pack_command(command) for command in commands))

    async def reply(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while (value := self.parser.gets()) is False:
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionError("closed")
                self.parser.feed(data)
            return value

    async def replies(self, count: int) -> list[Any]:
        return [await self.reply() for _ in range(count)]


@pytest.fixture
async def member() -> AsyncIterator[Member]:
    made = Member(ClientSettings(output_bytes_pause=256 * 1024))
    made.port = await made.server.listen("127.0.0.1", 0)
    yield made
    await made.server.close()


async def settle() -> None:
    """Let everything that was sent over loopback arrive and be executed."""
    for _ in range(50):
        await asyncio.sleep(0.001)


async def test_pipelined_requests_are_answered_in_order(member: Member) -> None:
    client = await member.connect()
    client.send(("SET", "a", "1"), ("GET", "a"), ("INCR", "a"), ("GET", "a"), ("GET", "{x}b"), ("PING",))
    assert await client.replies(6) == [b"OK", b"1", 2, b"2", None, b"PONG"]


async def test_what_one_read_brought_is_one_entry(member: Member) -> None:
    client = await member.connect()
    client.send(("SET", "a", "1"), ("SET", "b", "2"), ("HSET", "c", "f", "v"))
    await client.replies(3)
    assert len(member.replicator.entries) == 1


@pytest.mark.parametrize(("count", "looks"), [(1, True), (FEW, True), (FEW + 1, False)])
async def test_the_loop_looks_for_what_comes_next_when_few_requests_came(
    member: Member, monkeypatch: pytest.MonkeyPatch, count: int, looks: bool
) -> None:
    expected = []
    monkeypatch.setattr(Looking, "expect", lambda looking: expected.append(looking))
    client = await member.connect()
    for _ in range(2):
        client.send(*[("SET", "a", "1")] * count)
        await client.replies(count)
    assert len(expected) == (2 if looks else 0)


async def test_the_loop_does_not_look_after_one_request_that_was_much_work(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = []
    monkeypatch.setattr(Looking, "expect", lambda looking: expected.append(looking))
    client = await member.connect()
    client.send(("DEL", *(f"{{a}}{number}" for number in range(200))))
    await client.reply()
    assert not expected


async def test_a_loop_that_looks_answers_as_one_that_sleeps_and_sleeps_in_the_end(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spinning, "processors", lambda: 2.0)
    rounds = []
    monkeypatch.setattr(looking, "give_way", lambda: rounds.append(1))
    member.turn.looking.begin()
    client = await member.connect()
    for number in range(50):
        client.send(("SET", "a", str(number)), ("GET", "a"))
        assert await client.replies(2) == [b"OK", str(number).encode()]
    assert rounds
    await settle()
    before = len(rounds)
    await settle()
    assert len(rounds) == before


async def test_what_was_held_back_goes_on_in_a_turn_of_its_own_though_the_loop_looks(member: Member) -> None:
    first, second = await member.connect(), await member.connect()
    member.replicator.open = Gate.HOLD
    for client in (first, second):
        client.send(("INCR", "a"), ("INCR", "a"))
    await settle()
    assert len(member.turn.held) == 2
    turns = member.watch_spending()
    member.replicator.open = Gate.OPEN
    member.turn.longest_ms = 0.0
    member.turn.looking.active = True
    member.poke()
    assert sorted([*await first.replies(2), *await second.replies(2)]) == [1, 2, 3, 4]
    assert len(turns) == 1
    assert member.turn.longest_ms < PATIENCE_S * 1000


async def test_a_member_that_grows_quickly_looks_at_its_memory_before_the_interval_is_over(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyspace = member.drive.keyspace

    def resident_bytes() -> int:
        return 100 * MIB + 2 * keyspace.used_bytes

    class GrowsTwiceAsMuch(MemoryWatch):
        def _seen(self) -> ProcessMemory:
            return ProcessMemory(resident_bytes(), 0)

    monkeypatch.setattr(housekeeping, "INTERVAL_MS", 3_600_000)
    chores = Housekeeping(
        keyspace, member.turn, StoreSettings(), GrowsTwiceAsMuch(150 * MIB, 0), 60_000, tidies_collector=False
    )
    chores.start()
    client = await member.connect()
    for number in range(40):
        client.send(("SET", f"key:{number}", b"v" * MIB))
        answer = await client.reply()
        if answer != b"OK":
            break
    assert str(answer).startswith("OOM")
    chores.stop()  # and nobody looks any more, though as much comes as before
    client.send(*(("APPEND", f"other:{number}", b"v" * MIB) for number in range(8)))
    assert len(await client.replies(8)) == 8
    assert resident_bytes() < chores.memory.hard_bytes + 4 * MIB


async def test_a_member_that_cannot_give_back_what_was_deleted_makes_anew_what_is_left(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NeverShrinks(MemoryWatch):
        def _seen(self) -> ProcessMemory:
            return ProcessMemory(90 * MIB, 0)

    monkeypatch.setattr(housekeeping, "INTERVAL_MS", 1)
    keyspace = member.drive.keyspace
    keyspace.recording = False
    keyspace.put(b"large", bytes(10 * MIB))
    for number in range(1000):
        keyspace.put(b"left:%d" % number, b"value %d" % number)
    chores = Housekeeping(keyspace, member.turn, StoreSettings(), NeverShrinks(100 * MIB, 0), 60_000)
    compacted = asyncio.Event()
    monkeypatch.setattr(chores.memory, "compacted", compacted.set)
    chores.start()
    keyspace.remove(b"large")
    before = keyspace.find(b"left:7")
    place = id(keyspace.find(b"left:8"))
    await compacted.wait()
    chores.stop()
    assert keyspace.find(b"left:7") is before, "a copy would be one more"
    assert id(keyspace.find(b"left:8")) != place
    keyspace.validate()


async def test_clients_that_hold_too_much_memory_are_closed_those_that_hold_most_first(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that are not finished are in nobody's count: sixteen large ones would be more than a small member has."""
    sessions = member.drive.node.sessions

    def held_bytes() -> int:
        return sum(session.held_bytes() for session in sessions.values())

    class HoldsWhatClientsSent(MemoryWatch):
        def _seen(self) -> ProcessMemory:
            return ProcessMemory(100 * MIB + held_bytes(), 0)

    monkeypatch.setattr(housekeeping, "INTERVAL_MS", 3_600_000)
    watch = HoldsWhatClientsSent(150 * MIB, 20 * MIB)
    chores = Housekeeping(
        member.drive.keyspace,
        member.turn,
        StoreSettings(),
        watch,
        60_000,
        lambda: list(sessions.values()),
        tidies_collector=False,
    )
    chores.start()
    clients = [await member.connect() for _ in range(6)]
    modest = await member.connect()
    modest.writer.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva")
    for number, client in enumerate(clients):
        client.writer.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (16 * MIB) + b"k" * ((8 + number) * MIB))
        with contextlib.suppress(ConnectionError):
            await client.writer.drain()
    await settle()
    chores.stop()
    assert 100 * MIB + held_bytes() < watch.hard_bytes + 8 * MIB
    assert 1 <= chores.crowded_out < 6
    modest.writer.write(b"lue\r\n")
    assert await modest.reply() == b"OK"


async def test_a_reply_waits_until_its_entry_is_confirmed_and_reads_wait_with_it(member: Member) -> None:
    member.replicator.confirmed = 0
    writer, reader = await member.connect(), await member.connect()
    writer.send(("SET", "a", "1"))
    await settle()
    reader.send(("GET", "a"))
    await settle()
    assert member.turn.pending and not writer.reader._buffer and not reader.reader._buffer  # type: ignore[attr-defined]
    member.replicator.confirmed = 1
    member.poke()
    assert await writer.reply() == b"OK"
    assert await reader.reply() == b"1"


async def test_a_refusal_is_immediate_but_keeps_its_place_behind_what_was_executed(member: Member) -> None:
    member.replicator.confirmed = 0
    first, second = await member.connect(), await member.connect()
    first.send(("SET", "a", "1"))
    await settle()
    member.replicator.open = Gate.CLOSED
    first.send(("SET", "a", "2"))
    second.send(("SET", "a", "3"))
    assert str(await second.reply()).startswith("CLUSTERDOWN")
    assert not first.reader._buffer  # type: ignore[attr-defined]
    member.replicator.confirmed = 1
    member.poke()
    assert await first.reply() == b"OK"
    assert str(await first.reply()).startswith("CLUSTERDOWN")


async def test_a_hand_over_holds_requests_and_then_lets_them_go_on(member: Member) -> None:
    client = await member.connect()
    member.replicator.open = Gate.HOLD
    client.send(("SET", "a", "1"), ("GET", "a"))
    await settle()
    assert not member.replicator.entries
    member.replicator.open = Gate.OPEN
    member.poke()
    assert await client.replies(2) == [b"OK", b"1"]


async def test_without_enough_copies_writes_wait_and_reads_do_not(member: Member) -> None:
    writer, reader = await member.connect(), await member.connect()
    writer.send(("SET", "a", "1"))
    assert await writer.reply() == b"OK"
    member.replicator.enough_copies = False
    writer.send(("SET", "a", "2"))
    await settle()
    member.replicator.writable = False
    reader.send(("GET", "a"), ("SET", "a", "3"))
    assert await reader.reply() == b"2"
    assert str(await reader.reply()).startswith("NOREPLICAS")
    writer.send(("GET", "a"))
    await settle()
    assert not writer.reader._buffer  # type: ignore[attr-defined]
    member.replicator.enough_copies = True
    member.poke()
    assert await writer.replies(2) == [b"OK", b"2"]


async def test_dropped_replies_never_leave_and_their_connections_close(member: Member) -> None:
    member.replicator.confirmed = 0
    client = await member.connect()
    client.send(("SET", "a", "1"))
    await settle()
    member.turn.drop_replies("deposed")
    member.replicator.confirmed = 1
    member.poke()
    with pytest.raises(ConnectionError):
        await client.reply()


async def test_a_read_of_many_requests_is_spread_over_turns_and_others_come_between(member: Member) -> None:
    busy, other = await member.connect(), await member.connect()
    count = 6 * TURN_UNITS
    executed = member.watch_spending()
    busy.send(*[("SET", f"k{n % 100}", "v") for n in range(count)])
    other.send(("PING",))
    assert await other.reply() == b"PONG"
    assert await busy.replies(count) == [b"OK"] * count
    assert len(executed) >= 6
    assert max(executed) <= 2 * TURN_UNITS + 20_000, "a turn took more than its units and the rest of one read"


async def test_slow_commands_weigh_more_of_a_turn(member: Member) -> None:
    client = await member.connect()
    count = TURN_UNITS
    client.send(*[("DEL", f"k{n}") for n in range(count)])
    assert await client.replies(count) == [0] * count


async def test_rows_that_are_made_records_weigh_more_of_a_turn(member: Member) -> None:
    keyspace = member.drive.keyspace
    table = parse_definition(None, json.dumps(JOBS | {"indexes": []}))
    keyspace.adopt_catalog(Catalog().create(table))
    count = 500
    load(keyspace, "jobs", [[f"j{n}", "new", n] for n in range(count)])
    client = await member.connect()
    spent = member.watch_spending()
    units = []
    for _ in range(2):
        spent.clear()
        client.send(*[("HGET", f"jobs:j{n}", "priority") for n in range(count)])
        assert await client.replies(count) == [b"%d" % n for n in range(count)]
        units.append(sum(spent))
    assert units[0] - units[1] == ROW_UNITS * count + OPENING_UNITS


@pytest.mark.parametrize(
    "change",
    [
        ("HINCRBY", "jobs:j1", "priority", "1"),
        ("JSON.SET", "jobs:j1", "$.priority", "8"),
        ("COPY", "{t}text", "{t}copy", "REPLACE"),
        ("COPY", "{t}hash", "{t}copy", "REPLACE"),
        ("APPEND", "{t}text", "x"),
        ("SETRANGE", "{t}text", "7", "x"),
    ],
)
async def test_small_changes_of_large_values_are_spread_over_turns(member: Member, change: tuple[str, ...]) -> None:
    size, count = 400_000, 100
    member.drive.keyspace.adopt_catalog(Catalog().create(parse_definition(None, json.dumps(JOBS))))
    client = await member.connect()
    client.send(
        ("KG.WRITE", "jobs", "0", "REPLACE", packed("j1", "x" * size, 7)),
        ("SET", "{t}text", "x" * size),
        ("HSET", "{t}hash", "field", "x" * size),
    )
    await client.replies(3)
    entries = len(member.replicator.entries)
    spent = member.watch_spending()
    client.send(*[change] * count)
    assert not [reply for reply in await client.replies(count) if isinstance(reply, Exception)]
    for effects, undo in member.replicator.entries[entries:]:
        parts = [part for one in effects + undo for part in (one if type(one) is list else [one])]
        assert sum([len(part) for part in parts if isinstance(part, bytes)]) < 2 * (TURN_UNITS * BYTES_PER_UNIT + size)
    assert max(spent) < TURN_UNITS + size // BYTES_PER_UNIT + 100
    assert len(spent) > 2


async def test_the_first_rows_of_many_blocks_are_spread_over_turns(member: Member) -> None:
    keyspace = member.drive.keyspace
    keyspace.adopt_catalog(Catalog().create(parse_definition(None, json.dumps(JOBS | {"indexes": []}))))
    blocks, rows = 200, 64
    for block in range(blocks):
        load(keyspace, "jobs", [[f"j{block}-{n}", "new", n] for n in range(rows)])
    assert len(keyspace.blocks.firsts) == blocks
    client = await member.connect()
    spent = member.watch_spending()
    commands = [("KG.CHANGE", f"jobs:j{n}-7", '{"increment": {"priority": 1}}') for n in range(blocks)]
    client.send(*[(name, *rest) for name, *rest in commands])
    assert len(await client.replies(blocks)) == blocks
    assert max(spent) < TURN_UNITS + OPENING_UNITS + 100
    assert sum(spent) > blocks * OPENING_UNITS


async def test_rows_of_one_command_weigh_as_many(member: Member) -> None:
    member.drive.keyspace.adopt_catalog(Catalog().create(parse_definition(None, json.dumps(JOBS))))
    client = await member.connect()
    spent = member.watch_spending()
    rows, commands = 500, 20
    client.send(
        *[
            ("KG.WRITE", "jobs", "0", "REPLACE", *[packed(f"j{number}-{n}", "new", n) for n in range(rows)])
            for number in range(commands)
        ]
    )
    assert len(await client.replies(commands)) == commands
    assert sum(spent) > commands * rows * WRITTEN_UNITS
    assert max(spent) < TURN_UNITS + rows * (WRITTEN_UNITS + 1)


async def test_a_get_of_rows_is_counted_like_any_reading_of_them(member: Member) -> None:
    keyspace = member.drive.keyspace
    keyspace.adopt_catalog(Catalog().create(parse_definition(None, json.dumps(JOBS | {"indexes": []}))))
    load(keyspace, "jobs", [[f"j{n}", "new", n] for n in range(100)])
    client = await member.connect()
    spent = member.watch_spending()
    client.send(*[("GET", f"jobs:j{n}") for n in range(50)])
    assert {str(reply)[:9] for reply in await client.replies(50)} == {"WRONGTYPE"}
    assert sum(spent) > 50 * ROW_UNITS + OPENING_UNITS


async def test_replies_that_nobody_reads_are_bounded(member: Member) -> None:
    client = await member.connect()
    value = b"x" * 100_000
    client.send(("SET", "big", value))
    await client.reply()
    client.send(*[("GET", "big")] * 2000)
    await settle()
    (session,) = member.drive.node.sessions.values()
    held = session.transport.get_write_buffer_size() + sum(map(len, session.out))
    assert held < 2 * 1024 * 1024, f"{held} bytes of replies are kept for a client that does not read"
    assert await client.replies(2000) == [value] * 2000


async def test_a_long_command_lets_others_in_and_keeps_the_order_of_its_client(member: Member) -> None:
    client, other = await member.connect(), await member.connect()
    count = 3 * member.drive.keyspace.settings.slice_units
    client.send(*[("SET", f"k{n}", "v") for n in range(count)])
    await client.replies(count)
    client.send(("KEYS", "*"), ("GET", "k1"), ("DBSIZE",))
    other.send(("GET", "k2"))
    assert await other.reply() == b"v"
    keys, value, size = await client.replies(3)
    assert (len(keys), value, size) == (count, b"v", count)


async def test_a_malformed_request_closes_that_connection_only_after_what_came_before(member: Member) -> None:
    client, other = await member.connect(), await member.connect()
    client.send(("SET", "a", "1"))
    client.writer.write(b"*1\r\nfoo\r\n")
    assert await client.reply() == b"OK"
    assert str(await client.reply()) == "ERR Protocol error: expected '$', got 'f'"
    with pytest.raises(ConnectionError):
        await client.reply()
    other.send(("GET", "a"))
    assert await other.reply() == b"1"


async def test_a_defect_in_a_command_closes_its_connection_instead_of_saying_not_done(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: object, args: object) -> bytes:
        raise RuntimeError("a defect")

    monkeypatch.setattr("kubegrid.node.connection.dispatch", broken)
    client, other = await member.connect(), await member.connect()
    client.send(("INCR", "a"))
    with pytest.raises(ConnectionError):
        await client.reply()
    other.send(("SET", "a", "1"))
    assert await other.reply() == b"OK"


async def test_clients_over_the_limit_are_told_so(member: Member) -> None:
    member.drive.node.client_settings = ClientSettings(clients_max=1)
    first = await member.connect()
    first.send(("PING",))
    await first.reply()
    second = await member.connect()
    assert str(await second.reply()) == "ERR max number of clients + cluster connections reached"


async def test_the_list_of_clients_tells_of_requests_that_have_only_begun(member: Member) -> None:
    half, other = await member.connect(), await member.connect()
    half.writer.write(b"*2\r\n$3\r\nGET\r\n$5\r\nab")
    await settle()
    other.send(("CLIENT", "LIST"))
    assert b" qbuf=5 " in (await other.reply()).splitlines()[0]
