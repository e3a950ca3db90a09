"""The coordinator inside a single manager: values in memory, durable in a `Database` before any answer (R5).

Compare-and-swaps are checked on the loop, in the order of their coming, and written by one thread; what comes while it
writes goes with the next commit, so that one sync of the disk serves them all. Nobody sees a value before it is durable.

Its states: `new` (may begin, once), `ok`, `failing` (the disk does not take writes; reads are true; it recovers by
itself) and `lost` (it neither reads nor writes, and never begins anew by itself: `rebuild` is a person's decision).
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from kubegrid.coordination.coordinator import (
    CasResult,
    CoordinatorError,
    CoordinatorUnavailable,
    DataLost,
    Outcome,
    StorageFailing,
    Versioned,
)
from kubegrid.coordination.database import Database
from kubegrid.coordination.marker import Found, Issued, Marker, judge

log = logging.getLogger("kubegrid.coordination")

PENDING_MAX = 4096
"""Compare-and-swaps waiting for the disk; more are not taken."""
DATABASE_NAME = "coordinator.db"

_Pending = tuple[str, bytes, int | None, "asyncio.Future[CasResult]"]


class EmbeddedCoordinator:
    """Invariant: what `read` answers is durable, and is the newest that any answer has ever told."""

    def __init__(self, directory: Path, grid: str) -> None:
        self.directory = directory
        self.grid = grid
        self.state = "lost"
        self.reason = "not opened"
        self.writes = 0
        self.commits = 0
        self.slowest_commit_ms = 0.0
        self.known_exactly = False
        """The memory holds the newest data although the file does not: it was lost under this process."""
        self._database: Database | None = None
        self._marker = Marker(directory)
        self._watches: list[tuple[str, Callable[[str], None]]] = []
        self._pending: list[_Pending] = []
        self._flusher: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="coordinator")

    # -- beginning and end ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find out what is there. Never raises for bad data: see `state` and `reason`."""
        await self._in_thread(self._open)
        log.log(
            logging.INFO if self.state in ("ok", "new") else logging.ERROR,
            "coordinator %s: %s",
            self.state,
            self.reason,
        )

    def _open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / DATABASE_NAME
        database: Database | None = None
        try:
            with contextlib.suppress(FileNotFoundError):
                database = Database.open(path)
        except DataLost as error:
            self._lose(str(error), persist=self._marker.issued() is not None)
            return
        except StorageFailing as error:
            self.state, self.reason = "failing", str(error)
            return
        found = Found(
            grid=self.grid,
            permission=self._marker.permission(),
            issued=self._marker.issued(),
            database_exists=database is not None,
            database=database.id if database else "",
            database_grid=database.grid if database else "",
            revision=database.revision if database else 0,
            answered=self._marker.answered(),
        )
        verdict = judge(found)
        if verdict == "new":
            self.state, self.reason = "new", "a new grid, which has not begun"
        elif verdict == "whole":
            assert database is not None
            self._database = database
            try:
                if found.issued is None:
                    self._marker.write(Issued(self.grid, database.id))
                self._marker.set_answered(database.revision)
                if found.permission is not None:
                    self._marker.use_permission()
            except OSError as error:
                log.warning("cannot write beside %s: %s", path, error)
            self.state, self.reason = "ok", f"revision {database.revision}"
        else:
            if database is not None:
                database.close()
            self._lose(verdict, persist=found.issued is not None and found.issued.grid == self.grid)

    async def begin(self, values: dict[str, bytes]) -> None:
        """Store the first values of a new grid, or all values of a rebuilt one. Raises StorageFailing."""
        if self.state == "ok":
            raise CoordinatorError("there are data already")
        await self._in_thread(self._begin, values)
        for key in values:
            self._changed(key)

    def _begin(self, values: dict[str, bytes]) -> None:
        path = self.directory / DATABASE_NAME
        if self._database is not None:
            self._database.close()
        if path.exists():
            aside = path.with_name(f"{DATABASE_NAME}.lost-{time.time_ns()}")
            for end in ("-wal", ""):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{path}{end}", f"{aside}{end}")
        # Revisions are tokens: they must not repeat those of a database that is gone.
        last = max(self._marker.answered(), self._database.revision if self._database else 0)
        revision = max(time.time_ns() // 1_000_000, last + 1_000_000)
        database = Database.create(path, str(uuid4()), self.grid, revision, values)
        try:
            self._marker.write(Issued(self.grid, database.id))
            self._marker.set_answered(database.revision)
            self._marker.use_permission()
        except OSError as error:
            database.close()
            raise StorageFailing(f"cannot write beside {path}: {error}") from error
        self._database = database
        self.known_exactly = False
        self.state, self.reason = "ok", f"revision {database.revision}"

    async def close(self) -> None:
        """Finish what is being written, and close the file."""
        if self._flusher is not None:
            await asyncio.wait([self._flusher], timeout=10)
        if self._database is not None:
            await self._in_thread(self._database.close)
        self._marker.close()
        self._thread.shutdown(wait=False)

    # -- the three calls -----------------------------------------------------------------------------------------

    async def read(self, key: str) -> Versioned | None:
        return self.value(key)

    def value(self, key: str) -> Versioned | None:
        """`read` for those who are in the same process. Raises DataLost, CoordinatorUnavailable."""
        if self.state == "lost":
            raise DataLost(self.reason)
        if self._database is None:
            raise CoordinatorUnavailable(self.reason)
        return self._database.entries.get(key)

    def values(self, prefix: str) -> dict[str, bytes]:
        """Everything under a prefix, also what the memory still holds after a loss (see `known_exactly`)."""
        if self._database is None:
            return {}
        return {key: entry.value for key, entry in self._database.entries.items() if key.startswith(prefix)}

    async def compare_and_swap(self, key: str, value: bytes, token: int | None) -> CasResult:
        """Raises DataLost, StorageFailing, CoordinatorUnavailable; UNKNOWN is for those who ask from afar."""
        self.value(key)
        if len(self._pending) >= PENDING_MAX:
            raise StorageFailing("too many changes wait for the disk")
        answer: asyncio.Future[CasResult] = asyncio.get_running_loop().create_future()
        self._pending.append((key, value, token or None, answer))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return await answer

    def watch(self, prefix: str, callback: Callable[[str], None]) -> None:
        self._watches.append((prefix, callback))

    def unwatch(self, callback: Callable[[str], None]) -> None:
        self._watches = [(prefix, known) for prefix, known in self._watches if known != callback]

    @property
    def comparable(self) -> bool:
        """Whether its data can be held against what others know: not while they cannot be read, or are lost."""
        return self.state != "lost" and (self._database is not None or self.state == "new")

    # -- guarding ------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Look whether the file is still ours; called now and then. After it `state` tells."""
        database = self._database
        if database is None:
            if self.state == "failing":
                await self._in_thread(self._open)
            return
        if self.state == "lost":
            return
        try:
            if self.state == "failing":
                await self._in_thread(database.commit, {})  # nothing new: does the disk take it again?
                self.state, self.reason = "ok", f"revision {database.revision}"
            else:
                await self._in_thread(database.check)
        except DataLost as error:
            self._lose(str(error), exactly=True)
        except StorageFailing as error:
            self.state, self.reason = "failing", str(error)

    def lose(self, reason: str) -> None:
        """Somebody knows better than the data: they are an older copy, or another's (R5)."""
        if self.state != "lost":
            self._lose(reason)

    def _lose(self, reason: str, *, exactly: bool = False, persist: bool = True) -> None:
        self.state, self.reason, self.known_exactly = "lost", reason, exactly
        log.error(
            "the coordinator lost its data: %s; `kubegrid manager rebuild` makes them anew from the members", reason
        )
        if persist:
            issued = self._marker.issued()
            known = issued.database if issued else ""
            try:
                self._marker.write(Issued(self.grid, known, reason))
            except OSError as error:
                log.error("cannot note the loss: %s", error)

    # -- writing -------------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            await self._write(batch)
        self._flusher = None

    async def _write(self, batch: list[_Pending]) -> None:
        """Decide a batch in order, write what applies in one commit, then answer all of it."""
        database = self._database
        assert database is not None
        staged: dict[str, bytes] = {}
        applied: list[tuple[str, asyncio.Future[CasResult]]] = []
        later: list[_Pending] = []
        for pending in batch:
            key, value, token, answer = pending
            if key in staged:
                later.append(pending)  # it has to see what this commit makes of the key
                continue
            current = database.entries.get(key)
            if (current.token if current else None) != token:
                _answer(answer, CasResult(Outcome.CONFLICT, current))
                continue
            staged[key] = value
            applied.append((key, answer))
        self._pending = later + self._pending
        if not staged:
            return
        begun = time.perf_counter()
        try:
            if self.state == "lost":
                raise DataLost(self.reason)
            await self._in_thread(database.commit, staged)
            self._marker.set_answered(database.revision)
        except Exception as error:
            if isinstance(error, DataLost):
                self._lose(str(error), exactly=True)
            elif isinstance(error, StorageFailing):
                if self.state != "failing":
                    log.error("the coordinator's disk does not take writes: %s", error)
                self.state, self.reason = "failing", str(error)
            else:
                log.exception("the coordinator could not write")
                error = StorageFailing(f"unexpected: {error!r}", outcome_known=False)
            for key, answer in applied:
                if not answer.done():
                    answer.set_exception(error)
                self._changed(key)  # it may be there nevertheless
            return
        self.commits += 1
        self.writes += len(applied)
        self.slowest_commit_ms = max(self.slowest_commit_ms, (time.perf_counter() - begun) * 1000)
        self.state, self.reason = "ok", f"revision {database.revision}"
        for key, answer in applied:
            _answer(answer, CasResult(Outcome.APPLIED, database.entries[key]))
            self._changed(key)

    def _changed(self, key: str) -> None:
        for prefix, callback in list(self._watches):
            if key.startswith(prefix):
                callback(key)

    async def _in_thread(self, function: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _answer(answer: "asyncio.Future[CasResult]", result: CasResult) -> None:
    if not answer.done():
        answer.set_result(result)
