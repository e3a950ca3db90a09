"""`kubegrid up`: from a manifest and options to a running grid, in the foreground or apart."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kubegrid.base import document, manifest
from kubegrid.base.errors import UsageError
from kubegrid.base.ids import GRID_NAME_DEFAULT
from kubegrid.base.manifest import Manifest
from kubegrid.cli import INTERRUPTED, progress, show
from kubegrid.cli.target import LocalGrid
from kubegrid.runtime import detached, layout, preparation, secret, state
from kubegrid.runtime.folder import Folder, default_folder
from kubegrid.runtime.preparation import Prepared, Request
from kubegrid.runtime.state import GridState
from kubegrid.runtime.status import Status
from kubegrid.runtime.supervisor import Event

SETTLE_LOOKS_MAX = 100
SETTLE_PAUSE_S = 0.1
"""Between two looks. Together long enough for a copy that was lost as the grid started to be in sync again."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the command line said; None where it said nothing."""

    grid_yaml: Path | None
    name: str | None
    spec: dict[str, int]
    port: int | None
    bind: str | None
    directory: Path | None
    fresh: bool
    secret_file: Path | None
    advertise: str | None


def up(start: Start, detach: bool, as_json: bool) -> int:
    old = _existing(start.name, start.directory) if start.grid_yaml is None and not start.fresh else None
    declared = _read(start.grid_yaml, start.spec, start.name or (old.name if old else None), old)
    folder = Folder(start.directory or default_folder(declared.name))
    if folder.root.exists() and not folder.root.is_dir():
        raise UsageError(f"{folder.root} is not a folder", "A manifest is given without --dir.")
    request = Request(
        manifest=declared,
        port=start.port,
        bind=start.bind,
        advertise=start.advertise,
        secret=secret.given(declared, start.secret_file, start.grid_yaml.parent if start.grid_yaml else Path()),
        fresh=start.fresh,
    )
    if start.advertise is not None:
        layout.check_advertised(start.advertise)
    secret.check_bind(start.bind or preparation.BIND_DEFAULT, request.secret or secret.stored(folder))
    lock = preparation.lock_folder(folder)
    with progress.Teller() as teller:
        try:
            prepared = preparation.prepare(folder, request)
        except BaseException:
            lock.release()
            raise
        _tell_beginning(teller, prepared, folder)
        if detach:
            detached.start(folder, lock, teller.tell)
            grid = _grid(folder)
            told = settled(grid.read_status)
            teller.clear()
            show.print_status(grid, told, as_json)
            return 0

        def tell(event: Event) -> None:
            teller.tell(event)
            if event.kind == "ready":
                teller.clear()
                grid = _grid(folder)
                show.print_status(grid, grid.read_status(), as_json)
                sys.stdout.flush()
                teller.note("Ctrl-C stops the grid.")

        supervisor = detached.supervise_here(folder, tell)
    if supervisor.exit_status:
        return supervisor.exit_status
    return INTERRUPTED if supervisor.interrupted else 0


def _read(path: Path | None, options: dict[str, int], name: str | None, old: GridState | None) -> Manifest:
    """The checked manifest. Without one, an existing grid keeps what the options don't say."""
    if path is None:
        return manifest.parse("", options={**(old.given if old else {}), **options}, name=name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    try:
        if document.read(text).value is None:
            raise UsageError(f"{path} is empty", "`kubegrid up` without a file starts a grid with all defaults.")
        return manifest.parse(text, options=options, name=name)
    except document.ManifestError as error:
        raise document.ManifestError(error.problems, str(path)) from error


def _existing(name: str | None, directory: Path | None) -> GridState | None:
    folder = Folder(directory or default_folder(name or GRID_NAME_DEFAULT))
    return state.load(folder) if folder.has_grid() else None


def _tell_beginning(teller: progress.Teller, prepared: Prepared, folder: Folder) -> None:
    for note in prepared.notes:
        teller.note(note)
    if prepared.memory_ended:
        teller.note(
            f"The grid {prepared.grid.name!r} was taken down before, and its memory ended with that: it starts empty."
        )
    if not prepared.running:
        teller.note(f"Starting {len(prepared.grid.names)} processes in {folder.root}")


def _grid(folder: Folder) -> LocalGrid:
    return LocalGrid(folder, state.load(folder), secret.stored(folder))


def settled(read: Callable[[], Status], pause: Callable[[float], None] = time.sleep) -> Status:
    """What runs, once nothing lacks: what the supervisor saw a moment ago may have changed since, for members that start
    take each other's time, and a backup that did not get enough of it is taken out and comes back."""
    told = read()
    for _ in range(SETTLE_LOOKS_MAX):
        if told["state"] == "serving":
            break
        pause(SETTLE_PAUSE_S)
        told = read()
    return told
