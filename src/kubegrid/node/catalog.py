"""The member's way to follow the catalog of tables: what the managers tell, and when this member's store adopts it.

The catalog that a command is executed under is the store's own: it changes only by an entry of the partition's log, so
that backups, snapshots and later primaries read every entry under the same catalog. A serving primary makes that entry
as soon as the managers told of a higher version. A new primary does so before it executes anything, because what was
answered to whoever created a table must hold there, too.

A lower version than what is known, or another catalog of the same version, is never taken (R5): the coordinator was lost
or rolled back. Next on the path of the data: `session_catalog`.
"""

import logging
from collections.abc import Callable

from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import Catalog
from kubegrid.coordination import catalog
from kubegrid.node.turn import Turn
from kubegrid.store import Keyspace

log = logging.getLogger("kubegrid.node.catalog")


class CatalogFollower:
    """Invariant: the versions of `told` and of the store's catalog never fall."""

    def __init__(self, keyspace: Keyspace, turn: Turn, adopted: Callable[[], None]) -> None:
        self.told = Catalog()
        """The newest that the managers have told."""
        self.complaint = ""
        """What is wrong with what the managers tell, if anything."""
        self._keyspace = keyspace
        self._turn = turn
        self._adopted = adopted

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
        if pushed.version < newest.version:
            self._complain(f"its catalog of tables is version {pushed.version}, but {newest.version} is known")
        elif pushed.version == newest.version and pushed.version and pushed != newest:
            self._complain(f"its catalog of tables is another one of version {pushed.version} than is known")
        else:
            self.complaint = ""
            self.told = pushed
            self.follow()

    def follow(self) -> None:
        """Adopt what was told and the store is not at yet: now, or before the first request that this member serves."""
        if self.told.version > self._keyspace.catalog.version:
            self._turn.when_open = self._adopt
            self._turn.work(self._adopt)

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
