"""Where each process of a grid listens, and the configuration file that tells it so.

`preparation` decides whether a layout may be made or kept; here it is only worked out and written down.
"""

import socket
from collections.abc import Iterator

import msgspec

from kubegrid.base.errors import UsageError
from kubegrid.base.ids import member_name
from kubegrid.base.manifest import GridSpec
from kubegrid.base.settings import ManagerConfig, NodeConfig, ReplicationSettings
from kubegrid.runtime import ports, state
from kubegrid.runtime.folder import Folder
from kubegrid.runtime.state import GridState, ManagerPlace, MemberPlace

ROUTE_PROBE = ("192.0.2.1", 9)
"""An address of the documentation range: connecting a datagram socket to it sends nothing, but chooses our address."""


def make(
    *, name: str, grid_id: str, spec: GridSpec, given: dict[str, object], port: int, bind: str, advertise: str | None
) -> GridState:
    """A layout with freshly chosen free ports. Raises UsageError when the fixed ones cannot be had at all."""
    count = spec.partitions * spec.copies
    if spec.managers != 1:
        raise UsageError(f"managers: {spec.managers} is not supported yet", "The embedded coordinator lives in one.")
    ports.check_range(port, count, spec.managers)
    first_manager_port = port + ports.MANAGER_OFFSET
    fixed = {*range(port, port + count), *range(first_manager_port, first_manager_port + spec.managers)}
    free = iter(ports.choose(bind, 2 * count + spec.managers, fixed))
    return GridState(
        format=state.FORMAT,
        name=name,
        id=grid_id,
        bind=bind,
        advertise=advertise or reachable_address(bind),
        port=port,
        spec=spec,
        given=given,
        members=list(_members(spec, port, free)),
        managers=[
            ManagerPlace(f"m{number}", first_manager_port + number, next(free)) for number in range(spec.managers)
        ],
    )


def _members(spec: GridSpec, port: int, free: Iterator[int]) -> Iterator[MemberPlace]:
    for partition in range(spec.partitions):
        for ordinal in range(spec.copies):
            yield MemberPlace(
                name=member_name(partition, ordinal),
                partition=partition,
                ordinal=ordinal,
                resp_port=port + partition * spec.copies + ordinal,
                http_port=next(free),
                replication_port=next(free),
            )


def check_advertised(address: str) -> None:
    """Raises UsageError for what nobody can connect to: the members and managers find each other by it, too."""
    if not address or not address.isprintable() or any(sign in address for sign in ":/ "):
        raise UsageError(f"--advertise {address!r} is not the name or IPv4 address of a machine")
    try:
        socket.getaddrinfo(address, None, socket.AF_INET)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--advertise {address} cannot be found: {why}", "The processes of the grid find each other by it, too."
        ) from error


def reachable_address(bind: str) -> str:
    """What others are told to connect to: the bound address, or for all of them the one that leads outside."""
    if bind != "0.0.0.0":
        return bind
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ROUTE_PROBE)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def listening(grid: GridState) -> Iterator[tuple[str, int, str]]:
    """(process, port, what for) of everything that the grid listens on, fixed ports first."""
    for member in grid.members:
        yield member.name, member.resp_port, f"{member.name}'s clients"
    for manager in grid.managers:
        yield manager.name, manager.http_port, f"{manager.name}'s HTTP"
    yield from chosen(grid)


def chosen(grid: GridState) -> Iterator[tuple[str, int, str]]:
    """The part of `listening` that nobody fixed, and that may move while nothing runs."""
    for member in grid.members:
        yield member.name, member.http_port, f"{member.name}'s HTTP"
        yield member.name, member.replication_port, f"{member.name}'s replication"
    for manager in grid.managers:
        yield manager.name, manager.coordination_port, f"{manager.name}'s coordination"


def write_configs(folder: Folder, grid: GridState, with_secret: bool) -> None:
    """What each process reads at its next start."""
    spec = grid.spec
    secret_file = str(folder.secret) if with_secret else None
    replication = ReplicationSettings(
        min_in_sync=spec.min_in_sync, copies=spec.copies, failback_after_ms=spec.failback_after_ms
    )
    replication.check()
    for member in grid.members:
        folder.data(member.name).mkdir(parents=True, exist_ok=True, mode=0o700)
        config = NodeConfig(
            grid=grid.name,
            grid_id=grid.id,
            name=member.name,
            partition=member.partition,
            ordinal=member.ordinal,
            partitions=spec.partitions,
            preferred=spec.preferred_primary(member.partition) == member.name,
            bind=grid.bind,
            advertise=grid.advertise,
            resp_port=member.resp_port,
            http_port=member.http_port,
            replication_port=member.replication_port,
            managers=[f"{grid.advertise}:{manager.coordination_port}" for manager in grid.managers],
            memory_bytes=spec.memory_bytes,
            state_dir=str(folder.data(member.name)),
            secret_file=secret_file,
            host=socket.gethostname(),
            failback=spec.failback,
            busy_wait=spec.busy_wait,
            on_loss=spec.on_loss,
            replication=replication,
        )
        folder.write_json(folder.config(member.name), msgspec.to_builtins(config))
    for manager in grid.managers:
        folder.data(manager.name).mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.write_json(
            folder.config(manager.name),
            ManagerConfig(
                grid=grid.name,
                grid_id=grid.id,
                name=manager.name,
                bind=grid.bind,
                advertise=grid.advertise,
                http_port=manager.http_port,
                coordination_port=manager.coordination_port,
                state_dir=str(folder.data(manager.name)),
                partitions=spec.partitions,
                copies=spec.copies,
                on_loss=spec.on_loss,
                first_primaries={str(p): spec.preferred_primary(p) for p in range(spec.partitions)},
                spec=grid.given,
                secret_file=secret_file,
            ),
        )


def permit_bootstrap(folder: Folder, grid: GridState) -> None:
    """Once per grid: without this file a manager that finds no data says that they are lost, and makes none up (R20)."""
    for manager in grid.managers:
        folder.write(folder.data(manager.name) / "new-grid", grid.id.encode())
