"""The catalog of tables, as the manager keeps it: changed by compare-and-swap, told to all, waited for.

A change is made in the coordinator first and told to the members only when it is durable; each serving primary then
adopts it as an entry of its log. Whoever asked is answered when all of them have: from then on no partition refuses the
new table or takes the dropped one. A partition whose primary is known to be dead is not waited for, because whoever
becomes its primary adopts what it has been told before it serves. One whose primary only cannot be heard may serve; so
the answer is then that the change was made, and where it is not in force yet.

The rules of a change are `coordination.catalog`'s.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from kubegrid.base.configuration import Configuration
from kubegrid.base.errors import KubegridError
from kubegrid.base.ids import Member
from kubegrid.base.tables import Catalog
from kubegrid.coordination import (
    CATALOG_KEY,
    CoordinatorError,
    EmbeddedCoordinator,
    Lookup,
    Outcome,
    StorageFailing,
    catalog,
    messages,
)
from kubegrid.coordination.catalog import ADOPTION_TIMEOUT_S, IN_DOUBT, NO_MANAGER, NOT_YET, Change
from kubegrid.manager.deaths import Deaths
from kubegrid.manager.sessions import Sessions

log = logging.getLogger("kubegrid.manager")

ATTEMPTS = 5
"""Compare-and-swaps of one change; only this manager writes the key, so the first one applies."""
TELL_TIMEOUT_S = 2.0


class NotAdopted(Exception):
    """The change was made and is durable; `partitions` have not adopted it in time."""

    def __init__(self, version: int, partitions: list[int]) -> None:
        self.version = version
        self.partitions = partitions
        numbers = ", ".join(map(str, partitions))
        super().__init__(
            f"the change was made (catalog version {version}), but after {ADOPTION_TIMEOUT_S:g} s it is not in force in "
            f"partition {numbers}, which follows as soon as it serves; `kubegrid status` shows why it does not"
        )


class CatalogKeeper:
    """Invariant: `stored` is what the coordinator has, whenever the loop runs anything else."""

    def __init__(
        self,
        coordinator: EmbeddedCoordinator,
        lookup: Lookup,
        deaths: Deaths,
        configurations: Callable[[], dict[int, Configuration]],
    ) -> None:
        self.stored = Catalog()
        self._coordinator = coordinator
        self._lookup = lookup
        self._deaths = deaths
        self._configurations = configurations
        self._changing = asyncio.Lock()
        self._news = asyncio.Event()

    def load(self, value: bytes) -> None:
        """What the coordinator has now. Raises DefinitionError when it is no catalog."""
        self.stored = catalog.decoded(value)

    def document(self) -> bytes:
        return catalog.encoded(self.stored)

    def heard(self) -> None:
        """A member registered, or was found dead: who waits looks again."""
        self._news.set()
        self._news = asyncio.Event()

    async def change(self, change: Change) -> Catalog:
        """Make a change and wait until it is in force; the catalog with it.

        Raises KubegridError (as `coordination.catalog.changed`; nothing was changed), NotAdopted, CoordinatorError.
        """
        async with self._changing:
            changed = await self._store(change)
        await self._adopted(changed.version)
        return changed

    async def answer(self, message: messages.ChangeCatalog) -> messages.CatalogAnswer:
        """The same for a member that was asked by a client."""
        number = message.id
        try:
            changed = await self.change(message.change)
        except KubegridError as error:
            return messages.CatalogAnswer(number, 0, catalog.error_code(error), catalog.in_one_line(error))
        except NotAdopted as error:
            return messages.CatalogAnswer(number, error.version, NOT_YET, str(error))
        except CoordinatorError as error:
            if isinstance(error, StorageFailing) and not error.outcome_known:
                return messages.CatalogAnswer(number, 0, IN_DOUBT, f"whether it was changed is not known: {error}")
            return messages.CatalogAnswer(number, 0, NO_MANAGER, f"nothing was changed: {error}")
        return messages.CatalogAnswer(number, changed.version, table=catalog.id_after(changed, message.change))

    async def _store(self, change: Change) -> Catalog:
        for _ in range(ATTEMPTS):
            found = self._coordinator.value(CATALOG_KEY)
            current = catalog.decoded(found.value) if found else Catalog()
            changed = catalog.changed(current, change)
            if changed is current:
                return current
            value = catalog.encoded(changed)
            result = await self._coordinator.compare_and_swap(CATALOG_KEY, value, found.token if found else None)
            if result.outcome is Outcome.APPLIED:
                log.info("catalog version=%d change=%s table=%s", changed.version, change.action, change.table)
                return changed
        raise CoordinatorError("the catalog is changed by somebody else all the time")

    async def _adopted(self, version: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ADOPTION_TIMEOUT_S):
                while self.behind(version):
                    await self._news.wait()
        behind = self.behind(version)
        if behind:
            raise NotAdopted(version, behind)

    def behind(self, version: int) -> list[int]:
        """Partitions that may serve by an older catalog."""
        result = []
        for number, configuration in sorted(self._configurations().items()):
            primary = configuration.primary
            if primary is None or primary in self._deaths.proofs:
                continue
            entry = self._lookup.entries.get(primary)
            if entry is None or entry.record.catalog_adopted < version:
                result.append(number)
        return result

    # -- after a loss ----------------------------------------------------------------------------------------------

    async def rebuilt(self, sessions: Sessions, remembered: bool) -> tuple[Catalog, str]:
        """The newest catalog that anybody knows, and from whom; this process's own counts only if `remembered`."""
        newest = self.stored if remembered else Catalog()
        origin = "this manager's memory" if remembered else "nobody"
        tried: set[Member] = set()
        while True:
            knows = [
                (entry.record.catalog_known, member)
                for member, entry in self._lookup.entries.items()
                if entry.connected and member not in tried and entry.record.catalog_known > newest.version
            ]
            if not knows:
                return newest, origin
            _, member = max(knows)
            tried.add(member)
            document = await sessions.ask_catalog(member, TELL_TIMEOUT_S)
            try:
                told = catalog.decoded(document) if document else newest
            except KubegridError as error:
                log.warning("%s told a catalog that makes no sense: %s", member, error)
                continue
            if told.version > newest.version:
                newest, origin = told, str(member)
