"""The async client of a grid: `await kubegrid.connect_async(…)` makes one.

Methods put their request on its way when they are called and answer with an awaitable: a thousand of them gathered are a
thousand requests on one connection per member. Next on the path of the data: `async_caller`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar, overload

from kubegrid.client import commands, several_keys
from kubegrid.client.async_caller import AsyncCaller, open_caller
from kubegrid.client.async_sql import AsyncSqlCaller, AsyncSqlStream
from kubegrid.client.async_table import AsyncTable, run
from kubegrid.client.batch import Request
from kubegrid.client.opening import open_plan
from kubegrid.client.options import ClientOptions
from kubegrid.client.pipeline import raise_failures
from kubegrid.client.plain import Key, Value
from kubegrid.client.plain_async import AsyncPlainCommands
from kubegrid.client.slots import parse_addresses, slot_of
from kubegrid.client.sql_pods import Pods
from kubegrid.client.sql_result import SqlResult
from kubegrid.client.transactions import AsyncTransaction

R = TypeVar("R")


class AsyncGrid(AsyncPlainCommands):
    """A grid, as the tasks of one event loop see it. Use as an async context manager, or await `close`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self.caller = caller
        members = caller.members
        self._sql = AsyncSqlCaller(
            Pods(caller.routes, caller.options, members.check_open), caller.options, members.check_here
        )
        self._submit = caller.submit

    def _do(
        self, args: tuple[Any, ...], key: Key, write: bool, read: Callable[[Any], Any] | None = None
    ) -> Awaitable[Any]:
        args, slot = commands.with_key(args, key)
        return self._submit(args, slot, write, read)

    # -- anything ----------------------------------------------------------------------------------------------------

    def execute(self, *words: Any) -> Awaitable[Any]:
        """Any command: found by its key, or asked of any member without one."""
        command = commands.plan(words)
        if command.key is not None:
            return self._submit(command.args, slot_of(command.key), command.write)
        return self._submit(command.args, self.caller.routes.all[0].first_slot, command.write, long=True, once=False)

    async def execute_everywhere(self, *words: Any) -> list[Any]:
        """A command without a key on every partition's primary; the replies in order of partitions."""
        return await self._all(several_keys.everywhere(words, self.caller.routes.all))

    # -- several keys ------------------------------------------------------------------------------------------------

    async def get_many(self, keys: Iterable[Key]) -> list[bytes | None]:
        """The strings at several keys, of any slots."""
        return await self._all(several_keys.of_keys(b"GET", keys, write=False))

    async def set_many(self, values: Mapping[Key, Value]) -> None:
        """Store several strings, of any slots; each for itself, not atomically."""
        await self._all(several_keys.sets(values))

    async def delete(self, *keys: Key) -> int:
        """Delete keys, of any slots; how many there were."""
        return sum(await self._all(several_keys.of_keys(b"DEL", keys, write=True)))

    async def exists(self, *keys: Key) -> int:
        """How many of the keys exist."""
        return sum(await self._all(several_keys.of_keys(b"EXISTS", keys, write=False)))

    async def scan(self, match: Key | None = None, count: int = 1000) -> AsyncIterator[bytes]:
        """All keys, of all partitions, as Redis's SCAN finds them: those there the whole time, some perhaps twice."""
        words = several_keys.scan_words(match, count)
        for route in list(self.caller.routes.all):
            cursor: Any = b"0"
            while True:
                cursor, keys = await self._submit((b"SCAN", cursor, *words), route.first_slot, False)
                for key in keys:
                    yield key
                if cursor == b"0":
                    break

    async def _all(self, requests: list[Request]) -> list[Any]:
        replies = await self.caller.run(requests)
        raise_failures(replies, reads=not any(request.write for request in requests))
        return replies

    # -- tables ------------------------------------------------------------------------------------------------------

    @overload
    async def table(
        self,
        given: type[R],
        *,
        name: str | None = None,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] = (),
        index: Any = (),
        broadcast: bool = False,
        ttl: int | None = None,
    ) -> AsyncTable[R]: ...
    @overload
    async def table(
        self,
        given: Any,
        *,
        name: str | None = None,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] = (),
        index: Any = (),
        broadcast: bool = False,
        ttl: int | None = None,
    ) -> AsyncTable[dict[str, Any]]: ...
    async def table(
        self,
        given: Any,
        *,
        name: str | None = None,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] = (),
        index: Any = (),
        broadcast: bool = False,
        ttl: int | None = None,
    ) -> AsyncTable[Any]:
        """A table of records of a class (dataclass, msgspec Struct, pydantic model), of dicts (a definition as a dict, an Arrow
        schema), or one that exists, by its name. Made if it is absent; TableExistsError when it is defined differently.

        `key`: columns that tell records apart; `partition_by`: a leading part of it, whose equal values lie together;
        `index`: columns, tuples of columns, or dicts with columns and kind; `broadcast`: a copy in every partition; `ttl`:
        seconds after its last write at which a record goes away.
        """
        options = {"key": key, "partition_by": partition_by, "index": index, "broadcast": broadcast, "ttl": ttl}
        return AsyncTable(self.caller, await run(self.caller, open_plan(given, self.caller.routes, name, options)))

    async def tables(self) -> list[str]:
        """The names of all tables."""
        replies = await self._submit((b"KG.TABLES",), self.caller.routes.all[0].first_slot, False)
        return [str(name, "utf-8") for name in replies]

    def transaction(self, tag: str | bytes) -> AsyncTransaction:
        """Several records and keys with the same {tag}, changed together: all or nothing.

            async with grid.transaction(tag="FX") as t:
                trade = await t.read(trades, ("FX", 42))
                t.change(trades, ("FX", 42), increment={"volume": 5})
                t.execute("INCRBY", "{FX}:changes", 1)

        ConflictError at the end when something that it read was changed meanwhile; nothing was done then.
        """
        return AsyncTransaction(self.caller, tag)

    # -- SQL ---------------------------------------------------------------------------------------------------------

    async def sql(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        timeout: float | None = None,
        statement_id: str | None = None,
    ) -> SqlResult:
        """One statement of SQL, over all partitions, and its whole answer.

            result = await grid.sql("SELECT carrier, count(*) FROM flights WHERE origin = ? GROUP BY carrier", ["JFK"])

        It sees every write that was acknowledged before. `parameters` are values for `?` or `$1` in the statement; `timeout` is
        in seconds, the client's `statement_timeout` by default. A statement that writes and whose answer is lost is sent again
        by itself and not done twice; to be able to do that yourself, after an error that says so, give it a `statement_id`.
        Raises SqlError with the place and the reason; SqlPartlyDoneError and SqlOutcomeUnknownError of one that writes.
        """
        return await self._sql.run(statement, parameters, timeout, statement_id)

    async def sql_stream(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        timeout: float | None = None,
        statement_id: str | None = None,
    ) -> AsyncSqlStream:
        """The same for an answer that is too large to be kept whole: it is read batch by batch, and closed.

        async with await grid.sql_stream("SELECT * FROM flights") as stream:
            async for batch in stream: …          # pyarrow.RecordBatch
        """
        return await self._sql.stream(statement, parameters, timeout, statement_id)

    # -- the end -----------------------------------------------------------------------------------------------------

    @property
    def members(self) -> list[str]:
        """The addresses of the members that are known now."""
        return self.caller.routes.addresses()

    @property
    def closed(self) -> bool:
        return self.caller.closed

    async def close(self) -> None:
        """Close all connections; what is called later ends with ClosedError."""
        await self.caller.close()
        await self._sql.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncGrid {', '.join(self.caller.routes.seeds)}{' closed' if self.closed else ''}>"


async def connect_async(addresses: str = "127.0.0.1:7000", **options: Any) -> AsyncGrid:
    """A client for asyncio; arguments and errors as for `connect`."""
    return AsyncGrid(await open_caller(parse_addresses(addresses), ClientOptions.of(options)))
