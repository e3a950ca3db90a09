"""Options that many commands share, as types; no imports beyond Typer, so that `--help` costs nothing else."""

from pathlib import Path
from typing import Annotated

import typer

NAME_DEFAULT = "local"

Name = Annotated[str | None, typer.Option("--name", help="Name of the grid.", show_default=NAME_DEFAULT)]
Folder = Annotated[Path | None, typer.Option("--dir", help="Folder of the grid, if not the usual one.")]
Manager = Annotated[str | None, typer.Option("--manager", metavar="URL", help="Ask this manager instead.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
