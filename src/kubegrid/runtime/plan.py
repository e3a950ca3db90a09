"""What should run, what to start, and in which order things may be stopped: the runtime's decisions, pure.

Observe → decide → act: `supervisor` hands in what it sees, `decide` answers with actions, and nothing here touches a
process or a clock. The rules:

- While the grid is wanted, every process that does not run is started; the first time at once, then with a growing
  pause (a process that crashes at its start must not eat the machine). One that ran well for a while begins afresh.
- The death of a member is reported before it is started again: it is the proof that its memory is gone.
- Nothing is ever stopped while the grid is wanted: a process that hangs is for the protocol to judge, not for us.
- Orderly down: the manager is told first; backups go before their primary, so that no backup takes over from a primary
  that leaves; managers go when no member is left and they know it. Who does not go in time is killed.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from kubegrid.runtime.state import Kind


class Phase(enum.Enum):
    RUN = "run"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Limits:
    """Times of the supervisor, in milliseconds of its own clock (one that stands still while the machine sleeps)."""

    backoff_first_ms: int = 200
    """Pause before the second start of something that ended at once; doubled each time."""
    backoff_max_ms: int = 10_000
    stable_ms: int = 10_000
    """Who ran this long has recovered: its next end is answered at once again."""
    hurry_ms: int = 500
    """After this a process gets a second SIGTERM: a member that leaves alone would wait for a successor, and there will
    be none when the whole grid stops."""
    stop_ms: int = 10_000
    """How long a process may take after SIGTERM. A member has nothing to hand over when the whole grid stops."""
    closing_ms: int = 3_000
    """How long to wait for the manager's word that it recorded the end, and after the last member's end for its word
    that it recorded the deaths; a dead manager must not hold up `down`."""


@dataclass(frozen=True, slots=True)
class Process:
    """What is known of one process of the grid."""

    name: str
    kind: Kind
    partition: int | None = None
    primary: bool = False
    running: bool = False
    started_ms: int | None = None
    """When it was last started or adopted; None: never by this supervisor."""
    ended_ms: int | None = None
    failures: int = 0
    """Ends in a row of which each came before `stable_ms`."""
    terminated_ms: int | None = None
    """When SIGTERM was sent to the running process."""
    hurried: bool = False
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Closing:
    """How far the orderly down is with telling the manager."""

    asked_ms: int | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    name: str


@dataclass(frozen=True, slots=True)
class Terminate:
    name: str


@dataclass(frozen=True, slots=True)
class Hurry:
    """SIGTERM once more: end now, without an orderly leave."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    name: str


@dataclass(frozen=True, slots=True)
class AnnounceClosing:
    """Tell the manager that the members' memory is about to end because somebody wants it so."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing runs any more; the supervisor's work is done."""


Action = Start | Terminate | Hurry | Kill | AnnounceClosing | Finished


@dataclass(frozen=True, slots=True)
class Observation:
    phase: Phase
    now_ms: int
    processes: Sequence[Process]
    closing: Closing = field(default_factory=Closing)
    proofs_pending: bool = False
    """Whether a death is still to be told to the manager."""


def decide(seen: Observation, limits: Limits) -> list[Action]:
    """The actions that are due now, in the order in which they are to be carried out."""
    if seen.phase is Phase.RUN:
        return _keep_running(seen, limits)
    return _stop(seen, limits)


def backoff_ms(failures: int, limits: Limits) -> int:
    """The pause before the next start after `failures` quick ends in a row: 0, 200, 400 … up to the limit."""
    if failures <= 1:
        return 0
    return min(limits.backoff_max_ms, limits.backoff_first_ms << min(failures - 2, 20))


def failures_after_end(process: Process, now_ms: int, limits: Limits) -> int:
    """The count of quick ends once `process`, running until now, has ended."""
    lived_ms = now_ms - process.started_ms if process.started_ms is not None else limits.stable_ms
    return 1 if lived_ms >= limits.stable_ms else process.failures + 1


def _keep_running(seen: Observation, limits: Limits) -> list[Action]:
    due = [
        process
        for process in seen.processes
        if not process.running
        and (process.ended_ms is None or seen.now_ms >= process.ended_ms + backoff_ms(process.failures, limits))
    ]
    # Managers first: members that find one at their first try come up without noise in their logs.
    return [Start(process.name) for process in sorted(due, key=lambda p: p.kind is not Kind.MANAGER)]


def _stop(seen: Observation, limits: Limits) -> list[Action]:
    running = [process for process in seen.processes if process.running]
    if not running:
        return [Finished()]
    if seen.closing.asked_ms is None:
        return [AnnounceClosing()]
    if not seen.closing.answered and seen.now_ms < seen.closing.asked_ms + limits.closing_ms:
        return []
    actions: list[Action] = []
    for process in running:
        if process.terminated_ms is None or process.killed:
            continue
        waited_ms = seen.now_ms - process.terminated_ms
        if waited_ms >= limits.stop_ms:
            actions.append(Kill(process.name))
        elif waited_ms >= limits.hurry_ms and not process.hurried:
            actions.append(Hurry(process.name))
    if all(process.kind is Kind.MANAGER for process in running) and seen.proofs_pending:
        ends_ms = [process.ended_ms for process in seen.processes if process.ended_ms is not None]
        if seen.now_ms < max(ends_ms, default=0) + limits.closing_ms:
            return actions
    actions += [Terminate(process.name) for process in _next_to_stop(running) if process.terminated_ms is None]
    return actions


def _next_to_stop(running: list[Process]) -> list[Process]:
    members = [process for process in running if process.kind is Kind.MEMBER]
    if not members:
        return running
    with_backups = {process.partition for process in members if not process.primary}
    return [process for process in members if not process.primary or process.partition not in with_backups]
