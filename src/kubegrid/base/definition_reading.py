"""One pass over the JSON of a table's definition, which finds everything that is wrong with it, and where.

What a definition looks like is told in `table_definitions`.
"""

import re
from collections.abc import Mapping
from typing import Any

from kubegrid.base import units
from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import parse_type
from kubegrid.base.nearest import hint
from kubegrid.base.table_errors import BadValue, DefinitionError, Place, Problem, shown
from kubegrid.base.tables import (
    COLUMNS_MAX,
    HASH,
    INDEX_COLUMNS_MAX,
    INDEX_KINDS,
    INDEXES_MAX,
    KEY_COLUMNS_MAX,
    TTL_SECONDS_MAX,
    Column,
    Index,
    TableDefinition,
)

NAME_CHARS_MAX = 63
NAME = re.compile(rf"(?!__)[A-Za-z_][A-Za-z0-9_]{{0,{NAME_CHARS_MAX - 1}}}")
NAME_RULE = (
    "a name has letters, digits and '_', begins with no digit and not with '__', "
    f"and is {NAME_CHARS_MAX} characters at most"
)
WHOLE_SUFFIX = "__all"
"""SQL calls the rows of all partitions of a broadcast table so, and other things of its own begin with `__`."""
_TABLE_KEYS = ("name", "columns", "key", "partition_by", "indexes", "broadcast", "ttl", "id", "schema")
_COLUMN_KEYS = ("name", "type", "nullable", "default")
_INDEX_KEYS = ("columns", "kind")


