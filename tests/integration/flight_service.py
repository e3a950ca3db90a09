"""A Flight server without a grid, for the tests of its protocol: the engine is one DuckDB with the tables in it.

What is tested with it is what a driver sees of Flight and Flight SQL; what a grid answers is tested with real members.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.flight.server import FlightServer
from kubegrid.query.engine import Description
from kubegrid.query.result import Result
from kubegrid.sql.errors import SqlError, SyntaxProblem, UnknownName

FLIGHTS = {
    "columns": [
        {"name": "id", "type": "INTEGER"},
        {"name": "origin", "type": "VARCHAR"},
        {"name": "delay", "type": "DOUBLE"},
        {"name": "fare", "type": "DECIMAL(10,2)"},
    ],
    "key": ["id"],
}
WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP")


class OneEngine:
    """What the server asks of an engine, on one DuckDB. `SLEEP` waits until nobody wants its answer any more."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect()
        self._guard = threading.Lock()
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.closed = 0
        self._duckdb.execute(
            "CREATE TABLE flights (id INTEGER PRIMARY KEY, origin VARCHAR, delay DOUBLE, fare DECIMAL(10,2))"
        )
        self._duckdb.execute(
            "INSERT INTO flights VALUES (1, 'JFK', 2.5, 10.25), (2, 'LGA', NULL, NULL), (3, 'EWR', -1, 7)"
        )

    def execute(
        self,
        text: str,
        parameters: Sequence[Any] = (),
        *,
        statement_id: str | None = None,
        again: bool = False,
        timeout_s: float | None = None,
        cancelled: Callable[[], bool],
    ) -> Result:
        if text == "SLEEP":
            return self._sleep(cancelled)
        with self._told(), self._guard:
            table = self._table(text, list(parameters))
        writes = text.upper().startswith(WRITES)
        changed = table.column(0)[0].as_py() if writes and table.num_columns and table.num_rows else 0
        return Result(
            table.schema if not writes else pa.schema([]),
            self._batches([] if writes else table.to_batches(max_chunksize=1000)),
            rows_changed=changed if writes else None,
            statement_id=statement_id,
        )

    def describe(self, text: str, parameters: Sequence[Any] = ()) -> Description:
        if text == "SLEEP":
            return Description(pa.schema([("a", pa.int64())]), 0, writes=False)
        with self._told(), self._guard:
            statement = self._duckdb.extract_statements(text)[0]
            count = len(statement.named_parameters)
            if text.upper().startswith(WRITES):
                return Description(None, count, writes=True)
            schema = self._table(f"SELECT * FROM ({text}) LIMIT 0", [*parameters] or [None] * count).schema
            return Description(schema, count, writes=False)

    def parameters(self, text: str) -> Any:
        """All of them as texts."""
        count = self.describe(text).parameters
        return pa.schema([pa.field(str(place), pa.string()) for place in range(1, count + 1)])

    def _table(self, text: str, parameters: list[Any]) -> Any:
        found = self._duckdb.sql(text, params=parameters)
        return pa.table({}) if found is None else found.to_arrow_table()

    def _batches(self, batches: Sequence[Any]) -> Iterator[Any]:
        try:
            yield from batches
        finally:
            self.closed += 1

    def _sleep(self, cancelled: Callable[[], bool]) -> Result:
        self.waiting.set()
        until = time.monotonic() + 60
        while not cancelled():
            assert time.monotonic() < until, "nobody cancelled it"
            time.sleep(0.005)
        self.cancelled.set()
        raise SqlError("it was cancelled")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except duckdb.ParserException as error:
            raise SyntaxProblem(str(error)) from error
        except duckdb.Error as error:
            raise UnknownName(str(error), remedy="The nearest is flights.") from error


class OneIngest:
    """Takes rows for a table of the same DuckDB."""

    def __init__(self, engine: OneEngine) -> None:
        self._engine = engine
        self.options: list[dict[str, Any]] = []

    def write(self, table: str, batch: Any, options: dict[str, Any]) -> int:
        self.options.append(options)
        names = ", ".join(batch.schema.names)
        places = ", ".join("?" * batch.num_columns)
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
            self._engine.execute(statement, row, cancelled=lambda: False).close()
        return int(batch.num_rows)


class OneService:
    """The pod, as far as Flight asks it."""

    grid = "test"
    grid_id = "6c3d1bd8-9a3e-4f6b-8a57-0c36c4f0f7b1"
    name = "p0-0"
    partition = 0
    version = "0.1.0"

    def __init__(self, secret: bytes | None = None) -> None:
        self.secret = secret
        self.one_engine = OneEngine()
        self.one_ingest = OneIngest(self.one_engine)
        self.tables = Catalog().create(parse_definition("flights", FLIGHTS))

    def catalog(self) -> Catalog:
        return self.tables

    def engine(self) -> Any:
        return self.one_engine

    def ingest(self) -> Any:
        return self.one_ingest

    def fragments(self) -> Any:
        raise AssertionError("nobody asked for a fragment with a seal")


@contextlib.contextmanager
def serving(secret: bytes | None = None) -> Iterator[tuple[OneService, FlightServer]]:
    service = OneService(secret)
    server = FlightServer(service, "127.0.0.1", 0)
    try:
        yield service, server
    finally:
        server.close()
