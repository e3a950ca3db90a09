"""What can be wrong with a table, or with a value on its way into one.

    KubegridError
    ├── TableError                     `code` is the first word of the error that a Redis client sees
    │   ├── BadValue        BADVALUE   a value that its column cannot hold; names table, column, value, expected type
    │   ├── UnknownColumn   NOCOLUMN   with the nearest spelling
    │   ├── UnknownTable    NOTABLE    with the nearest spelling
    │   ├── BadKey          BADKEY     a key that is not the key of a record of its table
    │   └── SchemaChanged   SCHEMA     a write for another version of the table's schema than the current one
    ├── DefinitionError (UsageError)   a definition of a table that does not hold, with every problem found
    └── TableConflict (RefusedError)   it collides with the tables that are there

None of them leaves anything changed.
"""

from collections.abc import Iterable
from datetime import date, time
from decimal import Decimal
from uuid import UUID

from kubegrid.base.errors import KubegridError, RefusedError, UsageError
from kubegrid.base.nearest import hint

VALUE_CHARS_SHOWN = 60

_PLAIN = (int, float, Decimal, date, time, UUID)
"""What reads better without its class's name around it."""

Place = tuple[str | int, ...]
"""Where in a document: the keys and numbers on the way to it."""
Problem = tuple[Place, str]


def shown(value: object) -> str:
    """A value as an error shows it: its Python spelling, shortened; never fails, whatever its class does."""
    if isinstance(value, str | bytes) and len(value) > 2 * VALUE_CHARS_SHOWN:
        value = value[: 2 * VALUE_CHARS_SHOWN]
    elif isinstance(value, int) and value.bit_length() > 1000:  # Python refuses to spell very long numbers
        return f"a number of {value.bit_length()} bits"
    try:
        text = str(value) if isinstance(value, _PLAIN) else repr(value)
    except Exception:  # a foreign class's own mistake must not hide ours
        text = f"a {type(value).__name__}"
    return text if len(text) <= VALUE_CHARS_SHOWN else text[: VALUE_CHARS_SHOWN - 1] + "…"


class TableError(KubegridError):
    code = "ERR"


class BadValue(TableError):
    """A value that a column cannot hold. Types raise it without a place; `at` adds table and column."""

    code = "BADVALUE"

    def __init__(self, message: str, table: str = "", column: str = "") -> None:
        place = f"table {table}, column {column}: " if column else f"table {table}: " if table else ""
        super().__init__(place + message)
        self.reason = message
        self.table = table
        self.column = column

    def at(self, table: str, column: str) -> "BadValue":
        return BadValue(self.reason, table, column)


class UnknownColumn(TableError):
    code = "NOCOLUMN"

    def __init__(self, table: str, column: str, known: Iterable[str]) -> None:
        super().__init__(f"table {table} has no column {shown(column)}{hint(column, known)}")
        self.table = table
        self.column = column


class UnknownTable(TableError):
    code = "NOTABLE"

    def __init__(self, table: str, known: Iterable[str]) -> None:
        super().__init__(f"no table {shown(table)}{hint(table, known) or '; there are no tables yet'}")
        self.table = table


class BadKey(TableError):
    code = "BADKEY"


class SchemaChanged(TableError):
    code = "SCHEMA"

    def __init__(self, table: str, current: int, asked: int) -> None:
        super().__init__(f"table {table} is at {current}, not {asked}")
        self.current = current


class DefinitionError(UsageError):
    """A table's definition that does not hold; every problem found is one line of the message."""

    code = "BADDEFINITION"

    def __init__(self, lines: list[str], problems: list[Problem] | None = None) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.problems: list[Problem] = problems if problems is not None else [((), line) for line in lines]
        """The same with their places in the document, such as ("columns", 2, "type"), for who knows its lines."""


class TableConflict(RefusedError):
    """What was asked for collides with the tables that are there."""

    code = "TABLECONFLICT"
