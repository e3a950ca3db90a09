"""One process: a real `Replica` and a small store, driven turn by turn in the order in which the data pod drives them.

A turn executes the requests that have arrived, makes their effects one entry, gives the replica its inputs (messages,
ticks, answers of the coordinator), carries out its instructions, and lets replies go, with a clock read after execution.
A frozen process takes no turn; what arrives meanwhile waits for it. A turn can also be frozen in its middle, between
execution and everything after it: that is what a garbage collection or a page fault does. Next on the path: `observer`
is told of everything visible outside.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from tests.sim.keyvalue import SLICES, Store
from tests.sim.operations import Operation, is_read
from tests.sim.trace import shown

from kubegrid.base.ids import ORIGIN, Member, Position
from kubegrid.replication import (
    Apply,
    CompareAndSwap,
    DropReplies,
    Gate,
    LoadSlice,
    Message,
    Note,
    ReadConfiguration,
    ResetStore,
    Revert,
    Role,
    RoleChanged,
    Send,
    StopSnapshot,
    StreamSnapshot,
)
from kubegrid.store.requests import Refusal

if TYPE_CHECKING:
    from tests.sim.world import World

MOMENTS = ("tenure_begins", "r16_hand_over")
"""Notes of the core that call the nemesis."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Crashed(Exception):
    """The replica stopped its process by an assertion of its own."""


