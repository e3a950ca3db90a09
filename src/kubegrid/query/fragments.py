"""Asking one partition for one fragment, until it has answered whole.

A partition whose primary died, moved or was deposed says Unavailable; the fragment is then asked again from its start,
of whoever is primary by then, until the statement's time is over. Rows that came before the failure are thrown away: a
fragment's rows count only when its stream has come to its end.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from kubegrid.base.tables import Catalog
from kubegrid.columns.broadcast import marks_in
from kubegrid.columns.requests import FragmentRequest
from kubegrid.query.duck_errors import sql_error
from kubegrid.query.lanes import Task
from kubegrid.query.partitions import Partitions
from kubegrid.query.running import Running
from kubegrid.query.trace import Asked
from kubegrid.sql import plans
from kubegrid.sql.errors import Cancelled, SqlError, TimedOut, Unavailable
from kubegrid.sql.plans import Fragment

PAUSE_FIRST_S = 0.01
PAUSE_MAX_S = 0.25

NO_ROWS = "SELECT 1 WHERE false"
"""Asks a partition for nothing but the marks of the tables that are named beside it."""

Marks = Mapping[str, dict[int, str]]
"""Broadcast table → partition → mark."""
T = TypeVar("T")


def until_available(partition: int, attempt: Callable[[], T], running: Running) -> T:
    """What `attempt` returns, as soon as it does not raise Unavailable any more."""
    pause = PAUSE_FIRST_S
    while True:
        running.check()
        try:
            return attempt()
        except Unavailable as error:
            last = error
        except (Cancelled, TimedOut) as error:
            # One that was cancelled because the time is over does not know that, and none knows what the others do.
            if isinstance(error, TimedOut) or running.late():
                raise TimedOut(
                    f"the statement took longer than the {running.timeout_ms} ms it had; partition {partition} had not "
                    f"answered: {error.message}",
                    remedy="Ask again, for less or with more time. The first statement after a load or a start waits until "
                    "members have made columns of its tables, which goes on when it ends.",
                ) from error
            running.check()
            raise
        try:
            running.pause(pause)
        except TimedOut:
            raise Unavailable(
                f"partition {partition} did not answer within the statement's {running.timeout_ms} ms: {last.message}",
                remedy="Ask again; `kubegrid status` says which partitions have a primary.",
            ) from last
        pause = min(pause * 2, PAUSE_MAX_S)


def ask(
    partitions: Partitions,
    fragment: Fragment,
    catalog: Catalog,
    marks: Marks,
    asked: Asked,
    take: Callable[[Any, Iterator[Any]], T],
    running: Running,
) -> T:
    """What `take` makes of the schema of the fragment's rows and their batches.

    It is called anew when the partition fails while it runs. Batches that it leaves for later fail for good.
    """

    def attempt() -> T:
        asked.attempts += 1
        asked.rows = asked.bytes = 0
        reader = partitions.run(asked.partition, _request(fragment, catalog, marks, running), running.over)
        try:
            return take(reader.schema, _counted(reader, running, asked))
        except BaseException:
            reader.close()
            raise

    return until_available(asked.partition, attempt, running)


def ask_marks(
    partitions: Partitions, tables: Sequence[str], catalog: Catalog, running: Running
) -> tuple[list[Task], Marks]:
    """Tasks that ask each partition for the state of its rows of these tables, and where they will have put it.

    By a fragment, which has as long as any other: it is the first that needs these tables, so it may have to wait until
    their copies are made, for which a member looks through all that it has.
    """
    found: dict[str, dict[int, str]] = {table: {} for table in tables}
    fragment = Fragment("marks", NO_ROWS, None, tuple(tables), (), "marks")

    def told(schema: Any, batches: Iterator[Any]) -> Mapping[str, str]:
        for _ in batches:
            pass
        return marks_in(schema)

    def task(partition: int) -> Task:
        def put() -> None:
            there = ask(partitions, fragment, catalog, {}, Asked(fragment.name, partition), told, running)
            for table in tables:
                found[table][partition] = there[table]

        return put

    return [task(partition) for partition in range(partitions.count)], found


def _request(fragment: Fragment, catalog: Catalog, marks: Marks, running: Running) -> FragmentRequest:
    return FragmentRequest(
        sql=fragment.sql,
        tables=list(fragment.tables),
        broadcast={table: marks[table] for table in fragment.broadcast},
        catalog=catalog.version,
        ids={name: catalog.table(name).id for name in {*fragment.tables, *fragment.broadcast}},
        keys=None if fragment.keys is None else {table: list(keys) for table, keys in fragment.keys.items()},
        record_columns=None if fragment.record_columns is None else list(fragment.record_columns),
        groups=fragment.kind == plans.AGGREGATE,
        timeout_ms=running.left_ms(),
    )


def _counted(reader: Any, running: Running, asked: Asked) -> Iterator[Any]:
    """Its batches; the reader is closed when they end, whatever for."""
    try:
        for batch in reader:
            running.check()
            asked.rows += batch.num_rows
            asked.bytes += batch.nbytes
            yield batch
    except Cancelled:
        running.check()
        raise
    except SqlError:
        raise
    except Exception as error:
        running.check()
        raise sql_error(error) from error
    finally:
        asked.seconds = time.monotonic() - asked.begun_s
        reader.close()
