"""Keeps clients from noticing a hand-over: for its milliseconds, new commands wait instead of being sent to and fro.

Between the old primary's last answer and the new one's first there are a few milliseconds in which neither may answer.
Told `-CLUSTERDOWN` then, clients pause for a quarter of a second; sent back and forth by two `-MOVED`, they give up. So

* the old primary keeps commands until the new one has spoken in its epoch, and so knows that clients may be sent to it;
* the new primary keeps them until it serves.

Holding a command is never wrong, for it is neither executed nor answered; both waits are bounded all the same. Only a
hand-over is treated so, which leaves the old primary in the in-sync set. After a promotion commands are refused at once.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member


class HandoverHold:
    """Whether commands that cannot be executed now are kept. Invariant: never for longer than `hold_ms` after a change."""

    def __init__(self, me: Member, hold_ms: int) -> None:
        self.me = me
        self.hold_ms = hold_ms
        self.awaited: Member | None = None
        """The new primary, from which the old one has not heard in the new epoch."""
        self._epoch = 0
        self._until_ms = 0
        self._known: Configuration | None = None

    def learn(self, now: int, configuration: Configuration | None) -> None:
        """The member follows another configuration, perhaps."""
        known, self._known = self._known, configuration
        if known is None or configuration is None or known.primary == configuration.primary:
            return
        self._until_ms = 0
        self.awaited = None
        if known.primary is None or known.primary not in configuration.in_sync:
            return
        if configuration.primary == self.me or known.primary == self.me:
            self._until_ms = now + self.hold_ms
        if known.primary == self.me:
            self.awaited = configuration.primary
            self._epoch = configuration.epoch

    def heard(self, sender: Member, configuration: Configuration) -> None:
        """A message of `sender`; only asked for while somebody is awaited."""
        if sender == self.awaited and configuration.epoch >= self._epoch:
            self.awaited = None
            self._until_ms = 0

    def holds(self, now: int) -> bool:
        return now < self._until_ms
