"""A member that is not primary: it stages what the primary sends, acknowledges it, and applies what is committed.

It takes entries only when its log has been matched with this tenure's (R14); until then the log is what earlier tenures
left, and may differ behind the commit point. A snapshot is loaded slice by slice and followed by the log from where it
began; it may hold effects of entries up to `settled` that nobody has confirmed, so until the commit point passes that
number, a change of primary makes this member throw it away (R18). A member that finds itself in the in-sync set knows
that it was passed (R3), and never throws anything away (R19).
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import ORIGIN, Member, Position
from kubegrid.replication import messages
from kubegrid.replication.freshness import Freshness
from kubegrid.replication.instructions import Apply, LoadSlice, ResetStore
from kubegrid.replication.member import MemberState

NO_STREAM = (-1, -1)


class Following:
    """Invariant: `matched` implies that the log is a prefix of the tenure's; nothing unconfirmed is in the store, save
    in a snapshot that is `loading` or has `settled_seq >= 0`."""

    def __init__(self, state: MemberState) -> None:
        self._state = state
        self.stream = NO_STREAM
        """Tenure and number of the stream that this member follows."""
        self.matched = False
        self.loading = False
        self.loaded = 0
        self.freshness = Freshness(state.log)
        self.settled_seq = -1
        """The store's snapshot may hold unconfirmed effects up to here; -1: it does not."""

    @property
    def finished(self) -> bool:
        """Whether the store is the exact result of a prefix of the log."""
        return not self.loading and self.settled_seq < 0

    # -- matching

    def match(self, now: int, sender: Member, message: messages.Match) -> None:
        asked = (message.tenure, message.stream)
        if asked < self.stream:
            return
        state = self._state
        if asked > self.stream:
            self._enter(asked)
        elif self.loading:
            state.send(sender, messages.SnapshotAck(state.known, *asked, self.loaded))
            return
        elif self.matched:
            self._acknowledge(sender)
            return
        log = state.log
        usable = not self.loading and (self.settled_seq < 0 or not state.rules.snapshot_thrown_away)
        state.send(
            sender,
            messages.LogShape(state.known, *asked, log.base.epoch, log.base.seq, log.runs(), log.commit_seq, usable),
        )

    def matched_at(self, now: int, sender: Member, message: messages.Matched) -> None:
        state = self._state
        if (message.tenure, message.stream) != self.stream or self.loading:
            return
        if not self.matched:
            if message.seq < state.log.commit_seq or message.seq > state.log.last_seq:
                state.note("bad_match", f"{sender} matched us at {message.seq}")
                return
            if state.log.truncate(message.seq):
                state.count("r14_truncated")
            self.matched = True
        self._acknowledge(sender)

    def _enter(self, stream: tuple[int, int]) -> None:
        """Another tenure, or another attempt of this one."""
        if stream[0] > self.stream[0]:
            self.primary_changed()
        self.stream = stream
        self.matched = False

    def primary_changed(self) -> None:
        """R18: an unfinished snapshot dies with the tenure that sent it, unless this member is in sync."""
        self.freshness.primary_changed()
        if not self.finished and self._state.rules.snapshot_thrown_away:
            self.throw_away()

    def throw_away(self) -> None:
        state = self._state
        state.note("r18_thrown_away", "the primary changed before the snapshot's position was committed")
        state.out.append(ResetStore())
        state.log.reset(ORIGIN)
        self.freshness.thrown_away()
        self.loading = self.matched = False
        self.settled_seq = -1

    # -- entries

    def append(self, now: int, sender: Member, message: messages.Append) -> None:
        log = self._state.log
        if message.tenure != self.stream[0] or not self.matched:
            self._unmatched(sender, message)
            return
        entries = message.entries
        last_seq = log.last_seq
        if message.after == last_seq:
            log.extend(entries)
        elif message.after < last_seq:
            fresh = entries[last_seq - message.after :]
            if fresh:
                log.extend(fresh)
        self._acknowledge(sender)
        if message.commit > log.commit_seq:
            self.commit(message.commit)

    def _acknowledge(self, sender: Member) -> None:
        state = self._state
        state.send(sender, messages.Ack(state.known, *self.stream, state.log.last_seq))

    def commit(self, seq: int) -> None:
        """The primary's commit point is `seq`: apply as far as the log goes."""
        state = self._state
        log = state.log
        seq = min(seq, log.last_seq)
        if self.loading or seq <= log.commit_seq:
            return
        state.out.append(Apply(log.commit_to(seq)))
        if 0 <= self.settled_seq <= seq:
            self.settled_seq = -1
            state.count("r18_settled")
        settings = state.settings
        if log.crowded(settings.log_bytes_max, settings.log_entries_max):
            log.trim(log.commit_seq, settings.log_bytes_max, settings.log_entries_max)

    def beacon(self, message: messages.Beacon) -> None:
        if self.matched and message.tenure == self.stream[0]:
            if message.commit > self._state.log.commit_seq or self.settled_seq >= 0:
                self._settle(message.commit)
            if message.echoes and self.finished:
                self._echoed(message)
        elif not self._state.rules.match_before_apply:
            self.commit(message.commit)

    def _echoed(self, message: messages.Beacon) -> None:
        in_sync = message.configuration.in_sync
        if self._state.me in in_sync and len(message.echoes) == len(in_sync):
            self.freshness.echoed(message.echoes[in_sync.index(self._state.me)], message.commit)

    def _settle(self, commit: int) -> None:
        self.commit(commit)
        if 0 <= self.settled_seq <= min(commit, self._state.log.last_seq):
            self.settled_seq = -1

    def configuration_changed(self, before: Configuration | None, configuration: Configuration) -> None:
        state = self._state
        if state.me in configuration.in_sync and not self.loading and 0 <= self.settled_seq <= state.log.last_seq:
            self._settle(self.settled_seq)
        if before is not None and before.primary != configuration.primary:
            self.primary_changed()

    def _unmatched(self, sender: Member, message: messages.Append) -> None:
        """Entries of a tenure that this log was not matched with: not taken; the primary's timers ask again."""
        state = self._state
        if not state.rules.match_before_apply and message.tenure >= self.stream[0]:
            self.commit(message.commit)
        if not state.rules.fencing and message.tenure < self.stream[0] and message.after == state.log.last_seq:
            state.log.extend(message.entries)
            state.send(sender, messages.Ack(state.known, message.tenure, -1, state.log.last_seq))

    # -- snapshots

    def begin_snapshot(self, now: int, sender: Member, message: messages.SnapshotBegin) -> None:
        state = self._state
        stream = (message.tenure, message.stream)
        if stream < self.stream:
            return
        if stream == self.stream and (self.loading or self.matched):
            state.send(sender, messages.SnapshotAck(state.known, *stream, self.loaded))
            return
        if state.in_sync(state.me):
            state.note("r19_refused", f"{sender} offers a snapshot to an in-sync member")
            return
        self.stream = stream
        state.out.append(ResetStore())
        state.log.reset(Position(message.epoch, message.seq))
        self.freshness.thrown_away()
        self.loading = True
        self.matched = False
        self.loaded = 0
        self.settled_seq = -1
        state.send(sender, messages.SnapshotAck(state.known, *stream, 0))

    def load_slice(self, now: int, sender: Member, message: messages.SnapshotSlice) -> None:
        state = self._state
        stream = (message.tenure, message.stream)
        if stream != self.stream or not (self.loading or self.matched):
            return
        if self.loading and message.index == self.loaded:
            state.out.append(LoadSlice(message.payload))
            self.loaded += 1
            if message.last:
                self.loading = False
                self.matched = True
                self.settled_seq = message.end_seq
        state.send(sender, messages.SnapshotAck(state.known, *stream, self.loaded))

    def validate(self) -> None:
        assert not (self.loading and self.matched)
        if not self.finished and self._state.rules.snapshot_thrown_away and not self.loading:
            assert self.settled_seq >= self._state.log.base.seq
