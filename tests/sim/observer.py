"""The invariants, checked after every turn and at the end, from outside: what was applied, confirmed, answered.

* *One history*: whatever any member applies or confirms at a number is the same entry everywhere (a confirmed write is
  never replaced), and the store of a backup is exactly the state at its commit point.
* *Commit points* never go back within a process, unless it threw its data away to join.
* *Bounded reads*: a backup that says its data are at most so old has all that answers showed before that.
* *Answers* come from a state with everything that was confirmed before the request.
* At the end: every acknowledged append is there exactly once, and none twice, however often its client sent it (R22); the
  replicas are equal, in the replies that they keep, too; every key is linearizable.

No check knows a rule of the protocol. An accepted loss opens another history, which begins when its first primary serves:
a process that has not learned of it (it stood still with the words of the dead unread) goes on with the old one, may even
apply and hold more of it than what was chosen, but must not answer from it any more. Next: `linearizability`.
"""

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from tests.sim.keyvalue import REQUESTS
from tests.sim.linearizability import ANYTHING, Unexplained, check
from tests.sim.operations import KEYS, LOGS, Operation, Value

from kubegrid.base.ids import ORIGIN
from kubegrid.replication import Entry, Role

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World


class Violation(Exception):
    """Something that must never be seen from outside was. `kind` is a word for it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class History:
    """What was committed since the beginning, or since a loss was accepted. Invariant: `entries` holds, by number, what was
    applied or confirmed; `states` the store after each of them."""

    def __init__(self, first_epoch: int, states: dict[int, dict[str, Value]]) -> None:
        self.first_epoch = first_epoch
        """Who knows this epoch or a higher one belongs to this history."""
        self.entries: dict[int, tuple[int, Any]] = {}
        self.states = states
        self.confirmed_seq = 0
        self.shown: list[tuple[int, int]] = []
        """When answers left, and from which number at most: the times of new highest numbers."""


class Observer:
    """Invariant: `histories` ascend by first epoch; answers come from `current`, the newest that has begun, alone."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.current = History(0, {0: {}})
        self.histories = [self.current]
        self.born_after: dict[str, int] = dict.fromkeys(KEYS, 0)

    @property
    def confirmed_seq(self) -> int:
        return self.current.confirmed_seq

    def history_of(self, machine: "Machine") -> History:
        epoch = machine.replica.epoch
        return next(history for history in reversed(self.histories) if history.first_epoch <= epoch)

    def applied(self, machine: "Machine", entry: Entry) -> None:
        self._committed(machine, entry.seq, entry.epoch, entry.effects)

    def _committed(self, machine: "Machine", seq: int, epoch: int, effects: Any) -> None:
        history = self.history_of(machine)
        known = history.entries.get(seq)
        mine = (epoch, [(key, value) for key, value in effects or ()])
        if known is None:
            history.entries[seq] = mine
            before = history.states.get(seq - 1)
            if before is not None:
                after = dict(before)
                for key, value in mine[1]:
                    if key == REQUESTS:
                        continue
                    if value is None:
                        after.pop(key, None)
                    else:
                        after[key] = value
                history.states[seq] = after
        elif known != mine:
            raise Violation("diverged", f"{machine.member} has {mine} at {seq}, where {known} was committed")

    def confirmed(self, machine: "Machine", seq: int) -> None:
        """A reply of a write at `seq` left. Its entry must be what everybody else has, or will have, there."""
        mine = machine.executed.get(seq)
        if mine is None:
            raise Violation("confirmed what was taken back", f"{machine.member} answers a write at {seq}")
        self._committed(machine, seq, *mine)
        history = self.history_of(machine)
        history.confirmed_seq = max(history.confirmed_seq, seq)

    def serving(self, machine: "Machine") -> None:
        """After an accepted loss: what the new primary begins with is what there is."""
        history = self.history_of(machine)
        if history.first_epoch > self.current.first_epoch:
            self._begin(history)
        commit = machine.replica.commit
        if commit.seq not in history.states and machine.replica.last_seq == commit.seq:
            history.states[commit.seq] = dict(machine.store.data)

    def answered(self, machine: "Machine", needed: int, operation: Operation) -> None:
        """An answer leaves that was executed with everything up to `needed`."""
        if self.history_of(machine) is not self.current:
            raise Violation("answer from a lost history", f"{machine.member} answers {operation!r} after its successor")
        shown = self.current.shown
        if not shown or needed > shown[-1][1]:
            shown.append((self.world.now_us, needed))
        if needed < operation.after_seq and operation.called >= self.born_after[operation.key]:
            late = (
                f"{machine.member} answers from {needed}, but {operation.after_seq} was confirmed before {operation!r}"
            )
            raise Violation("stale answer", late)

    def after_turn(self, machine: "Machine") -> None:
        replica = machine.replica
        self.note_commits(machine)
        if machine.commit_seen != machine.commit_compared:
            machine.commit_compared = machine.commit_seen
            if replica.role is Role.BACKUP:
                self._compare_store(machine)

    def note_commits(self, machine: "Machine") -> None:
        """The commit point may have moved. What it passed belongs to the history of which this process knows now."""
        commit = machine.replica.commit
        if commit == machine.commit_seen:
            return
        if commit < machine.commit_seen and commit != ORIGIN:
            raise Violation("commit point went back", f"{machine.member} from {machine.commit_seen} to {commit}")
        for seq in range(machine.commit_seen.seq + 1, commit.seq + 1):
            mine = machine.executed.get(seq)
            if mine is not None:
                self._committed(machine, seq, *mine)
        machine.commit_seen = commit

    def _compare_store(self, machine: "Machine") -> None:
        commit = machine.replica.commit
        state = self.history_of(machine).states.get(commit.seq)
        if state is not None and machine.store.data != state:
            raise Violation("wrong store", f"{machine.member} at {commit} holds {machine.store.data}, should {state}")

    def read_on_backup(self, machine: "Machine") -> None:
        """A READONLY read: committed data, possibly old."""
        if machine.replica.role is Role.BACKUP and machine.replica.commit != ORIGIN and not machine.frozen:
            self._compare_store(machine)
            self._check_bound(machine)

    def _check_bound(self, machine: "Machine") -> None:
        age_ms = machine.replica.staleness_ms(machine.clock_ms())
        if age_ms is None:
            return
        self.world.counts["bounded read"] += 1
        if age_ms < 200:
            self.world.counts["bounded read below 200 ms"] += 1
        before_us = self.world.now_us - 1000 * age_ms
        shown = self.history_of(machine).shown
        place = bisect_left(shown, (before_us, 0))
        if place and shown[place - 1][1] > machine.replica.commit_seq:
            claim = f"{machine.member} at {machine.replica.commit} says {age_ms} ms, but lacks {shown[place - 1]}"
            raise Violation("older than it says", claim)

    def loss_accepted(self, epoch: int) -> None:
        """What was confirmed is gone by decision, from this epoch on."""
        self.histories.append(History(epoch, {}))

    def _begin(self, history: History) -> None:
        """Judge what clients saw up to here, and begin anew."""
        self._judge(self.world.step)
        self.current = history
        self.born_after = dict.fromkeys(KEYS, self.world.step)

    def finish(self, machines: list["Machine"]) -> None:
        self._replicas_equal(machines)
        self._judge(self.world.step + 1)
        if not self.world.losses:
            self._appended_once(machines[0])

    def _replicas_equal(self, machines: list["Machine"]) -> None:
        first = machines[0]
        for other in machines[1:]:
            if other.store.data != first.store.data or other.replica.commit != first.replica.commit:
                raise Violation(
                    "replicas differ",
                    f"{first.member} at {first.replica.commit} holds {first.store.data}, "
                    f"{other.member} at {other.replica.commit} holds {other.store.data}",
                )

            if other.store.replies() != first.store.replies():
                kept = f"{first.member} keeps {first.store.replies()}, {other.member} keeps {other.store.replies()}"
                raise Violation("replies differ", kept)

    def _appended_once(self, machine: "Machine") -> None:
        for key in LOGS:
            there = str(machine.store.data.get(key) or "").split(",")
            for operation in self.world.history[key]:
                copies = there.count(operation.argument) if operation.kind == "append" else 1
                if copies > 1 or (copies == 0 and operation.returned is not None):
                    raise Violation("not exactly once", f"{operation!r} is there {copies} times: {there}")

    def _judge(self, until: int) -> None:
        for key in KEYS:
            since = self.born_after[key]
            operations = self.world.history[key]
            history = [_as_judged(operation, since) for operation in operations if _belongs(operation, since, until)]
            try:
                check(history, ANYTHING if since else None)
            except Unexplained as error:
                raise Violation("not linearizable", f"{key}: {error}") from None


def _belongs(operation: Operation, since: int, until: int) -> bool:
    """Answered between the two moments; one of unknown outcome belongs wherever it may still have happened."""
    if operation.state == "refused" or operation.called >= until:
        return False
    return operation.returned is None or since <= operation.returned < until


def _as_judged(operation: Operation, since: int) -> Operation:
    """A request that was first sent before this history began may have been executed before, and its kept reply be given
    now (R22): whether it took effect in this history, its answer does not tell."""
    if operation.request is None or operation.called >= since:
        return operation
    judged = operation.attempt(operation.called, operation.after_seq)
    judged.state = "unknown"
    return judged
