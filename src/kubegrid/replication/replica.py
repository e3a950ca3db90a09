"""One member's part in one partition: the object that the driver feeds.

Inputs come in with the time, instructions pile up in `out`. What this module does itself is small: it looks at the epoch
of every message (R4, R5, R10), adopts a higher configuration, begins and ends tenures accordingly (R12, R15), and passes
the rest on: as primary to `tenure`, `membership` and `hand_over`; otherwise to `following`, `promotion` and `admission`.
`append` and the receiving of `Append` and `Ack` are the hot path: once per turn of the event loop, with a batch each.
"""

from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import ORIGIN, Member, Position
from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import messages
from kubegrid.replication.admission import Admission
from kubegrid.replication.following import Following
from kubegrid.replication.hand_over import HandOver
from kubegrid.replication.instructions import DropReplies, Revert, RoleChanged
from kubegrid.replication.member import MemberState
from kubegrid.replication.membership import Membership
from kubegrid.replication.messages import Message
from kubegrid.replication.promises import Promises
from kubegrid.replication.promotion import Promotion
from kubegrid.replication.proposals import Proposals
from kubegrid.replication.reading import Reading
from kubegrid.replication.roles import CasOutcome, Gate, Role
from kubegrid.replication.rules import ALL, Rules
from kubegrid.replication.tenure import Tenure

Append = messages.Append
Ack = messages.Ack


