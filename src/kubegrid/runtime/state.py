"""What a state folder remembers about its grid between one supervisor and the next: id, shape, ports, how it ended.

The state decides nothing; `preparation` makes and compares it, `supervisor` runs what it lists.
"""

import enum

import msgspec

from kubegrid.base.errors import KubegridError
from kubegrid.base.manifest import GridSpec
from kubegrid.runtime.errors import NoGridError, reading_error
from kubegrid.runtime.folder import Folder

FORMAT = 1


class Kind(enum.StrEnum):
    MEMBER = "member"
    MANAGER = "manager"


class MemberPlace(msgspec.Struct, frozen=True):
    name: str
    partition: int
    ordinal: int
    resp_port: int
    http_port: int
    replication_port: int


class ManagerPlace(msgspec.Struct, frozen=True):
    name: str
    http_port: int
    coordination_port: int


class GridState(msgspec.Struct):
    """The content of grid.json."""

    format: int
    name: str
    id: str
    """The grid's UUID: coordinator and members recognise their own by it."""
    bind: str
    advertise: str
    port: int
    spec: GridSpec
    given: dict[str, object]
    members: list[MemberPlace]
    managers: list[ManagerPlace]
    memory_ended: bool = False
    """An orderly `down` ended the members' memory: the next `up` starts empty, and says so."""

    @property
    def names(self) -> list[str]:
        return [manager.name for manager in self.managers] + [member.name for member in self.members]

    def manager_addresses(self) -> list[str]:
        return [f"{self.advertise}:{manager.http_port}" for manager in self.managers]

    def http_address(self, member: MemberPlace) -> str:
        return f"{self.advertise}:{member.http_port}"


def load(folder: Folder) -> GridState:
    """Raises NoGridError, DiskError, or KubegridError when the file cannot be understood."""
    try:
        state = msgspec.json.decode(folder.grid.read_bytes(), type=GridState)
    except FileNotFoundError:
        raise NoGridError(f"there is no grid in {folder.root}", "`kubegrid up` makes one.") from None
    except OSError as error:
        raise reading_error(error, folder.grid) from error
    except msgspec.DecodeError as error:
        raise KubegridError(f"{folder.grid} cannot be read: {error}", "`kubegrid up --fresh` starts anew.") from error
    if state.format != FORMAT:
        raise KubegridError(
            f"{folder.grid} has format {state.format}; this kubegrid reads {FORMAT}",
            "Use the version that made it, or start anew with `kubegrid up --fresh`.",
        )
    return state


def save(folder: Folder, state: GridState) -> None:
    folder.write_json(folder.grid, state)
