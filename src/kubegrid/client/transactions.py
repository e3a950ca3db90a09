"""Several records and keys of one slot, changed together: all or nothing.

A transaction reads at once, and remembers the version of everything that it read; what it writes is collected and sent by
its end as one `KG.COMMIT`, which the primary executes as one entry of its log if every version still holds. Otherwise
ConflictError, and nothing was changed: `retry_on_conflict` begins anew. Nothing is locked, and nothing is held up meanwhile.

Prior art: optimistic concurrency control (Kung and Robinson, 1981). Shared by both clients: `Collected` knows no socket.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from kubegrid.base.errors import UsageError
from kubegrid.base.table_errors import shown
from kubegrid.client import arguments, commands, table_steps
from kubegrid.client.async_caller import AsyncCaller
from kubegrid.client.async_table import AsyncTable
from kubegrid.client.async_table import run as run_async
from kubegrid.client.batch import Request
from kubegrid.client.caller import Caller
from kubegrid.client.errors import BadValueError, ClientError, ConflictError, SchemaChangedError
from kubegrid.client.slots import slot_of
from kubegrid.client.table import Table, run
from kubegrid.client.table_plan import TablePlan

R = TypeVar("R")
T = TypeVar("T")
OPERATIONS_MAX = 10_000
"""Operations of one transaction: it is one entry of the log, and executed in one go."""
RETRY_FIRST_S = 0.002
RETRY_MAX_S = 0.1

_encode = msgspec.msgpack.Encoder().encode


class Collected:
    """What a transaction has read and wants to do. Invariant: every key is in the transaction's slot."""

    def __init__(self, tag: str | bytes) -> None:
        if not isinstance(tag, str | bytes):
            raise UsageError(f"tag is str or bytes, not {type(tag).__name__}")
        raw = tag if isinstance(tag, bytes) else arguments.text(tag, "tag").encode()
        if not raw or b"}" in raw:
            raise UsageError(
                f"a transaction's tag is what stands between the braces of its keys; {tag!r} cannot stand there"
            )
        self.home = b"{%b}" % raw
        self.slot = slot_of(self.home)
        self.checks: dict[bytes, int] = {}
        self.operations: list[Callable[[], list[Any]]] = []
        self.tables: dict[int, Any] = {}
        self.finished = False

    def open_key(self, raw: bytes) -> bytes:
        if self.finished:
            raise UsageError("this transaction has ended; begin another")
        if slot_of(raw) != self.slot:
            raise BadValueError(
                f"{raw.decode(errors='backslashreplace')!r} is not in the slot of {self.home.decode(errors='replace')}",
                "All keys of a transaction need the same {tag}; of a table, `partition_by` says which columns are in it.",
            )
        return raw

    def saw(self, key: bytes, version: int) -> None:
        """A record was read; another version than at first means that the commit cannot succeed."""
        if self.checks.setdefault(key, version) != version:
            raise ConflictError(f"{key.decode(errors='replace')} was changed while the transaction was reading")

    def add(self, operation: Callable[[], list[Any]]) -> None:
        if len(self.operations) >= OPERATIONS_MAX:
            raise UsageError(f"a transaction has {OPERATIONS_MAX} operations at most")
        self.operations.append(operation)

    def write(self, table: "Table[R] | AsyncTable[R]", record: R) -> None:
        self.open_key(plan_of(table).row(record)[0])
        self.tables[id(table)] = table

        def operation() -> list[Any]:
            plan = table.plan
            return ["write", plan.definition.name, plan.definition.schema, plan.row(record)[1]]

        self.add(operation)

    def change(
        self,
        table: "Table[Any] | AsyncTable[Any]",
        key: Any,
        set: Mapping[str, Any] | None,
        increment: Mapping[str, Any] | None,
    ) -> None:
        raw = self.open_key(plan_of(table).key(key))
        document = table.plan.change_document(set, increment)
        self.add(lambda: ["change", raw, document])

    def remove(self, table: "Table[Any] | AsyncTable[Any]", key: Any) -> None:
        raw = self.open_key(plan_of(table).key(key))
        self.add(lambda: ["remove", raw])

    def execute(self, words: tuple[Any, ...]) -> None:
        command = commands.plan(words)
        if command.key is None or not command.write:
            raise UsageError(
                f"{command.name} is no write on a key: read outside of the transaction, or records by `read`"
            )
        self.open_key(command.key)
        self.add(lambda: ["command", *command.args])

    def commit(self) -> "table_steps.Steps[list[Any]]":
        """The conversation of the commit; the reply of each operation."""
        self.finished = True
        if not self.operations:
            return []
        for _ in range(table_steps.SCHEMA_TRIES):
            payload = _encode([list(map(list, self.checks.items())), [operation() for operation in self.operations]])
            (reply,) = yield [Request((b"KG.COMMIT", self.home, payload), self.slot, True)]
            if not isinstance(reply, ClientError):
                return list(reply)
            if not isinstance(reply, SchemaChangedError):
                raise reply
            for table in self.tables.values():
                yield from table_steps.renew(table)
        raise reply


