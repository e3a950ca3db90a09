"""The demo tells the truth: 0 only if nothing was lost, and 1 if one acknowledged key is taken away behind its back."""

import io
import itertools
from pathlib import Path

import pytest
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


@pytest.mark.parametrize("kind", ["write", "flight"])
def test_the_demo_fails_when_an_acknowledged_key_is_gone(tmp_path: Path, kind: str) -> None:
    def take_one_away(demo: Demo) -> None:
        written = next(reversed(demo.writers[0].acknowledged))
        key = written if kind == "write" else demo.rows[100].key.decode()
        assert demo.client.delete(key) == 1

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
