"""The demo tells the truth: 0 only if nothing was lost, and 1 if one acknowledged key is taken away behind its back."""

import io
from pathlib import Path

import pytest
from bench.local_grid import LocalGrid
from demo import flights
from demo.__main__ import Demo, DemoFailure, read_source, run
from rich.console import Console
from tests.e2e.live_grid import live_grid

from kubegrid.base.record_keys import RecordKeys

ROWS = 6000


def demo_of(grid_directory: Path, port: int) -> tuple[Demo, io.StringIO]:
    printed = io.StringIO()
    folder = grid_directory.parent
    console = Console(file=printed, width=160)
    return Demo(LocalGrid(grid_directory, "test", port), read_source(ROWS, folder), folder, console), printed


def last_line(printed: io.StringIO) -> str:
    return printed.getvalue().rstrip("\n").splitlines()[-1]


def test_the_demo_loads_kills_a_primary_and_loses_nothing(tmp_path: Path) -> None:
    with live_grid(tmp_path) as grid:
        demo, printed = demo_of(grid.directory, grid.port)
        assert run(demo) == 0, printed.getvalue()
        assert last_line(printed) == "acknowledged writes lost: 0"
        assert demo.result.loaded == ROWS
        assert demo.result.killed != demo.result.new_primary
        assert demo.result.outage_ms is not None
        assert demo.result.acknowledged > 100
        for promised in ("records loaded", "load rate", "operations acknowledged", "outage", "killed"):
            assert promised in printed.getvalue()
        assert "late flights to ANC found by the index on dest" in printed.getvalue()
        for when in ("while the writers write", "again", "after the failover"):
            assert f"SQL join of flights, airlines, planes and weather {when}" in printed.getvalue()
        assert "SQL join of 4 tables" in printed.getvalue()
        # The flights are looked up as well as what the writers wrote.
        demo, printed = again(demo)
        (gone,) = demo.source.flights([100])
        assert demo.flights.remove(gone.key)
        demo.check()
        key = RecordKeys(demo.flights.definition).from_python(gone.key)
        assert demo.result.lost == [key.decode()]


def again(demo: Demo) -> tuple[Demo, io.StringIO]:
    """The same demo with a new client: the one that ran has closed its own."""
    printed = io.StringIO()
    other = Demo(demo.grid, demo.source, demo.file.parent, Console(file=printed, width=160))
    other.flights = other.kubegrid.table(flights.Flight, name=flights.TABLE, key=flights.KEY, index=flights.INDEXES)
    other.changed = demo.changed
    return other, printed


def test_the_demo_fails_when_an_acknowledged_write_is_gone(tmp_path: Path) -> None:
    def take_one_away(demo: Demo) -> None:
        assert demo.client.delete(next(reversed(demo.writers[0].acknowledged))) == 1

    with live_grid(tmp_path) as grid:
        demo, printed = demo_of(grid.directory, grid.port)
        assert run(demo, before_check=take_one_away) == 1
        assert last_line(printed) == "acknowledged writes lost: 1"


def test_the_demo_fails_when_the_join_is_not_as_on_the_source(tmp_path: Path) -> None:
    with live_grid(tmp_path) as grid:
        demo, _ = demo_of(grid.directory, grid.port)
        demo.load()
        demo.load_others()
        demo.join("while nothing is wrong")
        demo.kubegrid.sql(
            "UPDATE airlines SET name = 'Nobody' WHERE carrier = (SELECT carrier FROM airlines WHERE name = ?)",
            [demo.answer[0][0]],
        )
        with pytest.raises(DemoFailure, match="Nobody"):
            demo.join("with an airline of another name")
        demo.kubegrid.close()


def test_the_flights_of_the_package_are_all_there_with_all_columns() -> None:
    source = flights.source()
    assert len(source) == flights.ROWS == 336_776
    assert source.rows.column_names == list(flights.Flight.__dataclass_fields__)
    assert all(source.rows[name].null_count == 0 for name in flights.KEY), "the natural key has no NULL"
    keys = source.keys()
    assert len(set(keys)) == flights.ROWS, "the natural key names every flight"
    (first,) = source.flights([0])
    assert keys[0] == first.key


def test_a_demo_whose_grid_answers_with_an_error_says_so(tmp_path: Path) -> None:
    with live_grid(tmp_path) as grid:
        demo, printed = demo_of(grid.directory, grid.port)
        demo.kubegrid.close()
        assert run(demo) == 1
        assert "the demo failed: this client is closed" in printed.getvalue()
        assert last_line(printed) == "acknowledged writes lost: unknown"
