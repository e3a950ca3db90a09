"""From a manifest to a state folder that a supervisor can run: everything that can be refused is refused here.

When this raises, nothing has been started and nothing that matters was written. The order is that of a careful person:
is the folder ours alone, does it hold the same grid, is the request safe, are the ports free; only then write.

`up` calls it with the supervisor's lock held; `supervisor` runs the result.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from kubegrid.base.manifest import Manifest
from kubegrid.runtime import layout, ports, secret, state
from kubegrid.runtime.errors import BusyError, DifferentGridError, told_as_disk_error
from kubegrid.runtime.folder import Folder, Lock, is_held, supervisor_of
from kubegrid.runtime.state import GridState

PORT_DEFAULT = 7000
BIND_DEFAULT = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; None where nothing was said, so that an existing grid keeps what it has."""

    manifest: Manifest
    port: int | None = None
    bind: str | None = None
    advertise: str | None = None
    secret: str | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    grid: GridState
    running: list[str]
    """Names of processes that an earlier supervisor left running, to be taken over."""
    memory_ended: bool
    """The grid of this folder was taken down before: it starts empty."""
    notes: list[str]


def lock_folder(folder: Folder) -> Lock:
    """The supervisor's lock. Raises BusyError that says who has it."""
    with told_as_disk_error(folder.root):
        folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock.take(folder.supervisor_lock)
    if lock is None:
        holder = supervisor_of(folder)
        raise BusyError(
            f"{folder.root} is in use: a grid runs there" + (f", supervised by process {holder.pid}" if holder else ""),
            f"`{folder.command('status')}` shows it, `{folder.command('down')}` stops it; another --name or --dir starts a "
            "second one.",
        )
    return lock


def running_names(folder: Folder) -> list[str]:
    """Names of the folder's processes that live, by their locks."""
    locks = folder.root / "run"
    return sorted(path.stem for path in locks.glob("*.lock") if is_held(path))


def prepare(folder: Folder, request: Request) -> Prepared:
    """Needs the supervisor's lock. Raises UsageError, RefusedError or DiskError; nothing has been started then."""
    running = running_names(folder)
    if request.fresh and running:
        raise BusyError(
            f"--fresh would throw away a grid that still runs in {folder.root}: {', '.join(running)}",
            f"`{folder.command('down')}` stops it.",
        )
    old = state.load(folder) if folder.has_grid() and not request.fresh else None
    if old is None and running:
        raise BusyError(f"processes of a grid run in {folder.root} ({', '.join(running)}), but its grid.json is gone")
    effective_secret = request.secret
    if effective_secret is None and not request.fresh and request.manifest.spec.auth_enabled is not False:
        effective_secret = secret.stored(folder)
    bind = request.bind or (old.bind if old else BIND_DEFAULT)
    bind = BIND_DEFAULT if bind == "localhost" else bind
    secret.check_bind(bind, effective_secret)
    port = request.port if request.port is not None else (old.port if old else PORT_DEFAULT)
    grid = _made(request, port, bind) if old is None else _revised(old, request, port, bind, running)
    ports.check_free(
        grid.bind, [(number, purpose) for name, number, purpose in layout.listening(grid) if name not in running]
    )
    with told_as_disk_error(folder.root):
        if request.fresh:
            folder.discard()
        folder.make()
        secret.keep(folder, effective_secret, bool(running))
        layout.write_configs(folder, grid, effective_secret is not None)
        if old is None:
            layout.permit_bootstrap(folder, grid)
        memory_ended = grid.memory_ended and not running
        state.save(folder, msgspec.structs.replace(grid, memory_ended=False))
    return Prepared(grid, running, memory_ended, _notes(request, old, effective_secret, running))


def _made(request: Request, port: int, bind: str) -> GridState:
    manifest = request.manifest
    return layout.make(
        name=manifest.name,
        grid_id=str(uuid.uuid4()),
        spec=manifest.spec,
        given=manifest.given,
        port=port,
        bind=bind,
        advertise=request.advertise,
    )


def _revised(old: GridState, request: Request, port: int, bind: str, running: list[str]) -> GridState:
    """The grid that is there, with what may change; raises DifferentGridError for what may not."""
    if old.name != request.manifest.name:
        raise DifferentGridError(
            f"the folder holds the grid {old.name!r}, not {request.manifest.name!r}", "Choose another --dir or --name."
        )
    spec, given = request.manifest.spec, request.manifest.given
    _check_same(
        (label, getattr(old.spec, label), getattr(spec, label)) for label in ("partitions", "backups", "managers")
    )
    if running:
        _check_same([("port", old.port, port), ("bind", old.bind, bind)])
        return msgspec.structs.replace(old, spec=spec, given=given)
    moved = (port, bind) != (old.port, old.bind) or any(
        not ports.is_free(bind, number) for _, number, _ in layout.chosen(old)
    )
    if not moved:
        advertise = request.advertise or layout.reachable_address(bind)
        return msgspec.structs.replace(old, spec=spec, given=given, advertise=advertise)
    made = layout.make(
        name=old.name, grid_id=old.id, spec=spec, given=given, port=port, bind=bind, advertise=request.advertise
    )
    return msgspec.structs.replace(made, memory_ended=old.memory_ended)


def _check_same(rows: Iterable[tuple[str, object, object]]) -> None:
    differences = [f"{label} is {there}, not {asked}" for label, there, asked in rows if there != asked]
    if differences:
        raise DifferentGridError(
            f"the folder holds a grid whose {'; '.join(differences)}: that cannot be changed",
            "Use it as it is, start anew with --fresh (its data are lost), or choose another --name or --dir.",
        )


def _notes(request: Request, old: GridState | None, effective_secret: str | None, running: list[str]) -> list[str]:
    notes = []
    if request.manifest.spec.auth_enabled and effective_secret is None:
        notes.append("spec.auth.enabled has no effect here without a secret: no password, loopback only.")
    if running and old is not None and old.spec != request.manifest.spec:
        notes.append("Changed settings reach each process at its next start; those that run keep theirs until then.")
    return notes
