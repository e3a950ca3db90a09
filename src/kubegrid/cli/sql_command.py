"""What `kubegrid sql` takes; what it does is in `sql`, imported when it runs."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from kubegrid.cli import options

_COMMENT = re.compile(r"--[^=\s]*\s|--.*\n")
"""How a statement begins that begins with a comment. No option has blanks in its name."""


class SqlCommand(TyperCommand):
    """Takes a statement for one that begins with a comment, and so looks like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        found = next((place for place, word in enumerate(args) if word == "--" or _COMMENT.match(word)), None)
        if found is not None and args[found] != "--":
            args = [*args[:found], *args[found + 1 :], "--", args[found]]
        return super().parse_args(ctx, args)


def sql(
    context: typer.Context,
    statement: Annotated[
        str | None, typer.Argument(metavar="STATEMENT", help="One statement; `-` reads it from standard input.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", metavar="FILE", help="Read the statement from it.")
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option("--format", metavar="table|csv|json|ndjson|arrow", help="A table on a terminal, csv else."),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there, whole or not at all.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Until when it must be done.")] = None,
    statement_id: Annotated[
        str | None, typer.Option("--statement-id", metavar="ID", help="Under it a write can be run again safely.")
    ] = None,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Run a statement of SQL over all partitions."""
    from kubegrid.cli import sql as command
    from kubegrid.cli import target

    if context.args:
        raise typer.BadParameter("the statement is one argument: put it in quotes")
    if as_json and output_format not in (None, "json"):
        raise typer.BadParameter(f"--json and --format {output_format} are two formats")
    asked = command.Asked(statement, file, "json" if as_json else output_format, output, timeout, statement_id)
    raise typer.Exit(command.sql(target.find(name, directory, manager), asked))
