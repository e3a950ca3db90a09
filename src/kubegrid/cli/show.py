"""`kubegrid status` and `members`: what is, as tables for people and as JSON for programs."""

import sys
from typing import Any

from kubegrid.base import units
from kubegrid.cli.target import Grid
from kubegrid.runtime.status import Status

NOT_REACHABLE = 3
WIDTH_WITHOUT_TERMINAL = 160
COLOURS = {"serving": "green", "degraded": "yellow", "recovering": "yellow", "down": "red", "stopped": "red"}


def status(grid: Grid, as_json: bool) -> int:
    told = grid.read_status()
    print_status(told, as_json)
    if not _anything_runs(told):
        print("kubegrid: none of its processes runs; `kubegrid up` starts them", file=sys.stderr)
        return NOT_REACHABLE
    return 0


def members(grid: Grid, as_json: bool) -> int:
    told = grid.read_status()
    rows = [
        {"partition": partition["id"], "in_sync": member["name"] in partition["in_sync"], **member}
        for partition in told["partitions"]
        for member in partition["members"]
    ]
    if as_json:
        print_json(rows)
    else:
        _print_tables([_members_table(told)])
    return 0 if _anything_runs(told) else NOT_REACHABLE


def print_status(told: Status, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    tables: list[Any] = [_heading(told), _members_table(told), _managers_table(told)]
    for partition in told["partitions"]:
        texts = [partition.get("explanation"), partition.get("note")]
        tables += [f"[yellow]{_plain(labelled(partition['id'], text))}[/]" for text in texts if text]
    tables += [f"[yellow]{m['name']}:[/] {_plain(m['advice'])}" for m in told["managers"] if m.get("advice")]
    _print_tables(tables)


def labelled(partition: int, text: str) -> str:
    """A text about a partition, which may or may not begin with naming it."""
    label = f"partition {partition}"
    return text if text.startswith(label) else f"{label}: {text}"


def print_json(value: Any) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _anything_runs(told: Status) -> bool:
    processes = [*told["managers"], *(member for partition in told["partitions"] for member in partition["members"])]
    return any(process["pid"] is not None or process.get("http") for process in processes)


def _plain(text: Any) -> str:
    from rich.markup import escape

    return escape(str(text))


def _coloured(word: str) -> str:
    return f"[{COLOURS[word]}]{word}[/]" if word in COLOURS else word


def _heading(told: Status) -> str:
    partitions = told["partitions"]
    whole = sum(
        member["name"] in partition["in_sync"] and member["role"] in ("primary", "backup")
        for partition in partitions
        for member in partition["members"]
    )
    total = sum(len(partition["members"]) for partition in partitions)
    return f"grid [bold]{_plain(told['grid'])}[/] is {_coloured(told['state'])}, {whole} of {total} copies in sync"


def _members_table(told: Status) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("partition", "slots", "state", "member", "role", "in sync"):
        table.add_column(heading, no_wrap=True)
    for heading in ("commit", "memory", "pid"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("resp", "http"):
        table.add_column(heading, no_wrap=True)
    for partition in told["partitions"]:
        slots = " ".join(f"{first}-{last}" for first, last in partition["slots"])
        head = [f"{partition['id']} (epoch {partition['epoch']})", slots, _coloured(partition["state"])]
        for member in partition["members"]:
            role = _coloured(member["role"])
            table.add_row(
                *head,
                member["name"],
                f"[bold]{role}[/]" if member["name"] == partition["primary"] else role,
                "yes" if member["name"] in partition["in_sync"] and member["role"] in ("primary", "backup") else "no",
                str(member["commit"]),
                units.bytes_text(member["memory"]),
                str(member["pid"] or "-"),
                member["resp"] or "-",
                member["http"] or "-",
            )
            head = ["", "", ""]
    return table


def _managers_table(told: Status) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("manager", "leader", "coordinator", "pid", "http"):
        table.add_column(heading, no_wrap=True)
    for manager in told["managers"]:
        leader = "yes" if manager["leader"] else "no"
        table.add_row(
            manager["name"], leader, manager["coordinator"], str(manager["pid"] or "-"), manager["http"] or "-"
        )
    return table


def _print_tables(tables: list[Any]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
    for table in tables:
        console.print(table)
