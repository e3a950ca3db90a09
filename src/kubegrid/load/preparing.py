"""From what somebody asked for to a load that can run: the file, the table that takes it, the place where it begins.

Nothing is written to the grid before file and table are known to fit together, except the table itself where there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kubegrid.base.errors import UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import TableDefinition
from kubegrid.client import clock
from kubegrid.client.caller import Caller
from kubegrid.client.errors import UnknownTableError
from kubegrid.load import agreement
from kubegrid.load.blocks import Source
from kubegrid.load.files import open_source
from kubegrid.load.loading import FAIL, KEEP, REPLACE, SKIP, Load, Plan

CATALOG_S = 30.0
"""For a change of the catalog: members take it up within seconds, later when one is just failing over."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to load, as a person says it."""

    table: str
    path: Path
    key: Sequence[str] = ()
    partition_by: Sequence[str] = ()
    on_duplicate: str = REPLACE
    on_error: str = FAIL
    replace_table: bool = False
    resume: bool = False
    nulls: Sequence[str] = ()
    delimiter: str = ""
    rename: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    load: Load
    table: TableDefinition
    made: bool
    """Whether the table was made for this load."""
    notes: list[str] = field(default_factory=list)


def prepare(caller: Caller, grid_id: str, request: Request) -> Prepared:
    """Open the file, make or check the table. Raises FileError, UsageError, SchemaConflict, ResumeConflict, ClientError."""
    _check(request)
    there = describe(caller, request.table)
    nested = frozenset(column.name for column in there.columns if column.type.name == "JSON") if there else frozenset()
    source = open_source(request.path, request.nulls, nested, request.delimiter, request.rename)
    notes: list[str] = []
    key = request.key
    if there is not None and request.replace_table and not _goes_on(caller, request, source, there, grid_id):
        key = key or there.key
        agreement.new_table(
            request.table, source, key, request.partition_by
        )  # what is wrong with it is said before the drop
        drop(caller, request.table)
        notes.append(f"table {request.table} was dropped with its records")
        there = None
    made = there is None
    if there is None:
        there = create(caller, agreement.new_table(request.table, source, key, request.partition_by))
        notes.append(_made(there, source))
    else:
        agreement.refuse_difference(there, source, key, request.partition_by)
    plan = Plan(source, there, grid_id, request.on_duplicate, request.on_error, request.resume and not made)
    load = Load(caller, plan)
    notes += _about_resuming(load, request)
    return Prepared(load, there, made, notes)


def _check(request: Request) -> None:
    for option, value, allowed in (
        ("--on-duplicate", request.on_duplicate, (REPLACE, KEEP, FAIL)),
        ("--on-error", request.on_error, (FAIL, SKIP)),
    ):
        if value not in allowed:
            raise UsageError(f"{option} is one of {', '.join(allowed)}, not {value!r}")


def _goes_on(caller: Caller, request: Request, source: Source, there: TableDefinition, grid_id: str) -> bool:
    """Whether an interrupted load goes on, in which case --replace-table was done when it began."""
    if not request.resume:
        return False
    plan = Plan(source, there, grid_id, request.on_duplicate, request.on_error, True)
    return Load(caller, plan).resumed_at is not None


def _made(table: TableDefinition, source: Source) -> str:
    columns = ", ".join(map(str, table.columns))
    inferred = f"; types {source.inferred}" if source.inferred else ""
    return f"table {table.name} was made: {columns}; key ({', '.join(table.key)}){inferred}"


def _about_resuming(load: Load, request: Request) -> list[str]:
    if load.resumed_at is not None:
        return [f"going on at {load.plan.source.where} {load.resumed_at:,}"]
    if request.resume:
        return ["no interrupted load of this file into this table is known: starting at its beginning"]
    if load.interrupted_before is not None:
        at = load.interrupted_before.position.line
        return [
            f"an earlier load of this file stopped at {load.plan.source.where} {at:,}; --resume would have gone on there"
        ]
    return []


def describe(caller: Caller, table: str) -> TableDefinition | None:
    """The table as the grid has it, with its id and schema; None when there is none."""
    try:
        told = msgspec.json.decode(_ask(caller, b"KG.DESCRIBE", table))
    except UnknownTableError:
        return None
    definition = parse_definition(table, told)
    return msgspec.structs.replace(definition, id=int(told["id"]), schema=int(told["schema"]))


def create(caller: Caller, definition: TableDefinition) -> TableDefinition:
    """Make the table; every primary knows it when this returns."""
    _ask(caller, b"KG.CREATE", definition.name, msgspec.json.encode(definition.to_json()))
    made = describe(caller, definition.name)
    if made is None:
        raise UsageError(f"table {definition.name} was dropped as soon as it was made")
    return made


def drop(caller: Caller, table: str) -> None:
    try:
        _ask(caller, b"KG.DROP", table)
    except UnknownTableError:  # the reply to a first attempt was lost
        return


def _ask(caller: Caller, *words: Any) -> Any:
    """Commands about the catalog may be asked of any member, and asked again: they say the same thing twice."""
    slot = caller.routes.all[0].first_slot
    return caller.call_long(words, slot, False, clock.now() + CATALOG_S)
