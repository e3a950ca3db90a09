"""What a member has promised to primaries by acknowledging their beacons, and how long it has heard none.

Two clocks of the same length and opposite duty. R11: without a beacon for a full grace, a backup may promote itself; being
late is safe. R12: once primary, it answers nothing before every promise that it gave to *another* primary has run out, or
that primary said "stopped"; being early is not safe, so nothing but that word shortens it, and no pause of this process
lengthens or moves it. R21's place: a member restarted from storage would start with a promise to an unknown primary.
"""

from kubegrid.base.ids import Member
from kubegrid.replication.member import MemberState

THE_DEAD = Member("", "")
"""To whom a promise is kept that was given by others, nobody knows to whom."""


class Promises:
    """Invariant: `given` holds, for each primary whose beacon was acknowledged and who did not stop, the last time of it."""

    def __init__(self, state: MemberState) -> None:
        self._state = state
        self.quiet_since = 0
        """Since when no beacon of the known primary came; restarts when a new primary is learned (R11)."""
        self.given: dict[Member, int] = {}

    def acknowledge(self, now: int, primary: Member) -> None:
        self.given[primary] = now

    def inherit(self, now: int) -> None:
        """R20: those who were in sync are dead, and what they promised, unknown to this member, may have been a moment ago."""
        self.given[THE_DEAD] = now

    def stopped(self, primary: Member) -> None:
        if self.given.pop(primary, None) is not None:
            self._state.count("r12_stopped")

    def kept(self, now: int) -> bool:
        """Whether a promise to another primary may still be relied on (R12)."""
        grace_ms = self._state.grace_ms
        for primary, given_ms in list(self.given.items()):
            if primary == self._state.me or now - given_ms >= grace_ms:
                del self.given[primary]
        return bool(self.given)