class Reading:
    """One pass over a document, collecting problems, each with its place in the document."""

    def __init__(self, table: str | None) -> None:
        self.table = table
        self.problems: list[Problem] = []
        self._columns_known = True

    def note(self, place: Place, text: str) -> None:
        self.problems.append((place, text))

    def error(self) -> DefinitionError:
        prefix = f"table {self.table}: " if self.table and NAME.fullmatch(self.table) else ""
        return DefinitionError([prefix + text for _, text in self.problems], self.problems)

    def definition(self, document: Any) -> TableDefinition:
        if not isinstance(document, Mapping):
            self.note((), f"a definition of a table is an object with name, columns and key, not {shown(document)}")
            raise self.error()
        self._known(document, _TABLE_KEYS, (), "")
        name = self._table_name(document)
        key = self._names(document.get("key"), "key", ("key",), KEY_COLUMNS_MAX) if "key" in document else None
        if key == () or "key" not in document:
            self.note(("key",), "key is missing: it lists the columns that tell one record from another")
        columns = self._columns(document.get("columns"), key or ())
        by_name = {column.name: column for column in columns}
        for place, column in enumerate(key or ()):
            if self._there(column, by_name, "key", ("key", place)) and not by_name[column].type.keyed:
                self.note(("key", place), f"key: column {column} is {by_name[column].type}, which no key can have")
        partition_by = (
            self._names(document.get("partition_by") or [], "partition_by", ("partition_by",), KEY_COLUMNS_MAX) or ()
        )
        if key is not None and partition_by != key[: len(partition_by)]:
            self.note(
                ("partition_by",),
                f"partition_by ({', '.join(partition_by)}) must be a leading part of key ({', '.join(key)})",
            )
        indexes = self._indexes(document.get("indexes") or [], by_name)
        broadcast = self._boolean(document, "broadcast", False, (), "")
        ttl = self._ttl(document.get("ttl"))
        if self.problems:
            raise self.error()
        return TableDefinition(
            name=name,
            columns=tuple(columns),
            key=key or (),
            partition_by=partition_by,
            indexes=tuple(indexes),
            broadcast=broadcast,
            ttl=ttl,
        )

    def _known(self, document: Mapping[str, Any], keys: tuple[str, ...], place: Place, where: str) -> None:
        for key in document:
            if key not in keys:
                self.note((*place, str(key)), f"{where}{shown(key)} is not a known key{hint(str(key), keys)}")

    def _table_name(self, document: Mapping[str, Any]) -> str:
        declared = document.get("name", self.table)
        if self.table is not None and declared != self.table:
            self.note(("name",), f"name is {shown(declared)}, but the table is to be {shown(self.table)}")
        name = self.table if self.table is not None else declared
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self.note(("name",), "name is missing" if name is None else f"name is {shown(name)}; {NAME_RULE}")
        elif name.lower().endswith(WHOLE_SUFFIX):
            self.note(
                ("name",), f"name is {shown(name)}; names of tables do not end in '{WHOLE_SUFFIX}', which SQL needs"
            )
            return ""
        self.table = name
        return name

    def _columns(self, given: Any, key: tuple[str, ...]) -> list[Column]:
        if not isinstance(given, list | tuple) or not 1 <= len(given) <= COLUMNS_MAX:
            what = f"{len(given)} of them" if isinstance(given, list | tuple) else shown(given)
            self.note(("columns",), f"columns must be a list of 1 to {COLUMNS_MAX} columns, not {what}")
            self._columns_known = False
            return []
        columns: list[Column] = []
        first: dict[str, str] = {}
        for at, entry in enumerate(given):
            column = self.column(entry, ("columns", at), key)
            if column is None:
                self._columns_known = False
                continue
            other = first.setdefault(column.name.lower(), column.name)
            if len(first) > len(columns):
                columns.append(column)
            elif other == column.name:
                self.note(("columns", at, "name"), f"column {column.name} stands there more than once")
            else:
                what = f"column {column.name} differs from column {other} only in upper and lower case"
                self.note(("columns", at, "name"), what)
        return columns

    def column(self, entry: Any, place: Place, key: tuple[str, ...]) -> Column | None:
        if not isinstance(entry, Mapping):
            self.note(place, f"{_spelt(place)} must be an object with name and type, not {shown(entry)}")
            return None
        name = entry.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            what = "has no name" if name is None else f"is called {shown(name)}"
            self.note((*place, "name"), f"{_spelt(place)} {what}; {NAME_RULE}")
            return None
        where = f"column {name}: "
        self._known(entry, _COLUMN_KEYS, place, where)
        column_type = self._type(entry, place, where)
        nullable = self._boolean(entry, "nullable", name not in key, place, where)
        if nullable and name in key:
            self.note((*place, "nullable"), f"{where}it is part of the key, so it cannot be nullable")
        default = entry.get("default")
        if column_type is None:
            return None
        if default is not None:
            try:
                default = column_type.from_json(default)
            except BadValue as error:
                self.note((*place, "default"), f"{where}default: {error.reason}")
        return Column(name, column_type, nullable, default)

    def _type(self, entry: Mapping[str, Any], place: Place, where: str) -> ColumnType | None:
        if "type" not in entry:
            self.note(place, f"{where}type is missing")
            return None
        try:
            return parse_type(entry["type"])
        except ValueError as error:
            self.note((*place, "type"), f"{where}{error}")
            return None

    def _boolean(self, document: Mapping[str, Any], key: str, default: bool, place: Place, where: str) -> bool:
        value = document.get(key)
        if value is None:
            return default
        if type(value) is not bool:
            self.note((*place, key), f"{where}{key} must be true or false, not {shown(value)}")
            return default
        return value

    def _names(self, given: Any, what: str, place: Place, most: int) -> tuple[str, ...] | None:
        if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
            self.note(place, f"{what} must be a list of names of columns, not {shown(given)}")
        elif len(set(given)) < len(given) or len(given) > most:
            self.note(place, f"{what} must name {most} columns at most, each once, not ({', '.join(given[:most])})")
        else:
            return tuple(given)
        return None

    def _there(self, name: str, columns: Mapping[str, Column], what: str, place: Place) -> bool:
        if name in columns:
            return True
        if self._columns_known:  # a column that does not hold has its own complaint
            self.note(place, f"{what}: no column {shown(name)}{hint(name, columns)}")
        return False

    def _indexes(self, given: Any, columns: Mapping[str, Column]) -> list[Index]:
        if not isinstance(given, list | tuple) or len(given) > INDEXES_MAX:
            self.note(("indexes",), f"indexes must be a list of {INDEXES_MAX} indexes at most")
            return []
        found: list[Index] = []
        for at, entry in enumerate(given):
            place: Place = ("indexes", at)
            what = _spelt(place)
            if not isinstance(entry, Mapping):
                self.note(place, f"{what} must be an object with columns and kind, not {shown(entry)}")
                continue
            self._known(entry, _INDEX_KEYS, place, f"{what}: ")
            names = self._names(entry.get("columns"), f"{what}.columns", (*place, "columns"), INDEX_COLUMNS_MAX)
            kind = entry.get("kind") or HASH
            if kind not in INDEX_KINDS:
                self.note((*place, "kind"), f"{what}.kind is {shown(kind)}; it must be {' or '.join(INDEX_KINDS)}")
            if names == ():
                self.note((*place, "columns"), f"{what}.columns is empty")
            if not names:
                continue
            for name in names:
                if self._there(name, columns, what, (*place, "columns")) and not columns[name].type.ordered:
                    self.note(
                        (*place, "columns"), f"{what}: column {name} is {columns[name].type}; it cannot be indexed"
                    )
            index = Index(names, str(kind))
            if index in found:
                self.note(place, f"{what} is the same as another")
            found.append(index)
        return found

    def _ttl(self, given: Any) -> int | None:
        if given is None:
            return None
        seconds = given
        if isinstance(given, str):
            try:
                seconds = units.milliseconds_of(given) / 1000
            except ValueError as error:
                self.note(("ttl",), f"ttl: {error}")
                return None
        if type(seconds) is float and seconds.is_integer():
            seconds = int(seconds)
        if type(seconds) is int and 1 <= seconds <= TTL_SECONDS_MAX:
            return seconds
        self.note(("ttl",), f"ttl is {shown(given)}; it is a whole number of seconds, 1 to {TTL_SECONDS_MAX}, or null")
        return None


def _spelt(place: Place) -> str:
    """`("columns", 2)` → `columns[2]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
