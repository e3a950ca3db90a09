"""The supervisor with real processes (small stand-ins of the grid's) and real signals."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from kubegrid.base import manifest
from kubegrid.runtime import preparation, processes
from kubegrid.runtime.errors import BusyError, DifferentGridError, PortsTakenError
from kubegrid.runtime.folder import Folder
from kubegrid.runtime.plan import Limits
from kubegrid.runtime.preparation import Prepared, Request
from kubegrid.runtime.state import Kind
from kubegrid.runtime.supervisor import Event, Supervisor

CHILD = str(Path(__file__).with_name("child.py"))
STOP_MS = 20_000
"""For who does as it is told; a busy machine may need some of it."""
STUBBORN_STOP_MS = 1500
PATIENCE_S = 60.0


def command(kind: Kind, config: str) -> list[str]:
    return [sys.executable, CHILD, "node" if kind is Kind.MEMBER else "manager", "--config", config]


def free_port() -> int:
    """A base port whose neighbours, and those a thousand above, are free as well."""
    for port in range(21_000 + os.getpid() % 500 * 20, 60_000, 20):
        with socket.socket() as first, socket.socket() as last:
            try:
                first.bind(("127.0.0.1", port))
                last.bind(("127.0.0.1", port + preparation.ports.MANAGER_OFFSET))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """In a long path with a space; whatever runs there is killed at the end."""
    folder = Folder(tmp_path / "a folder with spaces" / ("x" * 120))
    yield folder
    for process in psutil.process_iter():
        try:
            if any(str(folder.root) in word for word in process.cmdline()):
                process.kill()
        except psutil.Error:
            continue


def prepare(folder: Folder, **options: int) -> Prepared:
    """Takes the supervisor's lock for the moment only: the tests run in one process."""
    lock = preparation.lock_folder(folder)
    try:
        declared = manifest.parse("", options={"partitions": 1, **options}, name="test")
        port = None if folder.grid.exists() else free_port()
        return preparation.prepare(folder, Request(declared, port=port))
    finally:
        lock.release()


class Running:
    def __init__(self, supervisor: Supervisor, events: list[Event], task: "asyncio.Task[None]") -> None:
        self.supervisor = supervisor
        self.events = events
        self.task = task

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                assert not self.task.done() or condition(), f"{what}: the supervisor ended: {self.events}"
                await asyncio.sleep(0.02)

    async def ready(self) -> "Running":
        await self.until(lambda: "ready" in self.kinds(), "ready")
        return self

    async def stopped(self) -> None:
        self.supervisor.stop()
        await asyncio.wait_for(self.task, PATIENCE_S)


