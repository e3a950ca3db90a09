"""The sync client of a grid: `kubegrid.connect(…)` makes one.

One `Grid` is for a whole process: threads share it, each call uses a connection of its own for its time, forks are noticed.
Next on the path of the data: `caller`, which knows the members.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar, overload

from kubegrid.client import commands, several_keys
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.caller import Caller
from kubegrid.client.opening import open_plan
from kubegrid.client.options import ClientOptions
from kubegrid.client.pipeline import Pipeline, raise_failures
from kubegrid.client.plain import Key, PlainCommands, Value
from kubegrid.client.slots import parse_addresses, slot_of
from kubegrid.client.sql import SqlCaller, SqlStream
from kubegrid.client.sql_pods import Pods
from kubegrid.client.sql_result import SqlResult
from kubegrid.client.table import Table, run
from kubegrid.client.transactions import Transaction

R = TypeVar("R")


class Grid(PlainCommands):
    """A grid, as one thread or many see it. Use as a context manager, or call `close`."""

    def __init__(
        self, addresses: str, options: ClientOptions, owner: Callable[[], None] | None = None, check: Any = None
    ) -> None:
        self.caller = Caller(parse_addresses(addresses), options, check)
        self._owner = owner
        pods = Pods(self.caller.routes, options, self.caller.check_usable)
        self._sql = SqlCaller(pods, options)

    def _do(self, args: tuple[Any, ...], key: Key, write: bool, read: Callable[[Any], Any] | None = None) -> Any:
        args, slot = commands.with_key(args, key)
        reply = self.caller.call(args, slot, write)
        return reply if read is None else read(reply)

    # -- anything ----------------------------------------------------------------------------------------------------

    def execute(self, *words: Any) -> Any:
        """Any command, as in `grid.execute("HRANDFIELD", "h", 3)`: found by its key, or asked of any member without one.

        The reply as Redis types it: bytes, int, None, lists of these.
        """
        command = commands.plan(words)
        if command.key is not None:
            return self.caller.call(command.args, slot_of(command.key), command.write)
        return self._all([several_keys.keyless(command, self.caller.routes.all[0])])[0]

    def execute_everywhere(self, *words: Any) -> list[Any]:
        """A command without a key (DBSIZE, FLUSHALL, …) on every partition's primary; the replies in order of partitions."""
        return self._all(several_keys.everywhere(words, self.caller.routes.all))

    def pipeline(self) -> Pipeline:
        """Many commands at once:

            with grid.pipeline() as pipe:
                total = pipe.incr("total")
                pipe.set("seen", "yes")
            total.result()

        They are sent in rounds and are neither atomic nor ordered between keys. A PartlyDoneError at the end says which failed.
        """
        return Pipeline(self.caller)

    # -- several keys ------------------------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Key]) -> list[bytes | None]:
        """The strings at several keys, of any slots."""
        return self._all(several_keys.of_keys(b"GET", keys, write=False))

    def set_many(self, values: Mapping[Key, Value]) -> None:
        """Store several strings, of any slots; each for itself, not atomically."""
        self._all(several_keys.sets(values))

    def delete(self, *keys: Key) -> int:
        """Delete keys, of any slots; how many there were."""
        if len(keys) == 1:
            count: int = self._do((b"DEL", keys[0]), keys[0], True)
            return count
        return sum(self._all(several_keys.of_keys(b"DEL", keys, write=True)))

    def exists(self, *keys: Key) -> int:
        """How many of the keys exist."""
        return sum(self._all(several_keys.of_keys(b"EXISTS", keys, write=False)))

    def scan(self, match: Key | None = None, count: int = 1000) -> Iterator[bytes]:
        """All keys, of all partitions, as Redis's SCAN finds them: those there the whole time, some perhaps twice."""
        words = several_keys.scan_words(match, count)
        for route in list(self.caller.routes.all):
            cursor: Any = b"0"
            while True:
                cursor, keys = self.caller.call((b"SCAN", cursor, *words), route.first_slot, False)
                yield from keys
                if cursor == b"0":
                    break

    def _all(self, requests: list[Request]) -> list[Any]:
        replies = run_batch(self.caller, requests)
        raise_failures(replies, reads=not any(request.write for request in requests))
        return replies

    # -- tables ------------------------------------------------------------------------------------------------------

    @overload
    def table(
        self,
        given: type[R],
        *,
        name: str | None = None,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] = (),
        index: Any = (),
        broadcast: bool = False,
        ttl: int | None = None,
    ) -> Table[R]: ...
    @overload
    def table(
        self,
        given: Any,
        *,
        name: str | None = None,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] = (),
        index: Any = (),
        broadcast: bool = False,
        ttl: int | None = None,
    ) -> Table[dict[str, Any]]: ...
    def table(
        self,
        given: Any,
        *,
        name: str | None = None,
        key: str | Sequence[str] = (),
        partition_by: str | Sequence[str] = (),
        index: Any = (),
        broadcast: bool = False,
        ttl: int | None = None,
    ) -> Table[Any]:
        """A table of records of a class (dataclass, msgspec Struct, pydantic model), of dicts (a definition as a dict, an Arrow
        schema), or one that exists, by its name. Made if it is absent; TableExistsError when it is defined differently.

        `key`: columns that tell records apart; `partition_by`: a leading part of it, whose equal values lie together;
        `index`: columns, tuples of columns, or dicts with columns and kind; `broadcast`: a copy in every partition; `ttl`:
        seconds after its last write at which a record goes away.
        """
        options = {"key": key, "partition_by": partition_by, "index": index, "broadcast": broadcast, "ttl": ttl}
        return Table(self.caller, run(self.caller, open_plan(given, self.caller.routes, name, options)))

    def tables(self) -> list[str]:
        """The names of all tables."""
        replies = self.caller.call((b"KG.TABLES",), self.caller.routes.all[0].first_slot, False)
        return [str(name, "utf-8") for name in replies]

    def transaction(self, tag: str | bytes) -> Transaction:
        """Several records and keys with the same {tag}, changed together: all or nothing.

            with grid.transaction(tag="FX") as t:
                trade = t.read(trades, ("FX", 42))
                t.change(trades, ("FX", 42), increment={"volume": 5})
                t.execute("INCRBY", "{FX}:changes", 1)

        ConflictError at the end when something that it read was changed meanwhile; nothing was done then.
        """
        return Transaction(self.caller, tag)

    # -- SQL ---------------------------------------------------------------------------------------------------------

    def sql(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        timeout: float | None = None,
        statement_id: str | None = None,
    ) -> SqlResult:
        """One statement of SQL, over all partitions, and its whole answer.

            for carrier, n in grid.sql("SELECT carrier, count(*) FROM flights WHERE origin = ? GROUP BY carrier", ["JFK"]): …

        It sees every write that was acknowledged before. `parameters` are values for `?` or `$1` in the statement; `timeout` is
        in seconds, the client's `statement_timeout` by default. A statement that writes and whose answer is lost is sent again
        by itself and not done twice; to be able to do that yourself, after an error that says so, give it a `statement_id`.
        Raises SqlError with the place and the reason; SqlPartlyDoneError and SqlOutcomeUnknownError of one that writes.
        """
        return self._sql.run(statement, parameters, timeout, statement_id)

    def sql_stream(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        timeout: float | None = None,
        statement_id: str | None = None,
    ) -> SqlStream:
        """The same for an answer that is too large to be kept whole: it is read batch by batch, and closed.

        with grid.sql_stream("SELECT * FROM flights") as stream:
            for batch in stream: …                # pyarrow.RecordBatch
        """
        return self._sql.stream(statement, parameters, timeout, statement_id)

    # -- the end -----------------------------------------------------------------------------------------------------

    @property
    def members(self) -> list[str]:
        """The addresses of the members that are known now."""
        return self.caller.routes.addresses()

    @property
    def closed(self) -> bool:
        return self.caller.closed

    def close(self) -> None:
        """Close all connections; what is called later ends with ClosedError. An embedded grid ends with its client."""
        self.caller.close()
        self._sql.close()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Grid {', '.join(self.caller.routes.seeds)}{' closed' if self.closed else ''}>"
