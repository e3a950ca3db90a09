"""The keys of records: `trades:{EUR-DESK}:42`, `flights:UA:1545:2013-01-01T10%3A00%3A00Z`.

The text of a key is its table's name and its columns' texts, joined by `:`. In a text the characters `: { } %` are
percent-encoded, so a key is taken apart again without doubt, and braces are only those of `partition_by`, which choose
the slot. A record has exactly one key: what reads as the same values but is spelt otherwise (`t:007`) is refused, or
the same record would live in two slots.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from kubegrid.base.table_errors import BadKey, BadValue, shown
from kubegrid.base.tables import KEY_BYTES_MAX, TableDefinition

_SPECIAL = re.compile(rb"[:{}%]")
_ENCODED = re.compile(rb"%([0-9A-F]{2})")
_ENCODING = {b":": b"%3A", b"{": b"%7B", b"}": b"%7D", b"%": b"%25"}


def table_name(key: bytes) -> bytes:
    """What stands before the first `:`; empty if there is none, for then it is no record's key."""
    return key.partition(b":")[0] if b":" in key else b""


def encode(text: bytes) -> bytes:
    """One column's text as it stands in a key."""
    return _SPECIAL.sub(lambda match: _ENCODING[match[0]], text) if _SPECIAL.search(text) else text


class RecordKeys:
    """Makes and reads the keys of one table."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self._prefix = definition.name.encode() + b":"
        self._columns = tuple(definition.column(name) for name in definition.key)
        self._texts: tuple[Callable[[Any], bytes], ...] = tuple(column.type.to_key_text for column in self._columns)
        self._together = len(definition.partition_by)

    def key(self, values: Sequence[Any]) -> bytes:
        """The key of the record with these values in its key columns, in their order. Raises BadKey."""
        if None in values:
            column = _null_column(self._columns, values)
            raise BadKey(
                f"table {self.definition.name}: key column {column} is NULL; a record's key has a value in each"
            )
        parts = [encode(text(value)) for text, value in zip(self._texts, values, strict=True)]
        together = self._together
        if together:
            tag = b":".join(parts[:together])
            if not tag:  # Redis hashes the whole key when nothing stands between the braces
                raise BadKey(
                    f"table {self.definition.name}: the value of partition_by column {self._columns[0].name} is empty"
                )
            parts[:together] = [b"{%b}" % tag]
        key = self._prefix + b":".join(parts)
        if len(key) > KEY_BYTES_MAX:
            raise BadKey(f"table {self.definition.name}: the key {shown(key)} is longer than {KEY_BYTES_MAX} bytes")
        return key

    def key_of_row(self, row: Sequence[Any]) -> bytes:
        """The key of a whole decoded row."""
        return self.key([row[place] for place in self.definition.key_positions])

    def from_python(self, given: Any) -> bytes:
        """The key that a program means: a value, or several as a tuple or list. Raises BadKey, BadValue."""
        values = list(given) if isinstance(given, tuple | list) else [given]
        columns = self._columns
        if len(values) != len(columns):
            expected = ", ".join(f"{column.name} {column.type}" for column in columns)
            raise BadKey(
                f"table {self.definition.name}: {shown(given)} has {_values(len(values))}, and its key is ({expected})"
            )
        settled = []
        for value, column in zip(values, columns, strict=True):
            if value is None:
                raise BadKey(f"table {self.definition.name}: key column {column.name} is NULL")
            try:
                settled.append(column.type.from_python(value))
            except BadValue as error:
                raise error.at(self.definition.name, column.name) from None
        return self.key(settled)

    def values(self, key: bytes) -> tuple[Any, ...]:
        """The values of the key columns that `key` spells. Raises BadKey if it is not the key of a record here."""
        if not key.startswith(self._prefix):
            raise BadKey(f"{shown(key)} is no key of table {self.definition.name}: it does not begin with its name")
        parts = self._parts(key[len(self._prefix) :], key)
        values = []
        for part, column in zip(parts, self._columns, strict=True):
            try:
                values.append(column.type.from_key_text(_decode(part)))
            except BadValue as error:
                raise BadKey(f"{_spelt(key)}: key column {column.name}: {error.reason}") from None
        right = self.key(values)
        if right != key:
            raise BadKey(f"{_spelt(key)} is not how this key is written; write {_spelt(right)}")
        return tuple(values)

    def _parts(self, rest: bytes, key: bytes) -> list[bytes]:
        columns = [column.name for column in self._columns]
        together = self._together
        inside: list[bytes] = []
        form = ":".join(columns[together:])
        if together:
            form = f"{{{':'.join(columns[:together])}}}" + (f":{form}" if form else "")
            tag, closed, rest_after = rest[1:].partition(b"}")
            whole = (
                rest.startswith(b"{") and closed and (rest_after[:1] == b":" if columns[together:] else not rest_after)
            )
            inside = tag.split(b":")
            rest = rest_after[1:]
            if not whole or len(inside) != together:
                raise self._no_key(key, form, len(inside) > together)
        outside = rest.split(b":") if columns[together:] else []
        if len(outside) != len(columns) - together:
            raise self._no_key(key, form, len(outside) > len(columns) - together)
        return inside + outside

    def _no_key(self, key: bytes, form: str, too_many: bool) -> BadKey:
        """With a hint where there are too many parts: a time of day or an address was written with its colons."""
        name = self.definition.name
        hint = "; in a value, : is written %3A (and { } % are %7B %7D %25)" if too_many else ""
        return BadKey(f"{_spelt(key)} is no key of table {name}, whose keys are {name}:{form}{hint}")


def _null_column(columns: Sequence[Any], values: Sequence[Any]) -> str:
    return str(columns[list(values).index(None)].name)


def _values(count: int) -> str:
    return "one value" if count == 1 else f"{count} values"


def _spelt(key: bytes) -> str:
    return shown(key.decode(errors="backslashreplace"))


def _decode(text: bytes) -> bytes:
    return _ENCODED.sub(lambda match: bytes([int(match[1], 16)]), text)
