"""Compare-and-swaps whose outcome is unknown (R1).

A proposal is open from before it is sent until an epoch above the expected one is known, whatever the coordinator
answered in between: "version differs" may be the answer to the repetition of one that succeeded, and a lost answer says
nothing. Several may be open at the same epoch; at most one of them can ever apply. Who proposed is written in the
proposal, so one's own success is recognised wherever the configuration is read.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.replication.instructions import ANY_TOKEN, CompareAndSwap
from kubegrid.replication.member import MemberState
from kubegrid.replication.reading import Reading
from kubegrid.replication.roles import CasOutcome

OPEN_MAX = 8
"""Different proposals at one epoch. Beyond it the newest is repeated until the outcome is known."""
LATE_FACTOR = 4
"""An answer that has not come after this many retry intervals is taken for lost."""


class Proposal:
    def __init__(self, attempt: int, configuration: Configuration, now: int) -> None:
        self.attempt = attempt
        self.configuration = configuration
        self.sent_ms = now
        self.answered = False

    def due(self, now: int, retry_ms: int) -> bool:
        return now - self.sent_ms >= (retry_ms if self.answered else LATE_FACTOR * retry_ms)


class Proposals:
    """Invariant: everything in `open` was proposed for the epoch after the known one."""

    def __init__(self, state: MemberState, reading: Reading) -> None:
        self._state = state
        self._reading = reading
        self._attempts = 0
        self.open: list[Proposal] = []

    def propose(
        self, now: int, primary: Member, in_sync: tuple[Member, ...], joining: tuple[Member, ...]
    ) -> Proposal | None:
        """Open a proposal for the next epoch and send it. None: not now (the token must be read first, or too many)."""
        state = self._state
        if state.token is None:
            self._reading.request(now)
            return None
        if len(self.open) >= OPEN_MAX:
            self.repeat(now)
            return None
        self._attempts += 1
        known = state.known
        configuration = Configuration(
            grid=known.grid,
            partition=known.partition,
            epoch=known.epoch + 1,
            primary=primary,
            in_sync=in_sync,
            joining=joining,
            proposer=f"{state.me.name}/{state.me.incarnation}/{self._attempts}",
        )
        proposal = Proposal(self._attempts, configuration, now)
        self.open.append(proposal)
        state.count("proposals")
        self._send(proposal, now)
        return proposal

    def repeat(self, now: int) -> None:
        """Send the newest open proposal again, when it is time."""
        if self.open and self.open[-1].due(now, self._state.settings.cas_retry_ms):
            self._state.count("proposals_repeated")
            self._reading.request(now)
            self._send(self.open[-1], now)

    def _send(self, proposal: Proposal, now: int) -> None:
        state = self._state
        proposal.sent_ms = now
        proposal.answered = False
        token = state.token if state.token is not None else 0
        if not state.rules.conditional_write:
            token = ANY_TOKEN
        state.out.append(CompareAndSwap(proposal.attempt, token, proposal.configuration))

    @property
    def waiting(self) -> bool:
        """Whether the newest one has not been answered."""
        return bool(self.open) and not self.open[-1].answered

    def settled(self, now: int) -> bool:
        """Whether another, different proposal may follow the newest one."""
        return not self.open or self.open[-1].due(
            now, 0 if self.open[-1].answered else self._state.settings.cas_retry_ms
        )

    def answer(self, now: int, attempt: int, outcome: CasOutcome) -> Configuration | None:
        """Note an answer; the configuration that is now known to be the coordinator's, if it applied."""
        for proposal in self.open:
            if proposal.attempt == attempt:
                proposal.answered = True
                self._state.count(f"cas_{outcome.value}")
                if outcome is CasOutcome.APPLIED:
                    return proposal.configuration
                if not self._state.rules.unknown_stays_open:
                    self.open.remove(proposal)
                self._reading.request(now)
                return None
        return None

    def mine(self, configuration: Configuration) -> bool:
        return any(p.configuration.proposer == configuration.proposer for p in self.open)

    def close(self) -> None:
        """A higher epoch is known: none of these can apply any more, or one of them did."""
        self.open.clear()
