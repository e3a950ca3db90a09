"""`kubegrid tables`: list, describe, create and drop tables, through a manager."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kubegrid.cli import options

tables_app = typer.Typer(help="List, describe, create and drop tables.", rich_markup_mode=None)
CHANGE_S = 10.0
"""Longer than the manager waits for the members."""
HEADINGS = ("table", "columns", "key", "indexes", "ttl", "schema")


@tables_app.callback(invoke_without_command=True)
def tables(
    context: typer.Context,
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """List the tables of a grid; or describe, create or drop one."""
    context.obj = (name, directory, manager, as_json)
    if context.invoked_subcommand is None:
        told = _ask(context, name, directory, manager, "GET", "/v1/tables")
        if as_json:
            _print_json(told)
        else:
            _print_list(told)


@tables_app.command()
def describe(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="NAME", help="Name of the table.")],
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Show the columns, key and indexes of a table."""
    told = _ask(context, name, directory, manager, "GET", _path(table))
    if as_json or _outer_json(context):
        _print_json(told)
    else:
        _print_description(told)


@tables_app.command(short_help="Make tables that are not there yet.")
def create(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A definition, or a list of them, in YAML or JSON.")],
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Make tables that are not there yet; one that is there with another definition is refused."""
    from kubegrid.base.errors import UsageError
    from kubegrid.base.manifest_tables import read_definitions

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    definitions = read_definitions(text, str(file))
    made = [
        _ask(context, name, directory, manager, "POST", "/v1/tables", definition.to_json())
        for definition in definitions
    ]
    if as_json or _outer_json(context):
        _print_json(made)
    else:
        for table in made:
            print(f"table {table['name']} is there, with {len(table['columns'])} columns")


@tables_app.command()
def drop(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="NAME", help="Name of the table.")],
    name: options.Name = None,
    directory: options.Folder = None,
    manager: options.Manager = None,
    as_json: options.Json = False,
) -> None:
    """Drop a table with all its records."""
    told = _ask(context, name, directory, manager, "DELETE", _path(table))
    if as_json or _outer_json(context):
        _print_json(told)
    else:
        print(f"table {table} is dropped")


def _path(table: str) -> str:
    return f"/v1/tables/{quote(table, safe='')}"


def _ask(
    context: typer.Context,
    name: str | None,
    directory: Path | None,
    manager: str | None,
    method: str,
    path: str,
    body: Any = None,
) -> Any:
    """Ask a manager of the grid that the command's options name, or those before the command."""
    from kubegrid.cli import target

    if (name, directory, manager) == (None, None, None):
        name, directory, manager, _ = context.obj
    return target.find(name, directory, manager).ask(method, path, body, CHANGE_S)


def _outer_json(context: typer.Context) -> bool:
    return bool(context.obj[3])


def _print_json(value: Any) -> None:
    from kubegrid.cli.show import print_json

    print_json(value)


def _print_list(told: dict[str, Any]) -> None:
    if not told["tables"]:
        print("There are no tables. `kubegrid tables create FILE` makes one, or `tables` in the manifest.")
        return
    rows = [
        (
            table["name"],
            str(len(table["columns"])),
            ", ".join(table["key"]),
            "; ".join(f"{', '.join(index['columns'])} ({index['kind']})" for index in table["indexes"]) or "-",
            f"{table['ttl']} s" if table["ttl"] else "-",
            str(table["schema"]),
        )
        for table in told["tables"]
    ]
    _print_table(HEADINGS, rows)
    if told["behind"]:
        print(f"Not in force yet in partition {', '.join(map(str, told['behind']))}.")


def _print_description(table: dict[str, Any]) -> None:
    key, partition_by = table["key"], table["partition_by"]
    rows = [
        (
            column["name"],
            column["type"],
            "NULL" if column["nullable"] else "NOT NULL",
            "-" if column["default"] is None else str(column["default"]),
            " ".join(["key"] * (column["name"] in key) + ["partition"] * (column["name"] in partition_by)),
        )
        for column in table["columns"]
    ]
    _print_table(("column", "type", "null", "default", "part of"), rows)
    print(f"key ({', '.join(key)})")
    for index in table["indexes"]:
        print(f"{index['kind']} index on ({', '.join(index['columns'])})")
    if table["broadcast"]:
        print("a copy in every partition")
    if table["ttl"]:
        print(f"a record goes away {table['ttl']} s after its last write")


def _print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich import box
    from rich.table import Table

    from kubegrid.cli.show import console, plain

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(*map(plain, row))
    console().print(shown)
