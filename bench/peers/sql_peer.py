"""One peer of `bench.sql` in a process of its own: DuckDB, ClickHouse (chdb) or PostgreSQL, asked in JSON lines.

    python sql_peer.py duckdb | clickhouse | postgres HOST PORT

Requests on standard input, one answer each: {"do": "load", "table", "create", "file"} → {"seconds"};
{"do": "query", "sql"} → {"seconds", "rows"}; {"do": "update", "rate", "rows", "writers"} begins to change that many rows a
second, {"do": "rest"} ends it → {"changed"}. Seconds are measured here, from the statement to the last row as a Python value.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

BATCH = 500


class DuckDB:
    def __init__(self) -> None:
        import duckdb

        self.connection = duckdb.connect()

    def load(self, table: str, create: str, file: str) -> None:
        self.connection.execute(create)
        self.connection.execute(f"INSERT INTO {table} SELECT * FROM '{file}'")

    def query(self, sql: str) -> list[Any]:
        return self.connection.execute(sql).fetchall()

    def updater(self) -> Any:
        cursor = self.connection.cursor()

        def update(rows: list[tuple[int, float, int]]) -> None:
            values = ", ".join(f"({trade}, {price}, {volume})" for trade, price, volume in rows)
            cursor.execute(
                "UPDATE trades SET price = d.price, volume = d.volume "
                f"FROM (VALUES {values}) AS d(trade, price, volume) WHERE trades.trade = d.trade"
            )

        return update


class ClickHouse:
    def __init__(self) -> None:
        from chdb import session

        self.session = session.Session()

    def load(self, table: str, create: str, file: str) -> None:
        self.session.query(create)
        self.session.query(f"INSERT INTO {table} SELECT * FROM file('{file}', Parquet)")

    def query(self, sql: str) -> list[Any]:
        text = str(self.session.query(sql, "JSONCompact"))
        return json.loads(text)["data"] if text.strip() else []


class PostgreSQL:
    def __init__(self, host: str, port: str) -> None:
        import psycopg

        self.connect: Callable[[], Any] = lambda: psycopg.connect(
            host=host, port=int(port), dbname="postgres", user="postgres", autocommit=True
        )
        self.connection = self.connect()

    def load(self, table: str, create: str, file: str) -> None:
        self.connection.execute(create)
        with self.connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy, open(file, "rb") as source:
            while block := source.read(1 << 20):
                copy.write(block)

    def query(self, sql: str) -> list[Any]:
        rows: list[Any] = self.connection.execute(sql).fetchall()
        return rows

    def settle(self) -> None:
        self.connection.execute("VACUUM ANALYZE")

    def updater(self) -> Any:
        connection = self.connect()

        def update(rows: list[tuple[int, float, int]]) -> None:
            values = ", ".join(f"({trade}, {price}, {volume})" for trade, price, volume in rows)
            connection.execute(
                "UPDATE trades SET price = d.price, volume = d.volume "
                f"FROM (VALUES {values}) AS d(trade, price, volume) WHERE trades.trade = d.trade"
            )

        return update


class Writers:
    """Threads that change random rows, all of them together `rate` rows a second, until `rest`."""

    def __init__(self, peer: Any, rate: float, rows: int, writers: int) -> None:
        self.changed = 0
        self.resting = threading.Event()
        self.threads = [
            threading.Thread(target=self._write, args=(peer.updater(), rate / writers, rows, number), daemon=True)
            for number in range(writers)
        ]
        for thread in self.threads:
            thread.start()

    def _write(self, update: Any, rate: float, rows: int, number: int) -> None:
        chance = random.Random(number)
        due = time.perf_counter()
        while not self.resting.is_set():
            # Writers change trades of their own, so that no two of them change one row at the same time.
            first = rows * number // len(self.threads)
            span = rows // len(self.threads)
            chosen = chance.sample(range(first, first + span), BATCH)
            update([(trade, chance.random() * 100_000, chance.randrange(10_000)) for trade in chosen])
            self.changed += BATCH
            due += BATCH / rate
            self.resting.wait(max(0.0, due - time.perf_counter()))

    def rest(self) -> int:
        self.resting.set()
        for thread in self.threads:
            thread.join()
        return self.changed


def main() -> None:
    kinds: dict[str, Any] = {"duckdb": DuckDB, "clickhouse": ClickHouse, "postgres": PostgreSQL}
    peer = kinds[sys.argv[1]](*sys.argv[2:])
    writers: Writers | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        started = time.perf_counter()
        try:
            match request["do"]:
                case "load":
                    peer.load(request["table"], request["create"], request["file"])
                    answer["seconds"] = time.perf_counter() - started
                    if hasattr(peer, "settle"):
                        peer.settle()
                case "query":
                    rows = peer.query(request["sql"])
                    answer["seconds"] = time.perf_counter() - started
                    answer["rows"] = rows
                case "update":
                    writers = Writers(peer, request["rate"], request["rows"], request["writers"])
                case "rest":
                    answer["changed"] = writers.rest() if writers else 0
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


main()
