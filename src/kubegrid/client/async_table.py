"""A table through the async client: the methods of `table`, each answering with an awaitable.

**Hot path**: `read` and `write` of one record put their request on its way at once; gather a thousand of them.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar, overload

from kubegrid.base.tables import TableDefinition
from kubegrid.client import arguments, table_steps
from kubegrid.client.async_backups import read_on_backup
from kubegrid.client.async_caller import AsyncCaller
from kubegrid.client.errors import SchemaChangedError
from kubegrid.client.routes import Routes
from kubegrid.client.sql_thread import in_thread
from kubegrid.client.table import ANYTHING, take_deadline
from kubegrid.client.table_plan import TablePlan, Versioned, mode

R = TypeVar("R")
T = TypeVar("T")


async def run(caller: AsyncCaller, steps: "table_steps.Steps[T]", deadline: float | None = None) -> T:
    """Lead a conversation to its end."""
    try:
        requests = next(steps)
        while True:
            requests = steps.send(await caller.run(requests, deadline))
    except StopIteration as end:
        result: T = end.value
        return result


class AsyncTable(Generic[R]):
    """The records of one table. A key is the value of the key column, or a tuple of values where there are several."""

    def __init__(self, caller: AsyncCaller, plan: TablePlan[R]) -> None:
        self.plan = plan
        self.routes: Routes = caller.routes
        self._caller = caller

    @property
    def name(self) -> str:
        return self.plan.definition.name

    @property
    def definition(self) -> TableDefinition:
        """Columns, key, indexes, as the client knows them now."""
        return self.plan.definition

    # -- writing -----------------------------------------------------------------------------------------------------

    async def write(self, record: R, *, on_duplicate: str = "replace") -> int:
        """Write one record; its version, or 0 when `on_duplicate="keep"` kept another. With "fail": RecordExistsError."""
        request = self.plan.write(record, on_duplicate)
        try:
            reply = await self._caller.submit(request.args, request.slot, True)
        except SchemaChangedError:
            steps = table_steps.single(self, lambda plan: plan.write(record, on_duplicate))
            reply = await run(self._caller, steps)
        version: int = reply[0]
        return version

    async def write_many(self, records: Iterable[R], *, on_duplicate: str = "replace") -> int:
        """Write any number of records, in batches on their way together; how many were written.

        A batch is written whole or not at all; batches are independent. PartlyDoneError tells which records were not.
        """
        return await run(self._caller, table_steps.write_many(self, records, on_duplicate))

    async def write_arrow(self, rows: Any, *, on_duplicate: str = "replace") -> int:
        """Write rows that are Arrow's already, column by column and without an object for each; how many were written.

        `rows`: a pyarrow Table, RecordBatch or RecordBatchReader, or what gives Arrow (`__arrow_c_stream__`: data frames of
        pandas and polars, relations of DuckDB). Columns are found by name; those that are missing have their default. Large
        batches are on their way together, each written whole or not at all, and asked again for a minute at most, unless a
        `deadline` is nearer. BadValueError names the row that does not fit; PartlyDoneError says how many were `done`, which is
        all of them unless its `outcome` is UNKNOWN. Rows have keys: with "replace" or "keep" all of it may be written again.
        It happens in a thread, on connections of its own, and goes on there when it is cancelled.
        """
        from kubegrid.client.bulk import tables

        chosen = mode(on_duplicate).decode()
        await run(self._caller, table_steps.renew(self))
        seeds, options, definition = self.routes.addresses(), self._caller.options, self.definition
        run_here = contextvars.copy_context().run  # a deadline that was set holds in the thread, too
        return await asyncio.wrap_future(
            in_thread(lambda: run_here(tables.write_apart, seeds, options, definition, rows, chosen))
        )

    def change(
        self,
        key: Any,
        *,
        set: Mapping[str, Any] | None = None,
        increment: Mapping[str, Any] | None = None,
        if_version: int | None = None,
        condition: str | None = None,
    ) -> Awaitable[Versioned[R] | None]:
        """Change columns of one record, atomically; the new record and its version, None when there is no record.

        With `if_version`, or a `condition` (a predicate), that does not hold: ConflictError, and nothing was changed.
        """
        request = self.plan.change(key, set, increment, if_version, condition)
        return self._caller.submit(request.args, request.slot, True, self.plan.record)

    def remove(self, key: Any, *, if_version: int | None = None) -> Awaitable[bool]:
        """Remove one record; False when there was none. ConflictError when its version is not `if_version`."""
        request = self.plan.remove(key, if_version)
        return self._caller.submit(request.args, request.slot, True, bool)

    async def remove_many(self, keys: Iterable[Any]) -> int:
        """Remove records; how many there were."""
        return await run(self._caller, table_steps.remove_many(self, keys))

    async def take(self, predicate: str = ANYTHING, *, timeout: float = 0.0) -> R | None:
        """Remove one record that fits and return it; wait for one up to `timeout` seconds. None when there was none.

        First in, first out per value of the index that serves the predicate. At most once: a record whose taker dies is gone.
        """
        timeout = arguments.seconds(timeout, "timeout", least=0)
        steps = table_steps.take(self, predicate, timeout)
        if timeout <= 0:
            return await run(self._caller, steps)
        async with self._caller.apart() as caller:
            taken: R | None = await run(caller, steps, take_deadline(caller, timeout))
        return taken

    # -- reading -----------------------------------------------------------------------------------------------------

    @overload
    def read(
        self, key: Any, *, with_version: Literal[False] = False, max_staleness_ms: int | None = None
    ) -> Awaitable[R | None]: ...
    @overload
    def read(
        self, key: Any, *, with_version: Literal[True], max_staleness_ms: int | None = None
    ) -> Awaitable[Versioned[R] | None]: ...
    def read(self, key: Any, *, with_version: bool = False, max_staleness_ms: int | None = None) -> Awaitable[Any]:
        """The record at a key, None if there is none. `with_version=True`: record and version.

        With `max_staleness_ms` a backup may answer, if it is sure to have everything that was acknowledged so long ago.
        """
        request = self.plan.read(key)
        answer = self._versioned if with_version else self._record
        if max_staleness_ms is not None:
            return read_on_backup(self._caller, request, max_staleness_ms, answer)
        return self._caller.submit(request.args, request.slot, False, answer)

    def _versioned(self, reply: Any) -> Versioned[R] | None:
        return self.plan.record(reply[0])

    def _record(self, reply: Any) -> R | None:
        found = self.plan.record(reply[0])
        return None if found is None else found.record

    @overload
    async def read_many(self, keys: Iterable[Any], *, with_version: Literal[False] = False) -> list[R | None]: ...
    @overload
    async def read_many(self, keys: Iterable[Any], *, with_version: Literal[True]) -> list[Versioned[R] | None]: ...
    async def read_many(
        self, keys: Iterable[Any], *, with_version: bool = False
    ) -> list[R | None] | list[Versioned[R] | None]:
        """The records at several keys, None where there is none, in the order of the keys."""
        found = await run(self._caller, table_steps.read_many(self, keys))
        return found if with_version else [None if one is None else one.record for one in found]

    async def find(self, predicate: str = ANYTHING, *, limit: int | None = None) -> list[R]:
        """The records that fit a predicate (a SQL expression over the columns), at most `limit`, in no order."""
        return await run(self._caller, table_steps.find(self, predicate, limit))

    async def count(self, predicate: str = ANYTHING) -> int:
        """How many records fit a predicate."""
        return await run(self._caller, table_steps.count(self, predicate))

    # -- the table itself --------------------------------------------------------------------------------------------

    async def add_column(self, name: str, type: str, *, nullable: bool = True, default: Any = None) -> None:
        """Add a column, nullable or with a default; records that exist have NULL, or the default."""
        await run(self._caller, table_steps.add_column(self, name, type, nullable, default))

    async def drop(self) -> None:
        """Drop the table and its records."""
        await run(self._caller, table_steps.drop(self))

    def __repr__(self) -> str:
        return f"<AsyncTable {self.name} of {self.plan.shape.name}>"
