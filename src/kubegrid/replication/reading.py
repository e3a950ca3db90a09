"""Reading the configuration: asked for when something needs it, not more often than an answer can come.

What is read may be old; `Replica` takes nothing from it but a higher epoch, or the token of the epoch that it knows (R5).
"""

from kubegrid.replication.instructions import ReadConfiguration
from kubegrid.replication.member import MemberState

NEVER = -(1 << 60)


class Reading:
    def __init__(self, state: MemberState) -> None:
        self._state = state
        self._asked_ms = NEVER
        self._waiting = False

    def request(self, now: int) -> None:
        """Ask, unless an answer is on its way or has only just come."""
        if now - self._asked_ms >= self._state.settings.read_retry_ms:
            self.request_now(now)

    def request_now(self, now: int) -> None:
        self._asked_ms = now
        self._waiting = True
        self._state.out.append(ReadConfiguration())

    def poll(self, now: int) -> None:
        if now - self._asked_ms >= self._state.settings.configuration_poll_ms:
            self.request_now(now)

    def answered(self) -> None:
        self._waiting = False
