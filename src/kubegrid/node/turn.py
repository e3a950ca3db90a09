"""One turn of the event loop: what was executed together is logged together and confirmed together (group commit).

**Hot path**: speed beats form here; measure every change with `bench/`.

Everything that arrives in one turn of the loop is executed at once, and then `end()` runs these steps in this order:

1. the effects of the turn become *one* log entry (`member.append`), which leaves for the backups at once, as one frame;
2. replication inputs that arrived meanwhile (frames, ticks, answers of the coordinator) run;
3. the state machine's instructions are carried out (`member.drain`);
4. replies whose position is confirmed, under a valid lease, leave (R6, R7).

The order is what keeps a deposed primary honest: whatever was executed is in the log, with its undo records, before any
input can depose it; and the clock that decides about the lease is read after the data were (R7).

Replies wait in *groups*, one per turn: the position they need and the bytes for each connection. A turn without
writes needs what it could have seen, which is the end of the log. Next on the path of the data: `member`.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from kubegrid.base.settings import ClientSettings
from kubegrid.node.looking import Looking
from kubegrid.node.plain_batch import PlainBatch, Read
from kubegrid.replication import Gate
from kubegrid.store import Keyspace

if TYPE_CHECKING:
    from kubegrid.node.connection import Connection

ENTRY_BYTES_MAX = 1024 * 1024
"""Bytes of requests after which a turn's effects are cut into an entry of their own: no frame grows without bound."""
TURN_UNITS = 8000
"""Requests, weighted, that one turn executes over all connections: about 10 ms. The rest waits for the next turn, so that
beacons, acknowledgements and other clients come between."""
BACKLOG_BYTES_MAX = 32 * 1024 * 1024
"""Unconfirmed bytes at which no more requests are read until the backups have caught up."""
NEVER_BYTES = 1 << 62
PASSING_BYTES = 4 * 1024 * 1024
"""Requests and large replies after which memory is looked at, as it is when the store has grown."""
FEW, FEW_UNITS = 2, 64
"""Requests of a turn, and its units, up to which the loop looks for what comes next: these clients wait for each reply."""
COUNT_PAUSE_S = 0.05
"""How long statistics of plain commands may lag behind (any other command brings them up to date first)."""
TASK_PAUSE_S = 0.005
"""How soon to look again at long commands that asked for a pause."""
LATENCY_BOUNDS_MS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

log = logging.getLogger("kubegrid.node.turn")

OPEN = Gate.OPEN
HOLD = Gate.HOLD


def nothing() -> None:
    """What is to be done where nobody said what."""


