"""The way in for a statement: text in, rows out. One engine for each data pod, made when the first statement comes.

Every public method is called from many threads at once and blocks until there is something to say; the serving loop
never calls one. A statement has a place among those that run from its first step until its last row is read, or the
result is closed. Next on its way: `execution`.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.columns.database import SpillFolder
from kubegrid.query.admission import Places
from kubegrid.query.binding import Binding
from kubegrid.query.execution import Execution, Means, written_schema
from kubegrid.query.parameter_schema import parameter_schema
from kubegrid.query.partitions import Cancelled, Partitions
from kubegrid.query.preparing import Preparing
from kubegrid.query.querying import Ends, Querying
from kubegrid.query.result import Result
from kubegrid.query.running import Running
from kubegrid.query.workroom import Workroom
from kubegrid.query.writer import Writer
from kubegrid.sql import statements
from kubegrid.sql.errors import TooMuch

CLOSE_WAIT_S = 2.0


def never() -> bool:
    return False


def all_of_it(wanted_bytes: int) -> int:
    return wanted_bytes


@dataclass(frozen=True, slots=True)
class Description:
    """Of a statement that was only prepared."""

    schema: Any
    """`pyarrow.Schema` of its rows."""
    parameters: int
    writes: bool
    """It changes something: its only row is a count, or it has none."""


class Engine:
    """Thread-safe."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        partitions: Partitions,
        writer: Writer,
        settings: SqlSettings,
        granted: Callable[[int], int] = all_of_it,
    ) -> None:
        """`settings.memory_bytes` of 0 is the least that there may be: who knows the member's memory says it. `granted`:
        how much of the memory that is wanted for gathering or for writing the process has; may raise TooMuch."""
        self._settings = settings
        self._spill = SpillFolder(settings.spill_folder, "query")
        self._places = Places(settings.queries_max, settings.queue_max)
        self._binding = Binding(self._spill.path, settings.spill_bytes_max)
        preparing = Preparing(self._binding, partitions, settings)
        querying = Querying(partitions, self._binding, settings, Workroom(settings, self._spill.path, granted))
        self._means = Means(catalog, partitions, writer, settings, preparing, querying, granted)
        self._closed = threading.Event()

    @property
    def running(self) -> int:
        """Statements that have a place."""
        return self._places.taken

    @property
    def waiting(self) -> int:
        return self._places.waiting

    def execute(
        self,
        text: str,
        parameters: Sequence[Any] = (),
        *,
        statement_id: str | None = None,
        again: bool = False,
        timeout_s: float | None = None,
        cancelled: Cancelled = never,
    ) -> Result:
        """Run one statement. Raises sql.errors.SqlError, here or while the result's batches are read.

        `parameters` are Python values for `?` and `$1`. `statement_id`: 32 hexadecimal digits chosen by the client, by
        which a writing statement that comes again is not done twice; `again`: it may have come before.
        `timeout_s` shortens the pod's own limit.
        """
        if len(parameters) > self._settings.parameters_max:
            raise TooMuch(
                f"{len(parameters)} parameters; {self._settings.parameters_max} are the most",
                remedy="Write many rows with kubegrid load, or with write() of the client.",
            )
        limit_ms = self._settings.statement_timeout_ms
        timeout_ms = limit_ms if timeout_s is None else min(limit_ms, max(1, int(timeout_s * 1000)))
        running = Running(timeout_ms, lambda: cancelled() or self._closed.is_set())
        self._places.enter(running)
        ends: Ends = [self._places.leave]
        try:
            statement = self._means.preparing.statement(text)
            return Execution(self._means, parameters, running, ends).run(statement, statement_id, again)
        except BaseException:
            running.stop()
            while ends:
                ends.pop()()
            raise

    def describe(self, text: str, parameters: Sequence[Any] = ()) -> Description:
        """What a prepared statement will answer and how many parameters it takes. Names and types of its columns may hang on
        the values of `parameters`, so an answer to these is described with them. Raises sql.errors.SqlError."""
        means = self._means
        statement = means.preparing.statement(text)
        values = parameters or [None] * statement.parameters
        if statement.kind == statements.QUERY:
            running = Running(self._settings.statement_timeout_ms, self._closed.is_set)
            prepared = means.preparing.query(statement, values, means.catalog(), running)
            return Description(prepared.schema, statement.parameters, False)
        if statement.kind in (statements.SHOW, statements.DESCRIBE, statements.EXPLAIN):
            schema = self._binding.schema(Execution.columns_told(statement, means.catalog()))
            return Description(schema, statement.parameters, False)
        return Description(written_schema(statement.kind), statement.parameters, True)

    def parameters(self, text: str) -> Any:
        """`pyarrow.Schema` of a statement's parameters, as its text suggests it. Raises sql.errors.SqlError."""
        statement = self._means.preparing.statement(text)
        running = Running(self._settings.statement_timeout_ms, self._closed.is_set)
        return parameter_schema(statement, self._means.catalog(), self._binding, running)

    def close(self) -> None:
        """End what runs and give the memory back. Blocks until what runs has ended, for `CLOSE_WAIT_S` at most: a result
        that somebody holds and does not read ends when he reads on."""
        self._closed.set()
        self._places.wait_empty(CLOSE_WAIT_S)
        self._means.querying.close()
        self._binding.close()
        self._spill.remove()
