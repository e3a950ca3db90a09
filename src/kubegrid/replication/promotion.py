"""A backup that takes over (R11): only in sync, only after a full grace without a beacon, only by compare-and-swap.

The old primary leaves the in-sync set with the same swap and `joining` is cleared (R2). Backups wait a little longer the
further back they stand in the configuration, so that two rarely compete; when they do, one swap applies.
"""

from kubegrid.base.ids import Member
from kubegrid.replication.following import Following
from kubegrid.replication.member import MemberState
from kubegrid.replication.promises import Promises
from kubegrid.replication.proposals import Proposals


class Promotion:
    def __init__(self, state: MemberState, promises: Promises, proposals: Proposals, following: Following) -> None:
        self._state = state
        self._promises = promises
        self._proposals = proposals
        self._following = following

    def tick(self, now: int) -> None:
        state = self._state
        known = state.known
        if not state.rules.joiner_waits:
            self._add_myself(now)
        if not self._may():
            return
        others = [m for m in known.in_sync if m not in (known.primary, state.me)]
        if now - self._promises.quiet_since < self._patience_ms(others):
            return
        if self._proposals.open:
            self._proposals.repeat(now)
            return
        in_sync = tuple(m for m in known.in_sync if m != known.primary)
        if state.me not in in_sync:
            in_sync = (*in_sync, state.me)
        if self._proposals.propose(now, state.me, in_sync, ()) is not None:
            state.note("r11_promotion", f"no beacon from {known.primary} for {now - self._promises.quiet_since} ms")

    def _may(self) -> bool:
        state = self._state
        if state.in_sync(state.me):
            return True
        return not state.rules.in_sync_promotes and state.log.last_seq > 0 and not self._following.loading

    def _patience_ms(self, others: list[Member]) -> int:
        state = self._state
        rank = 0
        for member in state.known.in_sync:
            if member == state.me:
                break
            rank += member in others
        if not state.rules.grace_before_promotion:
            return 2 * state.settings.beacon_ms
        return state.grace_ms + rank * state.settings.promotion_stagger_ms

    def _add_myself(self, now: int) -> None:
        """The mistake that R2 forbids."""
        state = self._state
        known = state.known
        if state.me in known.joining and self._following.matched and known.primary is not None:
            if self._proposals.open:
                self._proposals.repeat(now)
                return
            joining = tuple(m for m in known.joining if m != state.me)
            self._proposals.propose(now, known.primary, (*known.in_sync, state.me), joining)
