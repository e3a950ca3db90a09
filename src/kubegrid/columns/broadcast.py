"""Rows of broadcast tables that other partitions own: copied here for joins, one owner's part at a time.

A *mark* tells a state of one owner's rows: who it was, and how often they had changed. The coordinating pod asks every
owner for its mark before it sends a join; a member whose part is older fetches all rows of that owner, in a fragment like
any other, so they are confirmed, and with them the mark that they are at. Marks of another member, or of a copy that was
built anew, do not compare: then the part is fetched again, and what comes is at least as new as what was asked for.

`t__all` is a view of a member's own rows and these parts. Next on the path of the data: `node/sql_fragments`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from kubegrid.base.tables import TableDefinition
from kubegrid.columns.building import HIDDEN
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import quoted
from kubegrid.columns.delta import INCOMING, Copy, insert

MARKS = b"kubegrid.marks"
"""Key in the metadata of a fragment's schema: the marks of the tables whose own rows it read, as JSON."""
OWNER = "__owner"


def mark_of(incarnation: str, copy: Copy) -> str:
    """Of a member's own rows, as its copy has them."""
    return f"{incarnation}/{copy.number}/{copy.changes}"


def satisfies(mark: str | None, wanted: str) -> bool:
    """Whether a part at `mark` has everything that the owner had at `wanted`."""
    if mark is None:
        return False
    build, _, changes = mark.rpartition("/")
    wanted_build, _, wanted_changes = wanted.rpartition("/")
    return build == wanted_build and changes.isdecimal() and int(changes) >= int(wanted_changes)


def marks_in(schema: Any) -> dict[str, str]:
    """What a fragment's schema says about the rows that it read."""
    data = (schema.metadata or {}).get(MARKS)
    return {} if data is None else msgspec.json.decode(data, type=dict[str, str])


class Part:
    """One owner's rows of one table, fetched."""

    def __init__(self, definition: TableDefinition, owner: int, mark: str, wanted: str, rows: Any) -> None:
        self.definition = definition
        self.owner = owner
        self.mark = mark
        self.wanted = wanted
        self.rows = rows
        """A pyarrow.Table with the table's columns, by name."""


class Parts:
    """Which parts a replica has. Everything is done under the replica's lock."""

    def __init__(self) -> None:
        self._marks: dict[int, dict[int, str]] = {}
        self._views: dict[int, TableDefinition] = {}
        """The tables that have a view, as they were when it was made."""

    def missing(self, definition: TableDefinition, wanted: Mapping[int, str], own: int) -> list[tuple[int, str]]:
        """The owners whose parts are older than `wanted`, and what was wanted of them. After `prepare`."""
        marks = self._marks[definition.id]
        return [
            (owner, mark) for owner, mark in wanted.items() if owner != own and not satisfies(marks.get(owner), mark)
        ]

    def put(self, part: Part, cursor: Any) -> None:
        """Replace an owner's part, unless another statement brought one meanwhile that does. In a transaction."""
        definition = part.definition
        marks = self._marks[definition.id]
        if satisfies(marks.get(part.owner), part.wanted):
            return
        conversion = Conversion(definition)
        name = _table(definition)
        cursor.execute(f"DELETE FROM {name} WHERE {OWNER} = {part.owner}").fetchall()
        columns = f"{conversion.names}, {OWNER}"
        insert(
            cursor, part.rows, f"INSERT INTO {name} ({columns}) SELECT {conversion.names}, {part.owner} FROM {INCOMING}"
        )
        marks[part.owner] = part.mark

    def prepare(self, definition: TableDefinition, cursor: Any) -> None:
        """Make the view, and the table for the parts, if they are not there as the table is now."""
        if self._views.get(definition.id) == definition:
            return
        conversion = Conversion(definition)
        name = _table(definition)
        declared = ", ".join(f"{quoted(column.name)} {column.type.name}" for column in definition.columns)
        cursor.execute(f"CREATE OR REPLACE TABLE {name} ({declared}, {OWNER} INTEGER)").fetchall()
        view = quoted(f"{definition.name}__all")
        own = quoted(definition.name)
        cursor.execute(
            f"CREATE OR REPLACE VIEW {view} AS SELECT {conversion.names} FROM {own}"
            f" UNION ALL SELECT {conversion.names} FROM {name}"
        ).fetchall()
        self._marks[definition.id] = {}
        self._views[definition.id] = definition

    def forget(self, number: int) -> None:
        """The copy of the table's own rows is given up, and the parts with it."""
        self._marks.pop(number, None)
        self._views.pop(number, None)

    def forget_all(self) -> None:
        self._marks.clear()
        self._views.clear()


def _table(definition: TableDefinition) -> str:
    return f"{HIDDEN}.parts_{definition.id}"
