"""What the client knows of the grid: for each slot a route, for each route the member that is primary now.

Shared by the sync and the async client, which keep their connections in `R.link`. A route stands for one partition and lives
as long as the client; what changes is its `address`. Nothing here is decided: a wrong address costs one redirection.
Next on the path of the data: `grid`.
"""

from collections.abc import Iterable

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.slots import Shard


class Route:
    """One partition as the client sees it. `address` is None while no primary is known."""

    __slots__ = ("address", "apart", "backups", "first_slot", "ids")

    def __init__(self, first_slot: int) -> None:
        self.first_slot = first_slot
        self.address: str | None = None
        self.backups: tuple[str, ...] = ()
        self.ids = RequestIds()
        self.apart: list[RequestIds] = []
        """Identities for writes that may wait at the member, one at a time each: they would hold up `acked` of the others."""

    def take(self) -> tuple[RequestIds, int, int]:
        """An identity, a new number of it, and the number below which everything of it is answered. Never waits."""
        while True:
            ids = self.ids
            taken = ids.take()
            if taken is not None:
                return ids, *taken
            self.forget(ids)

    def forget(self, ids: RequestIds) -> None:
        """The members do not know `ids` any more: further writes go under another identity."""
        if self.ids is ids:
            self.ids = RequestIds()

    def __str__(self) -> str:
        return f"the partition of slot {self.first_slot}"


class Routes:
    """Invariant: `of_slot` has a route for every slot; routes are told apart by the first slot of their first range."""

    def __init__(self, seeds: Iterable[str]) -> None:
        self.seeds = list(seeds)
        self.all: list[Route] = [Route(0)]
        self.of_slot: list[Route] = self.all * SLOT_COUNT

    def learn(self, shards: list[Shard]) -> None:
        """Take up a map that a member told. `of_slot` is changed in place: others hold on to it."""
        known = {route.first_slot: route for route in self.all}
        routes = []
        for shard in shards:
            first = shard.slots[0][0]
            route = known.get(first) or Route(first)
            route.backups = shard.backups
            route.address = shard.primary
            for low, high in shard.slots:
                if self.of_slot[low] is not route or self.of_slot[high] is not route:
                    self.of_slot[low : high + 1] = [route] * (high + 1 - low)
            routes.append(route)
        self.all = routes

    def addresses(self, troubled: Route | None = None) -> list[str]:
        """Every address known, in the order in which to ask for a map: the backups of a route in trouble know of their new
        primary before anybody, and its old primary is the last one to ask."""
        found = dict.fromkeys(troubled.backups if troubled else ())
        for route in self.all:
            if route is not troubled:
                found.update(dict.fromkeys((*([route.address] if route.address else ()), *route.backups)))
        found.update(dict.fromkeys(self.seeds))
        if troubled and troubled.address:
            found.pop(troubled.address, None)
            found[troubled.address] = None
        return list(found)
