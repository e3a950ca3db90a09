"""A member without a loop: real keyspace, real topology, real dispatch, and clients that are plain objects.

`Drive` stands for the data pod: it sets the clock of the turn, runs generators to their end and takes the turn's effects.
`Client` stands for the connection: the attributes that commands see, nothing else.
"""

import time
from collections.abc import Callable
from typing import Any

import hiredis

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member, Position, slots_of_partition
from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.coordination.lookup import MemberRecord
from kubegrid.node.context import NodeContext
from kubegrid.node.dispatch import dispatch
from kubegrid.node.session_takers import Takers
from kubegrid.node.topology import Topology, node_id
from kubegrid.replication import Role
from kubegrid.store import Keyspace
from kubegrid.wire.requests import RequestReader

GRID = "11111111-2222-3333-4444-555555555555"


def record(name: str, partition: int, role: str, port: int) -> MemberRecord:
    """What a member would register."""
    return MemberRecord(
        name=name,
        incarnation="a" * 32,
        partition=partition,
        ordinal=int(name[-1]),
        role=role,
        serving=role == "primary",
        epoch=1,
        commit=7,
        address="127.0.0.1",
        resp_port=port,
        http_port=port + 1000,
        replication_port=port + 2000,
        host="here",
        zone=None,
        pid=1,
        memory_bytes=0,
        started_at=1.0,
        last_epoch=1,
        last_seq=7,
        complete=True,
    )


class PlainReplica:
    """What commands read of a replica."""

    def __init__(self, configuration: Configuration) -> None:
        self.role = Role.PRIMARY
        self.epoch = configuration.epoch
        self.last_seq = 7
        self.commit = Position(1, 7)
        self.configuration: Configuration | None = configuration


