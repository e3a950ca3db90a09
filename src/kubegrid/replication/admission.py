"""A member that is not primary asks the primary: to be let in, when it is in no configuration, or to be let go (R2, R16).

Asking is repeated; the primary decides. What a member asks changes nothing in what it holds or promises.
"""

from kubegrid.replication import messages
from kubegrid.replication.member import MemberState
from kubegrid.replication.reading import NEVER


class Admission:
    def __init__(self, state: MemberState) -> None:
        self._state = state
        self._asked_ms = NEVER

    def tick(self, now: int) -> None:
        state = self._state
        known = state.known
        if known.primary is None or known.primary == state.me:
            return
        inside = state.me in known.in_sync or state.me in known.joining
        if inside != state.leaving or now - self._asked_ms < state.settings.read_retry_ms:
            return
        self._asked_ms = now
        if inside:
            state.send(known.primary, messages.LeaveRequest(known))
        else:
            state.send(known.primary, messages.JoinRequest(known))

    def hurry(self) -> None:
        """The configuration changed: ask at the next tick."""
        self._asked_ms = NEVER
