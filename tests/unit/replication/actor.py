"""One member on the stage: its replica, driven as the data pod would drive it, with a dictionary for a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.unit.replication.coordinator import Cas

from kubegrid import replication
from kubegrid.base.ids import Member
from kubegrid.replication import Gate, Replica

if TYPE_CHECKING:
    from tests.unit.replication.conversation import Stage

SLICE_KEYS = 2


@dataclass
class Reply:
    """One client's request: what became of it."""

    key: str
    value: str | None
    is_write: bool
    seq: int = -1
    state: str = "waiting"

    @property
    def confirmed(self) -> bool:
        return self.state == "answered"

    answered = confirmed

    @property
    def dropped(self) -> bool:
        return self.state == "dropped"

    @property
    def refused(self) -> bool:
        return self.state == "refused"

    @property
    def held(self) -> bool:
        return self.state == "held"

    @property
    def waiting(self) -> bool:
        return self.state == "waiting"


@dataclass
class Actor:
    """One member: its replica, its store, and the replies that have not left."""

    stage: Stage
    letter: str
    replica: Replica
    store: dict[str, str] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)
    """Everything that it was told is committed, in order."""
    notes: list[str] = field(default_factory=list)
    snapshots: dict[tuple[Member, int], list[str]] = field(default_factory=dict)
    up: bool = True
    paused: bool = False
    backlog: list[Callable[[], None]] = field(default_factory=list)

    # -- what happens to it

    def input(self, give: Callable[[Replica, int], Any]) -> Any:
        if not self.up:
            return None
        if self.paused:
            self.backlog.append(lambda: self.input(give))
            return None
        answer = give(self.replica, self.stage.now)
        self._obey()
        self._cut_slices()
        self._release()
        if self.stage.validating:
            self.replica.validate()
        return answer

    def _obey(self) -> None:
        out = self.replica.out
        while out:
            batch = list(out)
            out.clear()
            for instruction in batch:
                self._carry_out(instruction)

    def _carry_out(self, instruction: replication.Instruction) -> None:
        match instruction:
            case replication.Send(to, message, again):
                for member in to:
                    self.stage.post(self, member, message, again=again)
            case replication.ReadConfiguration():
                self.stage.coordinator.read(self)
            case replication.CompareAndSwap():
                self.stage.coordinator.swap(Cas(self, instruction))
            case replication.Apply(entries):
                for entry in entries:
                    for key, value in entry.effects:
                        self.store[key] = value
                        self.applied.append((key, value))
            case replication.Revert(entries):
                for entry in entries:
                    for key, value in entry.undo:
                        if value is None:
                            self.store.pop(key, None)
                        else:
                            self.store[key] = value
            case replication.DropReplies():
                for reply in self.replies:
                    reply.state = "dropped"
                self.replies.clear()
            case replication.StreamSnapshot(to, snapshot):
                self.snapshots[to, snapshot] = sorted(self.store)
            case replication.StopSnapshot(to, snapshot):
                self.snapshots.pop((to, snapshot), None)
            case replication.ResetStore():
                self.store.clear()
            case replication.LoadSlice(payload):
                for pair in payload.decode().split(";"):
                    if pair:
                        key, value = pair.split("=")
                        self.store[key] = value
            case replication.Note(kind, detail):
                self.notes.append(kind)
                self.stage.history.append(f"{self.stage.now:6} {self.letter} {kind}: {detail}")

    def _cut_slices(self) -> None:
        for (to, snapshot), keys in list(self.snapshots.items()):
            while self.replica.snapshot_window(to) > 0 and (to, snapshot) in self.snapshots:
                piece, rest = keys[:SLICE_KEYS], keys[SLICE_KEYS:]
                payload = ";".join(f"{key}={self.store[key]}" for key in piece if key in self.store)
                self.replica.snapshot_slice(self.stage.now, to, snapshot, payload.encode(), not rest)
                keys = self.snapshots[to, snapshot] = rest
                if not rest:
                    del self.snapshots[to, snapshot]
                self._obey()

    def _release(self) -> None:
        writes, reads = self.replica.releasable(self.stage.now), self.replica.readable(self.stage.now)
        for reply in list(self.replies):
            if reply.seq <= (writes if reply.is_write else reads):
                reply.state = "answered"
                self.replies.remove(reply)

    # -- what clients do

    def execute(self, key: str, value: str | None, is_write: bool) -> Reply:
        reply = Reply(key, value, is_write)
        gate = self.replica.gate(self.stage.now) if self.up and not self.paused else Gate.CLOSED
        if gate is Gate.HOLD:
            reply.state = "held"
        elif gate is Gate.CLOSED or (is_write and (gate is Gate.READS or not self.replica.writable)):
            reply.state = "refused"
        elif is_write:
            undo = [(key, self.store.get(key))]
            assert value is not None
            self.store[key] = value
            reply.seq = self.input(lambda r, now: r.append(now, [(key, value)], undo, len(key) + len(value)))
            self.replies.append(reply)
        else:
            reply.value = self.store.get(key)
            reply.seq = self.replica.last_seq
            self.replies.append(reply)
        self.input(lambda r, now: None)
        return reply