class Machine:
    """A process of one member. Invariant: a reply waits in `pending` in the order of execution."""

    def __init__(self, world: "World", member: Member, address: str, rate_millionths: int, boot_us: int) -> None:
        self.world = world
        self.member = member
        self.address = address
        self.rate_millionths = rate_millionths
        self.boot_us = boot_us
        self.wall_ms = 1_000_000
        self.alive = True
        self.frozen = 0
        self.leaving = False
        self.served = False
        self.ghost = False
        """Lives on although its place has been given to another incarnation."""
        self.store = Store()
        self.inputs: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.requests: list[Operation] = []
        self.pending: list[tuple[int, Operation, bool]] = []
        """Replies: the last seq that each could have seen, and whether it changed anything."""
        self.executed: dict[int, tuple[int, Any]] = {}
        """Effects that this process executed as primary, by seq, with their epoch: what the observer compares."""
        self.commit_seen: Position = ORIGIN
        self.commit_compared: Position = ORIGIN
        self.streams: dict[tuple[Member, Any], int] = {}
        self.stream_due_us = 0
        self.turn_due = False
        self.batch: list[tuple[Operation, Any, bool]] | None = None
        """What a turn has executed and not appended yet: only seen from outside when the turn is frozen there."""
        self.stall_next_us = 0
        self.replica = world.make_replica(member, address)

    def clock_ms(self) -> int:
        """The lease clock: counts suspended time, runs at a rate of its own, began at boot."""
        return (self.boot_us + self.world.now_us * self.rate_millionths // 1_000_000) // 1000

    def start(self) -> None:
        self.input(self.replica.start)
        self.world.after(self.world.rng.randrange(self.tick_us), self.tick)

    @property
    def tick_us(self) -> int:
        return self.world.scenario.settings.tick_ms * 1000

    def tick(self) -> None:
        if self.alive:
            if not self.frozen:
                self.input(self.replica.tick)
            self.world.after(self.tick_us, self.tick)

    def input(self, call: Callable[..., Any], *arguments: Any) -> None:
        if self.alive:
            self.inputs.append((call, arguments))
            if not self.frozen:
                self.turn()

    def deliver(self, sender: Member, payload: bytes) -> None:
        if self.world.tracing:
            self.world.trace(f"{shown(self.member)} ← {shown(sender)}: {shown(_decode(payload))}")
        self.input(self.replica.receive, sender, _decode(payload))

    def request(self, operation: Operation) -> None:
        """A client's request arrives; those of the same moment share a turn."""
        self.requests.append(operation)
        if not self.turn_due:
            self.turn_due = True
            self.world.after(self.world.rng.randrange(800), self.request_turn)

    def request_turn(self) -> None:
        self.turn_due = False
        self.turn()

    def freeze(self, duration_us: int) -> None:
        self.frozen += 1
        self.world.after(duration_us, self.thaw)

    def thaw(self) -> None:
        self.frozen = max(0, self.frozen - 1)
        if not self.frozen:
            self.input(self.replica.tick)

    def turn(self) -> None:
        if not self.alive or self.frozen:
            return
        try:
            self._turn()
        except self.world.crashes:
            self.world.own_assertion(self)

    def _turn(self) -> None:
        if self.batch is None and self.requests:
            self._execute()
            if self.frozen:
                return
        self._finish()

    def _execute(self) -> None:
        world, replica = self.world, self.replica
        gate = replica.gate(self.clock_ms())
        if gate is Gate.HOLD:
            return
        requests, self.requests = self.requests, []
        batch = []
        writable = replica.writable
        for operation in requests:
            reading = is_read(operation.kind)
            if gate is Gate.READS and not reading:
                self.requests.append(operation)
            elif gate is Gate.CLOSED or not (reading or writable):
                world.counts["refused" if gate is Gate.CLOSED else "refused: not enough copies"] += 1
                world.refuse(operation)
            else:
                before = len(self.store.effects)
                if operation.request is None or not world.rules.deduplication:
                    result = self.store.execute(operation)
                else:
                    result = self.store.execute_once(operation, self.clock_ms())
                    if isinstance(result, Refusal):
                        world.forgotten(operation, result)
                        continue
                batch.append((operation, result, len(self.store.effects) > before))
        self.batch = batch
        if self.stall_next_us:
            self.freeze(self.stall_next_us)
            self.stall_next_us = 0

    def _finish(self) -> None:
        world, replica = self.world, self.replica
        if self.batch is not None:
            self._append()
        inputs, self.inputs = self.inputs, []
        now_ms = self.clock_ms()
        for call, arguments in inputs:
            call(now_ms, *arguments)
            if replica.out:
                self._drain()
            if world.losses:
                world.observer.note_commits(self)
        if replica.out:
            self._drain()
        if self.streams:
            self._pump(now_ms)
        if self.pending:
            self._release(now_ms)
        if world.validating:
            replica.validate()
        world.observer.after_turn(self)
        if self.leaving and replica.left:
            world.left(self)

    def _append(self) -> None:
        replica = self.replica
        batch, self.batch = self.batch or [], None
        effects, undo = self.store.take_turn()
        if effects:
            recording = replica.recording
            size = 20 * len(effects)
            seq = replica.append(self.clock_ms(), effects if recording else None, undo if recording else None, size)
            self.executed[seq] = (replica.epoch, effects)
        needed = replica.last_seq
        for operation, result, wrote in batch:
            operation.result = result
            self.pending.append((needed, operation, wrote))

    def _release(self, now_ms: int) -> None:
        """One clock reading, after execution, for all replies of the turn (R7)."""
        confirmed, readable = self.replica.releasable(now_ms), self.replica.readable(now_ms)
        waiting = []
        for reply in self.pending:
            needed, operation, wrote = reply
            if needed > (confirmed if wrote else readable):
                waiting.append(reply)
                continue
            if wrote:
                self.world.observer.confirmed(self, needed)
            self.world.observer.answered(self, needed, operation)
            self.world.answer(operation)
        self.pending = waiting

    def _drain(self) -> None:
        replica, world = self.replica, self.world
        while replica.out:
            instructions = list(replica.out)
            replica.out.clear()
            for instruction in instructions:
                if world.tracing:
                    world.trace(f"{shown(self.member)}   {shown(instruction)}")
                self._carry_out(instruction)

    def _carry_out(self, instruction: Any) -> None:
        world, store = self.world, self.store
        match instruction:
            case Send(to=to, message=message):
                payload = _encode(message)
                for member in to:
                    world.network.send(self, member, payload)
            case Apply(entries=entries):
                for entry in entries:
                    store.apply(entry.effects)
                    world.observer.applied(self, entry)
            case ReadConfiguration():
                world.coordinator.read(self)
            case CompareAndSwap(attempt=attempt, token=token, proposed=proposed):
                world.coordinator.compare_and_swap(self, attempt, token, proposed)
            case Revert(entries=entries):
                for entry in entries:
                    store.revert(entry.undo)
                    self.executed.pop(entry.seq, None)
                    world.counts["reverted"] += 1
            case DropReplies():
                self._drop_replies()
            case StreamSnapshot(to=to, snapshot=snapshot):
                self.streams[(to, snapshot)] = 0
                world.nemesis.lost_at_work(self, "as it begins a snapshot")
            case StopSnapshot(to=to, snapshot=snapshot):
                self.streams.pop((to, snapshot), None)
            case ResetStore():
                store.clear()
                self.executed.clear()
                self.commit_seen = ORIGIN
            case LoadSlice(payload=payload):
                store.load(payload)
            case RoleChanged(role=role, serving=serving):
                if role is Role.PRIMARY and serving:
                    world.observer.serving(self)
                    if not self.served:
                        world.greet(self)
                self.served = serving
            case Note(kind=kind):
                if kind in MOMENTS:
                    world.nemesis.moment(self)

    def _drop_replies(self) -> None:
        for _, operation, _ in self.pending:
            self.world.unknown(operation)
        self.pending.clear()
        for operation in self.requests:
            self.world.refuse(operation)
        self.requests.clear()

    def _pump(self, now_ms: int) -> None:
        """Cut and send the slices that are due and that the window allows."""
        world = self.world
        for key in list(self.streams):
            to, snapshot = key
            while key in self.streams and self.replica.snapshot_window(to) > 0:
                if world.now_us < self.stream_due_us:
                    return
                self.stream_due_us = world.now_us + world.scenario.slice_ms * 1000
                number = self.streams[key]
                last = number == len(SLICES) - 1
                if last:
                    del self.streams[key]
                else:
                    self.streams[key] = number + 1
                self.replica.snapshot_slice(now_ms, to, snapshot, self.store.cut(number), last)
                self._drain()

    def stop(self) -> None:
        """The process is gone, and its memory with it."""
        self.alive = False
        for _, operation, _ in self.pending:
            self.world.unknown(operation)
        for operation, _, _ in self.batch or ():
            self.world.unknown(operation)
        for operation in self.requests:
            self.world.refuse(operation)
        self.pending, self.requests, self.batch = [], [], None
