"""Which grid a command means: `--name`, `--dir` or `--manager`, and where its managers, members and secret are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubegrid.base.errors import KubegridError, NotReachableError, RefusedError, UsageError
from kubegrid.base.ids import GRID_NAME_DEFAULT
from kubegrid.runtime import folder, http, secret, state, status
from kubegrid.runtime.errors import NoGridError
from kubegrid.runtime.folder import Folder
from kubegrid.runtime.http import HttpError
from kubegrid.runtime.state import GridState


@dataclass(frozen=True, slots=True)
class LocalGrid:
    """A grid of this machine, by its folder."""

    folder: Folder
    state: GridState
    secret: str | None

    def read_status(self) -> status.Status:
        return status.read(self.folder, self.state, self.secret)

    def command(self, words: str) -> str:
        """A command line about this grid."""
        return self.folder.command(words)

    def how_to_start(self) -> str:
        return f"`{self.command('up')}` starts them."

    def unwatched(self) -> str:
        """That no supervisor starts again what ends, and what to do; empty when there is one."""
        if folder.is_held(self.folder.supervisor_lock):
            return ""
        return f"nobody watches over it: what ends is not started again; `{self.command('up --detach')}` takes it over"

    def ask(self, method: str, path: str, body: Any = None, timeout_s: float = http.TIMEOUT_S) -> Any:
        return _ask(self.state.manager_addresses(), self.secret, method, path, body, timeout_s)


@dataclass(frozen=True, slots=True)
class RemoteGrid:
    """A grid somewhere, by one of its managers."""

    url: str
    secret: str | None

    def read_status(self) -> status.Status:
        answer = self.ask("GET", "/v1/status")
        if not isinstance(answer, dict) or "partitions" not in answer:
            raise NotReachableError(f"what answers at {self.url} is not a manager of KubeGrid")
        return answer

    def command(self, words: str) -> str:
        """A command line about this grid."""
        return f"kubegrid {words} --manager {self.url}"

    def how_to_start(self) -> str:
        return "`kubegrid up` starts them, on the machine that they are of."

    def unwatched(self) -> str:
        """Nothing is known of its supervisor."""
        return ""

    def ask(self, method: str, path: str, body: Any = None, timeout_s: float = http.TIMEOUT_S) -> Any:
        return _ask([self.url], self.secret, method, path, body, timeout_s)


Grid = LocalGrid | RemoteGrid


def places(grid: Grid, told: status.Status) -> list[str]:
    """Where its members listen for commands, by its status, primaries first. Raises NoGridError when none runs."""
    members = [member for partition in told["partitions"] for member in partition["members"] if member["resp"]]
    if not members:
        raise NoGridError(f"no member of {told['grid']} runs", grid.how_to_start())
    return [member["resp"] for member in sorted(members, key=lambda member: member["role"] != "primary")]


def find(name: str | None, directory: Path | None, manager: str | None = None) -> Grid:
    """Raises UsageError for two answers to one question, NoGridError when there is no such grid."""
    if manager is not None:
        if name is not None or directory is not None:
            raise UsageError("--manager names the grid already: leave out --name and --dir")
        return RemoteGrid(manager, secret.from_environment())
    return local(name, directory)


def local(name: str | None, directory: Path | None) -> LocalGrid:
    wanted = name or GRID_NAME_DEFAULT
    place = folder.existing(directory or folder.default_folder(wanted), wanted)
    grid = state.load(place)
    if name is not None and name != grid.name:
        raise UsageError(f"{place.root} holds the grid {grid.name!r}, not {name!r}", "Leave out --name or --dir.")
    return LocalGrid(place, grid, secret.stored(place) or secret.from_environment())


def _ask(addresses: list[str], password: str | None, method: str, path: str, body: Any, timeout_s: float) -> Any:
    """Ask one manager after the other; an answer that says no is an error of the kind its status tells."""
    failure: HttpError | None = None
    for address in addresses:
        try:
            if method == "GET":
                return http.get(address, path, password, timeout_s)
            if method == "DELETE":
                return http.delete(address, path, password, timeout_s)
            return http.post(address, path, body if body is not None else {}, password, timeout_s)
        except HttpError as error:
            failure = error
            if error.status != 0:
                break
    assert failure is not None, "a grid has a manager"
    raise _told(failure) from failure


def _told(error: HttpError) -> KubegridError:
    if error.status == 0:
        return NotReachableError(f"no manager answers: {error.message}", "`kubegrid status` shows what runs.")
    if error.status == 401:
        return KubegridError("the manager wants the grid's secret", f"Put it into {secret.ENVIRONMENT}.")
    if error.status in (404, 422):
        return UsageError(error.message, error.remedy)
    if error.status == 409:
        return RefusedError(error.message, error.remedy)
    return KubegridError(error.message, error.remedy)
