"""Runs fragments of SQL statements on this member's rows: the columnar replica, fresh as of the moment of the question.

One fragment: wait for the catalog that it was planned with; build copies of tables that have none; fetch what is missing
of broadcast tables from their owners; then, one fragment at a time (`ColumnarReplica.lock`), take what changed, apply it
and begin a transaction; then run, beside others, in the thread that asked. The answer leaves when the position at which
the changes were taken is confirmed: when `run` returns, it is, and the first rows are there. Everything that can go wrong
before is raised by `run`; after it only time-out, cancellation and memory are left, while the rows are read.

A thread of its own applies changes of tables that are asked often, so that a question finds few, compacts, and drops what
nobody keeps track of any more. Any error on the way to a fresh copy gives the copy up; the next fragment builds it anew.
Next on the path of the data: `columns`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import TableDefinition
from kubegrid.columns.requests import FragmentRequest
from kubegrid.node.sql_capture import Confirmation, SqlCapture
from kubegrid.sql.errors import NotSupported, SqlError, TooMuch, Unavailable
from kubegrid.store.changes import Captured

log = logging.getLogger("kubegrid.node.sql")

WAIT_S = 0.02
"""How often a thread that waits for its turn looks whether it still should."""
ATTEMPTS_MAX = 10
"""Times that a fragment builds or fetches before it gives up: tables change faster than they are read."""

Cancelled = Callable[[], bool]
Fetch = Callable[[int, FragmentRequest, Cancelled], Any]
"""Runs a fragment on the primary of another partition; its rows as a `pyarrow.RecordBatchReader`."""


class Fragments:
    """The member side of SQL. DuckDB is imported when the first fragment comes."""

    def __init__(
        self,
        capture: SqlCapture,
        settings: SqlSettings,
        memory_bytes: int,
        partition: int,
        state_dir: str,
        fetch: Fetch,
    ) -> None:
        """`memory_bytes`: of the member, of which SQL gets a part. `state_dir`: where temporary files may be."""
        from kubegrid.columns.broadcast import Parts
        from kubegrid.columns.replica import ColumnarReplica
        from kubegrid.columns.running import Watch

        self.capture = capture
        self.settings = settings
        self.partition = partition
        self.fetch = fetch
        self.replica = ColumnarReplica(settings, memory_bytes, state_dir)
        self.parts = Parts(self.replica)
        self.watch = Watch()
        self.closed = False
        self._places = threading.Semaphore(settings.fragments_max)
        self._building: dict[int, threading.Lock] = {}
        self._wake = threading.Event()
        self._ripe: set[int] = set()
        self._keeper = threading.Thread(target=self._keep, name="kubegrid-sql-keeper", daemon=True)
        self._keeper.start()
        capture.when_ripe = self._loop_ripe

    # -- what others call -----------------------------------------------------------------------------------------

    def run(self, request: FragmentRequest, cancelled: Cancelled) -> Any:
        """The fragment's rows, as a `pyarrow.RecordBatchReader`. Blocks. Raises sql.errors, here or while it is read.

        A reader that is closed or dropped ends the fragment.
        """
        running = self.watch.begin(min(request.timeout_ms, self.settings.statement_timeout_ms), cancelled)
        try:
            fresh = self._fresh(request, running)
            running.use(fresh.cursor)
            # Only now: who waits for rows of other members must not keep those from running that they wait for.
            self._acquire(self._places.acquire, running)
            running.at_end(self._places.release)
            reader = self._begun(fresh.cursor, request.sql)
            batches = iter(reader)
            first = next(batches, None)
            fresh.confirmed(running.check)
        except BaseException as error:
            running.end()
            if isinstance(error, SqlError) or not isinstance(error, Exception):
                raise
            raise self._explained(error, running) from None
        return self._reader(reader.schema, fresh.marks, first, batches, running)

    def marks(self, tables: Sequence[str], cancelled: Cancelled = lambda: False) -> dict[str, str]:
        """The state of this member's own rows of these tables, confirmed. Raises sql.errors."""
        running = self.watch.begin(self.settings.statement_timeout_ms, cancelled)
        try:
            fresh = self._fresh(FragmentRequest(sql="", tables=list(tables)), running)
            running.use(fresh.cursor)
            fresh.confirmed(running.check)
            return fresh.marks
        except SqlError:
            raise
        except Exception as error:
            raise self._explained(error, running) from None
        finally:
            running.end()

    def drop(self) -> None:
        """Give up every copy, as if it had never been made. Statements that run go on with what they read."""
        with self.replica.lock:
            self._give_up(list(self.replica.copies))
            self.replica.drop_all()
            self.parts.forget_all()

    def close(self) -> None:
        """End whatever runs and give the memory back. May be called twice, from any thread but the loop's."""
        self.closed = True
        self.watch.close()
        self._wake.set()
        self._keeper.join()
        self.replica.close()

    def describe(self) -> list[dict[str, Any]]:
        """The copies that there are: table, rows, dead rows."""
        copies = list(self.replica.copies.values())
        return [{"table": copy.definition.name, "rows": copy.rows, "dead": copy.dead} for copy in copies]

    def statistics(self) -> dict[str, float]:
        """For metrics; from any thread, at once."""
        replica = self.replica
        return {
            "rows": sum([copy.rows for copy in list(replica.copies.values())]),
            "bytes": replica.used_bytes,
            "applied": replica.applied,
            "builds": replica.builds,
        }

    # -- fresh copies ---------------------------------------------------------------------------------------------

    def _fresh(self, request: FragmentRequest, running: Any) -> "_Fresh":
        """A connection in a transaction that sees the request's tables as they are now."""
        names = [*request.tables, *(name for name in request.broadcast if name not in request.tables)]
        if not names:
            return _Fresh(None, self.replica.cursor(), {})
        fetched: list[Any] = []
        for _ in range(ATTEMPTS_MAX):
            unknown, missing, fresh = self._attempt(request, names, fetched, running)
            if fresh is not None:
                return fresh
            for definition, before in unknown:
                self._build(definition, before, running)
            fetched = [self._fetched(request, *each, running) for each in missing]
        raise Unavailable(
            f"the columns of {', '.join(names)} could not be brought up to date: too much changes", remedy="Ask again."
        )

    def _attempt(
        self, request: FragmentRequest, names: list[str], fetched: list[Any], running: Any
    ) -> tuple[list[tuple[TableDefinition, Any]], list[tuple[TableDefinition, int, str]], "_Fresh | None"]:
        """Tables that have no copy, with the copy that they had; parts that are missing, by owner; or what was wanted."""
        replica = self.replica
        self._acquire(replica.lock.acquire, running)
        try:
            taken = self.capture.take(names, request.catalog, request.ids, replica.copies, running.check)
            if taken.unknown:
                return [(definition, replica.copies.get(definition.id)) for definition in taken.unknown], [], None
            broadcast = [definition for definition in taken.definitions if definition.name in request.broadcast]
            self._apply(taken.definitions, broadcast, taken.changes, fetched)
            missing = [
                (definition, owner, wanted)
                for definition in broadcast
                for owner, wanted in self.parts.missing(definition, request.broadcast[definition.name], self.partition)
            ]
            if missing:
                return [], missing, None
            copies = [replica.copies[definition.id] for definition in taken.definitions]
            marks = {copy.definition.name: self._mark_of(copy) for copy in copies}
            return [], [], _Fresh(taken.confirmation, replica.pin(copies), marks)
        finally:
            replica.lock.release()

    def _apply(
        self,
        definitions: Sequence[TableDefinition],
        broadcast: Sequence[TableDefinition],
        changes: Mapping[int, Captured],
        fetched: list[Any],
    ) -> None:
        """Under the lock. What was taken is either in the copies afterwards, or the copies are given up."""
        replica = self.replica
        try:
            for definition in definitions:
                if replica.copies[definition.id].definition != definition:
                    replica.evolve(definition)
            for definition in broadcast:
                replica.work(partial(self.parts.prepare, definition))
            replica.apply(
                [replica.change(number, captured) for number, captured in changes.items()],
                [partial(self.parts.put, part) for part in fetched],
            )
        except BaseException:
            self._give_up(changes)
            for part in fetched:
                self.parts.forget(part.definition.id)
            raise

    def _give_up(self, numbers: Iterable[int]) -> None:
        """Under the lock."""
        for number in list(numbers):
            self.capture.give_up(number)
            self.replica.give_up(number)
            self.parts.forget(number)

    def _build(self, definition: TableDefinition, before: Any, running: Any) -> None:
        """A new copy of a table in the place of `before`, unless another thread has made one meanwhile."""
        replica = self.replica
        number = definition.id
        with self._build_lock(number, running):
            self._acquire(replica.lock.acquire, running)
            try:
                if replica.copies.get(number) is not before:
                    return
                self._give_up([n for n, c in replica.copies.items() if c.definition.name == definition.name])
            finally:
                replica.lock.release()
            begun = time.monotonic()
            try:
                walking = self.capture.walk(definition, running.check)
                copy = replica.build(definition, walking.generation, walking)
            except BaseException as error:
                self.capture.give_up(number)
                if isinstance(error, Exception) and isinstance(running.explained(error), TooMuch):
                    raise _too_large(definition, replica.memory_bytes) from error
                raise
            # Not given up on a time-out from here on: the next statement has use for it.
            with replica.lock:
                replica.enter(copy)
            self._wake.set()  # for the keeper to look at the memory
            log.info("columns built table=%s rows=%d s=%.2f", definition.name, copy.rows, time.monotonic() - begun)

    def _build_lock(self, number: int, running: Any) -> "_Held":
        lock = self._building.setdefault(number, threading.Lock())
        self._acquire(lock.acquire, running)
        return _Held(lock)

    def _acquire(self, acquire: Callable[..., bool], running: Any) -> None:
        while not acquire(timeout=WAIT_S):
            running.check()

    def _mark_of(self, copy: Any) -> str:
        from kubegrid.columns.broadcast import mark_of

        return mark_of(self.capture.incarnation, copy)

    # -- rows that others own -------------------------------------------------------------------------------------

    def _fetched(
        self, request: FragmentRequest, definition: TableDefinition, owner: int, wanted: str, running: Any
    ) -> Any:
        """One owner's rows of a broadcast table, from there."""
        import pyarrow as pa

        from kubegrid.columns.broadcast import Part, marks_in
        from kubegrid.columns.conversion import Conversion
        from kubegrid.columns.database import quoted

        name = definition.name
        asked = FragmentRequest(
            sql=f"SELECT {Conversion(definition).names} FROM {quoted(name)}",
            tables=[name],
            catalog=request.catalog,
            ids={name: definition.id},
            timeout_ms=running.left_ms,
        )
        reader = self.fetch(owner, asked, lambda: running.look())
        batches = []
        size = 0
        for batch in reader:
            running.check()
            size += batch.nbytes
            if size > self.settings.broadcast_bytes_max:
                raise TooMuch(
                    f"broadcast table {name} has more than {self.settings.broadcast_bytes_max} bytes in partition "
                    f"{owner}, the most that a join fetches",
                    remedy="Let it be no broadcast table, or raise broadcast_bytes_max.",
                )
            batches.append(batch)
        mark = marks_in(reader.schema).get(name, "")
        return Part(definition, owner, mark, wanted, pa.Table.from_batches(batches, reader.schema))

    # -- running --------------------------------------------------------------------------------------------------

    def _begun(self, cursor: Any, sql: str) -> Any:
        """DuckDB's reader of the rows of one SELECT."""
        statements = cursor.extract_statements(sql)
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            raise NotSupported("a fragment is one SELECT")
        return cursor.sql(sql).to_arrow_reader(self.settings.batch_rows)

    def _reader(self, schema: Any, marks: dict[str, str], first: Any, rest: Iterator[Any], running: Any) -> Any:
        import pyarrow as pa

        from kubegrid.columns.broadcast import MARKS

        def batches() -> Iterator[Any]:
            try:
                if first is not None:
                    yield first
                for batch in rest:
                    running.check()
                    yield batch
            except SqlError:
                raise
            except Exception as error:
                raise self._explained(error, running) from None
            finally:
                running.end()

        if marks:
            schema = schema.with_metadata((schema.metadata or {}) | {MARKS: msgspec.json.encode(marks)})
        return pa.RecordBatchReader.from_batches(schema, batches())

    def _explained(self, error: Exception, running: Any) -> SqlError:
        from kubegrid.columns.errors import is_fatal, kind_of

        if is_fatal(error):
            log.error("the columnar replica failed and is built anew error=%r", str(error)[:500])
            self._fatal()
        elif not kind_of(error):
            log.error("a fragment failed for no reason that DuckDB gave", exc_info=error)
        return running.explained(error)  # type: ignore[no-any-return]

    def _fatal(self) -> None:
        threading.Thread(target=self.drop, name="kubegrid-sql-drop", daemon=True).start()

    # -- the keeper -----------------------------------------------------------------------------------------------

    def _loop_ripe(self, ripe: list[int]) -> None:
        """Called in the loop."""
        self._ripe.update(ripe)
        self._wake.set()

    def _keep(self) -> None:
        while True:
            self._wake.wait()
            if self.closed:
                return
            self._wake.clear()
            try:
                self._refresh()
                self.replica.compact()
                self.replica.measure()
            except Exception:
                log.exception("keeping columns fresh failed; the next statement builds what is missing")

    def _refresh(self) -> None:
        """Apply what is ripe, and drop the copies of tables that are not kept track of."""
        replica = self.replica
        ripe, self._ripe = self._ripe, set()
        with replica.lock:
            numbers = list(replica.copies)
            kept = self.capture.kept(numbers, self._check)
            self._give_up([number for number in numbers if number not in kept])
            due = [number for number in ripe if number in replica.copies]
            if due:
                changes = self.capture.take_ripe(due, self._check)
                self._give_up([number for number in due if number not in changes])
                self._apply([], [], changes, [])
            if replica.idle():
                replica.drop_all()
                self.parts.forget_all()

    def _check(self) -> None:
        if self.closed:
            raise Unavailable("this member is stopping")


class _Fresh:
    """A connection that sees what was asked for; `marks` of its tables; and whether that may be told yet."""

    def __init__(self, confirmation: Confirmation | None, cursor: Any, marks: dict[str, str]) -> None:
        self._confirmation = confirmation
        self.cursor = cursor
        self.marks = marks

    def confirmed(self, check: Callable[[], None]) -> None:
        """Wait until it may. Raises Unavailable if it never may, and what `check` raises."""
        if self._confirmation is not None:
            self._confirmation.wait(check)


class _Held:
    """A lock that is held already, to be given back at the end of a block."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        return None

    def __exit__(self, *details: object) -> None:
        self._lock.release()


def _too_large(definition: TableDefinition, memory_bytes: int) -> TooMuch:
    return TooMuch(
        f"the columns of table {definition.name} do not fit into the {memory_bytes} bytes that SQL has in a member",
        remedy="Give the members more memory, or the grid more partitions.",
    )
