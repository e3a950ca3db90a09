"""Options that many commands share, as types; no imports beyond Typer, so that `--help` costs nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from kubegrid.base.ids import GRID_NAME_DEFAULT


def _not_empty(name: str | None) -> str | None:
    """Of `--name "$GRID"` with nothing in it, the default is not what was meant."""
    if name == "":
        raise typer.BadParameter("the name of a grid is not empty")
    return name


Name = Annotated[
    str | None, typer.Option("--name", help="Name of the grid.", show_default=GRID_NAME_DEFAULT, callback=_not_empty)
]
Folder = Annotated[Path | None, typer.Option("--dir", help="Folder of the grid, if not the usual one.")]
Manager = Annotated[str | None, typer.Option("--manager", metavar="URL", help="Ask this manager instead.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
