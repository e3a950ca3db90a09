"""The one process that keeps a grid's processes running: it observes, lets `plan` decide, and acts.

It owns nothing that matters: killed at any moment, it leaves the processes as they are, and the next supervisor finds
them by their locks. Its clock counts only time in which it ran itself (a laptop's sleep, a SIGSTOP of everything, is not
held against anybody), and as long as the grid is wanted it never signals a process.

Invariant: at most one RunningProcess per name; `_seen[name].running` exactly if `_processes` holds it.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import psutil

from kubegrid.base.errors import KubegridError
from kubegrid.runtime import plan, processes, state
from kubegrid.runtime.deaths import Deaths
from kubegrid.runtime.folder import Folder, SupervisorRecord
from kubegrid.runtime.grid_view import GridView
from kubegrid.runtime.plan import Closing, Limits, Observation, Phase, Process
from kubegrid.runtime.processes import Command, RunningProcess, kubegrid_command
from kubegrid.runtime.state import GridState, Kind
from kubegrid.runtime.tables import DeclaredTables

TICK_S = 0.1
CLOCK_STEP_MAX_MS = 1000
"""A longer gap between two looks at the clock means that this process did not run, and then neither did the others."""
START_BASE_MS = 60_000
START_PER_PROCESS_MS = 2_000
"""How long a grid may take to serve with full in-sync sets before the start counts as failed."""
START_FAILURES_MAX = 4
"""A process that ends this often in a row during the start will not come up."""
PERSON_MS = 3_000
"""A partition that waits this long for a person's decision while everything runs will not come up by itself."""
LOG_TAIL_BYTES = 2000
LOG_CHECK_S = 10.0


