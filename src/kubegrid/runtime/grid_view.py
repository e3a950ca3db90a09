"""What the supervisor knows of its grid from the manager: who is primary, what is missing, and telling it of the end.

`refresh` and `announce_closing` block on the network and run in a thread; they replace whole values, so the supervisor's
loop may look at any time. An old view is harmless: it orders a shutdown, and says when a start is complete; it never
stops anything.
"""

import contextlib

from kubegrid.runtime import http, status
from kubegrid.runtime.folder import Folder
from kubegrid.runtime.http import HttpError
from kubegrid.runtime.state import GridState


class GridView:
    def __init__(self, folder: Folder, grid: GridState, secret: str | None) -> None:
        self._folder = folder
        self._grid = grid
        self._secret = secret
        self._status: status.Status | None = None
        self.primaries: frozenset[str] = frozenset()

    def refresh(self) -> None:
        told = status.from_manager(self._grid, self._secret)
        self._status = told
        if told is not None:
            primaries = (partition.get("primary") for partition in told["partitions"])
            self.primaries = frozenset(name for name in primaries if name)

    def missing(self) -> list[str]:
        """What keeps the grid from being whole; empty when nothing does."""
        if self._status is None:
            return ["no manager answers yet"]
        return status.missing(self._status, self._grid.spec.copies) or status.opening(self._status)

    @property
    def waiting_for_person(self) -> str:
        """What a person has to decide before the grid can be whole; empty when nothing."""
        managers = self._status["managers"] if self._status else ()
        if any(manager.get("coordinator_state") == "lost" for manager in managers):
            return f"`{self._folder.command('manager rebuild')}` makes the coordinator's data anew."
        partitions = self._status["partitions"] if self._status else ()
        waiting = [p["id"] for p in partitions if p["state"] != "serving" and p.get("waiting_for") == "accept-loss"]
        if not waiting:
            return ""
        which = str(waiting[0]) if len(waiting) == 1 else "--all"
        return f"`{self._folder.command(f'partition accept-loss {which}')}` lets it start empty."

    def announce_closing(self) -> None:
        """Ask the manager to record that the members' memory ends because somebody wants it so."""
        for address in self._grid.manager_addresses():
            with contextlib.suppress(HttpError):
                http.post(address, "/v1/grid/closing", {}, self._secret)
