"""Many clients' reads executed together give what each would have got alone, whatever anybody sends."""

from collections.abc import Callable
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.confirmed_by_hand import ConfirmedByHand
from tests.unit.node.drive import Drive

from kubegrid.node.connection import Connection
from kubegrid.node.server import RespServer
from kubegrid.node.turn import Turn
from kubegrid.store import hash_writes


class WithoutLoop(ConfirmedByHand):
    """Everything may leave at once; the time is always the same."""

    def now_ms(self) -> int:
        return 1000


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> None:
        return None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close


class Loop:
    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, function: Callable[..., None], *args: Any) -> None:
        self.soon.append(lambda: function(*args))

    def run(self) -> None:
        while self.soon:
            soon, self.soon = self.soon, []
            for function in soon:
                function()


class Grid:
    """One member and some clients; `turn` ends when the test says so."""

    def __init__(self, clients: int) -> None:
        self.drive = Drive()
        self.loop = Loop()
        self.member = WithoutLoop()
        self.turn = Turn(self.loop, self.drive.keyspace, self.member, self.drive.node.client_settings)  # type: ignore[arg-type]
        self.wires = [Wire() for _ in range(clients)]
        self.clients = [Connection(self.turn, self.drive.node, number) for number in range(clients)]
        for client, wire in zip(self.clients, self.wires, strict=True):
            client.connection_made(wire)  # type: ignore[arg-type]

    def send(self, client: int, data: bytes) -> None:
        if not self.clients[client].closed and not self.wires[client].closed:
            self.clients[client].data_received(data)

    def end_turn(self) -> None:
        self.loop.run()

    def answers(self, client: int) -> list[Any]:
        reader = hiredis.Reader()
        reader.feed(self.wires[client].written)
        answers = []
        while (answer := reader.gets()) is not False:
            answers.append(answer)
        return answers


def request(*args: bytes) -> bytes:
    return bytes(hiredis.pack_command(args))


def test_clients_of_one_turn_get_their_own_answers() -> None:
    grid = Grid(3)
    for number in range(3):
        grid.send(number, request(b"SET", b"k%d" % number, b"v%d" % number))
    grid.end_turn()
    for number in range(3):
        grid.send(number, request(b"GET", b"k%d" % number) + request(b"GET", b"missing"))
    grid.end_turn()
    assert [grid.answers(number) for number in range(3)] == [[b"OK", b"v%d" % number, None] for number in range(3)]
    assert grid.drive.keyspace.slots[grid.drive.keyspace.owned[0]] is not None
    grid.drive.keyspace.validate()


def test_half_a_request_cannot_swallow_another_clients() -> None:
    victim = request(b"GET", b"secret")
    for attack in (
        b"*2\r\n$3\r\nGET\r\n$%d\r\n" % len(victim),
        b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (len(victim) - 2),
        b"*2\r\n$3\r\nGET\r\n$%d\r\n*2\r\n$3\r\nGET\r\n$" % (len(victim) + 14),
        b"*2\r\n$3\r\nGET\r\n$4\r\n\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\n",
    ):
        grid = Grid(3)
        grid.drive.keyspace.put(b"secret", b"42")
        grid.send(0, attack)
        grid.send(1, victim)
        grid.send(2, victim)
        grid.end_turn()
        assert grid.answers(1) == [b"42"] and grid.answers(2) == [b"42"], attack
        assert b"42" not in grid.wires[0].written


PUSHED = b">2\r\n$3\r\nGET\r\n$1\r\nb\r\n"


