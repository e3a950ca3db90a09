"""Two members of one partition, a primary and its backup, whose loops and links go on when the test says."""

from collections.abc import Callable
from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import NodeConfig
from kubegrid.node.member import MemberDriver
from kubegrid.node.turn import Turn
from kubegrid.replication import Gate, Message, Replica
from kubegrid.store import Keyspace
from kubegrid.wire.replication import MessageCodec

GRID = "11111111-2222-3333-4444-555555555555"
A, B = Member("p0-0", "a" * 32), Member("p0-1", "b" * 32)
BOTH = Configuration(GRID, 0, 3, A, (A, B))


class Loop:
    """One round at a time: what was written leaves at the end of a round."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, function: Callable[..., None], *args: Any) -> None:
        self.soon.append(lambda: function(*args))

    def round(self) -> None:
        soon, self.soon = self.soon, []
        for function in soon:
            function()


class Wire:
    """The links of one member: what it sent and nobody has taken yet."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, to: tuple[Member, ...], payload: bytes, *, urgent: bool = False) -> None:
        self.sent.append(payload)


class Coordinator:
    """Answers nothing: the tests tell the members what is the case."""

    def know(self, epoch: int) -> None: ...
    def read(self, answered: Any) -> None: ...
    def compare_and_swap(self, *args: Any) -> None: ...


class Pod:
    def __init__(self, me: Member, other: Member) -> None:
        config = NodeConfig(
            grid="test",
            grid_id=GRID,
            name=me.name,
            partition=0,
            ordinal=int(me.name[-1]),
            partitions=1,
            preferred=False,
            bind="127.0.0.1",
            advertise="127.0.0.1",
            resp_port=0,
            http_port=0,
            replication_port=0,
            managers=[],
            memory_bytes=1 << 30,
            state_dir="",
        )
        self.other = other
        self.keyspace = Keyspace(config.store, 0, 16383, random=lambda n: 0)
        self.replica = Replica(me, 0, config.replication, grid=GRID)
        self.member = MemberDriver(config, self.replica, me, self.keyspace)
        self.loop = Loop()
        self.turn = Turn(self.loop, self.keyspace, self.member, config.clients)  # type: ignore[arg-type]
        self.wire = Wire()
        self.member.wire(self.turn, self.wire, Coordinator())  # type: ignore[arg-type]
        self.input(self.replica.start)
        self.input(lambda now: self.replica.configuration_read(now, BOTH, 1))

    def input(self, function: Callable[[int], object]) -> None:
        self.turn.input(lambda: function(self.member.now_ms()))
        self.loop.round()

    def receive(self, payload: bytes) -> None:
        self.member.frame_received(self.other, payload)


class Pair:
    def __init__(self) -> None:
        self.primary, self.backup = Pod(A, B), Pod(B, A)
        for _ in range(20):
            self.exchange()
            for pod in (self.primary, self.backup):
                pod.input(pod.replica.tick)
            if self.primary.member.gate(self.primary.member.now_ms()) is Gate.OPEN:
                return
        raise AssertionError("the primary does not serve")

    def exchange(self) -> None:
        """Until nobody has anything more to say."""
        while self.primary.wire.sent or self.backup.wire.sent or self.primary.loop.soon or self.backup.loop.soon:
            for one, other in ((self.primary, self.backup), (self.backup, self.primary)):
                one.loop.round()
                sent, one.wire.sent = one.wire.sent, []
                for payload in sent:
                    other.receive(payload)

    def write(self, *keys: bytes) -> None:
        """At the primary, up to the arrival of the entry at the backup; it is committed by the entry after it."""
        for key in keys:
            self.primary.turn.work(lambda key=key: self.primary.keyspace.put(key, b"v"))  # type: ignore[misc]
        self.primary.loop.round()
        for payload in self.primary.wire.sent:
            self.backup.receive(payload)
        self.primary.wire.sent = []

    def one_committed(self, *keys: bytes) -> None:
        """The backup has just learned that the entry with these keys is committed, and its round is over."""
        self.write(*keys)
        self.exchange()
        self.write(b"next")
        self.backup.loop.round()


def acknowledged(pod: Pod) -> bool:
    codec: MessageCodec[Any] = MessageCodec(Message)
    return any(type(codec.decode(payload)).__name__ == "Ack" for payload in pod.wire.sent)
