"""`kubegrid node --config FILE`: the process around one `DataPod`.

SIGTERM and SIGINT hand over and leave before they close (a second signal closes at once). What it shares with the
manager as a process is in `process`.

A bug in the state machine ends the process at once (`_Failures`): a member that is not what it believes to be must
fall silent, and a fresh one joins in its place.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from kubegrid import process, sql
from kubegrid.base.settings import ClientSettings, NodeConfig
from kubegrid.node import flight_port, open_files
from kubegrid.node.housekeeping import tune_collector
from kubegrid.node.pod import STOP_DEADLINE_S, DataPod

log = logging.getLogger("kubegrid.node")

FATAL_IN = ("kubegrid.replication", "kubegrid.node.member", "kubegrid.node.applying", "kubegrid.node.snapshots")
"""An error that passed through one of these leaves the member in a state that nobody knows."""
EXIT_BUG = 1
NOT_FOR_PODS = ("numpy", "pandas")
"""Arrow and DuckDB import these where they find them, for conversions that a pod never makes: most of a second during
which the serving loop stutters, and 60 MiB. So here they are not found."""
SWITCH_INTERVAL_S = 0.001
"""How soon the serving loop gets the interpreter back from a thread that runs Python for a query; Python's own is 5 ms."""


def run(config_path: str) -> int:
    """Run a member until it is told to end; the exit status."""
    return process.run("node", config_path, NodeConfig, _trouble_with, _serve)


def _trouble_with(config: NodeConfig) -> str:
    try:
        config.replication.check()
    except ValueError as error:
        return str(error)
    if not 0 <= config.partition < config.partitions:
        return f"no partition {config.partition} of {config.partitions}"
    return ""


async def _serve(config: NodeConfig, secret: bytes | None) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_Failures())
    sys.meta_path.insert(0, _NotFound())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    config.clients = _clients_there_is_room_for(config.clients)
    pod = DataPod(config, secret)
    told: asyncio.Queue[str] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.put_nowait, signal.Signals(number).name)
    write_run_file(config, pod.me.incarnation, {})
    _import_all()
    await pod.start()
    write_run_file(
        config,
        pod.me.incarnation,
        {"resp_port": pod.resp_port, "http_port": pod.http_port, "replication_port": pod.replication_port},
    )
    tune_collector()
    if config.busy_wait:
        pod.turn.looking.begin()
    pod.flight.begin()
    try:
        name = await told.get()
        log.info("told to end signal=%s", name)
        leaving = asyncio.ensure_future(pod.leave(STOP_DEADLINE_S))
        again = asyncio.ensure_future(told.get())
        await asyncio.wait((leaving, again), return_when=asyncio.FIRST_COMPLETED)
        if again.done():
            log.warning("told to end at once signal=%s", again.result())
        again.cancel()
        leaving.cancel()
    finally:
        await pod.stop()
    log.info("member ended name=%s", config.name)
    # Everything was closed in order. What returning would do besides takes seconds with millions of records, may wait for
    # threads of gRPC, and has DuckDB's bindings complain about objects that are never collected (`tune_collector`).
    logging.shutdown()
    os._exit(0)


def _clients_there_is_room_for(clients: ClientSettings) -> ClientSettings:
    possible = open_files.make_room(clients.clients_max)
    if possible < clients.clients_max:
        log.warning("fewer clients: the system allows too few open files clients_max=%d", possible)
    return msgspec.structs.replace(clients, clients_max=possible)


def _import_all() -> None:
    """What is long to import, before anybody counts on this member: the parser of predicates and Arrow's Flight server take most
    of a second each, more where their libraries are read from a disk. A thread that imports holds the interpreter's lock
    for a good part of that, longer than any lease on a busy machine."""
    sql.prepare()
    with contextlib.suppress(ImportError):  # which `FlightPort` meets again, and tells
        flight_port.import_arrow()


def write_run_file(config: NodeConfig, incarnation: str, ports: dict[str, int]) -> None:
    """Who runs here: `<state_dir>/run.json`, and the incarnation alone. Never deleted: they name the dead."""
    folder = Path(config.state_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(folder / "incarnation", incarnation.encode())
    record = {"name": config.name, "grid_id": config.grid_id, "pid": os.getpid(), "incarnation": incarnation, **ports}
    _replace(folder / "run.json", msgspec.json.encode(record))


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


class _Failures:
    """The loop's exception handler: logs, and ends the process when the member's own state may be broken."""

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.error("error in the loop: %s", context.get("message", ""), exc_info=error)
        if error is not None and passed_through(error.__traceback__, FATAL_IN):
            log.critical("member ends: its state is not known any more")
            logging.shutdown()
            os._exit(EXIT_BUG)


class _NotFound(MetaPathFinder):
    """Finds the modules `NOT_FOR_PODS` missing, whatever is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in NOT_FOR_PODS:
            raise ModuleNotFoundError(f"{name} is not for data pods", name=name)


def passed_through(traceback: TracebackType | None, packages: tuple[str, ...]) -> bool:
    """Whether an error's way led through a module of one of `packages`."""
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(packages):
            return True
        traceback = traceback.tb_next
    return False