@pytest.mark.parametrize(
    "makes_up",
    [
        (PUSHED, b"*2\r\n$3\r\nGET\r\n$%d\r\n"),  # swallows it as a key
        (b"", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n>3\r\n$3\r\nGET\r\n$1\r\nx\r\n"),  # as an element too many
        (b"", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n>2\r\n$3\r\nGET\r\n"),  # as a nested one
        (b"$1\r\n1\r\n", b"*2\r\n$3\r\nGET\r\n$%d\r\n"),
        (b":1\r\n", b"*2\r\n$3\r\nGET\r\n$%d\r\n"),
    ],
)
def test_brackets_of_resp3_cannot_make_up_for_a_swallowed_request(makes_up: tuple[bytes, bytes]) -> None:
    victim = request(b"GET", b"secret")
    more, swallows = makes_up
    for length in range(len(victim) - 4, len(victim) + 2):
        grid = Grid(4)
        grid.drive.keyspace.put(b"secret", b"42")
        grid.drive.keyspace.put(b"a", b"other")
        grid.send(0, request(b"GET", b"a") + more)
        grid.send(1, swallows % length if b"%d" in swallows else swallows)
        grid.send(2, victim)
        grid.send(3, victim)
        grid.end_turn()
        assert grid.answers(2) == [b"42"] and grid.answers(3) == [b"42"]


@pytest.mark.parametrize("odd", [b"$-1\r\n", b":5\r\n", b"#t\r\n", b"_\r\n", b",1.5\r\n", b"*0\r\n", b"-E x\r\n"])
def test_a_value_in_another_form_harms_its_sender_only(odd: bytes) -> None:
    grid = Grid(2)
    grid.send(0, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n" + odd)
    grid.send(1, request(b"SET", b"mine", b"1"))
    grid.end_turn()
    assert grid.answers(1) == [b"OK"]
    assert grid.drive.keyspace.find(b"k") is None
    grid.drive.keyspace.validate()


def test_a_hash_in_the_middle_stops_nobody_and_nothing_is_done_twice() -> None:
    grid = Grid(2)
    hash_writes.put(grid.drive.keyspace, b"h", [b"f", b"v"])
    grid.drive.keyspace.take_turn()
    grid.send(0, request(b"SET", b"a", b"1") + request(b"SET", b"h", b"2") + request(b"SET", b"a", b"3"))
    grid.send(1, request(b"SET", b"b", b"4"))
    grid.end_turn()
    assert (grid.answers(0), grid.answers(1)) == ([b"OK"] * 3, [b"OK"])
    assert [grid.drive.keyspace.find(key) for key in (b"a", b"h", b"b")] == [b"3", b"2", b"4"]
    grid.drive.keyspace.validate()
    for _, undo in reversed(grid.member.entries):
        grid.drive.keyspace.revert(undo)
    assert grid.drive.keyspace.find(b"a") is None and grid.drive.keyspace.find(b"h") is not None


def test_what_expires_is_found_until_then_and_not_after() -> None:
    grid = Grid(1)
    grid.send(0, request(b"SET", b"short", b"1", b"PX", b"50") + request(b"SET", b"long", b"2", b"EX", b"1000"))
    grid.end_turn()
    grid.send(0, request(b"GET", b"short") + request(b"GET", b"long"))
    grid.end_turn()
    grid.drive.keyspace.expires[grid.drive.keyspace.owned[0]] = None
    slot = next(n for n, values in enumerate(grid.drive.keyspace.slots) if values and b"short" in values)
    grid.drive.keyspace.set_expiry(b"short", 1)
    grid.send(0, request(b"GET", b"short") + request(b"GET", b"long"))
    grid.end_turn()
    assert grid.answers(0) == [b"OK", b"OK", b"1", b"2", None, b"2"]
    assert b"short" not in (grid.drive.keyspace.slots[slot] or {})


def test_order_is_kept_when_plain_and_other_requests_come_in_one_turn() -> None:
    grid = Grid(1)
    grid.send(0, request(b"SET", b"n", b"1"))
    grid.send(0, request(b"INCR", b"n"))
    grid.send(0, request(b"GET", b"n"))
    grid.end_turn()
    assert grid.answers(0) == [b"OK", 2, b"2"]


def test_plain_requests_are_measured_one_by_one_while_somebody_wants_to_see_short_ones() -> None:
    grid = Grid(1)
    RespServer(grid.turn, grid.drive.node)
    for slower_than_us in (b"0", b"-1"):
        grid.send(0, request(b"CONFIG", b"SET", b"slowlog-log-slower-than", slower_than_us))
        grid.end_turn()
        for plain in (request(b"SET", b"k", b"v"), request(b"GET", b"k")):
            grid.send(0, plain)
            grid.end_turn()
    assert grid.answers(0) == [b"OK", b"OK", b"v"] * 2
    kept = [b" ".join(entry.words) for entry in grid.drive.node.slow_log.entries]
    assert kept == [b"GET k", b"SET k v", b"CONFIG SET slowlog-log-slower-than 0"]


KEYS = [b"a", b"b", b"{t}a", b"{t}b", b"star*", b"*2\r\n$3\r\nGET\r\n$1", b"", b"x" * 2000]
VALUES = [b"", b"1", b"*", b"{", b"\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\nz\r\n", b"v" * 5000]
COMMANDS = st.one_of(
    st.tuples(st.just(b"GET"), st.sampled_from(KEYS)),
    st.tuples(st.just(b"SET"), st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.tuples(st.just(b"DEL"), st.sampled_from(KEYS)),
    st.tuples(st.just(b"PEXPIRE"), st.sampled_from(KEYS), st.just(b"1000000")),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(COMMANDS, min_size=1, max_size=6), st.integers(0, 2), st.integers(0, 60), st.booleans()),
        max_size=12,
    )
)
def test_any_pieces_of_any_requests_are_answered_as_by_a_dictionary(
    steps: list[tuple[list[tuple[bytes, ...]], int, int, bool]],
) -> None:
    grid = Grid(3)
    expected: list[list[Any]] = [[], [], []]
    model: dict[bytes, bytes] = {}
    for commands, client, cut, ends in steps:
        # Requests of other clients in the same turn have no order among themselves, so each step gets its own turn;
        # pieces of one read do not.
        data = b"".join(request(*command) for command in commands)
        for piece in (data[:cut], data[cut:]):
            if piece:
                grid.send(client, piece)
                if ends:
                    grid.end_turn()
        grid.end_turn()
        for name, key, *value in commands:
            if name == b"GET":
                expected[client].append(model.get(key))
            elif name == b"SET":
                model[key] = value[0]
                expected[client].append(b"OK")
            elif name == b"DEL":
                expected[client].append(int(model.pop(key, None) is not None))
            else:
                expected[client].append(int(key in model))
    assert [grid.answers(client) for client in range(3)] == expected
    keyspace = grid.drive.keyspace
    keyspace.validate()
    for _, undo in reversed(grid.member.entries):
        keyspace.revert(undo)
    keyspace.validate()
    assert keyspace.key_count == 0


def test_a_client_that_does_not_touch_reads_alone() -> None:
    grid = Grid(2)
    grid.send(0, request(b"SET", b"k", b"v"))
    grid.send(1, request(b"CLIENT", b"NO-TOUCH", b"ON"))
    grid.end_turn()
    used_ms = list(grid.drive.keyspace.used_ms)
    while grid.drive.keyspace.now_ms <= max(used_ms):
        grid.send(1, request(b"GET", b"k"))
        grid.end_turn()
    assert grid.answers(1)[1:] and set(grid.answers(1)[1:]) == {b"v"}
    assert grid.drive.keyspace.used_ms == used_ms
