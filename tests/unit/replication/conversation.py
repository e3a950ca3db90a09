"""A small stage for scenarios of the replication protocol: members by letter, a network and a coordinator that obey.

    stage = Stage("A", "B", "C")            # A is primary, B and C are in sync
    w1 = stage.write("A", "k", "1")         # executed at once, confirmed when all have it
    stage.run(20)                           # milliseconds pass: every member ticks, every message takes one
    assert w1.confirmed
    stage.cut("A", "B")                     # from now on nothing passes between them
    stage.coordinator.reachable = False

Nothing here checks the protocol by itself; scenarios assert what an observer outside could see: replies, what stores
hold, and what the coordinator has.
"""

import heapq
from collections.abc import Callable
from typing import Any

from tests.unit.replication.actor import Actor, Reply
from tests.unit.replication.coordinator import Coordinator

from kubegrid import replication
from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import Gate, Replica, Role, Rules

GRID = "11111111-1111-1111-1111-111111111111"
SETTINGS = ReplicationSettings(copies=3)
TICK_MS = 10


class Stage:
    def __init__(
        self,
        *letters: str,
        settings: ReplicationSettings = SETTINGS,
        rules: Rules = replication.ALL,
        spare: str = "",
        preferred: str = "",
        holds_adding: str = "",
        validating: bool | None = None,
    ) -> None:
        """The first letter is the primary, the others are in sync; `spare` are members outside the configuration."""
        self.now = 1000
        self.settings = settings
        self.rules = rules
        self.preferred = preferred
        self.validating = rules == replication.ALL if validating is None else validating
        self.history: list[str] = []
        self.said: list[tuple[str, str, Any]] = []
        self.coordinator = Coordinator(self)
        self.coordinator.holds_adding = holds_adding
        self._actors: dict[str, Actor] = {}
        self._by_member: dict[Member, Actor] = {}
        self._lives: dict[str, int] = {}
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._cut: set[tuple[str, str]] = set()
        self._kept: dict[tuple[str, str, type], list[tuple[Actor, Member, Any]]] = {}
        self.delays: dict[tuple[str, str], int] = {}
        self.busy: set[tuple[str, str]] = set()
        """Between whom so much is on its way that nothing is said again."""
        for letter in [*letters, *spare]:
            self._make(letter)
        members = tuple(self[letter].replica.me for letter in letters)
        self.coordinator.put(Configuration(GRID, 0, 1, members[0], members))
        for actor in self._actors.values():
            actor.input(lambda r, now: r.start(now))
        self.later(TICK_MS, self._tick)
        self.run(100)

    def _make(self, letter: str) -> Actor:
        life = self._lives[letter] = self._lives.get(letter, 0) + 1
        me = Member(letter, f"{letter}{life}")
        replica = Replica(me, 0, self.settings, grid=GRID, preferred=letter in self.preferred, rules=self.rules)
        actor = Actor(self, letter, replica)
        self._actors[letter] = actor
        self._by_member[replica.me] = actor
        return actor

    def __getitem__(self, letter: str) -> Actor:
        return self._actors[letter]

    # -- time

    def later(self, ms: int, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + ms, self._order, what))

    def _tick(self) -> None:
        for actor in list(self._actors.values()):
            if actor.up and not actor.paused:
                actor.input(lambda r, now: r.tick(now))
        self.later(TICK_MS, self._tick)

    def run(self, ms: int) -> None:
        """Let time pass."""
        end = self.now + ms
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = end

    def until(self, condition: Callable[[], Any], limit_ms: int = 20_000) -> int:
        """Let time pass until something is so; answers how long it took."""
        began = self.now
        while not condition():
            assert self.now - began < limit_ms, "it did not come about:\n" + "\n".join(self.history[-40:])
            self.run(TICK_MS)
        return self.now - began

    # -- the network

    def post(self, sender: Actor, to: Member, message: Any, *, again: bool = False) -> None:
        receiver = self._by_member.get(to)
        if not receiver or (again and (sender.letter, receiver.letter) in self.busy):
            return
        self.said.append((sender.letter, receiver.letter, message))
        kept = self._kept.get((sender.letter, receiver.letter, type(message)))
        if kept is not None:
            kept.append((sender, to, message))
            return
        self._carry(sender, receiver, message)

    def _carry(self, sender: Actor, receiver: Actor, message: Any) -> None:
        pair = (sender.letter, receiver.letter)
        me = sender.replica.me

        def arrive() -> None:
            if pair not in self._cut:
                receiver.input(lambda r, now: r.receive(now, me, message))

        if pair not in self._cut:
            self.later(self.delays.get(pair, 1), arrive)

    def keep_back(self, sender: str, receiver: str, kind: type) -> None:
        """Messages of this kind stay on the way until `let_through`."""
        self._kept.setdefault((sender, receiver, kind), [])

    def let_through(self, sender: str, receiver: str, kind: type, *, lose: bool = False) -> None:
        for actor, to, message in self._kept.pop((sender, receiver, kind), []):
            if not lose:
                self._carry(actor, self._by_member[to], message)

    def cut(self, one: str, *others: str) -> None:
        """Nothing passes between `one` and the others (all, if none is named)."""
        for other in others or [x for x in self._actors if x != one]:
            self._cut |= {(one, other), (other, one)}

    def again(self, sender: str, receiver: str, message: Any) -> None:
        """The network delivers a copy of something said before."""
        self._carry(self[sender], self[receiver], message)

    def heard(self, sender: str, receiver: str, kind: type) -> list[Any]:
        """What `sender` has said of this kind to `receiver`, lost or not."""
        return [m for a, b, m in self.said if (a, b) == (sender, receiver) and isinstance(m, kind)]

    def cut_one_way(self, sender: str, receiver: str) -> None:
        self._cut.add((sender, receiver))

    def heal(self) -> None:
        self._cut.clear()

    # -- fates

    def crash(self, letter: str) -> None:
        """The process is gone, with its memory; connections close."""
        actor = self[letter]
        actor.up = False
        for reply in actor.replies:
            reply.state = "dropped"
        for other in self._actors.values():
            if other is not actor and other.up:
                other.input(lambda r, now: r.disconnected(now, actor.replica.me))

    def crash_silently(self, letter: str) -> None:
        """The machine is gone: nobody's connection closes."""
        self[letter].up = False

    def restart(self, letter: str) -> None:
        """The same name, empty memory."""
        actor = self._make(letter)
        actor.input(lambda r, now: r.start(now))

    def pause(self, letter: str) -> None:
        self[letter].paused = True

    def resume(self, letter: str) -> None:
        """The process goes on: it first ticks, then finds what was sent to it meanwhile."""
        actor = self[letter]
        actor.paused = False
        backlog, actor.backlog = actor.backlog, []
        actor.input(lambda r, now: r.tick(now))
        for deliver in backlog:
            deliver()

    # -- orders

    def hand_over(self, letter: str, to: str) -> bool:
        target = self[to].replica.me
        return bool(self[letter].input(lambda r, now: r.hand_over(now, target)))

    def leave(self, letter: str) -> None:
        self[letter].input(lambda r, now: r.leave(now))

    def configure(self, epoch: int, primary: str, in_sync: str, note: str = "") -> None:
        """The manager writes a configuration (R20)."""
        members = tuple(self[letter].replica.me for letter in in_sync)
        self.coordinator.put(Configuration(GRID, 0, epoch, self[primary].replica.me, members, (), "manager", note))

    # -- clients

    def write(self, letter: str, key: str, value: str) -> Reply:
        return self[letter].execute(key, value, True)

    def fill(self, letter: str, count: int, *, keys: int = 0, pause_ms: int = 0) -> None:
        """Write the numbers below `count`, each to a key of its own, or to so many keys in turn."""
        for n in range(count):
            self.write(letter, f"k{n % (keys or count)}", str(n))
            self.run(pause_ms)

    def read(self, letter: str, key: str) -> Reply:
        return self[letter].execute(key, None, False)

    # -- what can be seen

    @property
    def primary(self) -> str:
        """The letter of the member that answers; empty if none does."""
        open_now = [a.letter for a in self._actors.values() if a.up and a.replica.gate(self.now) is Gate.OPEN]
        assert len(open_now) <= 1 or not self.validating, f"two answer: {open_now}"
        return open_now[0] if open_now else ""

    @property
    def answering(self) -> str:
        """Letters of all members that would execute a command now, in order of name."""
        return "".join(
            sorted(a.letter for a in self._actors.values() if a.up and a.replica.gate(self.now) is Gate.OPEN)
        )

    def in_sync(self) -> str:
        """Letters of the in-sync set, as the coordinator has it, in order of name."""
        value = self.coordinator.value
        assert value is not None
        return "".join(sorted(m.name for m in value.in_sync))

    def whole(self, letters: str) -> bool:
        """These, and only these, are in sync, in their present incarnations, and one of them answers."""
        value = self.coordinator.value
        assert value is not None
        present = {self[letter].replica.me for letter in letters}
        return set(value.in_sync) == present and self.primary != ""

    def stores(self, letters: str) -> list[dict[str, str]]:
        return [self[letter].store for letter in letters]

    def equal(self, letters: str) -> bool:
        first, *rest = self.stores(letters)
        return all(store == first for store in rest)

    def role(self, letter: str) -> Role:
        return self[letter].replica.role
