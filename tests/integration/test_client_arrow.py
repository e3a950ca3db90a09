"""`write_arrow`: Arrow, and whatever gives Arrow, into a table, by both clients."""

from collections.abc import Iterator
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from tests.integration.member_processes import GridProcesses, grid_processes

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
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=2, copies=2) as processes:
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


@pytest.mark.parametrize("count", [10, ROWS])
def test_what_does_not_fit_is_told_with_its_place_and_changes_nothing(grid: kubegrid.Grid, count: int) -> None:
    trades = grid.table(TRADES)
    bad = rows(count).to_pydict() | {"id": [*range(7), None, *range(8, count)]}
    with pytest.raises(kubegrid.BadValueError, match="table trades, column id: row 8 of the batch: NULL"):
        trades.write_arrow(pa.table(bad))
    with pytest.raises(kubegrid.BadValueError, match=r"no column prize.*'price'"):
        trades.write_arrow(rows(count).rename_columns(["id", "prize"]))
    with pytest.raises(kubegrid.BadValueError, match=r"a list is no Arrow data"):
        trades.write_arrow([{"id": 1}])
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


def test_a_table_that_was_altered_meanwhile_is_looked_at_again(grid: kubegrid.Grid) -> None:
    trades = grid.table(TRADES)
    grid.table("trades").add_column("venue", "VARCHAR")
    with_venue = rows().append_column("venue", pa.array(["X"] * ROWS))
    assert trades.write_arrow(with_venue) == ROWS
    assert grid.sql("SELECT count(venue) FROM trades").rows() == [(ROWS,)]


async def test_the_async_client_does_it_too(members: GridProcesses, grid: kubegrid.Grid) -> None:
    grid.table(TRADES)
    async with await kubegrid.connect_async(address(members), password=members.secret) as connected:
        trades = await connected.table("trades")
        for count in (10, ROWS):
            assert await trades.write_arrow(rows(count)) == count
    assert stored(grid) == [(ROWS, ROWS, "FX", "FX", 1.5 * ROWS)]
