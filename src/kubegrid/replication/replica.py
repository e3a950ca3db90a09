"""One member's part in one partition: the object that the driver feeds. (Signatures; the implementation follows.)"""

from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import ORIGIN, Member, Position
from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication.instructions import Instruction
from kubegrid.replication.messages import Message
from kubegrid.replication.roles import CasOutcome, Gate, Role
from kubegrid.replication.rules import ALL, Rules


class Replica:
    """Inputs come in with the time, instructions pile up in `out`; the driver drains it, in order, after every input."""

    me: Member
    role: Role
    serving: bool
    """Primary that has finished R12 and R13 (leases are asked with `gate`)."""
    configuration: Configuration | None
    epoch: int
    """Highest epoch known; 0 when none is."""
    last_seq: int
    """Number of the newest entry; a turn without a write tags its replies with it."""
    commit_seq: int
    writable: bool
    """R9: enough copies in sync. Asked when a write is executed (-NOREPLICAS); `releasable` asks again."""
    recording: bool
    """Whether entries need effects and undo. False only for a lone primary of a grid with one copy."""
    backlog_bytes: int
    """Entries appended here and not confirmed yet."""
    left: bool
    """`leave` was called and this member is in nobody's configuration any more: the process may end."""
    stats: dict[str, int]
    out: list[Instruction]

    def __init__(
        self,
        me: Member,
        partition: int,
        settings: ReplicationSettings,
        *,
        grid: str = "",
        preferred: bool = False,
        rules: Rules = ALL,
    ) -> None:
        """`grid`: UUID; a configuration of another grid is refused. Empty: the first configuration seen fixes it."""
        raise NotImplementedError

    # -- inputs

    def start(self, now: int) -> None:
        raise NotImplementedError

    def receive(self, now: int, sender: Member, message: Message) -> None:
        raise NotImplementedError

    def connected(self, now: int, member: Member) -> None:
        raise NotImplementedError

    def disconnected(self, now: int, member: Member) -> None:
        raise NotImplementedError

    def configuration_read(self, now: int, configuration: Configuration | None, token: int) -> None:
        """The answer to `ReadConfiguration`, perhaps old (R5). None: the coordinator has no such record; nothing follows."""
        raise NotImplementedError

    def cas_answered(
        self, now: int, attempt: int, outcome: CasOutcome, configuration: Configuration | None, token: int
    ) -> None:
        """APPLIED: `token` is of the new version. CONFLICT: configuration and token are the current ones, or None."""
        raise NotImplementedError

    def changed_hint(self, now: int) -> None:
        raise NotImplementedError

    def tick(self, now: int) -> None:
        """Call it every `settings.tick_ms`: beacons and all timers hang on it."""
        raise NotImplementedError

    def append(self, now: int, effects: Any, undo: Any, size_bytes: int) -> int:
        """Primary with an open gate: what this turn executed. Returns its number."""
        raise NotImplementedError

    def snapshot_slice(self, now: int, to: Member, snapshot: int, payload: bytes, last: bool) -> None:
        """A slice that `StreamSnapshot` asked for. Ignored when that snapshot is over."""
        raise NotImplementedError

    def hand_over(self, now: int, to: Member | None = None) -> bool:
        """R16: begin; False when it can't (not serving, no such in-sync member, another change is open)."""
        raise NotImplementedError

    def leave(self, now: int) -> None:
        """R16: SIGTERM. Hand over if primary, then ask to be removed; `left` says when it is done."""
        raise NotImplementedError

    # -- questions

    def gate(self, now: int) -> Gate:
        """Whether commands may be executed now."""
        raise NotImplementedError

    def releasable(self, now: int) -> int:
        """Highest number whose replies of *writes* may leave (R6, R8, R9), -1: none. `now` is read after the batch ran."""
        raise NotImplementedError

    def readable(self, now: int) -> int:
        """The same for replies of reads and of writes without effect (R7, R8): R9 does not hold them up."""
        raise NotImplementedError

    def snapshot_window(self, to: Member) -> int:
        """How many more slices may be cut for this joiner now."""
        raise NotImplementedError

    @property
    def commit(self) -> Position:
        """The commit point, as far as this member knows. ORIGIN while its store is unfinished."""
        return ORIGIN

    @property
    def last(self) -> Position:
        """The log's end (for R20: the survivor of the highest one). ORIGIN while the store is unfinished."""
        return ORIGIN

    def validate(self) -> None:
        """Assert the class invariants."""
        raise NotImplementedError
