"""The demo tells the truth: 0 only if nothing was lost, and 1 if one acknowledged key is taken away behind its back."""

import io
import itertools
from pathlib import Path

from bench.local_grid import LocalGrid
from demo import flights
from demo.__main__ import Demo, run
from rich.console import Console
from tests.e2e.live_grid import live_grid

ROWS = 6000


def demo_of(grid_directory: Path, port: int) -> tuple[Demo, io.StringIO]:
    printed = io.StringIO()
    rows = list(itertools.islice(flights.source(), ROWS))
    return Demo(LocalGrid(grid_directory, "test", port), rows, Console(file=printed, width=160)), printed


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
        # The flights are looked up as well as what the writers wrote.
        gone = demo.rows[100].key
        assert demo.client.delete(gone) == 1
        demo.check()
        assert demo.result.lost == [gone.decode()]


def test_the_demo_fails_when_an_acknowledged_write_is_gone(tmp_path: Path) -> None:
    def take_one_away(demo: Demo) -> None:
        assert demo.client.delete(next(reversed(demo.writers[0].acknowledged))) == 1

    with live_grid(tmp_path) as grid:
        demo, printed = demo_of(grid.directory, grid.port)
        assert run(demo, before_check=take_one_away) == 1
        assert last_line(printed) == "acknowledged writes lost: 1"


def test_the_flights_of_the_package_are_all_there_with_all_columns() -> None:
    rows = list(flights.source())
    assert len(rows) == flights.ROWS == 336_776
    assert len({row.key for row in rows}) == flights.ROWS, "the natural key names every flight"
    names = {name for row in itertools.islice(rows, 1000) for name in row.as_dict()}
    assert len(names) == flights.COLUMNS == 19
