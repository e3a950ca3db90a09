"""`kubegrid status` and `members`: what is, as tables for people and as JSON for programs."""

import sys
from typing import Any

from kubegrid.base import units
from kubegrid.cli.target import Grid
from kubegrid.runtime.status import Status

NOT_REACHABLE = 3
WIDTH_WITHOUT_TERMINAL = 160
WIDTH_MEASURED = 10_000
"""Wider than any table: how wide one would like to be is asked with this much room."""
PARTITION_HEADINGS = ("partition", "slots", "state")
MEMBER_HEADINGS = ("member", "role", "in sync", "commit", "memory", "pid", "resp", "http")
NUMBERS = ("commit", "memory", "pid")
NARROW_HEADINGS = tuple(heading for heading in MEMBER_HEADINGS if heading not in ("commit", "memory"))
"""Of a member, where a line has no room for everything."""
NARROWEST_HEADINGS = tuple(heading for heading in NARROW_HEADINGS if heading != "http")
"""The same, where it has no room for these either: 60 columns."""
COLOURS = {"serving": "green", "degraded": "yellow", "recovering": "yellow", "down": "red", "stopped": "red"}


def status(grid: Grid, as_json: bool) -> int:
    told = grid.read_status()
    print_status(grid, told, as_json)
    if not _anything_runs(told):
        print(f"kubegrid: none of its processes runs\n{grid.how_to_start()}", file=sys.stderr)
        return NOT_REACHABLE
    unwatched = grid.unwatched()
    if unwatched:
        print(f"kubegrid: {unwatched}", file=sys.stderr)
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
        terminal = console()
        _print(terminal, _members_tables(told, terminal))
    return 0 if _anything_runs(told) else NOT_REACHABLE


def print_status(grid: Grid, told: Status, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    terminal = console()
    flight = (told.get("sql") or {}).get("flight")
    ask = grid.command("sql STATEMENT")
    sql = [f"SQL: {plain(f'`{ask}`, or Arrow Flight at {flight}')}"] if flight else []
    tables: list[Any] = [_heading(told), *sql, *_members_tables(told, terminal), _managers_table(told)]
    for partition in told["partitions"]:
        texts = [partition.get("explanation"), partition.get("note")]
        tables += [f"[yellow]{plain(labelled(partition['id'], text))}[/]" for text in texts if text]
    tables += [f"[yellow]{m['name']}:[/] {plain(m['advice'])}" for m in told["managers"] if m.get("advice")]
    _print(terminal, tables)


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


def plain(text: Any) -> str:
    """A text as Rich prints it unchanged."""
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
    return f"grid [bold]{plain(told['grid'])}[/] is {_coloured(told['state'])}, {whole} of {total} copies in sync"


def _members_tables(told: Status, terminal: Any) -> list[Any]:
    """All in one table if it fits; else the partitions and their members one after the other."""
    whole = _members_table(told)
    if _fits(whole, terminal):
        return [whole]
    members = _members_table(told, NARROW_HEADINGS)
    if not _fits(members, terminal):
        members = _members_table(told, NARROWEST_HEADINGS)
    return [_members_table(told, PARTITION_HEADINGS), members]


def _fits(table: Any, terminal: Any) -> bool:
    wanted = terminal.measure(table, options=terminal.options.update(max_width=WIDTH_MEASURED)).maximum
    return bool(wanted <= terminal.width)


def _members_table(told: Status, headings: tuple[str, ...] = PARTITION_HEADINGS + MEMBER_HEADINGS) -> Any:
    """One row for each member, or for each partition when only these headings are wanted."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", no_wrap=True)
    for partition in told["partitions"]:
        cells = {
            "partition": f"{partition['id']} (epoch {partition['epoch']})",
            "slots": " ".join(f"{first}-{last}" for first, last in partition["slots"]),
            "state": _coloured(partition["state"]),
        }
        for member in partition["members"]:
            role = _coloured(member["role"])
            in_sync = member["name"] in partition["in_sync"] and member["role"] in ("primary", "backup")
            cells |= {
                "member": member["name"],
                "role": f"[bold]{role}[/]" if member["name"] == partition["primary"] else role,
                "in sync": "yes" if in_sync else "no",
                "commit": str(member["commit"]),
                "memory": units.bytes_text(member["memory"]),
                "pid": str(member["pid"] or "-"),
                "resp": member["resp"] or "-",
                "http": member["http"] or "-",
            }
            if "member" in headings or "partition" in cells:
                table.add_row(*(cells.get(heading, "") for heading in headings))
            cells = {}
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


def console() -> Any:
    """Of this terminal's width; wide where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def _print(terminal: Any, tables: list[Any]) -> None:
    for table in tables:
        terminal.print(table)