@asynccontextmanager
async def supervised(folder: Folder, prepared: Prepared, stop_ms: int = STOP_MS) -> AsyncIterator[Running]:
    """Without an orderly end: leaving the block is what SIGKILL of the supervisor is to its processes."""
    events: list[Event] = []
    limits = Limits(backoff_first_ms=50, stop_ms=stop_ms, closing_ms=10_000)
    supervisor = Supervisor(folder, prepared.grid, None, events.append, limits=limits, command=command)
    task = asyncio.ensure_future(supervisor.run())
    try:
        yield Running(supervisor, events, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def pids(folder: Folder, prepared: Prepared) -> dict[str, int | None]:
    return {name: processes.pid_of(name, folder) for name in prepared.grid.names}


def told(folder: Folder) -> list[list[object]]:
    path = folder.data("m0") / "told.json"
    return json.loads(path.read_text()) if path.exists() else []  # type: ignore[no-any-return]


async def test_starts_everything_and_takes_it_down_in_order(folder: Folder) -> None:
    prepared = prepare(folder)
    async with supervised(folder, prepared) as running:
        await running.ready()
        assert None not in pids(folder, prepared).values()
        await running.until(lambda: len(list(folder.root.glob("data/p*/incarnation"))) == 2, "both members have begun")
        await running.stopped()
    assert set(pids(folder, prepared).values()) == {None}
    paths = [path for path, _ in told(folder)]
    assert paths == ["/v1/grid/closing", "/v1/members/dead", "/v1/members/dead"]
    assert [body["name"] for path, body in told(folder)[1:]] == ["p0-1", "p0-0"]  # type: ignore[index]
    assert prepare(folder).memory_ended


async def test_a_process_that_ends_is_started_again_and_its_death_is_reported(folder: Folder) -> None:
    prepared = prepare(folder)
    async with supervised(folder, prepared) as running:
        await running.ready()
        first = pids(folder, prepared)["p0-0"]
        await running.until((folder.data("p0-0") / "incarnation").exists, "the member has begun")
        incarnation = (folder.data("p0-0") / "incarnation").read_text()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await running.until(lambda: pids(folder, prepared)["p0-0"] not in (None, first), "a new process")
        await running.until(lambda: bool(told(folder)), "the report")
        assert told(folder) == [["/v1/members/dead", {"name": "p0-0", "incarnation": incarnation}]]
        await running.stopped()


async def test_a_new_supervisor_adopts_what_runs_and_starts_only_what_does_not(folder: Folder) -> None:
    prepared = prepare(folder)
    async with supervised(folder, prepared) as running:
        await running.ready()
    before = pids(folder, prepared)
    assert before["p0-1"] is not None
    os.kill(before["p0-1"], signal.SIGKILL)
    psutil.Process(before["p0-1"]).wait(PATIENCE_S)
    again = prepare(folder)
    assert again.running == ["m0", "p0-0"]
    async with supervised(folder, again) as running:
        await running.until(lambda: pids(folder, prepared)["p0-1"] not in (None, before["p0-1"]), "the missing one")
        await running.ready()
        after = pids(folder, prepared)
        assert {name: after[name] for name in ("m0", "p0-0")} == {name: before[name] for name in ("m0", "p0-0")}
        await running.stopped()


async def test_a_process_without_a_record_is_found_by_its_arguments(folder: Folder) -> None:
    """The supervisor was killed between starting a process and writing down its pid."""
    prepared = prepare(folder)
    async with supervised(folder, prepared) as running:
        await running.ready()
        before = pids(folder, prepared)
    folder.run("p0-0").unlink()
    found = processes.find("p0-0", Kind.MEMBER, folder, command)
    assert found is not None and found.pid == before["p0-0"] and found.is_alive()
    with pytest.raises(BusyError):
        processes.start("p0-0", Kind.MEMBER, folder, command)


async def test_who_ignores_sigterm_is_killed_after_the_time_limit_and_it_is_said(folder: Folder) -> None:
    prepared = prepare(folder)
    (folder.data("p0-1") / "misbehave").write_text("stubborn")
    async with supervised(folder, prepared, STUBBORN_STOP_MS) as running:
        await running.ready()
        await running.until((folder.data("p0-1") / "incarnation").exists, "the member ignores signals")
        await running.stopped()
        assert any("p0-1 did not stop within 1.5 s: killing it" in event.text for event in running.events)
    assert set(pids(folder, prepared).values()) == {None}


async def test_a_start_that_cannot_succeed_fails_with_the_log_and_stops_what_it_started(folder: Folder) -> None:
    prepared = prepare(folder)
    (folder.data("m0") / "misbehave").write_text("crash")
    async with supervised(folder, prepared) as running:
        await asyncio.wait_for(running.task, PATIENCE_S)
        failure = next(event for event in running.events if event.kind == "failed")
        assert "m0 ended 4 times" in failure.text and "told to crash" in failure.text
        assert running.supervisor.exit_status == 1
    assert set(pids(folder, prepared).values()) == {None}


async def test_a_start_that_fails_on_a_full_disk_says_that_it_is_full(folder: Folder) -> None:
    """/dev/full answers every write as a full disk does."""
    prepared = prepare(folder)
    (folder.data("m0") / "misbehave").write_text("crash silently")
    (folder.root / "run" / "room.partial").symlink_to("/dev/full")
    async with supervised(folder, prepared) as running:
        await asyncio.wait_for(running.task, PATIENCE_S)
        failure = next(event for event in running.events if event.kind == "failed")
        assert failure.text.startswith("the disk is full: ")
        assert failure.text.endswith("m0 ended 4 times in a row. Its log is empty.")
        assert "Free some space" in failure.remedy


async def test_everything_stopped_and_continued_starts_nothing_twice_and_kills_nobody(folder: Folder) -> None:
    prepared = prepare(folder)
    async with supervised(folder, prepared) as running:
        await running.ready()
        before = pids(folder, prepared)
        for pid in before.values():
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(1.0)
        for pid in before.values():
            assert pid is not None
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.5)
        assert pids(folder, prepared) == before
        await running.stopped()


async def test_a_folder_with_running_processes_is_neither_thrown_away_nor_reshaped(folder: Folder) -> None:
    prepared = prepare(folder)
    async with supervised(folder, prepared) as running:
        await running.ready()
        fresh = Request(manifest.parse("", options={"partitions": 1}, name="test"), fresh=True)
        with pytest.raises(BusyError, match="still runs"):
            preparation.prepare(folder, fresh)
        with pytest.raises(DifferentGridError, match="backups is 1, not 2"):
            prepare(folder, backups=2)
        with pytest.raises(DifferentGridError, match="port is"):
            preparation.prepare(folder, Request(manifest.parse("", options={"partitions": 1}, name="test"), port=9000))
        await running.stopped()


def test_a_taken_port_is_refused_before_anything_starts_and_the_holder_is_named(folder: Folder) -> None:
    port = free_port()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port + 1))
        squatter.listen()
        request = Request(manifest.parse("", options={"partitions": 1}, name="test"), port=port)
        with pytest.raises(PortsTakenError) as raised:
            preparation.prepare(folder, request)
    assert f"port {port + 1} (for p0-1's clients) is taken by process {os.getpid()}" in str(raised.value)
    assert "--port" in raised.value.remedy
    assert not folder.grid.exists()


def test_a_second_supervisor_is_refused(folder: Folder) -> None:
    lock = preparation.lock_folder(folder)
    with pytest.raises(BusyError):
        preparation.lock_folder(folder)
    lock.release()
    preparation.lock_folder(folder).release()
