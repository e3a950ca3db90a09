"""The applications: each has one request open at a time, and is as stubborn as a Redis client that lost its map.

A client stays with the member that answered it and otherwise tries the one the coordinator names, or any: also one
that has been deposed and does not know, which is where stale reads come from. A request that was refused did not happen
and is forgotten; one whose connection closed, or that took too long, is of unknown outcome and may still happen.
Most clients stand beside a member, on its side of every cut. Roamers reach and ask all members, mostly to read, soon
give up, and ask another: when two members answer at a time, they are the ones to notice.
In half of the seeds those who stay number their writes, as our own client does, and send one again, to whoever they take
for the primary, until they learn what became of it (R22); `open` is then one request in several attempts.
Next on the path: `machine.request`.
"""

from typing import TYPE_CHECKING, Any

from tests.sim.operations import (
    COUNTERS,
    KEYS,
    REGISTERS,
    WRITES_OF_REGISTER,
    Operation,
    Request,
    is_read,
)
from tests.sim.trace import shown

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

ROAMER_THINK_MS = 16
ROAMER_PATIENCE_MS = 40


class Client:
    """Invariant: `open` is the one request that is neither answered, nor refused, nor given up."""

    def __init__(self, world: "World", number: int, roams: bool = False) -> None:
        self.world = world
        self.number = number
        self.roams = roams
        rng = world.rng
        home = world.writers_home if not roams and world.writers_home else rng.choice(world.addresses)
        self.home: str | None = home if not roams and rng.random() < 0.9 else None
        self.reads = rng.choice((1.0, 1.0, 0.5)) if roams else rng.choice((0.1, 0.3, 0.7))
        """Share of plain reads."""
        self.think_us = 1000 * (ROAMER_THINK_MS if roams else world.scenario.think_ms)
        self.patience_us = 1000 * (ROAMER_PATIENCE_MS if roams else world.scenario.patience_ms)
        self.open: Operation | None = None
        self.attempt: Operation | None = None
        """What of `open` was sent last; itself, unless it may be sent again."""
        self.retries = world.retrying and not roams
        self.identities = 0
        self.requests = 0
        self.sent_us = 0
        self.favourite: Machine | None = None
        self.asked: Machine | None = None
        self.seen: dict[str, Any] = {}
        self.stopped = False

    def act(self) -> None:
        if self.stopped or self.open is not None:
            return
        rng = self.world.rng
        key = rng.choice(KEYS)
        self._send(key, *self._choose(key))

    def _choose(self, key: str) -> tuple[str, Any]:
        return ("get", None) if self.world.rng.random() < self.reads else self._write(key)

    def _write(self, key: str) -> tuple[str, Any]:
        world, rng = self.world, self.world.rng
        if key in COUNTERS:
            return "incr", None
        if key not in REGISTERS:
            return "append", str(world.operations)
        kind = rng.choice(WRITES_OF_REGISTER)
        if kind == "delete":
            return kind, None
        # A wall clock is a thing that only the executing member knows: replicas must get its effect, not the command.
        machine = self.favourite
        text = f"{world.operations}@{machine.wall_ms if machine else 0}"
        if kind == "cas":
            return kind, (self.seen.get(key), text)
        return kind, text

    def read(self, key: str) -> None:
        """The reading of what is left at the end."""
        self._send(key, "get", None)

    def write_and_forget(self, machine: "Machine") -> None:
        key = self.world.rng.choice(KEYS)
        self.favourite = machine
        machine.request(self._operation(machine, key, *self._write(key)))

    def _send(self, key: str, kind: str, argument: Any) -> None:
        world = self.world
        machine = self._member_to_ask()
        if machine is None or not world.network.passes(self.home, machine.address):
            self.favourite = None
            world.after(5000, self.act)
            return
        self.open = self.attempt = self._operation(machine, key, kind, argument)
        self.sent_us, self.asked = world.now_us, machine
        if self.retries and not is_read(kind):
            self.requests += 1
            lag = world.later_rng.choice((0, 0, 1, 3))
            self.open.request = Request(self._identity(), self.requests, max(1, self.requests - lag))
            self.attempt = self.open.attempt(world.step, self.open.after_seq)
        machine.request(self.attempt)

    def _identity(self) -> bytes:
        return b"client %03d.%05d" % (self.number, self.identities)

    def _try_again(self) -> None:
        operation, world = self.open, self.world
        if operation is None or self.attempt is not None:
            return
        machine = self._member_to_ask()
        if machine is None or not world.network.passes(self.home, machine.address):
            self.favourite = None
            world.after(5000, self._try_again)
            return
        self.attempt = operation.attempt(world.step, world.observer.confirmed_seq)
        self.sent_us, self.asked = world.now_us, machine
        world.counts["sent again"] += 1
        if world.tracing:
            world.trace(f"client {self.number} asks {shown(machine.member)} again: {operation!r}")
        machine.request(self.attempt)

    def forgotten(self, attempt: Operation) -> None:
        """The store lost what it knew of this client: nobody will tell what became of its request."""
        self.identities += 1
        self.requests = 0
        if self.attempt is attempt and self.open is not None:
            operation, self.attempt = self.open, self.open
            self.world.unknown(operation)

    def _operation(self, machine: "Machine", key: str, kind: str, argument: Any) -> Operation:
        world = self.world
        operation = Operation(world.operations, self.number, key, kind, argument, world.step)
        operation.after_seq = world.observer.confirmed_seq
        world.operations += 1
        world.history[key].append(operation)
        if world.tracing:
            world.trace(
                f"client {self.number} asks {shown(machine.member)}: {operation.kind} {key} {argument!r} (#{operation.number})"
            )
        return operation

    def _member_to_ask(self) -> "Machine | None":
        world, rng = self.world, self.world.rng
        luck = 1.0 if self.roams else rng.random()
        if self.favourite is not None and self.favourite.alive and luck < 0.9:
            return self.favourite
        primary = world.coordinator.current.primary
        if luck < 0.5 and primary in world.machines:
            return world.machines[primary]
        machines = list(world.machines.values())
        return rng.choice(machines) if machines else None

    def answered(self, operation: Operation) -> None:
        if self.open is operation:
            self.open = self.attempt = None
            self.favourite = self.asked
            result = operation.result
            if operation.kind == "get":
                self.seen[operation.key] = result
            elif operation.kind == "set":
                self.seen[operation.key] = operation.argument
            self.world.after(self.world.rng.randrange(1000, self.think_us), self.act)

    def failed(self, operation: Operation) -> None:
        """Refused, or its connection closed."""
        if self.attempt is not operation:
            return
        if operation.origin is not None:
            self.attempt = None
            if self.world.later_rng.random() < 0.6:
                self.favourite = None
            self.world.after(self.world.later_rng.randrange(2000, 30_000), self._try_again)
        else:
            self.open = self.attempt = None
            if self.world.rng.random() < 0.6:
                self.favourite = None
            self.world.after(self.world.rng.randrange(2000, ROAMER_THINK_MS * 1000 if self.roams else 30_000), self.act)

    def lose_patience(self) -> None:
        operation = self.attempt
        if operation is not None and self.world.now_us - self.sent_us > self.patience_us:
            self.world.unknown(operation)