class PlainLoop:
    """What a command asks to be done later; `Drive.later` does it."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.timers: list[PlainTimer] = []

    def call_soon(self, function: Callable[..., None], *args: Any) -> None:
        self.soon.append(lambda: function(*args))

    def call_later(self, delay_s: float, function: Callable[..., None], *args: Any) -> "PlainTimer":
        self.timers.append(PlainTimer(delay_s, lambda: function(*args)))
        return self.timers[-1]


class PlainTimer:
    def __init__(self, delay_s: float, call: Callable[[], None]) -> None:
        self.delay_s = delay_s
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class PlainTurn:
    """The turn as commands see it; it is its own member."""

    def __init__(self) -> None:
        self.open_gate = True
        self.writable = True
        self.paused_until_ms = 0
        self.stale_ms: int | None = 0
        self.units_left = 8000
        self.loop = PlainLoop()

    def staleness_ms(self, now: int) -> int | None:
        return self.stale_ms

    def now_ms(self) -> int:
        return 0

    def work(self, function: Callable[[], None]) -> None:
        function()

    def start_task(self, client: "Client", steps: Any) -> None:
        """A turn would run one slice at a time; here all of them run in the next."""
        self.loop.call_soon(client.finish, steps)

    @property
    def member(self) -> "PlainTurn":
        return self


class Drive:
    """Partition 0 of `partitions`: p0-0 (this one, primary) and p0-1; the others have a primary each."""

    def __init__(
        self,
        partitions: int = 1,
        secret: bytes | None = None,
        store: StoreSettings | None = None,
        clients: ClientSettings | None = None,
        limit_bytes: int = 1 << 40,
    ) -> None:
        first, last = slots_of_partition(0, partitions)
        self.keyspace = Keyspace(
            store or StoreSettings(), first, last, random=lambda n: n // 2, limit_bytes=limit_bytes
        )
        self.keyspace.primary = True
        self.keyspace.now_ms = 1_700_000_000_000
        me = record("p0-0", 0, "primary", 7000)
        self.topology = Topology(GRID, partitions, me)
        self.topology.heard = True
        self.members = {"p0-0": me, "p0-1": record("p0-1", 0, "backup", 7001)}
        for number in range(1, partitions):
            self.members[f"p{number}-0"] = record(f"p{number}-0", number, "primary", 7000 + 2 * number)
        for each in self.members.values():
            self.topology.records[Member(each.name, each.incarnation)] = each
        self.configurations = []
        for number in range(partitions):
            names = [Member(m.name, m.incarnation) for m in self.members.values() if m.partition == number]
            self.configurations.append(Configuration(GRID, number, 1, names[0], tuple(names)))
            self.topology.learn_configuration(self.configurations[-1])
        self.replica = PlainReplica(self.configurations[0])
        self.turn = PlainTurn()
        self.node = NodeContext(
            keyspace=self.keyspace,
            replica=self.replica,
            topology=self.topology,
            name="p0-0",
            grid="local",
            run_id=node_id(GRID, Member("p0-0", "a" * 32)),
            secret=secret,
            memory_bytes=1 << 30,
            client_settings=clients or ClientSettings(),
            store_settings=store or StoreSettings(),
        )
        self.node.takers = Takers(self.node, self.turn)
        self.numbers = 0

    def later(self) -> None:
        """What commands asked to be done in the next turns."""
        while self.turn.loop.soon:
            waiting, self.turn.loop.soon = self.turn.loop.soon, []
            for function in waiting:
                function()

    def time_passes(self) -> None:
        """Every timer that was set runs out."""
        timers, self.turn.loop.timers = self.turn.loop.timers, []
        for timer in timers:
            if not timer.cancelled:
                timer.call()
        self.later()

    def connect(self) -> "Client":
        self.numbers += 1
        return Client(self, self.numbers)

    def become_backup(self) -> None:
        """As if p0-1 had been made primary by a configuration of epoch 2."""
        old = self.configurations[0]
        new = Configuration(GRID, 0, 2, old.in_sync[1], old.in_sync)
        self.topology.learn_configuration(new)
        self.replica.configuration = new
        self.replica.role = Role.BACKUP
        self.turn.open_gate = False
        self.keyspace.primary = False
        self.node.role_changed()
        self.later()


class Client:
    """One connection."""

    def __init__(self, drive: Drive, number: int) -> None:
        self.drive = drive
        self.node = drive.node
        self.turn = drive.turn
        self.reader = RequestReader(drive.node.client_settings, drive.node.store_settings)
        self.id = number
        self.resp = 2
        self.authenticated = drive.node.secret is None
        self.name = self.lib_name = self.lib_ver = b""
        self.readonly = False
        self.multi: list[Any] | None = None
        self.multi_failed = False
        self.multi_bytes = 0
        self.unread = 0
        """Bytes of replies that it is said not to have read."""
        self.watching: dict[bytes, bool] | None = None
        self.dirty = False
        self.reply_mode = "on"
        self.close_after_reply = False
        self.no_evict = self.no_touch = False
        self.db = 0
        self.last_command = b""
        self.created_ms = time.monotonic_ns() // 1_000_000
        self.active_ms = drive.keyspace.now_ms
        self.peer = f"127.0.0.1:{40000 + number}"
        self.laddr = "127.0.0.1:7000"
        self.closed = False
        self.transport = None
        self.waiting = ""
        self.answers: list[bytes] = []
        """Replies that came after waiting."""
        drive.node.sessions[number] = self

    def held_bytes(self) -> int:
        return self.unexecuted_bytes() + self.multi_bytes + self.unsent_bytes()

    def unexecuted_bytes(self) -> int:
        return self.reader.unfinished_bytes

    def unsent_bytes(self) -> int:
        return self.unread

    def close(self) -> None:
        self.closed = True
        self.node.sessions.pop(self.id, None)
        self.node.forget_session(self)

    def finish(self, steps: Any) -> None:
        while True:
            try:
                next(steps)
            except StopIteration as done:
                if done.value is not None:
                    self.finish_task(done.value)
                return

    def finish_task(self, reply: bytes) -> None:
        self.answers.append(reply)

    def waits(self, *words: bytes | str | int) -> None:
        """Asserts that the request has no reply yet; it is found in `answers` later."""
        reply = self._dispatched(*words)
        assert reply is None, reply

    def raw(self, *words: bytes | str | int) -> bytes:
        """The reply as bytes; a long command is run to its end."""
        reply = self._dispatched(*words)
        assert reply is not None, "the client waits"
        return reply

    def raw_or_later(self, *words: bytes | str | int) -> bytes:
        """The same, and what a client is answered that waits until another one ends that."""
        reply = self._dispatched(*words)
        if reply is None:
            self.node.blocked[self.id](False)
            reply = self.answers.pop()
        return reply

    def _dispatched(self, *words: bytes | str | int) -> bytes | None:
        reply = dispatch(self, [w if isinstance(w, bytes) else str(w).encode() for w in words])
        slices = 0
        while reply is not None and not isinstance(reply, bytes):
            slices += 1
            assert slices < 100_000, "a command does not end"
            try:
                next(reply)
            except StopIteration as done:
                reply = done.value
        return reply

    def __call__(self, *words: bytes | str | int) -> Any:
        """The reply decoded. Asserts that it is exactly one complete RESP value."""
        return decode(self.raw(*words))

    def line(self, text: str) -> Any:
        """`__call__` with words separated by blanks."""
        return self(*text.split(" "))


def decode(raw: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(raw)
    value = reader.gets()
    assert value is not False, f"incomplete reply {raw[:200]!r}"
    assert reader.gets() is False and not reader.has_data(), f"more than one reply {raw[:200]!r}"
    return value


def error_text(value: Any) -> str:
    assert isinstance(value, hiredis.ReplyError), value
    return str(value)