class Replicator(Protocol):
    """What the turn needs of the member that drives replication."""

    @property
    def recording(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    @property
    def last_seq(self) -> int: ...
    @property
    def backlog_bytes(self) -> int: ...
    def now_ms(self) -> int: ...
    def gate(self, now: int) -> Gate: ...
    def append(self, now: int, effects: list[Any] | None, undo: list[Any] | None, size: int) -> int: ...
    def drain(self) -> None: ...
    def releasable(self, now: int) -> int: ...
    def readable(self, now: int) -> int: ...


Group = tuple[int, bool, float, int, list[tuple["Connection", bytes]]]
"""Replies of one turn: the position they need, whether the turn wrote, when it began, requests executed, the bytes."""
Steps = Generator[int | None, None, bytes | None]


class Task:
    """A long command: its client, its steps, and whether it was begun under an open gate (it may write) or on a backup."""

    __slots__ = ("connection", "due_ms", "may_write", "steps")

    def __init__(self, connection: "Connection", steps: Steps, may_write: bool) -> None:
        self.connection = connection
        self.steps = steps
        self.may_write = may_write
        self.due_ms = 0


class Turn:
    """Collects what one loop turn executed and releases replies in order.

    Invariant: `pending` is ordered by the time of execution, and the needs in it never fall; a connection's bytes leave
    in the order of its requests.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, keyspace: Keyspace, member: Replicator, settings: ClientSettings
    ) -> None:
        self.loop = loop
        self.keyspace = keyspace
        self.member = member
        self.settings = settings
        self.running = False
        self.scheduled = False
        self.early = False
        """In this round of the loop a turn was ended already, so another one waits for the round's end."""
        self.gate: Gate = Gate.CLOSED
        self.open_gate = False
        self.stopped = False
        """No request may be executed now: a hand-over is going on, the backups have to catch up, or CLIENT PAUSE."""
        self.paused_until_ms = 0
        """Unix time at which CLIENT PAUSE ends; 0: no pause. Whoever sets it clears it."""
        self.when_open: Callable[[], None] | None = None
        """Done once, in the next turn that may execute requests, before the first of them."""
        self.when_grown: Callable[[], None] = nothing
        """Done at the end of a turn after which the store counts more than `grown_at_bytes`, or `passing_bytes` are more
        than `PASSING_BYTES`. Whoever sets it raises those, and takes these back to 0."""
        self.grown_at_bytes = NEVER_BYTES
        self.passing_bytes = 0
        """Of requests and large replies that came and went through connections; some may stay there for long."""
        self.units_left = TURN_UNITS
        self.request_bytes = 0
        self.executed = 0
        """Requests executed in this turn."""
        self.gets = self.hits = self.sets = 0
        """What `batch` executed since `count_plain`, for the statistics."""
        self.counted = 0.0
        self.count: Callable[[str, int], None] = lambda command, times: None
        self.count_hits: Callable[[int, int], None] = lambda hits, misses: None
        self.batch = PlainBatch(self, keyspace, ENTRY_BYTES_MAX)
        self.aside: dict[bytes, list[Read]] = {}
        """`batch.kinds`, or nothing when plain reads may not be put aside in this turn."""
        self.touched: list[Connection] = []
        self.pending: deque[Group] = deque()
        self.wrote = False
        """Whether this turn appended an entry."""
        self.inputs: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.next_turn: list[Connection] = []
        """Connections whose requests this turn had no units left for."""
        self.held: set[Connection] = set()
        """Connections whose requests wait for a hand-over to end or for the backups to catch up."""
        self.looking = Looking(loop)
        self.tasks: deque[Task] = deque()
        """Long commands, one slice a turn."""
        self.dirty_seen = 0
        self.started = 0.0
        self.longest_ms = 0.0
        self.latency_counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        self.latency_sum_ms = 0.0

    # -- one turn ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the turn: read the gate and the clocks once for everything that runs in it."""
        self.running = True
        self.started = time.perf_counter()
        self.units_left = TURN_UNITS
        member = self.member
        gate = member.gate(member.now_ms())
        self.gate = gate
        self.open_gate = gate is OPEN
        self.stopped = gate is HOLD or member.backlog_bytes > BACKLOG_BYTES_MAX or self.paused_until_ms > 0
        self.aside = self.batch.kinds if self.open_gate and not self.stopped else {}
        keyspace = self.keyspace
        keyspace.recording = member.recording
        keyspace.now_ms = time.time_ns() // 1_000_000
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._end_in_its_time)
        if self.when_open is not None and self.open_gate:
            work, self.when_open = self.when_open, None
            work()

    def input(self, function: Callable[..., None], *args: Any) -> None:
        """Queue a replication input for step 2 of this turn's end."""
        self.inputs.append((function, args))
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._end_in_its_time)

    def work(self, function: Callable[[], None]) -> None:
        """Run `function` inside a turn, so that its effects (expiry, clean-up) become part of the turn's entry."""
        if not self.running:
            self.begin()
        function()

    def cut(self) -> int:
        """Make what was executed so far one entry; the sequence number that replies of this turn need."""
        keyspace = self.keyspace
        member = self.member
        self.request_bytes = 0
        if keyspace.effects:
            effects, undo, size = keyspace.take_turn()
            self.wrote = True
            return member.append(member.now_ms(), effects, undo, size)
        if keyspace.dirty != self.dirty_seen:
            self.dirty_seen = keyspace.dirty
            if self.open_gate and not keyspace.recording:
                self.wrote = True
                return member.append(member.now_ms(), None, None, 0)
        return member.last_seq

    def end_early(self) -> None:
        """A read of a socket brought what it brought. Where the loop looks (`looking`), one client waits for that, and
        whatever else this round of the loop may bring is the next turn's."""
        if self.looking.active and not self.early and self.scheduled and not (self.running and self.pending):
            self.early = True
            self.end()

    def _end_in_its_time(self) -> None:
        self.early = False
        if self.scheduled:
            self.end()

    def end(self) -> None:
        """Steps 1 to 4 of the module's docstring."""
        self.scheduled = False
        member = self.member
        if not self.started:
            self.started = time.perf_counter()
        drained = False
        if self.running:
            self.batch.execute()
            self.running = False
            if self.tasks:
                self._run_tasks()
            need = self.cut()
            if self.wrote:
                # The entry leaves before anything else is done here: its backups work on it meanwhile.
                member.drain()
                drained = True
            if self.touched or self.batch.items:
                self._collect(need)
            if (self.gets or self.sets) and self.started - self.counted > COUNT_PAUSE_S:
                self.counted = self.started
                self.count_plain()
        if self.inputs:
            inputs, self.inputs = self.inputs, []
            for function, args in inputs:
                function(*args)
            drained = False
        if not drained:
            member.drain()
        self.release(member.now_ms())
        if self.keyspace.used_bytes > self.grown_at_bytes or self.passing_bytes > PASSING_BYTES:
            self.when_grown()
        if self.held:
            self._wake_held()
        if self.next_turn:
            self.loop.call_soon(self._resume_next)
        if self.tasks and not self.scheduled:
            self._schedule_tasks()
        took_ms = (time.perf_counter() - self.started) * 1000
        self.started = 0.0
        if took_ms > self.longest_ms:
            self.longest_ms = took_ms

    def _schedule_tasks(self) -> None:
        """Go on with long commands in the next turn; those that may not go on now wait for the next tick's turn."""
        member = self.member
        now = member.now_ms()
        self.open_gate = member.gate(now) is OPEN
        if any(task.due_ms <= now and self._may_run(task) for task in self.tasks):
            self.scheduled = True
            self.loop.call_soon(self._turn_for_tasks)
        elif any(task.due_ms for task in self.tasks):
            self.loop.call_later(TASK_PAUSE_S, self._look_at_tasks)

    def _look_at_tasks(self) -> None:
        if self.tasks and not self.scheduled:
            self._schedule_tasks()

    def _turn_for_tasks(self) -> None:
        self.scheduled = False
        if not self.running:
            self.begin()

    def _collect(self, need: int) -> None:
        """Move what the connections wrote in this turn into a group, or send it where nothing has to be waited for."""
        # Refusals and the like wait for nothing; they only keep their place behind what was executed before.
        at_once = not self.open_gate or (not self.pending and need <= self.member.releasable(self.member.now_ms()))
        ready, self.batch.items = self.batch.items, []
        if self.touched:
            touched, self.touched = self.touched, []
            for connection in touched:
                connection.touched = False
                out = connection.out
                if out:
                    ready.append((connection, b"".join(out) if len(out) > 1 else out[0]))
                    out.clear()
                elif connection.close_after_reply and not connection.pending_groups:
                    connection.close()
        items: list[tuple[Connection, bytes]] = []
        if at_once:
            for connection, data in ready:
                if connection.pending_groups:
                    connection.pending_groups += 1
                    items.append((connection, data))
                else:
                    connection.send(data)
        else:
            items = ready
            for connection, _ in ready:
                connection.pending_groups += 1
        if 0 < self.executed <= FEW and TURN_UNITS - self.units_left <= FEW_UNITS:
            self.looking.expect()
        elif self.executed:
            self.looking.leave()
        if items:
            self.pending.append((need, self.wrote, self.started, self.executed, items))
        elif self.open_gate:
            self._observe((time.perf_counter() - self.started) * 1000, self.executed)
        self.executed = 0
        self.wrote = False

    def confirm(self, need: int, answer: Any, wrote: bool = False, data: bytes = b"") -> None:
        """Inside of a turn: let `answer`, which leaves by another way than a connection, wait for the position `need`.

        It is told like a connection that has one reply: `send(data)` when that may leave, `abort` when it never will. It
        stands behind everything that was executed before. `wrote`: it is a write's, which needs enough copies (R9).
        """
        answer.pending_groups += 1
        self.pending.append((need, wrote, self.started, 0, [(answer, data)]))

    def count_plain(self) -> None:
        """Pass on how many GETs and SETs `batch` executed since the last call."""
        self.count("get", self.gets)
        self.count("set", self.sets)
        self.count_hits(self.hits, self.gets - self.hits)
        self.gets = self.hits = self.sets = 0

    def _observe(self, latency_ms: float, requests: int) -> None:
        self.latency_counts[bisect_left(LATENCY_BOUNDS_MS, latency_ms)] += requests
        self.latency_sum_ms += latency_ms * requests

    # -- release -------------------------------------------------------------------------------------------------

    def release(self, now: int) -> None:
        """Send every reply whose position is confirmed at `now` under a valid lease (R6, R7)."""
        pending = self.pending
        if not pending:
            return
        upto = self.member.releasable(now)
        if pending[0][0] <= upto:
            clock = time.perf_counter()
            while pending and pending[0][0] <= upto:
                _, _, started, executed, items = pending.popleft()
                for connection, data in items:
                    connection.pending_groups -= 1
                    connection.send(data)
                self._observe((clock - started) * 1000, executed)
                self.looking.go_on()
        if pending and (readable := self.member.readable(now)) > upto:
            self._release_reads(readable)

    def _release_reads(self, upto: int) -> None:
        """Too few copies for writes to be confirmed (R9): replies of reads need not wait for that, save behind a write."""
        blocked: set[Connection] = set()
        kept: deque[Group] = deque()
        for need, wrote, started, executed, items in self.pending:
            may_leave = not wrote and need <= upto
            free = [item for item in items if may_leave and item[0] not in blocked]
            for connection, data in free:
                connection.pending_groups -= 1
                connection.send(data)
            if len(free) < len(items):
                rest = [item for item in items if item not in free] if free else items
                blocked.update(connection for connection, _ in rest)
                kept.append((need, wrote, started, executed, rest))
        self.pending = kept

    def drop_replies(self, reason: str) -> None:
        """R15: replies of a deposed primary are never sent; their connections close, the outcome is unknown."""
        dropped = {connection for _, _, _, _, items in self.pending for connection, _ in items}
        self.pending.clear()
        dropped.update(task.connection for task in self.tasks)
        self.tasks.clear()
        for connection in sorted(dropped, key=lambda c: c.id):
            connection.abort(reason)

    def oldest_pending_ms(self) -> float:
        """Age in ms of the oldest reply that waits for its confirmation; 0 when none waits."""
        return (time.perf_counter() - self.pending[0][2]) * 1000 if self.pending else 0.0

    def expire(self, timeout_ms: float) -> int:
        """Close the connections whose replies have waited for longer than `timeout_ms`; how many."""
        limit = time.perf_counter() - timeout_ms / 1000
        closed = 0
        while self.pending and self.pending[0][2] < limit:
            for connection, _ in self.pending.popleft()[4]:
                connection.pending_groups -= 1
                connection.abort("a reply was not confirmed in time")
                closed += 1
        return closed

    # -- waiting and long work -------------------------------------------------------------------------------------

    def _resume_next(self) -> None:
        """In the order in which they had to stop, so that a client with much to do does not keep out one with little."""
        waiting, self.next_turn = self.next_turn, []
        for connection in waiting:
            connection.resume()

    def _wake_held(self) -> None:
        member = self.member
        if member.gate(member.now_ms()) is HOLD or member.backlog_bytes > BACKLOG_BYTES_MAX or self.paused_until_ms:
            return
        held, self.held = self.held, set()
        self.early = True  # this turn is just ending
        for connection in sorted(held, key=lambda c: c.id):
            connection.resume()

    def start_task(self, connection: "Connection", steps: Steps) -> None:
        """Run `steps` one slice a turn; its return value is the reply.

        A step that yields an integer has nothing to do for so many milliseconds; one that yields None has more to do.
        """
        self.tasks.append(Task(connection, steps, self.open_gate))

    def _may_run(self, task: Task) -> bool:
        return self.open_gate or not task.may_write

    def _run_tasks(self) -> None:
        now = self.member.now_ms()
        for _ in range(len(self.tasks)):
            task = self.tasks.popleft()
            if task.connection.closed:
                task.steps.close()
                continue
            if task.due_ms > now or not self._may_run(task):
                self.tasks.append(task)
                continue
            try:
                pause_ms = next(task.steps)
            except StopIteration as done:
                if done.value is not None:  # None: its client waits for an event now (`connection`)
                    task.connection.finish_task(done.value)
            except Exception:
                log.exception("a long command failed; its client's connection is closed")
                task.connection.abort("a long command failed")
            else:
                task.due_ms = now + pause_ms if pause_ms else 0
                self.tasks.append(task)
