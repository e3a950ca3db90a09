"""One member's part in one partition: the object that the driver feeds.

Inputs come in with the time, instructions pile up in `out`. What this module does itself is small: what carries another
epoch goes to `epochs`, which begins and ends tenures; the rest goes, as primary, to `tenure`, `membership` and `hand_over`;
otherwise to `following`, `promotion` and `admission`. What the driver may ask is in `questions`.
`append` and the receiving of `Append` and `Ack` are the hot path: once per turn of the event loop, with a batch each.
R22's place is not here: a reply that is kept for a retry is an effect in the same entry as its write, so to this package it
is data, and a reply given again waits for that entry like a read of it (R7). See `store.requests`.
"""

from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import messages, receiving
from kubegrid.replication.admission import Admission
from kubegrid.replication.epochs import Epochs
from kubegrid.replication.following import Following
from kubegrid.replication.instructions import RoleChanged
from kubegrid.replication.member import MemberState
from kubegrid.replication.messages import Message
from kubegrid.replication.promises import Promises
from kubegrid.replication.promotion import Promotion
from kubegrid.replication.proposals import Proposals
from kubegrid.replication.questions import Questions
from kubegrid.replication.reading import Reading
from kubegrid.replication.roles import CasOutcome, Role
from kubegrid.replication.rules import ALL, Rules

Append = messages.Append
Ack = messages.Ack


class Replica(Questions):
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
        self._epochs = Epochs(state, self._reading, self._promises, self._proposals, self._following, self._admission)
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
        if known is None or configuration.epoch != known.epoch or configuration.grid != known.grid:
            if self._epochs.newer(configuration):
                self._epochs.learn(now, configuration, None)
                self._settle(now)
                known = state.configuration
                if known is None or (known.epoch, known.grid) != (configuration.epoch, configuration.grid):
                    return
            elif self._epochs.refused(sender, message):
                return
        if not state.rules.incarnations:
            sender = state.identify(sender)
        kind = type(message)
        epochs = self._epochs
        tenure = epochs.tenure
        if kind is Append:
            if tenure is None and receiving.from_primary(state, sender):
                self._following.append(now, sender, message)  # type: ignore[arg-type]
        elif kind is Ack:
            if tenure is not None:
                was_serving = tenure.serving
                tenure.acknowledged(now, sender, message)  # type: ignore[arg-type]
                if was_serving != tenure.serving or epochs.hand_over.target is not None:  # type: ignore[union-attr]
                    self._settle(now)
        elif tenure is not None:
            assert epochs.membership is not None
            receiving.as_primary(now, state, tenure, epochs.membership, sender, message)
            self._settle(now)
        else:
            receiving.as_follower(now, state, self._promises, self._following, sender, message)
            self._settle(now)

    def connected(self, now: int, member: Member) -> None:
        if self._epochs.tenure is not None:
            stream = self._epochs.tenure.streams.get(self._state.identify(member))
            if stream is not None:
                stream.reconnected(now)

    def disconnected(self, now: int, member: Member) -> None:
        """R3: a closed connection is noticed at once."""
        if self._epochs.tenure is not None:
            stream = self._epochs.tenure.streams.get(self._state.identify(member))
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
        self._epochs.learn(now, configuration, token)
        self._pursue(now)
        self._settle(now)

    def cas_answered(
        self, now: int, attempt: int, outcome: CasOutcome, configuration: Configuration | None, token: int
    ) -> None:
        """APPLIED: `token` is of the new version. CONFLICT: configuration and token are the current ones, or None."""
        applied = self._proposals.answer(now, attempt, outcome)
        if applied is not None:
            self._epochs.learn(now, applied, token)
        elif configuration is not None:
            self._epochs.learn(now, configuration, token)
        if not self._state.rules.unknown_stays_open and self._epochs.tenure is not None:
            self._epochs.tenure.refresh(now)
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
        if self._epochs.tenure is not None:
            self._epochs.tenure.tick(now)
            if self._epochs.tenure.silent:
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
        tenure = self._epochs.tenure
        if tenure is None or not tenure.serving:
            raise RuntimeError("only a serving primary executes")
        return tenure.append(now, effects, undo, size_bytes)

    def snapshot_slice(self, now: int, to: Member, snapshot: int, payload: bytes, last: bool) -> None:
        """A slice that `StreamSnapshot` asked for. Ignored when that snapshot is over."""
        stream = self._epochs.tenure.streams.get(to) if self._epochs.tenure is not None else None
        if stream is not None and stream.number == snapshot:
            stream.slice_cut(now, payload, last)

    def hand_over(self, now: int, to: Member | None = None) -> bool:
        """R16: begin; False when it can't (not serving, no such in-sync member, another change is open)."""
        if self._epochs.hand_over is None:
            return False
        return self._epochs.hand_over.begin(now, self._state.identify(to) if to is not None else None)

    def leave(self, now: int) -> None:
        """R16: SIGTERM. Hand over if primary, then ask to be removed; `left` says when it is done."""
        self._state.leaving = True
        self._admission.hurry()

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
                if self._epochs.tenure is not None:
                    self._epochs.tenure.shift(gap_ms)
        self._ticked_ms = now

    def _pursue(self, now: int) -> None:
        """Do what the role wants done about the configuration."""
        if self._epochs.tenure is not None:
            assert self._epochs.membership is not None and self._epochs.hand_over is not None
            self._epochs.hand_over.tick(now)
            if not self._epochs.hand_over.holding:
                self._epochs.membership.tick(now)
        elif self._state.configuration is not None:
            self._promotion.tick(now)

    def _settle(self, now: int) -> None:
        """After an input: a hand-over may have become possible, and what others see may have changed."""
        if self._epochs.hand_over is not None and self._epochs.hand_over.target is not None:
            self._epochs.hand_over.advance(now)
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
        assert (self._epochs.tenure is not None) == (known is not None and known.primary == state.me)
        assert self.role is self._role(), (self.role, self._role())
        assert state.epoch == (known.epoch if known is not None else 0)
        state.log.validate()
        self._following.validate()
        for proposal in self._proposals.open:
            assert proposal.configuration.epoch == state.epoch + 1
        if self._epochs.tenure is not None:
            self._epochs.tenure.validate()
