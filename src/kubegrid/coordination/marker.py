"""What the manager remembers beside its database, so that the database alone cannot make it forget.

- `new-grid` holds the UUID of a grid that was just made: the only permission to begin. Whoever makes the grid writes it
  (the local runtime), the manager removes it once the grid's records are durable.
- `issued.json` says that a grid has begun, with which database, and whether its data were found to be lost.
- `coordinator.revision` is the highest revision that was answered. It is not synced: it survives the process, not the
  machine, and after the machine's crash it may only be too low, which is the harmless direction.

`judge` is pure. Next on the path: `embedded`.
"""

import os
from pathlib import Path

import msgspec

from kubegrid.coordination.database import sync_directory

REVISION_DIGITS = 20
UNREADABLE = ""
"""Instead of the grid's id, where `issued.json` does not tell it."""


class Issued(msgspec.Struct, frozen=True):
    grid: str
    database: str
    lost: str = ""
    """Why the data were found to be lost; cleared by a rebuild."""


class Found(msgspec.Struct, frozen=True):
    """What the manager finds at its start."""

    grid: str
    """The grid that the manager was told to run."""
    permission: str | None
    """Content of `new-grid`."""
    issued: Issued | None
    database_exists: bool
    database: str = ""
    database_grid: str = ""
    revision: int = 0
    answered: int = 0
    """The highest revision that was answered, as far as it is known."""


def judge(found: Found) -> str:
    """`new` (may begin), `whole`, or why the data count as lost."""
    issued = found.issued
    if issued is not None and issued.grid not in (found.grid, UNREADABLE):
        return f"this folder belongs to the grid {issued.grid}"
    if issued is not None and issued.lost:
        return issued.lost
    if not found.database_exists:
        if issued is not None:
            return "the coordinator's database is gone"
        if found.permission == found.grid:
            return "new"
        return "there are no data of this grid here, and it was not just made"
    if found.database_grid != found.grid:
        return f"the coordinator's database belongs to the grid {found.database_grid}"
    if issued is not None and issued.database != found.database:
        return "the coordinator's database was replaced by another one"
    if found.revision < found.answered:
        return f"the coordinator's database is an older copy: revision {found.revision}, {found.answered} was answered"
    return "whole"


class Marker:
    """The files. Reading forgives what is missing; writing is durable, except the revision."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._revision: int | None = None

    def permission(self) -> str | None:
        path = self.directory / "new-grid"
        return path.read_text().strip() if path.exists() else None

    def use_permission(self) -> None:
        (self.directory / "new-grid").unlink(missing_ok=True)
        sync_directory(self.directory)

    def issued(self) -> Issued | None:
        path = self.directory / "issued.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Issued)
        except msgspec.MsgspecError as error:
            return Issued(
                UNREADABLE, UNREADABLE, lost=f"{path} is damaged ({error}), which says what this grid's data are"
            )

    def write(self, issued: Issued) -> None:
        fresh = self.directory / "issued.json.new"
        with open(fresh, "wb") as file:
            file.write(msgspec.json.encode(issued))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.directory / "issued.json")
        sync_directory(self.directory)

    def answered(self) -> int:
        path = self.directory / "coordinator.revision"
        try:
            return int(path.read_bytes().strip() or b"0")
        except (FileNotFoundError, ValueError):
            return 0

    def set_answered(self, revision: int) -> None:
        """Of a fixed length, so that a full disk can't stop it once it is there."""
        if self._revision is None:
            self._revision = os.open(self.directory / "coordinator.revision", os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self._revision, b"%0*d\n" % (REVISION_DIGITS, revision), 0)

    def close(self) -> None:
        if self._revision is not None:
            os.close(self._revision)
            self._revision = None
