"""What the driver may ask a replica between its inputs: may commands run, which replies may leave, how far is the log.

All of it is a look at what is there and changes nothing. `gate`, `releasable` and `readable` are asked with a time read
after the batch was executed (R7); the rest is for decisions of the driver, status and metrics.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import ORIGIN, Member, Position
from kubegrid.replication.epochs import Epochs
from kubegrid.replication.following import Following
from kubegrid.replication.member import MemberState
from kubegrid.replication.roles import Gate, Role


class Questions:
    """The part of `Replica` that only looks. Invariant: none of its own."""

    _state: MemberState
    _epochs: Epochs
    _following: Following
    role: Role

    def gate(self, now: int) -> Gate:
        """Whether commands may be executed now."""
        tenure = self._epochs.tenure
        if tenure is None:
            return Gate.READS if now < self._epochs.reads_until else Gate.CLOSED
        if now >= tenure.lease_until or not tenure.serving:
            return Gate.HOLD if now < tenure.hold_until else Gate.CLOSED
        if self._epochs.hand_over is not None and self._epochs.hand_over.holding:
            return Gate.HOLD if self._state.rules.handover_stops_reads else Gate.READS
        return Gate.OPEN

    def releasable(self, now: int) -> int:
        """Highest number whose replies of *writes* may leave (R6, R8, R9), -1: none. `now` is read after the batch ran."""
        tenure = self._epochs.tenure
        if tenure is None:
            return -1 if self._state.rules.replies_dropped else self._state.log.commit_seq
        return tenure.releasable(now) if self.writable else -1

    def readable(self, now: int) -> int:
        """The same for replies of reads and of writes without effect (R7, R8): R9 does not hold them up."""
        tenure = self._epochs.tenure
        if tenure is None:
            if now < self._epochs.reads_until:
                return self._state.log.last_seq
            if not self._state.rules.replies_dropped:
                return self._state.log.commit_seq
            return -1
        seq = tenure.releasable(now)
        return self._state.log.last_seq if seq >= 0 and not self._state.rules.reads_wait else seq

    def snapshot_window(self, to: Member) -> int:
        """How many more slices may be cut for this joiner now."""
        stream = self._epochs.tenure.streams.get(to) if self._epochs.tenure is not None else None
        return stream.window if stream is not None else 0

    @property
    def configuration(self) -> Configuration | None:
        return self._state.configuration

    @property
    def epoch(self) -> int:
        """Highest epoch known; 0 when none is."""
        return self._state.epoch

    @property
    def token(self) -> int | None:
        """Version of the managers' record that holds the configuration. None: told by a member and not read yet; until it
        is, this member proposes nothing."""
        return self._state.token

    @property
    def serving(self) -> bool:
        """Primary that has finished R12 and R13 (leases are asked with `gate`)."""
        return self._epochs.tenure is not None and self._epochs.tenure.serving

    @property
    def last_seq(self) -> int:
        """Number of the newest entry; a turn without a write tags its replies with it."""
        return self._state.log.last_seq

    @property
    def commit_seq(self) -> int:
        return self._state.log.commit_seq

    @property
    def writable(self) -> bool:
        """R9: enough copies in sync. Asked when a write is executed (-NOREPLICAS); `releasable` asks again."""
        configuration = self._state.configuration
        return configuration is not None and len(configuration.in_sync) >= self._state.settings.min_in_sync

    @property
    def recording(self) -> bool:
        """Whether entries need effects and undo. False only for a lone primary of a grid with one copy: with more, a
        member that returns to a lone primary can join by its log (R14)."""
        return self._state.settings.copies > 1 or (
            self._epochs.tenure is not None and bool(self._epochs.tenure.streams)
        )

    @property
    def backlog_bytes(self) -> int:
        """Entries here that are not known to be committed."""
        log = self._state.log
        return log.bytes_between(log.commit_seq, log.last_seq) if log.commit_seq != log.last_seq else 0

    def staleness_ms(self, now: int) -> int | None:
        """A backup's read now lacks nothing that was acknowledged to anyone longer ago than this (see `freshness`).

        The clocks' margin is included. None: no bound is known, or this member is no backup. It counts what was given out
        as `Apply`: a driver that has not carried that out yet must not read by this bound.
        """
        fresh_at = self._following.freshness.fresh_at() if self.role is Role.BACKUP else None
        if fresh_at is None or not self._following.finished:
            return None
        age_ms = max(0, now - fresh_at) + 1
        settings = self._state.settings
        return age_ms + age_ms * settings.drift_ms // settings.grace_ms + 1

    @property
    def left(self) -> bool:
        """`leave` was called and this member is in nobody's configuration any more: the process may end."""
        return self._state.leaving and self.role is Role.IDLE

    @property
    def commit(self) -> Position:
        """The commit point, as far as this member knows. ORIGIN while its store is unfinished."""
        return self._state.log.commit if self._following.finished else ORIGIN

    @property
    def last(self) -> Position:
        """The log's end (for R20: the survivor of the highest one). ORIGIN while the store is unfinished."""
        return self._state.log.last if self._following.finished else ORIGIN
