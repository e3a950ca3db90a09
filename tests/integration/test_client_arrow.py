"""`write_arrow`: Arrow, and whatever gives Arrow, into a table, by both clients."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.integration.member_processes import PATIENT, GridProcesses, grid_processes

import kubegrid
from kubegrid.client.bulk import tables

TRADES = {
    "name": "trades",
    "columns": [
        {"name": "id", "type": "BIGINT", "nullable": False},
        {"name": "book", "type": "VARCHAR", "default": "FX"},
        {"name": "price", "type": "DOUBLE"},
    ],
    "key": ["id"],
}
ROWS = 5000


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=2, copies=2, replication=PATIENT) as processes:
        processes.start()
        for number in range(2):
            processes.wait_whole(number)
        yield processes


@pytest.fixture
def grid(members: GridProcesses) -> Iterator[kubegrid.Grid]:
    with kubegrid.connect(address(members), password=members.secret, timeout=30.0) as connected:
        yield connected
        for name in connected.tables():
            connected.table(name).drop()


def address(members: GridProcesses) -> str:
    described = members.describe("p0-0")
    assert described is not None
    return f"127.0.0.1:{described['resp_port']}"


def rows(count: int = ROWS, price: float = 1.5) -> pa.Table:
    return pa.table({"id": pa.array(range(count), pa.int64()), "price": [price] * count})


def stored(grid: kubegrid.Grid) -> list[tuple[Any, ...]]:
    return grid.sql("SELECT count(*), count(DISTINCT id), min(book), max(book), sum(price) FROM trades").rows()


@pytest.mark.parametrize("count", [1, 700, ROWS])
@pytest.mark.parametrize(
    "given",
    [
        lambda table: table,
        lambda table: table.to_batches()[0],
        lambda table: table.to_reader(max_chunksize=300),
        lambda table: table.to_pandas(),
        pl.from_arrow,
        lambda table: duckdb.from_arrow(table),
    ],
    ids=["table", "batch", "reader", "pandas", "polars", "duckdb"],
)
def test_rows_of_every_kind_are_written(grid: kubegrid.Grid, given: Any, count: int) -> None:
    trades = grid.table(TRADES)
    assert trades.write_arrow(given(rows(count))) == count
    assert stored(grid) == [(count, count, "FX", "FX", 1.5 * count)]
    assert trades.read(0) == {"id": 0, "book": "FX", "price": 1.5}


def test_pieces_are_written_in_their_order(grid: kubegrid.Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SLICE_ROWS", 999)
    trades = grid.table(TRADES)
    several = pa.concat_tables([rows(price=float(number)) for number in range(5)])
    assert trades.write_arrow(several) == 5 * ROWS
    assert stored(grid) == [(ROWS, ROWS, "FX", "FX", 4.0 * ROWS)]


@pytest.mark.parametrize("count", [10, ROWS])
def test_records_that_are_there_are_replaced_kept_or_an_error(grid: kubegrid.Grid, count: int) -> None:
    trades = grid.table(TRADES)
    trades.write({"id": 3, "book": "EQ", "price": 7.0})
    assert trades.write_arrow(rows(count), on_duplicate="keep") == count - 1
    assert trades.read(3) == {"id": 3, "book": "EQ", "price": 7.0}
    assert trades.write_arrow(rows(count, 2.0)) == count
    assert trades.read(3) == {"id": 3, "book": "FX", "price": 2.0}
    with pytest.raises(kubegrid.ClientError, match="exists already"):
        trades.write_arrow(rows(count), on_duplicate="fail")
    with pytest.raises(kubegrid.BadValueError, match="on_duplicate is 'replace', 'keep' or 'fail'"):
        trades.write_arrow(rows(count), on_duplicate="skip")


@pytest.mark.parametrize("count", [900, 20 * ROWS])
def test_a_record_that_is_there_ends_it_and_what_was_written_is_known_exactly(grid: kubegrid.Grid, count: int) -> None:
    trades = grid.table(TRADES)
    trades.write({"id": count - 1, "book": "EQ", "price": 7.0})
    with pytest.raises(kubegrid.ClientError, match=f"'trades:{count - 1}' exists already") as caught:
        trades.write_arrow(rows(count), on_duplicate="fail")
    written = trades.count() - 1
    assert 0 < written < count - 1, "of the other partition at least"
    assert isinstance(caught.value, kubegrid.PartlyDoneError)
    assert (caught.value.done, caught.value.outcome) == (written, kubegrid.Outcome.PARTLY)
    assert "the rest were not:" in str(caught.value)


@pytest.mark.parametrize("count", [10, ROWS])
def test_what_was_not_written_at_all_says_so(grid: kubegrid.Grid, count: int) -> None:
    trades = grid.table(TRADES)
    trades.write_arrow(rows(count))
    with pytest.raises(kubegrid.RecordExistsError) as caught:
        trades.write_arrow(rows(count), on_duplicate="fail")
    assert caught.value.outcome is kubegrid.Outcome.NOT_DONE


@pytest.mark.parametrize("count", [10, ROWS])
def test_what_does_not_fit_is_told_with_its_place_and_changes_nothing(grid: kubegrid.Grid, count: int) -> None:
    trades = grid.table(TRADES)
    bad = rows(count).to_pydict() | {"id": [*range(7), None, *range(8, count)]}
    with pytest.raises(kubegrid.BadValueError, match="table trades, column id: row 8 of the batch: NULL"):
        trades.write_arrow(pa.table(bad))
    with pytest.raises(kubegrid.BadValueError, match=r"no column prize.*'price'"):
        trades.write_arrow(rows(count).rename_columns(["id", "prize"]))
    with pytest.raises(kubegrid.BadValueError, match=r"^table trades, column id: is missing"):
        trades.write_arrow(rows(count).drop_columns("id"))
    with pytest.raises(kubegrid.BadValueError, match=r"a list is no Arrow data"):
        trades.write_arrow([{"id": 1}])
    mixed = pd.DataFrame({"id": range(count), "book": pd.Series(["FX"] * (count - 1) + [7], dtype=object)})
    with pytest.raises(kubegrid.BadValueError, match=r"cannot take this DataFrame.*'int' object.*column book"):
        trades.write_arrow(mixed)
    with pytest.raises(kubegrid.BadValueError, match="cannot take this Series"):
        trades.write_arrow(mixed["id"])
    assert trades.write_arrow(rows(0)) == 0
    assert trades.count() == 0


def test_a_bad_row_after_others_leaves_those_and_says_so(grid: kubegrid.Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SLICE_ROWS", 2000)
    trades = grid.table(TRADES)
    short = pa.concat_tables([rows(4000), pa.table({"id": pa.array([None] * 1000, pa.int64()), "price": [1.0] * 1000})])
    with pytest.raises(
        kubegrid.PartlyDoneError, match=r"4000 rows were written.*row 1 of the batch.*4000 rows were given before"
    ) as caught:
        trades.write_arrow(short)
    assert caught.value.done == 4000
    assert trades.count() == 4000


@pytest.mark.parametrize("count", [10, ROWS])
@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["FX", "EQ"])], ids=["categorical", "enum"])
def test_categories_of_polars_are_text(grid: kubegrid.Grid, kind: Any, count: int) -> None:
    trades = grid.table(TRADES)
    books = ["FX", None, "EQ"] * count
    frame = pl.DataFrame({"id": range(count), "book": books[:count]}).with_columns(pl.col("book").cast(kind))
    assert trades.write_arrow(frame) == count
    assert [trades.read(number)["book"] for number in range(3)] == books[:3]


def test_an_index_of_pandas_without_a_name_is_left_out(grid: kubegrid.Grid) -> None:
    trades = grid.table(TRADES)
    frame = rows().to_pandas()
    some = frame[frame.id % 5 > 2]  # no range of the rows
    assert "__index_level_0__" in pa.Table.from_pandas(some).schema.names
    for given in (some, pa.Table.from_pandas(some), pa.Table.from_pandas(some).to_batches()[0]):
        assert trades.write_arrow(given) == len(some)
    assert trades.count() == len(some)


def test_small_batches_of_a_reader_are_put_together(grid: kubegrid.Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[int] = []
    admit = tables.ArrowRows.admit_prepared

    def counted(self: tables.ArrowRows, given: Any) -> Any:
        prepared.append(len(given))
        return admit(self, given)

    monkeypatch.setattr(tables.ArrowRows, "admit_prepared", counted)
    monkeypatch.setattr(tables, "GATHERED_ROWS", 2000)
    trades = grid.table(TRADES)
    assert trades.write_arrow(rows().to_reader(max_chunksize=90)) == ROWS
    assert prepared == [2070, 2070, 860]
    assert stored(grid) == [(ROWS, ROWS, "FX", "FX", 1.5 * ROWS)]


def test_rows_are_prepared_by_their_size_too(grid: kubegrid.Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SLICE_BYTES", rows().nbytes // 3)
    assert max(map(len, tables._slices(rows()))) < ROWS // 2
    trades = grid.table(TRADES)
    assert trades.write_arrow(rows()) == ROWS
    assert stored(grid) == [(ROWS, ROWS, "FX", "FX", 1.5 * ROWS)]


def test_a_deadline_holds_for_all_of_it(grid: kubegrid.Grid) -> None:
    trades = grid.table(TRADES)
    with kubegrid.deadline(0.3), pytest.raises(kubegrid.ClientError) as caught:
        trades.write_arrow(endless())
    assert isinstance(caught.value, kubegrid.PartlyDoneError | kubegrid.UnavailableError)
    if caught.value.outcome is kubegrid.Outcome.PARTLY:
        assert trades.count() == caught.value.done


def endless() -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(1_000_000):
            ids = pa.array(range(number * ROWS, (number + 1) * ROWS), pa.int64())
            yield pa.record_batch({"id": ids, "price": pa.array([1.0] * ROWS)})

    return pa.RecordBatchReader.from_batches(rows(1).schema, batches())


def test_a_table_that_was_altered_meanwhile_is_looked_at_again(grid: kubegrid.Grid) -> None:
    trades = grid.table(TRADES)
    grid.table("trades").add_column("venue", "VARCHAR")
    with_venue = rows().append_column("venue", pa.array(["X"] * ROWS))
    assert trades.write_arrow(with_venue) == ROWS
    assert grid.sql("SELECT count(venue) FROM trades").rows() == [(ROWS,)]


@pytest.mark.parametrize("flight", [True, False], ids=["flight", "commands"])
def test_a_column_that_is_added_in_the_middle_stops_nothing(
    grid: kubegrid.Grid, monkeypatch: pytest.MonkeyPatch, flight: bool
) -> None:
    if not flight:
        monkeypatch.setattr(tables.FlightStreams, "there", lambda self: False)
    monkeypatch.setattr(tables, "SLICE_ROWS", 2000)
    trades = grid.table(TRADES)

    def batches() -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(rows().to_batches(max_chunksize=1000) * 4):
            if number == 10:
                grid.table("trades").add_column("venue", "VARCHAR", default="X")
            yield batch

    monkeypatch.setattr(tables, "GATHERED_ROWS", 1000)
    assert trades.write_arrow(pa.RecordBatchReader.from_batches(rows().schema, batches())) == 4 * ROWS
    assert stored(grid) == [(ROWS, ROWS, "FX", "FX", 1.5 * ROWS)]
    assert grid.sql("SELECT min(venue), max(venue) FROM trades").rows() == [("X", "X")]


async def test_the_async_client_does_it_too(members: GridProcesses, grid: kubegrid.Grid) -> None:
    grid.table(TRADES)
    async with await kubegrid.connect_async(address(members), password=members.secret) as connected:
        trades = await connected.table("trades")
        for count in (10, ROWS):
            assert await trades.write_arrow(rows(count)) == count
    assert stored(grid) == [(ROWS, ROWS, "FX", "FX", 1.5 * ROWS)]


async def test_an_async_write_that_is_cancelled_goes_on_in_peace(
    members: GridProcesses, grid: kubegrid.Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    trades = grid.table(TRADES)
    async with await kubegrid.connect_async(address(members), password=members.secret) as connected:
        table = await connected.table("trades")
        write = asyncio.create_task(table.write_arrow(rows(20 * ROWS)))
        while trades.count() == 0:
            await asyncio.sleep(0.01)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        while any(thread.name == "kubegrid-sql" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
    assert trades.count() == 20 * ROWS
    assert complaints == []


FORKED = """
import os, sys
import kubegrid, pyarrow as pa

grid = kubegrid.connect(sys.argv[1])
trades = grid.table("trades")
rows = pa.table({"id": pa.array(range(5000), pa.int64()), "price": [1.5] * 5000})
trades.write_arrow(rows)
if not (child := os.fork()):
    os._exit(0 if trades.write_arrow(rows) == 5000 else 1)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_the_child_of_a_process_that_used_flight_writes_by_commands(
    members: GridProcesses, grid: kubegrid.Grid, tmp_path: Path
) -> None:
    grid.table(TRADES)
    ran = subprocess.run(
        [sys.executable, "-c", FORKED, address(members)],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert stored(grid) == [(5000, 5000, "FX", "FX", 7500.0)]
