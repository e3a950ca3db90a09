"""What can be wrong with SQL.

KubegridError
├── TableError
│   └── PredicateError  PREDICATE    names the place; `remedy` is the text with a caret below that place
└── SqlError            SQL          a statement: `where` is its line with a caret, if the place is known
    ├── SyntaxProblem   SYNTAX       it cannot be read
    ├── UnknownName     NAME         a table, column or function that is not there; with the nearest
    ├── TypeProblem     TYPE         values and types that do not go together, also while it ran: casts, overflow
    ├── NotSupported    UNSUPPORTED  SQL, but not here
    ├── TooMuch         LIMIT        beyond a limit: text, depth, rows, memory, queue
    ├── TimedOut        TIMEOUT
    ├── Cancelled       CANCELLED
    ├── SchemaMoved     SCHEMA       planned under another catalog than the member's; plan again
    ├── Unavailable     UNAVAILABLE  a partition did not answer; may be asked again
    ├── PartlyDone      PARTLY       a write that some partitions have done; `outcomes` says which
    └── WriteRefused    WRITE        a write that a rule of the table, or another write, forbids; nothing was done

A SqlError travels as JSON (`to_json`, `from_json`) and is the same at the client.
"""

from typing import Any

from kubegrid.base.errors import KubegridError
from kubegrid.base.table_errors import TableError, shown

EXCERPT_CHARS = 60


class PredicateError(TableError):
    """An expression that is no predicate over this table. Nothing was read or changed."""

    code = "PREDICATE"

    def __init__(self, reason: str, text: str, offset: int = 0) -> None:
        offset = min(offset, len(text))
        before, after, line = _excerpt(text, offset)
        reason = _one_line(reason)
        super().__init__(
            f"{reason} (at character {offset + 1}: {shown(after or 'the end')})",
            f"    {line}\n    {' ' * len(before)}^",
        )
        self.reason = reason
        self.offset = offset


class SqlError(KubegridError):
    """`line` and `column` count from 1; 0: the place is not known. `advice` says what to do."""

    code = "SQL"

    def __init__(
        self,
        message: str,
        *,
        line: int = 0,
        column: int = 0,
        text: str = "",
        remedy: str = "",
        where: str = "",
        outcomes: list[dict[str, Any]] | None = None,
        outcome_known: bool | None = None,
    ) -> None:
        self.where = where or _caret(text, line, column)
        super().__init__(message, "\n".join(part for part in (self.where, remedy) if part))
        self.line = line
        self.column = column
        self.advice = remedy
        self.outcomes = outcomes or []
        """Of a write, per partition: `partition`, `outcome` (done, not done, unknown), `rows`, `reason`."""
        if outcome_known is not None:
            self.outcome_known = outcome_known

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.line:
            document |= {"line": self.line, "column": self.column}
        if self.where:
            document["where"] = self.where
        if self.advice:
            document["remedy"] = self.advice
        if self.outcomes:
            document["outcomes"] = self.outcomes
        if not self.outcome_known:
            document["outcome_known"] = False
        return document

    @staticmethod
    def from_json(document: dict[str, Any]) -> "SqlError":
        """The error that `to_json` described; one of a code that is not known here is a plain SqlError."""
        kind = _BY_CODE.get(str(document.get("code")), SqlError)
        outcomes = document.get("outcomes")
        error = kind(
            str(document.get("message", "no message")),
            line=int(document.get("line") or 0),
            column=int(document.get("column") or 0),
            remedy=str(document.get("remedy") or ""),
            where=str(document.get("where") or ""),
            outcomes=outcomes if isinstance(outcomes, list) else None,
        )
        error.outcome_known = document.get("outcome_known") is not False
        return error

    @staticmethod
    def at(text: str, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of the character at `offset`."""
        before = text[: max(0, offset)]
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class SyntaxProblem(SqlError):
    code = "SYNTAX"


class UnknownName(SqlError):
    code = "NAME"


class TypeProblem(SqlError):
    code = "TYPE"


class NotSupported(SqlError):
    code = "UNSUPPORTED"


class TooMuch(SqlError):
    code = "LIMIT"


class TimedOut(SqlError):
    code = "TIMEOUT"


class Cancelled(SqlError):
    code = "CANCELLED"


class SchemaMoved(SqlError):
    code = "SCHEMA"


class Unavailable(SqlError):
    code = "UNAVAILABLE"
    exit_status = 3


class PartlyDone(SqlError):
    code = "PARTLY"


class WriteRefused(SqlError):
    code = "WRITE"
    exit_status = 4


_BY_CODE: dict[str, type[SqlError]] = {
    kind.code: kind
    for kind in (
        *(SyntaxProblem, UnknownName, TypeProblem, NotSupported, TooMuch, TimedOut, Cancelled),
        *(SchemaMoved, Unavailable, PartlyDone, WriteRefused),
    )
}


def _caret(text: str, line: int, column: int) -> str:
    """The line of the text, shortened, with a caret below the column."""
    lines = text.split("\n")
    if not 0 < line <= len(lines):
        return ""
    before, _, excerpt = _excerpt(lines[line - 1], min(max(0, column - 1), len(lines[line - 1])))
    return f"    {excerpt}\n    {' ' * len(before)}^"


def _excerpt(text: str, offset: int) -> tuple[str, str, str]:
    """What stands before and after the offset, shortened, and both as one line."""
    first = max(0, offset - EXCERPT_CHARS // 2)
    before = ("…" if first else "") + text[first:offset]
    after = text[offset : first + EXCERPT_CHARS]
    rest = "…" if first + EXCERPT_CHARS < len(text) else ""
    return before, after, _one_line(before + after + rest)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
