"""A member's SQL side in a loop of its own thread: real turn, real store, real DuckDB; what is confirmed is up to the test."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tests.unit.node.confirmed_by_hand import ConfirmedByHand

from kubegrid.base.settings import ClientSettings, SqlSettings, StoreSettings
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.columns.requests import FragmentRequest
from kubegrid.node.sql_capture import SqlCapture
from kubegrid.node.sql_fragments import Fragments
from kubegrid.node.turn import Turn
from kubegrid.replication import Gate
from kubegrid.store import COMMANDS, Keyspace

Answer = TypeVar("Answer")

TRADES = {
    "name": "trades",
    "columns": [
        {"name": "book", "type": "VARCHAR", "nullable": False},
        {"name": "id", "type": "BIGINT", "nullable": False},
        {"name": "price", "type": "DOUBLE"},
    ],
    "key": ["book", "id"],
}
DESKS = {
    "name": "desks",
    "columns": [{"name": "book", "type": "VARCHAR", "nullable": False}, {"name": "city", "type": "VARCHAR"}],
    "key": ["book"],
    "broadcast": True,
}


def never() -> bool:
    return False


class Replicator(ConfirmedByHand):
    """Whose gate is not open has nothing to release or to read, either."""

    def releasable(self, now: int) -> int:
        return self.confirmed if self.open is Gate.OPEN else -1

    def readable(self, now: int) -> int:
        return self.releasable(now)


class SqlMember:
    """Close it. The methods are for the test's thread and do their work in the loop."""

    def __init__(
        self,
        folder: Path,
        *tables: Any,
        settings: SqlSettings | None = None,
        memory_bytes: int = 512 * 2**20,
        partition: int = 0,
        fetch: Any = None,
    ) -> None:
        settings = settings or SqlSettings()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.keyspace = Keyspace(StoreSettings(), 0, 16383, random=lambda n: 0)
        self.keyspace.primary = True
        self.replicator = Replicator()
        self.turn = Turn(self.loop, self.keyspace, self.replicator, ClientSettings())
        self.capture = SqlCapture(self.loop, self.turn, self.keyspace, f"member{partition}", settings)
        self.fragments = Fragments(
            self.capture, settings, memory_bytes, partition, str(folder), fetch or self._nobody_to_fetch_from
        )
        catalog = Catalog()
        for table in tables or (TRADES, DESKS):
            catalog = catalog.create(parse_definition(None, msgspec.json.encode(table)))
        self.adopt(catalog)

    def _nobody_to_fetch_from(self, partition: int, request: FragmentRequest, cancelled: Any) -> Any:
        raise AssertionError(f"nothing is to be fetched from partition {partition}")

    def close(self) -> None:
        self.fragments.close()
        self.in_loop(self.capture.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    # -- in the loop --------------------------------------------------------------------------------------------------

    def in_loop(self, function: Callable[[], Answer]) -> Answer:
        async def run() -> Answer:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def in_turn(self, function: Callable[[], Any]) -> None:
        """Run it in a turn, until the turn's end."""

        async def run() -> None:
            self.turn.work(function)
            while self.turn.running or self.turn.scheduled:
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def poke(self) -> None:
        """What a tick does: run the end of a turn."""
        self.in_loop(lambda: self.turn.input(lambda: None))

    def adopt(self, catalog: Catalog) -> None:
        self.in_turn(lambda: self.keyspace.adopt_catalog(catalog))

    def command(self, *words: Any) -> bytes:
        """What a client would be answered."""
        replies: list[bytes] = []
        arguments = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.in_turn(lambda: replies.append(COMMANDS[arguments[0]](self.keyspace, arguments, False)))
        assert isinstance(replies[0], bytes) and not replies[0].startswith(b"-"), replies
        return replies[0]

    def write(self, table: str, *rows: Any) -> None:
        for start in range(0, len(rows), 1000):
            self.command("KG.WRITE", table, 0, "REPLACE", *map(msgspec.msgpack.encode, rows[start : start + 1000]))

    # -- SQL ----------------------------------------------------------------------------------------------------------

    def request(self, sql: str, *tables: str, **more: Any) -> FragmentRequest:
        return FragmentRequest(sql=sql, tables=list(tables), **more)

    def sql(self, sql: str, *tables: str, cancelled: Any = never, **more: Any) -> list[dict[str, Any]]:
        return self.fragments.run(self.request(sql, *tables, **more), cancelled).read_all().to_pylist()

    def table(self, name: str) -> set[tuple[Any, ...]]:
        """All rows of a table by SQL."""
        found = self.sql(f"SELECT * EXCLUDE (__version) FROM {name}", name)
        return {tuple(row.values()) for row in found}

    def stored(self, name: str) -> set[tuple[Any, ...]]:
        """The same, from the store."""

        def read() -> set[tuple[Any, ...]]:
            table = self.keyspace.tables.by_name[name.encode()]
            values = [value for slot in self.keyspace.slots for value in (slot or {}).values()]
            values = [self.keyspace.blocks.record(value) if type(value) is int else value for value in values]
            return {tuple(table.codec.decode(v.row)) for v in values if getattr(v, "table_id", None) == table.id}

        return self.in_loop(read)
