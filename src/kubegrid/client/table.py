"""A table through the sync client: `grid.table(…)` makes one.

**Hot path**: `read` and `write` of one record are one request each, without a conversation (`table_steps`) around them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar, overload

from kubegrid.base.tables import TableDefinition
from kubegrid.client import arguments, clock, table_steps
from kubegrid.client.backups import read_on_backup
from kubegrid.client.batch import run_batch
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, SchemaChangedError
from kubegrid.client.routes import Routes
from kubegrid.client.table_plan import TablePlan, Versioned, mode

R = TypeVar("R")
T = TypeVar("T")
ANYTHING = "TRUE"
"""The predicate that every record fits."""


def run(caller: Caller, steps: "table_steps.Steps[T]", deadline: float | None = None) -> T:
    """Lead a conversation to its end."""
    try:
        requests = next(steps)
        while True:
            if len(requests) == 1:
                requests = steps.send([_one(caller, requests[0], deadline)])
            else:
                requests = steps.send(run_batch(caller, requests, deadline))
    except StopIteration as end:
        result: T = end.value
        return result


def _one(caller: Caller, request: Any, deadline: float | None) -> Any:
    try:
        if request.long:
            return caller.call_long(request.args, request.slot, request.write, deadline)
        return caller.call(request.args, request.slot, request.write)
    except ClientError as error:
        return error


class Table(Generic[R]):
    """The records of one table. A key is the value of the key column, or a tuple of values where there are several."""

    def __init__(self, caller: Caller, plan: TablePlan[R]) -> None:
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

    def write(self, record: R, *, on_duplicate: str = "replace") -> int:
        """Write one record; its version, or 0 when `on_duplicate="keep"` kept another. With "fail": RecordExistsError."""
        request = self.plan.write(record, on_duplicate)
        try:
            reply = self._caller.call(request.args, request.slot, True)
        except SchemaChangedError:
            reply = run(self._caller, table_steps.single(self, lambda plan: plan.write(record, on_duplicate)))
        version: int = reply[0]
        return version

    def write_many(self, records: Iterable[R], *, on_duplicate: str = "replace") -> int:
        """Write any number of records, in batches on their way together; how many were written.

        A batch is written whole or not at all; batches are independent. PartlyDoneError tells which records were not.
        """
        return run(self._caller, table_steps.write_many(self, records, on_duplicate))

    def write_arrow(self, rows: Any, *, on_duplicate: str = "replace") -> int:
        """Write rows that are Arrow's already, column by column and without an object for each; how many were written.

        `rows`: a pyarrow Table, RecordBatch or RecordBatchReader, or what gives Arrow (`__arrow_c_stream__`: data frames of
        pandas and polars, relations of DuckDB). Columns are found by name; those that are missing have their default. Large
        batches are on their way together, each written whole or not at all, and asked again for a minute at most, unless a
        `deadline` is nearer. BadValueError names the row that does not fit; PartlyDoneError says how many were `done`, which is
        all of them unless its `outcome` is UNKNOWN. Rows have keys: with "replace" or "keep" all of it may be written again.
        """
        from kubegrid.client.bulk import tables

        chosen = mode(on_duplicate).decode()
        run(self._caller, table_steps.renew(self))
        return tables.write_arrow(self._caller, self.definition, rows, chosen)

    def change(
        self,
        key: Any,
        *,
        set: Mapping[str, Any] | None = None,
        increment: Mapping[str, Any] | None = None,
        if_version: int | None = None,
        condition: str | None = None,
    ) -> Versioned[R] | None:
        """Change columns of one record, atomically; the new record and its version, None when there is no record.

        With `if_version`, or a `condition` (a predicate), that does not hold: ConflictError, and nothing was changed.
        """
        request = self.plan.change(key, set, increment, if_version, condition)
        return self.plan.record(self._caller.call(request.args, request.slot, True))

    def remove(self, key: Any, *, if_version: int | None = None) -> bool:
        """Remove one record; False when there was none. ConflictError when its version is not `if_version`."""
        request = self.plan.remove(key, if_version)
        return bool(self._caller.call(request.args, request.slot, True))

    def remove_many(self, keys: Iterable[Any]) -> int:
        """Remove records; how many there were."""
        return run(self._caller, table_steps.remove_many(self, keys))

    def take(self, predicate: str = ANYTHING, *, timeout: float = 0.0) -> R | None:
        """Remove one record that fits and return it; wait for one up to `timeout` seconds. None when there was none.

        First in, first out per value of the index that serves the predicate. At most once: a record whose taker dies is gone.
        """
        timeout = arguments.seconds(timeout, "timeout", least=0)
        deadline = take_deadline(self._caller, timeout)
        taken: R | None = run(self._caller, table_steps.take(self, predicate, timeout), deadline)
        return taken

    # -- reading -----------------------------------------------------------------------------------------------------

    @overload
    def read(
        self, key: Any, *, with_version: Literal[False] = False, max_staleness_ms: int | None = None
    ) -> R | None: ...
    @overload
    def read(
        self, key: Any, *, with_version: Literal[True], max_staleness_ms: int | None = None
    ) -> Versioned[R] | None: ...
    def read(
        self, key: Any, *, with_version: bool = False, max_staleness_ms: int | None = None
    ) -> R | Versioned[R] | None:
        """The record at a key, None if there is none. `with_version=True`: record and version.

        With `max_staleness_ms` a backup may answer, if it is sure to have everything that was acknowledged so long ago.
        """
        request = self.plan.read(key)
        reply = None
        if max_staleness_ms is not None:
            reply = read_on_backup(self._caller, request, max_staleness_ms)
        if reply is None:
            reply = self._caller.call(request.args, request.slot, False)
        found = self.plan.record(reply[0])
        if with_version:
            return found
        return None if found is None else found.record

    @overload
    def read_many(self, keys: Iterable[Any], *, with_version: Literal[False] = False) -> list[R | None]: ...
    @overload
    def read_many(self, keys: Iterable[Any], *, with_version: Literal[True]) -> list[Versioned[R] | None]: ...
    def read_many(
        self, keys: Iterable[Any], *, with_version: bool = False
    ) -> list[R | None] | list[Versioned[R] | None]:
        """The records at several keys, None where there is none, in the order of the keys."""
        found = run(self._caller, table_steps.read_many(self, keys))
        return found if with_version else [None if one is None else one.record for one in found]

    def find(self, predicate: str = ANYTHING, *, limit: int | None = None) -> list[R]:
        """The records that fit a predicate (a SQL expression over the columns), at most `limit`, in no order."""
        return run(self._caller, table_steps.find(self, predicate, limit))

    def count(self, predicate: str = ANYTHING) -> int:
        """How many records fit a predicate."""
        return run(self._caller, table_steps.count(self, predicate))

    # -- the table itself --------------------------------------------------------------------------------------------

    def add_column(self, name: str, type: str, *, nullable: bool = True, default: Any = None) -> None:
        """Add a column, nullable or with a default; records that exist have NULL, or the default."""
        run(self._caller, table_steps.add_column(self, name, type, nullable, default))

    def drop(self) -> None:
        """Drop the table and its records."""
        run(self._caller, table_steps.drop(self))

    def __repr__(self) -> str:
        return f"<Table {self.name} of {self.plan.shape.name}>"


def take_deadline(caller: Any, timeout: float) -> float | None:
    """A take that waits has its time, and the client's on top for what may go wrong."""
    return None if timeout <= 0 else clock.now() + timeout + float(caller.options.timeout)
