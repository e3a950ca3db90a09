"""Runs fragments of SQL statements on this member's rows: the columnar replica, fresh as of the moment of the question.

Copies of the fragment's tables are brought up to date and seen by a transaction (`sql_copies`); if that is any work, and it
names all records that it needs, these are looked up instead (`columns.looked_up`). Then the fragment runs, beside others, in
the thread that asked; columns of one record as they are need no running. The answer leaves when the position at which the
changes were taken is confirmed: when `run` returns, it is, and the first rows are there. Everything that can go wrong before
is raised by `run`; after it only time-out, cancellation and memory are left, while the rows are read.

DuckDB is imported when the first fragment comes. Next on the path of the data: `sql_copies`.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from kubegrid.base.settings import SqlSettings
from kubegrid.columns.dense_groups import DenseGroups
from kubegrid.columns.errors import is_fatal, kind_of
from kubegrid.columns.looked_up import plain_columns, put_in_place
from kubegrid.columns.reading import Rows, begin, bound
from kubegrid.columns.replica import ColumnarReplica
from kubegrid.columns.requests import FragmentRequest
from kubegrid.columns.room import Room
from kubegrid.columns.running import Running, Watch
from kubegrid.node.sql_capture import SqlCapture
from kubegrid.node.sql_copies import Fetch, Fresh, FreshCopies, acquire
from kubegrid.node.sql_keeper import Keeper
from kubegrid.sql.errors import SqlError

log = logging.getLogger("kubegrid.node.sql")

Cancelled = Callable[[], bool]


class Fragments:
    """The member side of SQL."""

    def __init__(
        self,
        capture: SqlCapture,
        settings: SqlSettings,
        memory_bytes: int,
        partition: int,
        state_dir: str,
        fetch: Fetch,
        room: Room | None = None,
    ) -> None:
        """`memory_bytes`: of the member, of which SQL gets a part. `state_dir`: where temporary files may be.

        `room`: of a process that is the member and nothing else, so that SQL can go by its size, too.
        """
        self.settings = settings
        self.replica = ColumnarReplica(settings, memory_bytes, state_dir, room)
        self.copies = FreshCopies(capture, self.replica, settings, partition, fetch)
        self.keeper = Keeper(self.copies)
        self.watch = Watch()
        self._places = threading.Semaphore(settings.fragments_max)
        self._dense_groups = DenseGroups(memory_bytes, settings.threads)

    def run(self, request: FragmentRequest, cancelled: Cancelled) -> Any:
        """The fragment's rows, as a `pyarrow.RecordBatchReader`. Blocks. Raises sql.errors, here or while it is read.

        A reader that is dropped ends the fragment.
        """
        running = self.watch.begin(min(request.timeout_ms, self.settings.statement_timeout_ms), cancelled)
        try:
            if request.keys and request.record_columns is not None:
                return self._told(request.keys, request.record_columns, request, running)
            if request.keys and not self.copies.at_hand(request):
                fresh = self._looked_up(request.keys, request, running)
            else:
                fresh = self.copies.fresh(request, running)
            running.use(fresh.cursor)
            # Only now: who waits for rows of other members must not keep those from running that they wait for.
            acquire(self._places, running)
            running.at_end(self._places.release)
            relation = bound(fresh.cursor, request.sql)
            if request.groups:
                copies = [self.replica.copies.get(number) for number in request.ids.values()]
                count = sum([copy.rows for copy in copies if copy is not None])
                self._dense_groups.allow(running, fresh.cursor, count, len(relation.columns))
            reader = begin(relation, self.settings.batch_rows)
            rows = Rows(reader, running, lambda error: self._explained(error, running))
            rows.begin()
            fresh.confirmed(running.check)
        except BaseException as error:
            explained = self._explained(error, running) if isinstance(error, Exception) else error
            running.end()
            raise explained from None
        return rows.reader(fresh.marks)

    def _looked_up(self, keys: Mapping[str, list[bytes]], request: FragmentRequest, running: Running) -> Fresh:
        """A connection that sees the records with these keys, and no copies of tables."""
        found, confirmation = self.copies.capture.look_up(keys, request.catalog, request.ids, running.check)
        cursor = self.replica.cursor()
        try:
            put_in_place(cursor, found)
        except BaseException:
            cursor.close()
            raise
        return Fresh(cursor, {}, confirmation)

    def _told(
        self, keys: Mapping[str, list[bytes]], columns: list[str], request: FragmentRequest, running: Running
    ) -> Any:
        """The records of one table with these keys, as they are; the member's DuckDB is not asked."""
        found, confirmation = self.copies.capture.look_up(keys, request.catalog, request.ids, running.check)
        ((definition, records),) = found
        batch = plain_columns(definition, columns, records)
        confirmation.wait(running.check)
        running.end()
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])

    @property
    def at_work(self) -> bool:
        """Whether there is something in memory, or about to be."""
        return bool(self.replica.copies) or len(self.watch) > 0

    def drop(self) -> None:
        """Give up every copy, as if it had never been made. Statements that run go on with what they read."""
        with self.replica.lock:
            self.copies.drop_all()

    def close(self) -> None:
        """End whatever runs and give the memory back. May be called twice, from any thread."""
        self.watch.close()
        self.copies.buildings.close()
        self.keeper.close()
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

    def _explained(self, error: Exception, running: Running) -> SqlError:
        if isinstance(error, SqlError):
            return error
        if is_fatal(error):
            log.error("the columnar replica failed and is built anew error=%r", str(error)[:500])
            threading.Thread(target=self.drop, name="kubegrid-sql-drop", daemon=True).start()
        elif not kind_of(error):
            log.error("a fragment failed for no reason that DuckDB gave", exc_info=error)
        return running.explained(error)
