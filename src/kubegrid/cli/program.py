"""The tree of commands: what each is called and what it takes. What it does is in the module it imports when it runs.

Imports wait until then because `kubegrid --help` has to be there at once. Errors of ours become a message and an exit
status here, in one place; Typer does the same for wrong usage (2) and Ctrl-C (130).
"""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from kubegrid.base.errors import KubegridError
from kubegrid.cli import options, sql_command
from kubegrid.cli.tables import tables_app

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of a disk that is full, or of one's share of it."""
app = typer.Typer(
    name="kubegrid",
    help="An in-memory data grid: partitioned, synchronously replicated, spoken to by any Redis client.",
    no_args_is_help=True,
    rich_markup_mode=None,  # with it, `--help` would import Rich
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
partition_app = typer.Typer(help="Decide about a partition.", no_args_is_help=True, rich_markup_mode=None)
manager_app = typer.Typer(help="The management process, and mending its data.", rich_markup_mode=None)


def run(arguments: list[str]) -> int:
    """Run one command; its exit status."""
    output = sys.stdout  # Typer puts another in its place when a pipe is closed
    try:
        status = _run(arguments)
        output.flush()
    except OSError as error:
        if error.errno not in (*NO_ROOM, errno.EPIPE):
            raise
        _drop(output)
        if error.errno != errno.EPIPE:  # else `| head` has seen enough
            print(f"kubegrid: cannot write any further: {error.strerror}", file=sys.stderr)
        return 1
    return status


def _run(arguments: list[str]) -> int:
    try:
        app(arguments, prog_name="kubegrid")
    except KubegridError as error:
        print(f"kubegrid: {error}", file=sys.stderr)
        return error.exit_status
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def _drop(output: TextIO) -> None:
    """What still waits to be written to standard output cannot be: nobody shall try that again at the end."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output.fileno())
        os.close(nowhere)


def _exit(status: int) -> NoReturn:
    raise typer.Exit(status)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _program(
    wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What may stand before a command."""


@app.command()
def up(
    grid_yaml: Annotated[Path | None, typer.Argument(metavar="[grid.yaml]", help="A DataGrid manifest.")] = None,
    name: options.Name = None,
    partitions: Annotated[int | None, typer.Option(help="Number of partitions.", show_default="3")] = None,
    backups: Annotated[int | None, typer.Option(help="Backups of each partition.", show_default="1")] = None,
    managers: Annotated[int | None, typer.Option(help="Number of managers.", show_default="1")] = None,
    port: Annotated[int | None, typer.Option(help="RESP port of the first member.", show_default="7000")] = None,
    bind: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    directory: options.Folder = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier grid left in the folder.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the grid serves; it runs on.")] = False,
    secret_file: Annotated[Path | None, typer.Option(help="File with the password; or set KUBEGRID_SECRET.")] = None,
    advertise: Annotated[str | None, typer.Option(help="Address to tell clients, if not the bound one.")] = None,
    as_json: options.Json = False,
) -> None:
    """Start a grid here, or take over one whose supervisor is gone."""
    from kubegrid.cli import up as command

    spec = {"partitions": partitions, "backups": backups, "managers": managers}
    given = {key: value for key, value in spec.items() if value is not None}
    start = command.Start(grid_yaml, name, given, port, bind, directory, fresh, secret_file, advertise)
    _exit(command.up(start, detach, as_json))


@app.command()
def status(
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Show who is primary, who is in sync, what runs where."""
    from kubegrid.cli import show, target

    _exit(show.status(target.find(name, directory, manager), as_json))


@app.command()
def members(
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """List the members of a grid."""
    from kubegrid.cli import show, target

    _exit(show.members(target.find(name, directory, manager), as_json))


@app.command()
def down(name: options.Name = None, directory: options.Folder = None) -> None:
    """Stop a grid of this machine, and its memory with it."""
    from kubegrid.cli import down as command
    from kubegrid.cli import target

    _exit(command.down(target.local(name, directory)))


@app.command()
def logs(
    member: Annotated[
        str | None, typer.Argument(metavar="[MEMBER]", help="A member, a manager or `supervisor`; all without it.")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as more is written.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Begin with this many of the last lines.")] = 100,
    name: options.Name = None,
    directory: options.Folder = None,
) -> None:
    """Show what the processes wrote."""
    from kubegrid.cli import logs as command
    from kubegrid.cli import target

    _exit(command.logs(target.local(name, directory), member, follow, lines))


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def cli(
    words: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND…]", help="Run this and return.")] = None,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
) -> None:
    """Talk to the grid in the Redis protocol."""
    from kubegrid.cli import redis_cli, target

    _exit(redis_cli.cli(target.find(name, directory, manager), words or []))


@app.command()
def load(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Made from the file if it is not there.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, Parquet or NDJSON, by its name; text also as .gz.")
    ],
    key: Annotated[str | None, typer.Option(metavar="COL[,COL…]", help="Columns that name a record.")] = None,
    partition_by: Annotated[
        str | None,
        typer.Option(metavar="COL[,COL…]", help="Of a new table: the leading part of the key that places it."),
    ] = None,
    on_duplicate: Annotated[str, typer.Option(metavar="replace|keep|fail", help="When a record is there.")] = "replace",
    on_error: Annotated[str, typer.Option(metavar="fail|skip", help="When a row does not fit the table.")] = "fail",
    replace_table: Annotated[bool, typer.Option("--replace-table", help="Drop the table that is there first.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted load stopped.")] = False,
    null: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Also NULL in CSV; may be repeated.")] = None,
    delimiter: Annotated[str, typer.Option(metavar="CHARACTER|tab", help="Between the fields of CSV.")] = "",
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="A column's name in the file, and in the table.")
    ] = None,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Load a file into a table."""
    from kubegrid.cli import load as command
    from kubegrid.cli import target
    from kubegrid.load import Request

    columns = command.columns_of
    of_new = columns(key), columns(partition_by)
    request = Request(
        table, file, *of_new, on_duplicate, on_error, replace_table, resume, null or [], delimiter, rename or []
    )
    grid = target.find(name, directory, manager)
    _exit(command.load(grid, command.Asked(request, sys.argv[1:], as_json)))


app.command(cls=sql_command.SqlCommand, context_settings={"allow_extra_args": True})(sql_command.sql)


@partition_app.command("hand-over")
def hand_over(
    partition: Annotated[int, typer.Argument(metavar="P", min=0, help="Number of the partition.")],
    to: Annotated[str | None, typer.Option(metavar="MEMBER", help="Who shall be primary.")] = None,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Make a backup the primary without failing a request."""
    from kubegrid.cli import partitions, target

    _exit(partitions.hand_over(target.find(name, directory, manager), partition, to, as_json))


@partition_app.command("accept-loss", short_help="Let a partition serve again whose data are lost.")
def accept_loss(
    partition: Annotated[int | None, typer.Argument(metavar="P", min=0, help="Number of the partition.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every partition that waits for it.")] = False,
    vouch: Annotated[bool, typer.Option("--vouch-dead", help="I know that members not proved dead are dead.")] = False,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Let a partition serve again whose members have all lost what it held. It is recorded."""
    from kubegrid.cli import partitions, target

    if (partition is None) != every:
        raise typer.BadParameter("say which partition P, or --all")
    _exit(partitions.accept_loss(target.find(name, directory, manager), partition, vouch, as_json))


@manager_app.callback(invoke_without_command=True)
def manager_process(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run the process with this configuration.")
    ] = None,
) -> None:
    """The management process (--config FILE), and mending its data (rebuild)."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise typer.BadParameter("--config runs the process; it does not go with another command")
        return
    if config is None:
        raise typer.BadParameter("say --config FILE to run a manager, or a command such as rebuild")
    from kubegrid.manager import main

    _exit(main.run(str(config)))


@manager_app.command(short_help="Make the coordinator's data anew from the members.")
def rebuild(
    force: Annotated[bool, typer.Option("--force", help="Although members of the grid are missing.")] = False,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Make the coordinator's data anew from what the members know; refused while it has its own."""
    from kubegrid.cli import managers, target

    _exit(managers.rebuild(target.find(name, directory, manager), force, as_json))


@app.command()
def node(config: Annotated[Path, typer.Option(metavar="FILE", help="Configuration of the member.")]) -> None:
    """Run one member of one partition. `kubegrid up` starts these."""
    from kubegrid.node import main

    _exit(main.run(str(config)))


@app.command()
def version(as_json: options.Json = False) -> None:
    """Print the version."""
    import kubegrid

    print(f'{{"version": "{kubegrid.__version__}"}}' if as_json else kubegrid.__version__)


app.add_typer(partition_app, name="partition")
app.add_typer(manager_app, name="manager")
app.add_typer(tables_app, name="tables")
