"""Keeps clients from noticing a hand-over: the old primary holds new commands until the new one knows of its role.

Between the old primary's last answer and the new one's first there are a few milliseconds in which neither may answer.
Told `-CLUSTERDOWN` then, clients pause for a quarter of a second; sent back and forth by two `-MOVED`, they give up. So
the old primary keeps commands until the new one has spoken in its epoch, and only then sends clients there, where the
state machine in its turn holds them until it serves (`Replica.gate`).

Holding a command is never wrong, for it is neither executed nor answered; the wait is bounded all the same. Only a
hand-over is treated so, which leaves the old primary in the in-sync set. After a promotion commands are refused at once.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member


class HandoverHold:
    """The old primary's side. Invariant: commands are held for `hold_ms` at most, and only while `awaited` is set."""

    def __init__(self, me: Member, hold_ms: int) -> None:
        self.me = me
        self.hold_ms = hold_ms
        self.awaited: Member | None = None
        """The new primary, from which the old one has not heard in the new epoch."""
        self.latest: tuple[Member, int] | None = None
        """Sender and epoch of the latest message: it may itself be what told this member of the hand-over."""
        self._epoch = 0
        self._until_ms = 0
        self._known: Configuration | None = None

    def learn(self, now: int, configuration: Configuration | None) -> None:
        """The member follows another configuration, perhaps."""
        known, self._known = self._known, configuration
        if known is None or configuration is None or known.primary == configuration.primary:
            return
        self.awaited = None
        knows = self.latest == (configuration.primary, configuration.epoch)
        if known.primary == self.me and self.me in configuration.in_sync and not knows:
            self.awaited = configuration.primary
            self._epoch = configuration.epoch
            self._until_ms = now + self.hold_ms

    def heard(self, sender: Member, configuration: Configuration) -> None:
        """A message of `sender`; only asked for while somebody is awaited."""
        if sender == self.awaited and configuration.epoch >= self._epoch:
            self.awaited = None

    def holds(self, now: int) -> bool:
        return self.awaited is not None and now < self._until_ms
