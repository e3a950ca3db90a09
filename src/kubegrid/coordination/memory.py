"""The coordinator and the lookup service of an embedded grid, in the memory of its one member.

To that member it is what `remote.ManagerClient` is, with nobody at the other end: what a manager would decide (the
first configuration, changes of the catalog) happens here by the same rules. It lives and ends with the data, so there is
nothing to make durable and nothing to lose.
"""

import asyncio
import contextlib
from collections.abc import Callable

from kubegrid.base.configuration import Configuration
from kubegrid.base.errors import KubegridError
from kubegrid.base.tables import Catalog
from kubegrid.coordination import catalog, messages
from kubegrid.coordination.catalog import Change
from kubegrid.coordination.coordinator import Outcome, partition_key
from kubegrid.coordination.records import MemberRecord
from kubegrid.coordination.remote import SwapResult


class MemoryManagers:
    """For one grid of one partition with one member. Invariant: `token` is raised by each change of the configuration."""

    def __init__(self, grid: str) -> None:
        self.grid = grid
        self.connected = True
        self.trouble = ""
        self.on_catalog: Callable[[bytes], None] = lambda document: None
        self.newest_catalog: Callable[[], bytes] = lambda: b""
        self._catalog = Catalog()
        self._configuration: Configuration | None = None
        self._token = 0
        self._watches: list[tuple[str, Callable[[str], None]]] = []
        self._adopted = 0
        self._registered = asyncio.Event()

    def start(self) -> None:
        """Nothing has to be connected."""

    async def close(self) -> None:
        self._watches.clear()

    def register(self, record: MemberRecord, configuration: Configuration | None) -> None:
        if self._configuration is None:
            me = record.member
            self._store(Configuration(self.grid, record.partition, 1, me, (me,), (), "manager", "the grid was made"))
        self._adopted = record.catalog_adopted
        self._registered.set()
        self._registered = asyncio.Event()

    def leave(self, reason: str = "") -> None:
        """Nobody looks the member up."""

    def watch(self, prefix: str, callback: Callable[[str], None]) -> None:
        self._watches.append((prefix, callback))

    async def read_configuration(self, partition: int) -> tuple[Configuration | None, int]:
        return self._configuration, self._token

    async def swap_configuration(self, proposed: Configuration, token: int | None) -> SwapResult:
        if token != self._token:
            return SwapResult(Outcome.CONFLICT, self._configuration, self._token)
        self._store(proposed)
        return SwapResult(Outcome.APPLIED, self._configuration, self._token)

    def _store(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._token += 1
        key = partition_key(configuration.partition)
        for prefix, callback in self._watches:
            if key.startswith(prefix):
                callback(key)

    async def change_catalog(self, change: Change) -> messages.CatalogAnswer:
        """As the manager does it: made, told, and answered when the store has adopted it."""
        try:
            changed = catalog.changed(self._catalog, change)
        except KubegridError as error:
            return messages.CatalogAnswer(0, 0, catalog.error_code(error), catalog.in_one_line(error))
        self._catalog = changed
        self.on_catalog(catalog.encoded(changed))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(catalog.ADOPTION_TIMEOUT_S):
                while self._adopted < changed.version:
                    await self._registered.wait()
        if self._adopted < changed.version:
            return messages.CatalogAnswer(
                0, changed.version, catalog.NOT_YET, "the change was made, but not adopted yet"
            )
        return messages.CatalogAnswer(0, changed.version, table=catalog.id_after(changed, change))
