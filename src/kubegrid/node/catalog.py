"""The member's way to follow the catalog of tables: what the managers tell, and when this member's store adopts it.

The catalog that a command is executed under is the store's own: it changes only by an entry of the partition's log, so
that backups, snapshots and later primaries read every entry under the same catalog. A serving primary makes that entry
as soon as the managers told of a higher version. A new primary does so before it executes anything, because what was
answered to whoever created a table must hold there, too.

A lower version than what is known, or another catalog of the same version, is never taken (R5): the coordinator was lost
or rolled back. It may be no more than late when only the partition's log knows more: a primary heard of a new version, and
its entry was faster than a manager's word. So that is said when no newer word comes for a while. Next on the path of the
data: `session_catalog`.
"""

import logging
import time
from collections.abc import Callable

from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import Catalog
from kubegrid.coordination import catalog
from kubegrid.node.turn import Turn
from kubegrid.store import Keyspace

log = logging.getLogger("kubegrid.node.catalog")

LATE_S = 3.0
"""For how long a connected manager may tell less than the partition's log knows."""


class CatalogFollower:
    """Invariant: the versions of `told` and of the store's catalog never fall."""

    def __init__(
        self,
        keyspace: Keyspace,
        turn: Turn,
        adopted: Callable[[], None],
        connected: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`adopted` is called when the store has. `connected`: whether any manager could tell more now."""
        self.told = Catalog()
        """The newest that the managers have told."""
        self.complaint = ""
        """What is wrong with what the managers tell, if anything."""
        self._keyspace = keyspace
        self._turn = turn
        self._adopted = adopted
        self._connected = connected
        self._clock = clock
        self._late_s: float | None = None
        """For how long connected managers have told less than the log knows, and nothing newer; None if they do not."""
        self._looked = 0.0
        """When that was last added to."""

    @property
    def adopted_version(self) -> int:
        return self._keyspace.catalog.version

    @property
    def newest(self) -> Catalog:
        """The newest that this member knows, from the managers or from its partition's log."""
        own = self._keyspace.catalog
        return own if own.version > self.told.version else self.told

    def pushed(self, document: bytes) -> None:
        """A manager told the catalog."""
        newest = self.newest
        try:
            pushed = catalog.decoded(document)
        except DefinitionError as error:
            self._complain(f"it tells a catalog of tables that makes no sense: {error.message}")
            return
        if pushed.version < self.told.version:
            self._complain(_older(pushed.version, newest.version))
        elif pushed.version < newest.version:
            if self._late_s is None or pushed.version > self.told.version:  # the same again is no news
                self._late_s = 0.0
                self._looked = self._clock()
            self.told = pushed
        elif pushed.version == newest.version and pushed.version and pushed != newest:
            self._complain(f"its catalog of tables is another one of version {pushed.version} than is known")
        else:
            self.complaint = ""
            self._late_s = None
            self.told = pushed
            self.follow()

    def follow(self) -> None:
        """Called often. Adopt what was told and the store is not at yet: now, or before the first request that this member
        serves."""
        if self._late_s is not None:
            self._wait_for_more(self._late_s)
        if self.told.version > self._keyspace.catalog.version:
            self._turn.when_open = self._adopt
            self._turn.work(self._adopt)

    def _wait_for_more(self, late_s: float) -> None:
        """Time without a connection does not count, but it does not make up for the time with one."""
        looked, self._looked = self._looked, self._clock()
        if not self._connected():
            return
        self._late_s = late_s + self._looked - looked
        if self._late_s > LATE_S:
            self._late_s = None
            self._complain(_older(self.told.version, self.newest.version))

    def _adopt(self) -> None:
        turn = self._turn
        if turn.open_gate and turn.member.writable and self.told.version > self._keyspace.catalog.version:
            self._keyspace.adopt_catalog(self.told)
            log.info("catalog adopted version=%d tables=%d", self.told.version, len(self.told.tables))
            self._adopted()

    def _complain(self, complaint: str) -> None:
        if complaint != self.complaint:
            self.complaint = complaint
            log.error(
                "coordinator refused reason=%r remedy=%r",
                complaint,
                "its data were lost or rolled back; the members go on with what they know. "
                "`kubegrid manager rebuild` makes its records anew from that",
            )


def _older(told: int, known: int) -> str:
    return f"its catalog of tables is version {told}, but {known} is known"
