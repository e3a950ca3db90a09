"""Giving the partition to another in-sync member without a failed request (R16).

Reads and writes are held, everything executed is confirmed (and its replies released), and only then the target is swapped
in as primary. If that takes longer than `handover_hold_ms`, the old primary resumes under its leases and the swap stays an
open proposal: R12 keeps the target from answering as long as the old primary may. Fail-back and SIGTERM end here too.
"""

from kubegrid.base.ids import Member
from kubegrid.replication.member import MemberState
from kubegrid.replication.proposals import Proposals
from kubegrid.replication.tenure import Tenure

RETRY_FACTOR = 3
"""After a hand-over that did not come about in its time, the next by itself begins this many hold times later."""


class HandOver:
    """Invariant: `target` is None when none is under way; requests are held only while `holding`."""

    def __init__(self, state: MemberState, tenure: Tenure, proposals: Proposals) -> None:
        self._state = state
        self._tenure = tenure
        self._proposals = proposals
        self.target: Member | None = None
        self.holding = False
        self._deadline_ms = 0
        self._not_before_ms = 0
        self._sent = False
        self._whole_since_ms: int | None = None

    def begin(self, now: int, to: Member | None) -> bool:
        tenure = self._tenure
        state = self._state
        if self.target is not None or self._proposals.open or tenure.adding is not None:
            return False
        if not tenure.serving or now >= tenure.lease_until:
            return False
        candidates = [s for s in tenure.union if s.connected and (not s.leaving if to is None else s.member == to)]
        candidates.sort(key=lambda s: not s.preferred)
        if not candidates:
            return False
        self.target = candidates[0].member
        self.holding = True
        self._sent = False
        self._deadline_ms = now + state.settings.handover_hold_ms
        state.note("r16_hand_over", f"to {self.target}")
        self.advance(now)
        return True

    def advance(self, now: int) -> None:
        """Send the swap once everything is confirmed; stop holding when it takes too long."""
        if self.target is None:
            return
        state = self._state
        log = state.log
        if not self._sent and log.commit_seq == log.last_seq and now < self._tenure.lease_until:
            known = state.known
            self._sent = self._proposals.propose(now, self.target, known.in_sync, known.joining) is not None
            if self._sent:
                self._tenure.refresh(now)
        elif self._sent and not self._proposals.open:
            self.cancel()
        elif self._sent and self.holding:
            self._proposals.repeat(now)
        if self.holding and now >= self._deadline_ms:
            state.note("r16_resumed", "the hand-over takes too long")
            self.holding = False
            self._not_before_ms = now + RETRY_FACTOR * state.settings.handover_hold_ms
            if not self._sent:
                self.target = None

    def cancel(self) -> None:
        """Another change of this tenure went through instead."""
        self.target = None
        self.holding = False

    def tick(self, now: int) -> None:
        state = self._state
        self.advance(now)
        if self.target is not None or now < self._not_before_ms:
            return
        if state.leaving:
            self.begin(now, None)
        elif not state.preferred and self._whole(now):
            preferred = [s.member for s in self._tenure.union if s.preferred]
            if preferred and self.begin(now, preferred[0]):
                state.count("failbacks")

    def _whole(self, now: int) -> bool:
        """Whether redundancy has been full for long enough to give the partition back to its preferred primary."""
        tenure = self._tenure
        state = self._state
        whole = tenure.serving and now < tenure.lease_until and len(state.known.in_sync) >= state.settings.copies
        if not whole:
            self._whole_since_ms = None
            return False
        if self._whole_since_ms is None:
            self._whole_since_ms = now
        return now - self._whole_since_ms >= state.settings.failback_after_ms
