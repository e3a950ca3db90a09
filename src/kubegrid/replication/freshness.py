"""How old the data of a backup are at most: a bound for readers that ask for one, by the backup's own clock alone.

A backup stamps each acknowledgement of a beacon with its clock, and the primary echoes the newest stamp it has heard in a
later beacon, beside its commit point, as long as it may answer. It may answer only while it has a lease of every in-sync
member (R8), so nobody else had confirmed or shown anything when it read its clock for that beacon, and what it had itself
shown is at or below that commit point (R7). The stamp was given before. So once the backup has applied up to there, it has
everything that was acknowledged to anyone before the stamp; whatever is late, frozen or lost makes the bound only larger.

What was once true stays true, whoever is primary and even out of sync, for as long as the data are not thrown away: the
age grows, and that is all. Next: `questions`, which gives the age with the clocks' margin.
"""

from kubegrid.replication.log import Log


class Echo:
    """The primary's side, for one member. Invariant: a stamp is echoed only in a beacon whose clock reading came after it:
    one that was heard at the same reading may be younger than that reading (this process may have stood still between)."""

    __slots__ = ("_heard_ms", "_older", "_stamp")

    def __init__(self) -> None:
        self._stamp = 0
        self._heard_ms = 0
        self._older = 0

    def heard(self, now: int, stamp: int) -> None:
        if now > self._heard_ms:
            self._older = self._stamp
            self._heard_ms = now
        if stamp > self._stamp:
            self._stamp = stamp

    def at(self, now: int) -> int:
        """What a beacon that is sent with this reading may carry; 0: nothing."""
        return self._stamp if self._heard_ms < now else self._older


class Freshness:
    """The backup's side. Invariant: everything acknowledged to anyone before `fresh_at` is in the store; None: not known.

    `awaited` is a commit point that was not reached when it was heard of, with its stamp; it is kept until it is reached,
    or under steady writes none ever would be.
    """

    __slots__ = ("_awaited", "_fresh_at", "_log")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._fresh_at: int | None = None
        self._awaited: tuple[int, int] | None = None

    def echoed(self, stamp: int, commit: int) -> None:
        """A beacon of the primary that this log is matched with."""
        self.fresh_at()
        if stamp > 0 and (self._awaited is None or commit <= self._log.commit_seq):
            self._awaited = (commit, stamp)

    def fresh_at(self) -> int | None:
        """By this member's clock."""
        if self._awaited is not None and self._log.commit_seq >= self._awaited[0]:
            self._fresh_at = max(self._fresh_at or 0, self._awaited[1])
            self._awaited = None
        return self._fresh_at

    def primary_changed(self) -> None:
        """Numbers that were not reached may mean other entries now."""
        self.fresh_at()
        self._awaited = None

    def thrown_away(self) -> None:
        self._fresh_at = self._awaited = None