class Replica:
    """Invariant: there is a tenure exactly when the known configuration names this member as primary; the role is what
    that configuration says; `commit_seq` never falls, save when the store is reset."""

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
        state = MemberState(me, partition, settings, grid, preferred, rules)
        self._state = state
        self.me = state.me
        self.out = state.out
        self.stats = state.stats
        self.role = Role.IDLE
        self._reading = Reading(state)
        self._promises = Promises(state)
        self._proposals = Proposals(state, self._reading)
        self._following = Following(state)
        self._promotion = Promotion(state, self._promises, self._proposals, self._following)
        self._admission = Admission(state)
        self._tenure: Tenure | None = None
        self._membership: Membership | None = None
        self._hand_over: HandOver | None = None
        self._next_stream = 0
        self._carried_leases: dict[Member, int] = {}  # only with leases_end_with_tenure off
        self._reads_until = 0  # only with handover_stops_reads or leases_end_with_tenure off
        self._ticked_ms: int | None = None
        self._shown: tuple[Role, bool, Configuration | None] = (Role.IDLE, False, None)

    # -- inputs

    def start(self, now: int) -> None:
        self._promises.quiet_since = now
        self._ticked_ms = now
        self._reading.request_now(now)

    def receive(self, now: int, sender: Member, message: Message) -> None:
        """A message from a member of this partition. Whatever it is, this raises nothing."""
        state = self._state
        configuration = message.configuration
        known = state.configuration
        foreign = known is None or configuration.epoch != known.epoch or configuration.grid != known.grid
        if foreign and not self._admit(now, sender, message):
            return
        if not state.rules.incarnations:
            sender = state.identify(sender)
        kind = type(message)
        if kind is Append:
            if self._tenure is None and self._from_primary(sender):
                self._following.append(now, sender, message)  # type: ignore[arg-type]
        elif kind is Ack:
            tenure = self._tenure
            if tenure is not None:
                was_serving = tenure.serving
                tenure.acknowledged(now, sender, message)  # type: ignore[arg-type]
                if was_serving != tenure.serving or self._hand_over.target is not None:  # type: ignore[union-attr]
                    self._settle(now)
        elif self._tenure is not None:
            self._receive_as_primary(now, sender, message)
            self._settle(now)
        else:
            self._receive_as_follower(now, sender, message)
            self._settle(now)

    def connected(self, now: int, member: Member) -> None:
        if self._tenure is not None:
            stream = self._tenure.streams.get(self._state.identify(member))
            if stream is not None:
                stream.reconnected(now)

    def disconnected(self, now: int, member: Member) -> None:
        """R3: a closed connection is noticed at once."""
        if self._tenure is not None:
            stream = self._tenure.streams.get(self._state.identify(member))
            if stream is not None:
                stream.connected = False
                self._pursue(now)
                self._settle(now)

    def configuration_read(self, now: int, configuration: Configuration | None, token: int) -> None:
        """The answer to `ReadConfiguration`, perhaps old (R5). None: no such record, from which nothing follows."""
        self._reading.answered()
        if configuration is None:
            self._state.count("configuration_missing")
            return
        self._learn(now, configuration, token)
        self._pursue(now)
        self._settle(now)

    def cas_answered(
        self, now: int, attempt: int, outcome: CasOutcome, configuration: Configuration | None, token: int
    ) -> None:
        """APPLIED: `token` is of the new version. CONFLICT: configuration and token are the current ones, or None."""
        applied = self._proposals.answer(now, attempt, outcome)
        if applied is not None:
            self._learn(now, applied, token)
        elif configuration is not None:
            self._learn(now, configuration, token)
        if not self._state.rules.unknown_stays_open and self._tenure is not None:
            self._tenure.refresh(now)
        self._settle(now)

    def changed_hint(self, now: int) -> None:
        """A watch fired: a reading that was asked for before may not show it."""
        self._reading.request_now(now)

    def tick(self, now: int) -> None:
        """Call it every `settings.tick_ms`: beacons and all timers hang on it."""
        self._notice_pause(now)
        state = self._state
        if state.configuration is None:
            self._reading.request(now)
            return
        if self._tenure is not None:
            self._tenure.tick(now)
            if self._tenure.silent:
                self._reading.poll(now)
        else:
            quiet = now - self._promises.quiet_since >= state.grace_ms
            if quiet or self.role is Role.IDLE or self._proposals.open:
                self._reading.poll(now)
            self._admission.tick(now)
        self._pursue(now)
        self._settle(now)

    def append(self, now: int, effects: Any, undo: Any, size_bytes: int) -> int:
        """Primary with an open gate: what this turn executed. Returns its number."""
        tenure = self._tenure
        if tenure is None or not tenure.serving:
            raise RuntimeError("only a serving primary executes")
        return tenure.append(now, effects, undo, size_bytes)

    def snapshot_slice(self, now: int, to: Member, snapshot: int, payload: bytes, last: bool) -> None:
        """A slice that `StreamSnapshot` asked for. Ignored when that snapshot is over."""
        stream = self._tenure.streams.get(to) if self._tenure is not None else None
        if stream is not None and stream.number == snapshot:
            stream.slice_cut(now, payload, last)

    def hand_over(self, now: int, to: Member | None = None) -> bool:
        """R16: begin; False when it can't (not serving, no such in-sync member, another change is open)."""
        if self._hand_over is None:
            return False
        return self._hand_over.begin(now, self._state.identify(to) if to is not None else None)

    def leave(self, now: int) -> None:
        """R16: SIGTERM. Hand over if primary, then ask to be removed; `left` says when it is done."""
        self._state.leaving = True
        self._admission.hurry()

    # -- questions

    def gate(self, now: int) -> Gate:
        """Whether commands may be executed now."""
        tenure = self._tenure
        if tenure is None:
            return Gate.READS if now < self._reads_until else Gate.CLOSED
        if now >= tenure.lease_until or not tenure.serving:
            return Gate.HOLD if now < tenure.hold_until else Gate.CLOSED
        if self._hand_over is not None and self._hand_over.holding:
            return Gate.HOLD if self._state.rules.handover_stops_reads else Gate.READS
        return Gate.OPEN

    def releasable(self, now: int) -> int:
        """Highest number whose replies of *writes* may leave (R6, R8, R9), -1: none. `now` is read after the batch ran."""
        tenure = self._tenure
        if tenure is None:
            return -1 if self._state.rules.replies_dropped else self._state.log.commit_seq
        return tenure.releasable(now) if self.writable else -1

    def readable(self, now: int) -> int:
        """The same for replies of reads and of writes without effect (R7, R8): R9 does not hold them up."""
        tenure = self._tenure
        if tenure is None:
            if now < self._reads_until:
                return self._state.log.last_seq
            if not self._state.rules.replies_dropped:
                return self._state.log.commit_seq
            return -1
        seq = tenure.releasable(now)
        return self._state.log.last_seq if seq >= 0 and not self._state.rules.reads_wait else seq

    def snapshot_window(self, to: Member) -> int:
        """How many more slices may be cut for this joiner now."""
        stream = self._tenure.streams.get(to) if self._tenure is not None else None
        return stream.window if stream is not None else 0

    @property
    def configuration(self) -> Configuration | None:
        return self._state.configuration

    @property
    def epoch(self) -> int:
        """Highest epoch known; 0 when none is."""
        return self._state.epoch

    @property
    def serving(self) -> bool:
        """Primary that has finished R12 and R13 (leases are asked with `gate`)."""
        return self._tenure is not None and self._tenure.serving

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
        return self._state.settings.copies > 1 or (self._tenure is not None and bool(self._tenure.streams))

    @property
    def backlog_bytes(self) -> int:
        """Entries here that are not known to be committed."""
        log = self._state.log
        return log.bytes_between(log.commit_seq, log.last_seq)

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

    # -- epochs (R4, R5, R10)

    def _admit(self, now: int, sender: Member, message: Message) -> bool:
        """A message of another epoch: adopt a higher one, refuse what an old primary says. Whether to go on with it."""
        state = self._state
        configuration = message.configuration
        if configuration.epoch > state.epoch or state.configuration is None:
            self._learn(now, configuration, None)
            self._settle(now)
            known = state.configuration is not None
            return known and state.epoch == configuration.epoch and state.grid == configuration.grid
        if configuration.grid != state.grid or configuration.partition != state.partition:
            state.count("refused_grid")
            return False
        if isinstance(message, FROM_PRIMARY) and state.rules.fencing:
            state.count("r10_fenced")
            state.send(state.identify(sender), messages.News(state.known))
            return False
        return True

    def _learn(self, now: int, configuration: Configuration, token: int | None) -> None:
        """A configuration came from somewhere. Adopt it if it is of a higher epoch."""
        state = self._state
        configuration = state.normalise(configuration)
        if (state.grid and configuration.grid != state.grid) or configuration.partition != state.partition:
            state.note(
                "refused_grid", f"a configuration of grid {configuration.grid}, partition {configuration.partition}"
            )
            return
        if configuration.epoch <= state.epoch:
            if configuration == state.configuration:
                state.token = token if token is not None else state.token
            elif token is not None:
                state.count("r5_lower_epoch" if configuration.epoch < state.epoch else "r5_other_history")
            return
        self._adopt(now, configuration, token)

    def _adopt(self, now: int, configuration: Configuration, token: int | None) -> None:
        state = self._state
        before = state.configuration
        mine = configuration.primary == state.me
        by_me = self._proposals.mine(configuration)
        continues = self._tenure is not None and mine and by_me
        if self._tenure is not None and not continues:
            self._end_tenure(now, configuration)
        state.configuration = configuration
        state.grid = configuration.grid
        state.epoch = configuration.epoch
        state.token = token
        self._proposals.close()
        self._admission.hurry()
        if token is None:
            self._reading.request(now)
        if continues:
            assert self._tenure is not None and self._hand_over is not None
            state.count("own_changes")
            self._hand_over.cancel()
            self._tenure.changed(now)
            return
        if before is None or before.primary != configuration.primary:
            self._promises.quiet_since = now
        self._following.configuration_changed(before, configuration)
        if mine:
            if not by_me and self._after_a_loss(configuration) and state.rules.promises_of_the_dead:
                self._promises.inherit(now)
            self._begin_tenure(now, before)

    def _after_a_loss(self, configuration: Configuration) -> bool:
        """R20: the manager's work. Another member that makes this one primary (R16) stays in sync itself."""
        return configuration.epoch > 1 and configuration.in_sync == (self.me,)

    # -- tenures (R12, R15)

    def _begin_tenure(self, now: int, before: Configuration | None) -> None:
        state = self._state
        if not self._following.finished and state.rules.snapshot_thrown_away:
            self._following.throw_away()
        carried = {} if state.rules.leases_end_with_tenure else self._carried_leases
        tenure = Tenure(state, self._proposals, self._promises, now, self._next_stream, carried)
        if before is not None and before.primary != state.me and before.primary in state.known.in_sync:
            tenure.hold_until = now + state.settings.handover_hold_ms
        self._tenure = tenure
        self._membership = Membership(state, tenure, self._proposals)
        self._hand_over = HandOver(state, tenure, self._proposals)
        state.note(
            "tenure_begins", f"epoch {state.epoch}, log end {state.log.last}, in sync {len(state.known.in_sync)}"
        )
        tenure.beacon(now)

    def _end_tenure(self, now: int, configuration: Configuration) -> None:
        """R15: this member is deposed. What it executed ahead is taken back and stays in the log, staged."""
        state = self._state
        tenure = self._tenure
        assert tenure is not None
        state.note("tenure_ends", f"epoch {configuration.epoch} has primary {configuration.primary}")
        tenure.end()
        log = state.log
        ahead = log.between(tenure.ahead_seq(), log.last_seq)
        if ahead:
            state.count("r15_reverted")
            state.out.append(Revert(ahead[::-1]))
        if state.rules.replies_dropped:
            state.out.append(DropReplies())
        handed_over = self._hand_over is not None and self._hand_over.target is not None
        if not state.rules.leases_end_with_tenure or (handed_over and not state.rules.handover_stops_reads):
            self._reads_until = tenure.lease_until
        self._carried_leases = tenure.leases()
        self._next_stream = tenure.next_stream
        self._tenure = self._membership = self._hand_over = None
        self._promises.quiet_since = now
        if configuration.primary is not None and configuration.primary != state.me:
            state.send(configuration.primary, messages.Stopped(configuration))

    # -- messages

    def _from_primary(self, sender: Member) -> bool:
        return sender == self._state.known.primary or not self._state.rules.fencing

    def _receive_as_primary(self, now: int, sender: Member, message: Message) -> None:
        tenure = self._tenure
        assert tenure is not None and self._membership is not None
        stream = tenure.streams.get(sender)
        if isinstance(message, messages.BeaconAck):
            tenure.beacon_acknowledged(now, sender, message)
        elif isinstance(message, messages.JoinRequest):
            self._membership.asked_to_join(now, sender)
        elif isinstance(message, messages.LeaveRequest):
            self._membership.asked_to_leave(now, sender)
        elif isinstance(message, messages.Stopped):
            if message.configuration.epoch >= tenure.epoch:
                tenure.stopped(now, sender)
        elif stream is not None and isinstance(message, messages.LogShape) and message.tenure == tenure.epoch:
            stream.shaped(now, message, tenure.take_number())
            stream.pump(now)
            if not self._state.rules.acks_by_tenure:
                tenure.refresh(now)
        elif stream is not None and isinstance(message, messages.SnapshotAck) and message.tenure == tenure.epoch:
            stream.loaded(now, message)
        if stream is not None:
            stream.heard_ms = now
            stream.connected = True

    def _receive_as_follower(self, now: int, sender: Member, message: Message) -> None:
        if not isinstance(message, FROM_PRIMARY) or not self._from_primary(sender):
            if message.configuration.epoch < self._state.epoch and not isinstance(message, ANSWERS):
                self._state.send(sender, messages.News(self._state.known))
            return
        following = self._following
        if isinstance(message, messages.Beacon):
            self._beacon(now, sender, message)
        elif isinstance(message, messages.Match):
            following.match(now, sender, message)
        elif isinstance(message, messages.Matched):
            following.matched_at(now, sender, message)
        elif isinstance(message, messages.SnapshotBegin):
            following.begin_snapshot(now, sender, message)
        elif isinstance(message, messages.SnapshotSlice):
            following.load_slice(now, sender, message)

    def _beacon(self, now: int, sender: Member, message: messages.Beacon) -> None:
        state = self._state
        known = state.known
        self._promises.quiet_since = now
        if state.me in known.in_sync or state.me in known.joining:
            self._promises.acknowledge(now, sender)
            ready = state.preferred and not state.leaving
            state.send(sender, messages.BeaconAck(known, message.tenure, message.sent_ms, ready, state.leaving))
            self._following.beacon(message)

    # -- time

    def _notice_pause(self, now: int) -> None:
        """This process stood still (a stopped or starved machine): others may have spoken meanwhile, unread as yet.

        Patience with others starts anew; promises and leases do not: those are safety and count real time.
        """
        if self._ticked_ms is not None:
            gap_ms = now - self._ticked_ms
            if gap_ms > 2 * self._state.settings.beacon_ms:
                self._state.count("pauses")
                self._promises.quiet_since = min(now, self._promises.quiet_since + gap_ms)
                if self._tenure is not None:
                    self._tenure.shift(gap_ms)
        self._ticked_ms = now

    def _pursue(self, now: int) -> None:
        """Do what the role wants done about the configuration."""
        if self._tenure is not None:
            assert self._membership is not None and self._hand_over is not None
            self._hand_over.tick(now)
            if not self._hand_over.holding:
                self._membership.tick(now)
        elif self._state.configuration is not None:
            self._promotion.tick(now)

    def _settle(self, now: int) -> None:
        """After an input: a hand-over may have become possible, and what others see may have changed."""
        if self._hand_over is not None and self._hand_over.target is not None:
            self._hand_over.advance(now)
        state = self._state
        self.role = self._role()
        shown = (self.role, self.serving, state.configuration)
        if shown != self._shown:
            self._shown = shown
            state.out.append(RoleChanged(*shown))

    def _role(self) -> Role:
        state = self._state
        known = state.configuration
        if known is None:
            return Role.IDLE
        if known.primary == state.me:
            return Role.PRIMARY
        if state.me in known.in_sync:
            return Role.BACKUP
        return Role.JOINING if state.me in known.joining else Role.IDLE

    def validate(self) -> None:
        """Assert the class invariants."""
        state = self._state
        known = state.configuration
        assert (self._tenure is not None) == (known is not None and known.primary == state.me)
        assert self.role is self._role(), (self.role, self._role())
        assert state.epoch == (known.epoch if known is not None else 0)
        state.log.validate()
        self._following.validate()
        for proposal in self._proposals.open:
            assert proposal.configuration.epoch == state.epoch + 1
        if self._tenure is not None:
            self._tenure.validate()


FROM_PRIMARY = (
    messages.Beacon,
    messages.Match,
    messages.Matched,
    messages.Append,
    messages.SnapshotBegin,
    messages.SnapshotSlice,
)
"""What only a primary says: refused when its epoch is lower than ours (R10)."""

ANSWERS = (messages.BeaconAck, messages.LogShape, messages.Ack, messages.SnapshotAck, messages.News)
"""What is said in reply: it is not answered in turn."""