def plan_of(table: Any) -> TablePlan[Any]:
    """Raises UsageError for what is no table."""
    if not isinstance(table, Table | AsyncTable):
        raise UsageError(f"table is what grid.table(…) gave, not {shown(table)}")
    return table.plan


class Transaction:
    """Made by `grid.transaction(tag=…)`; commits at the end of its `with` block, unless that ended with an exception."""

    def __init__(self, caller: Caller, tag: str | bytes) -> None:
        self._caller = caller
        self._collected = Collected(tag)
        self.replies: list[Any] = []
        """After the end: the reply to each operation, in order."""

    def read(self, table: Table[R], key: Any) -> R | None:
        """A record as it is now. The commit succeeds only if it is still that one, or still missing, then."""
        request = plan_of(table).read(key)
        raw = self._collected.open_key(request.args[2])
        found = table.plan.record(self._caller.call(request.args, request.slot, False)[0])
        self._collected.saw(raw, 0 if found is None else found.version)
        if found is None:
            return None
        record: R = found.record
        return record

    def write(self, table: Table[R], record: R) -> None:
        """Write a record at the end."""
        self._collected.write(table, record)

    def change(
        self,
        table: Table[Any],
        key: Any,
        *,
        set: Mapping[str, Any] | None = None,
        increment: Mapping[str, Any] | None = None,
    ) -> None:
        """Change columns of a record at the end."""
        self._collected.change(table, key, set, increment)

    def remove(self, table: Table[Any], key: Any) -> None:
        """Remove a record at the end."""
        self._collected.remove(table, key)

    def execute(self, *words: Any) -> None:
        """A plain write at the end, as in `t.execute("INCRBY", "{FX}:trades", 1)`."""
        self._collected.execute(words)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.replies = run(self._caller, self._collected.commit())
        self._collected.finished = True


class AsyncTransaction:
    """The same for the async client: `async with grid.transaction(tag=…)`; `read` is awaited, the others are not."""

    def __init__(self, caller: AsyncCaller, tag: str | bytes) -> None:
        self._caller = caller
        self._collected = Collected(tag)
        self.replies: list[Any] = []
        """After the end: the reply to each operation, in order."""

    async def read(self, table: AsyncTable[R], key: Any) -> R | None:
        """A record as it is now. The commit succeeds only if it is still that one, or still missing, then."""
        request = plan_of(table).read(key)
        raw = self._collected.open_key(request.args[2])
        reply = await self._caller.submit(request.args, request.slot, False)
        found = table.plan.record(reply[0])
        self._collected.saw(raw, 0 if found is None else found.version)
        if found is None:
            return None
        record: R = found.record
        return record

    def write(self, table: AsyncTable[R], record: R) -> None:
        """Write a record at the end."""
        self._collected.write(table, record)

    def change(
        self,
        table: AsyncTable[Any],
        key: Any,
        *,
        set: Mapping[str, Any] | None = None,
        increment: Mapping[str, Any] | None = None,
    ) -> None:
        """Change columns of a record at the end."""
        self._collected.change(table, key, set, increment)

    def remove(self, table: AsyncTable[Any], key: Any) -> None:
        """Remove a record at the end."""
        self._collected.remove(table, key)

    def execute(self, *words: Any) -> None:
        """A plain write at the end."""
        self._collected.execute(words)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.replies = await run_async(self._caller, self._collected.commit())
        self._collected.finished = True


def _pauses(attempts: int) -> Iterator[float]:
    """Random waits between attempts: those who collided should not meet again."""
    longest = RETRY_FIRST_S
    for _ in range(arguments.count(attempts, "attempts", 1) - 1):
        yield random.uniform(0, longest)
        longest = min(2 * longest, RETRY_MAX_S)


def retry_on_conflict(work: Callable[[], T], *, attempts: int = 100) -> T:
    """What `work` returns; it is called anew after each ConflictError, which the last attempt raises."""
    for pause in _pauses(attempts):
        try:
            return work()
        except ConflictError:
            time.sleep(pause)
    return work()


async def retry_on_conflict_async(work: Callable[[], Awaitable[T]], *, attempts: int = 100) -> T:
    """The same for coroutine functions."""
    for pause in _pauses(attempts):
        try:
            return await work()
        except ConflictError:
            await asyncio.sleep(pause)
    return await work()
