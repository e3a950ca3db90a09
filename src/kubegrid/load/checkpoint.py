"""How far a load came, in a small file, so that an interrupted one can go on.

The file lies beside the input, `flights.csv.load-into-flights.json`, or, where that folder cannot be written, in the user's
state folder. It is written before each block is sent and says two positions: everything before `confirmed` is in the table;
nothing after `sent` was sent. What lies between may be there or not, and is sent again; `--on-duplicate fail` compares the
records it finds there with the file's.

It is removed when a load is complete. A file that changed meanwhile, or a table made anew, is refused.
"""

import hashlib
import os
from pathlib import Path

import msgspec

from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.load.errors import ResumeConflict

EDGE_BYTES = 2**20
"""Of the file's beginning and end: what is looked at besides its size and time of change."""
FORMAT = 1


class Checkpoint(msgspec.Struct):
    """Invariant: `confirmed` ≤ `sent`."""

    file: str
    size: int
    changed_ns: int
    edges: str
    grid: str
    table: str
    table_id: int
    on_duplicate: str
    confirmed: tuple[int, int]
    sent: tuple[int, int]
    counts: Counts
    format: int = FORMAT

    @property
    def position(self) -> Position:
        return Position(*self.confirmed)


def begin(path: Path, grid: str, table: str, table_id: int, on_duplicate: str, at: Position) -> Checkpoint:
    """Of a load that has not sent anything."""
    stat = path.stat()
    place = (at.offset, at.line)
    return Checkpoint(
        file=str(path.absolute()),
        size=stat.st_size,
        changed_ns=stat.st_mtime_ns,
        edges=_edges(path),
        grid=grid,
        table=table,
        table_id=table_id,
        on_duplicate=on_duplicate,
        confirmed=place,
        sent=place,
        counts=Counts(),
    )


def refuse_another(found: Checkpoint, now: Checkpoint) -> None:
    """Raises ResumeConflict unless `now` is a load of the same file into the same table."""
    anew = "Load it anew, without --resume."
    if (found.size, found.changed_ns, found.edges) != (now.size, now.changed_ns, now.edges):
        grown = f": it had {found.size:,} bytes and has {now.size:,}" if found.size != now.size else ""
        raise ResumeConflict(f"{now.file} was changed since its load was interrupted{grown}", anew)
    if found.grid != now.grid:
        raise ResumeConflict(f"the load of {now.file} that was interrupted went into another grid", anew)
    if found.table_id != now.table_id:
        raise ResumeConflict(f"table {now.table} was made anew since the load of {now.file} was interrupted", anew)
    if found.on_duplicate != now.on_duplicate:
        raise ResumeConflict(
            f"the load that was interrupted had --on-duplicate {found.on_duplicate}, not {now.on_duplicate}",
            f"Say --on-duplicate {found.on_duplicate}, or load the file anew, without --resume.",
        )


def is_same(found: Checkpoint, now: Checkpoint) -> bool:
    """Whether `found` can be gone on with."""
    try:
        refuse_another(found, now)
    except ResumeConflict:
        return False
    return True


def _edges(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        digest.update(file.read(EDGE_BYTES))
        file.seek(max(0, path.stat().st_size - EDGE_BYTES))
        digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()


def beside(path: Path, suffix: str) -> Path:
    """A place for what belongs to an input file: next to it, or in the user's state folder if that cannot be written."""
    path = path.absolute()
    if os.access(path.parent, os.W_OK):
        return path.with_name(path.name + suffix)
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    folder = base / "kubegrid" / "loads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:12]}-{path.name}{suffix}"


class CheckpointFile:
    """Where the checkpoint of one file and table is kept."""

    def __init__(self, path: Path, table: str) -> None:
        self.path = beside(path, f".load-into-{table}.json")

    def read(self) -> Checkpoint | None:
        """None when no load was interrupted, or what is there cannot be understood."""
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
        except (OSError, msgspec.DecodeError):
            return None
        return found if found.format == FORMAT else None

    def write(self, checkpoint: Checkpoint) -> None:
        """As a whole: a load that is killed meanwhile leaves the one before."""
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(checkpoint), indent=1))
        os.replace(partial, self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
