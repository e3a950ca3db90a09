"""Which configuration holds, and whether this member is its primary (R4, R5, R10; R12, R15, R20).

Whatever members say and the coordinator answers is looked at here first. Adopting a higher epoch goes on with the tenure
(a change of its own), ends it (another is primary: R15), or begins one. A lower epoch is refused, whoever says it.
R21's place: with storage, `_adopt` would persist the epoch before it acts on it, and a restarted primary would not begin
a tenure by what it remembers but take a new epoch by compare-and-swap. Next: `tenure`, and at its ends `promises`.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.replication import messages
from kubegrid.replication.admission import Admission
from kubegrid.replication.following import Following
from kubegrid.replication.hand_over import HandOver
from kubegrid.replication.instructions import DropReplies, Revert
from kubegrid.replication.member import MemberState
from kubegrid.replication.membership import Membership
from kubegrid.replication.messages import Message
from kubegrid.replication.promises import Promises
from kubegrid.replication.proposals import Proposals
from kubegrid.replication.reading import Reading
from kubegrid.replication.tenure import Tenure


class Epochs:
    """Invariant: `tenure`, `membership` and `hand_over` are there together, exactly when the known configuration names this
    member as primary; the known epoch only rises."""

    def __init__(
        self,
        state: MemberState,
        reading: Reading,
        promises: Promises,
        proposals: Proposals,
        following: Following,
        admission: Admission,
    ) -> None:
        self._state = state
        self._reading = reading
        self._promises = promises
        self._proposals = proposals
        self._following = following
        self._admission = admission
        self.tenure: Tenure | None = None
        self.membership: Membership | None = None
        self.hand_over: HandOver | None = None
        self._next_stream = 0
        self._carried_leases: dict[Member, int] = {}  # only with leases_end_with_tenure off
        self.reads_until = 0  # only with handover_stops_reads or leases_end_with_tenure off

    # -- what is heard

    def newer(self, configuration: Configuration) -> bool:
        return configuration.epoch > self._state.epoch or self._state.configuration is None

    def refused(self, sender: Member, message: Message) -> bool:
        """Whether a message that is not of a higher epoch, but of another one or grid, must not be acted on."""
        state = self._state
        configuration = message.configuration
        if configuration.grid != state.grid or configuration.partition != state.partition:
            state.count("refused_grid")
            return True
        if isinstance(message, messages.FROM_PRIMARY) and state.rules.fencing:
            state.count("r10_fenced")
            state.send(state.identify(sender), messages.News(state.known))
            return True
        return False

    def learn(self, now: int, configuration: Configuration, token: int | None) -> None:
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
        continues = self.tenure is not None and mine and by_me
        if self.tenure is not None and not continues:
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
            assert self.tenure is not None and self.hand_over is not None
            state.count("own_changes")
            self.hand_over.cancel()
            self.tenure.changed(now)
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
        return configuration.epoch > 1 and configuration.in_sync == (self._state.me,)

    # -- tenures (R12, R15)

    def _begin_tenure(self, now: int, before: Configuration | None) -> None:
        state = self._state
        if not self._following.finished and state.rules.snapshot_thrown_away:
            self._following.throw_away()
        carried = {} if state.rules.leases_end_with_tenure else self._carried_leases
        tenure = Tenure(state, self._proposals, self._promises, now, self._next_stream, carried)
        if before is not None and before.primary != state.me and before.primary in state.known.in_sync:
            tenure.hold_until = now + state.settings.handover_hold_ms
        self.tenure = tenure
        self.membership = Membership(state, tenure, self._proposals)
        self.hand_over = HandOver(state, tenure, self._proposals)
        state.note(
            "tenure_begins", f"epoch {state.epoch}, log end {state.log.last}, in sync {len(state.known.in_sync)}"
        )
        tenure.beacon(now)

    def _end_tenure(self, now: int, configuration: Configuration) -> None:
        """R15: this member is deposed. What it executed ahead is taken back and stays in the log, staged."""
        state = self._state
        tenure = self.tenure
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
        handed_over = self.hand_over is not None and self.hand_over.target is not None
        if not state.rules.leases_end_with_tenure or (handed_over and not state.rules.handover_stops_reads):
            self.reads_until = tenure.lease_until
        self._carried_leases = tenure.leases()
        self._next_stream = tenure.next_stream
        self.tenure = self.membership = self.hand_over = None
        self._promises.quiet_since = now
        if configuration.primary is not None and configuration.primary != state.me:
            state.send(configuration.primary, messages.Stopped(configuration))
