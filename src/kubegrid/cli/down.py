"""`kubegrid down`: the orderly end of a local grid."""

from kubegrid.cli import progress
from kubegrid.cli.target import LocalGrid
from kubegrid.runtime.down import take_down


def down(grid: LocalGrid) -> int:
    with progress.Teller() as teller:
        ran = take_down(grid.folder, teller.tell)
        teller.note(f"{grid.state.name} is down." if ran else f"{grid.state.name} does not run.")
    return 0