class AwakeClock:
    """Milliseconds in which this process was running."""

    def __init__(self, monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000) -> None:
        self._source = monotonic_ms
        self._last = monotonic_ms()
        self._now = 0

    def now_ms(self) -> int:
        reading = self._source()
        self._now += min(reading - self._last, CLOCK_STEP_MAX_MS)
        self._last = reading
        return self._now


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person or a log wants to know. `kind` is one of: note, waiting, ready, failed, stopping, stopped."""

    kind: str
    text: str = ""
    remedy: str = ""
    stays: bool = False
    """Of `failed`: whether the processes run on."""
    exit_status: int = 1
    """Of `failed`: what a command that waited for the start ends with."""


class Supervisor:
    """Needs the folder's lock to be held by this process for as long as `run` runs."""

    def __init__(
        self,
        folder: Folder,
        grid: GridState,
        secret: str | None,
        report: Callable[[Event], None],
        *,
        limits: Limits | None = None,
        command: Command = kubegrid_command,
        view: GridView | None = None,
    ) -> None:
        self._folder = folder
        self._grid = grid
        self._report = report
        self._limits = limits or Limits()
        self._command = command
        self._clock = AwakeClock()
        self._view = view or GridView(folder, grid, secret)
        self._deaths = Deaths(folder, grid, secret)
        self._phase = Phase.RUN
        self._closing = Closing()
        self._closing_task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._processes: dict[str, RunningProcess] = {}
        self._seen: dict[str, Process] = {
            **{manager.name: Process(manager.name, Kind.MANAGER) for manager in grid.managers},
            **{member.name: Process(member.name, Kind.MEMBER, member.partition) for member in grid.members},
        }
        self._adopted = False
        self._ready = False
        self._failed = False
        self._tables = DeclaredTables(grid, secret, self._wake.set)
        self.exit_status = 0
        """1, or what the failure of the start says."""
        self._interrupts = 0
        self._waiting_since_ms: int | None = None
        self.interrupted = False
        """Whether Ctrl-C ended it."""

    # -- from outside ------------------------------------------------------------------------------------------------

    def stop(self, by: signal.Signals | None = None) -> None:
        """Begin the orderly down. A second call ends the patience with processes that do not go."""
        self._interrupts += 1
        self.interrupted = self.interrupted or by is signal.SIGINT
        if self._interrupts == 1:
            self._report(Event("stopping", "stopping: backups, then primaries, then the manager"))
        elif self._interrupts == 2 and self._phase is Phase.STOP:
            self._report(Event("note", "not waiting any longer"))
            self._limits = dataclasses.replace(self._limits, stop_ms=0, closing_ms=0)
        self._phase = Phase.STOP
        self._wake.set()

    async def run(self) -> None:
        """Until the grid has been taken down. Raises KubegridError for what makes supervising impossible."""
        own = psutil.Process()
        self._folder.write_json(self._folder.supervisor, SupervisorRecord(own.pid, own.create_time()))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop, number)
        helpers: list[asyncio.Task[None]] = []
        try:
            self._adopt()
            self._deaths.note_absent([name for name in self._seen if name not in self._processes])
            duties = (self._watch(), self._deaths.deliver_forever(), self._bound_logs())
            helpers = [asyncio.ensure_future(duty) for duty in duties]
            await self._supervise()
        finally:
            for task in helpers:
                task.cancel()
            if self._closing_task is not None:
                self._closing_task.cancel()
            self._tables.stop()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            self._folder.supervisor.unlink(missing_ok=True)

    # -- observe, decide, act ----------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        started_ms = self._clock.now_ms()
        while True:
            now_ms = self._clock.now_ms()
            self._observe(now_ms)
            for action in plan.decide(
                Observation(self._phase, now_ms, list(self._seen.values()), self._closing, bool(self._deaths.pending)),
                self._limits,
            ):
                if isinstance(action, plan.Finished):
                    self._remember_the_end()
                    self._report(Event("stopped", "stopped; what the members held in memory ended with them"))
                    return
                self._act(action, now_ms)
            if not self._ready and not self._failed and self._phase is Phase.RUN:
                self._judge_start(now_ms - started_ms)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), TICK_S)

    def _remember_the_end(self) -> None:
        try:
            state.save(self._folder, msgspec.structs.replace(self._grid, memory_ended=True))
        except KubegridError as error:  # the manager has it recorded, too; this is for what the next `up` says
            self._report(Event("note", error.message))

    def _adopt(self) -> None:
        now_ms = self._clock.now_ms()
        for name, seen in self._seen.items():
            running = processes.find(name, seen.kind, self._folder, self._command)
            if running is not None:
                self._adopted = True
                self._processes[name] = running
                self._seen[name] = dataclasses.replace(seen, running=True, started_ms=now_ms)
        if self._processes:
            taken = ", ".join(f"{name} ({process.pid})" for name, process in self._processes.items())
            self._report(Event("note", f"taking over what runs already: {taken}"))

    def _observe(self, now_ms: int) -> None:
        for name, process in list(self._processes.items()):
            if process.is_alive():
                continue
            del self._processes[name]
            seen = self._seen[name]
            self._seen[name] = dataclasses.replace(
                seen,
                running=False,
                ended_ms=now_ms,
                failures=plan.failures_after_end(seen, now_ms, self._limits),
                terminated_ms=None,
                hurried=False,
                killed=False,
                primary=False,
            )
            if self._phase is Phase.RUN:
                self._report(Event("note", f"{name} (process {process.pid}) {process.exit_text()}"))
            if seen.kind is Kind.MEMBER:
                self._deaths.note(name)
        primaries = self._view.primaries
        for name, seen in self._seen.items():
            if seen.primary != (name in primaries):
                self._seen[name] = dataclasses.replace(seen, primary=name in primaries)

    def _act(self, action: plan.Action, now_ms: int) -> None:
        if isinstance(action, plan.AnnounceClosing):
            self._closing = Closing(asked_ms=now_ms)
            self._closing_task = asyncio.ensure_future(self._announce_closing())
            return
        if isinstance(action, plan.Finished):
            return
        seen = self._seen[action.name]
        if isinstance(action, plan.Start):
            self._start(seen, now_ms)
        elif isinstance(action, plan.Terminate):
            self._processes[action.name].send(signal.SIGTERM)
            self._seen[action.name] = dataclasses.replace(seen, terminated_ms=now_ms)
        elif isinstance(action, plan.Hurry):
            self._processes[action.name].send(signal.SIGTERM)
            self._seen[action.name] = dataclasses.replace(seen, hurried=True)
        else:
            self._report(
                Event("note", f"{action.name} did not stop within {self._limits.stop_ms / 1000:g} s: killing it")
            )
            self._processes[action.name].send(signal.SIGKILL)
            self._seen[action.name] = dataclasses.replace(seen, killed=True)

    def _start(self, seen: Process, now_ms: int) -> None:
        try:
            process = processes.start(seen.name, seen.kind, self._folder, self._command)
        except KubegridError as error:
            self._report(Event("note", f"{seen.name} cannot be started: {error.message}"))
            self._seen[seen.name] = dataclasses.replace(seen, ended_ms=now_ms, failures=seen.failures + 1)
            return
        if seen.ended_ms is not None:
            self._report(Event("note", f"{seen.name} started again (process {process.pid})"))
        self._processes[seen.name] = process
        self._seen[seen.name] = dataclasses.replace(
            seen, running=True, started_ms=now_ms, terminated_ms=None, hurried=False, killed=False
        )

    # -- the grid as its manager sees it -----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep the view fresh. In a thread, so that a manager that hangs holds up nothing here."""
        while True:
            await asyncio.to_thread(self._view.refresh)
            await asyncio.sleep(2.0 if self._ready else 0.25)

    async def _bound_logs(self) -> None:
        while True:
            for name in self._seen:
                processes.bound_log(self._folder, name)
            await asyncio.sleep(LOG_CHECK_S)

    async def _announce_closing(self) -> None:
        await asyncio.to_thread(self._view.refresh)
        await asyncio.to_thread(self._view.announce_closing)
        self._closing = dataclasses.replace(self._closing, answered=True)
        self._wake.set()

    def _judge_start(self, elapsed_ms: int) -> None:
        missing = self._view.missing() or self._tables.missing()
        refusal = self._tables.refusal
        if refusal is not None:
            remedy = f"The grid runs on, with the tables that it had. {refusal.remedy}"
            self._fail(refusal.message, remedy, stays=True, exit_status=refusal.exit_status)
            return
        if not missing:
            self._ready = True
            self._report(Event("ready", "every partition serves with all its copies in sync"))
            return
        self._report(Event("waiting", missing[0]))
        crashing = next((s for s in self._seen.values() if s.failures >= START_FAILURES_MAX), None)
        limit_ms = START_BASE_MS + START_PER_PROCESS_MS * len(self._seen)
        if self._person_is_needed():
            self._fail("; ".join(missing), f"The grid runs on. {self._view.waiting_for_person}", stays=True)
        elif crashing is not None:
            tail = self._tail(crashing)
            log = f"Its log ends with:\n{tail}" if tail else "Its log is empty."
            self._give_up(f"{crashing.name} ended {crashing.failures} times in a row. {log}")
        elif elapsed_ms >= limit_ms:
            self._give_up(f"not there after {limit_ms // 1000} s: {'; '.join(missing)}")

    def _person_is_needed(self) -> bool:
        """Whether a partition has been waiting for a decision for a while: not just for a member that is on its way."""
        now_ms = self._clock.now_ms()
        if not self._view.waiting_for_person:
            self._waiting_since_ms = None
        elif self._waiting_since_ms is None:
            self._waiting_since_ms = now_ms
        return self._waiting_since_ms is not None and now_ms - self._waiting_since_ms >= PERSON_MS

    def _fail(self, why: str, remedy: str, *, stays: bool = False, exit_status: int = 1) -> None:
        self._failed = True
        self.exit_status = exit_status
        self._report(Event("failed", why, remedy, stays, exit_status))

    def _give_up(self, why: str) -> None:
        if self._adopted:
            self._fail(why, "The processes that ran before were taken over and run on.", stays=True)
            return
        stopping = f"Everything that was started is being stopped; see {self._folder.logs}."
        lack = self._folder.lack_of_room()
        if lack is not None:
            why, stopping = f"{lack.message}\n{why}", f"{lack.remedy}\n{stopping}"
        self._fail(why, stopping)
        self.stop()

    def _tail(self, process: Process) -> str:
        try:
            with open(self._folder.log(process.name), "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError as error:
            return f"(no log: {error.strerror})"
