"""Grids of real processes, one per test or one per module, always torn down, strays included."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.live_grid import LiveGrid, live_grid


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LiveGrid]:
    """One partition with a backup and a manager, whole: the smallest grid that can lose a process."""
    with live_grid(tmp_path, partitions=1) as running:
        yield running


@pytest.fixture
def new_grid(tmp_path: Path) -> Iterator[Callable[..., LiveGrid]]:
    """Makes grids that have not been started, each in a folder of its own with a space in its path."""
    made: list[LiveGrid] = []

    def make(**shape: object) -> LiveGrid:
        root = tmp_path / f"a grid {len(made)}"
        root.mkdir()
        made.append(LiveGrid(root, **{"partitions": 1, **shape}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
