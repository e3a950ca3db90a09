"""DuckDB's complaints as errors of ours: the kind, the place in the user's text with a caret, the nearest names.

DuckDB says all of it in one text (`Binder Error: … LINE 1: … ^`), and under several classes, or as an OSError when it
fails while its rows are read; the text is the same everywhere, so the text is what is read. Places are only told of text
that the user wrote: of a fragment's SQL, which he never saw, they would mislead.
"""

import re
from collections.abc import Iterable

from kubegrid.base.nearest import nearest
from kubegrid.columns.errors import kind_of, too_large
from kubegrid.sql.errors import (
    Cancelled,
    NotSupported,
    SqlError,
    SyntaxProblem,
    TooMuch,
    TypeProblem,
    UnknownName,
    WriteRefused,
)

REMEDY_LINES_MAX = 12

_PLACE = re.compile(r"\n\s*LINE (\d+): (.*)\n( *)\^", re.DOTALL)
_TABLE = re.compile(r'Table with name "?([^"\s]+?)"? does not exist')
_COLUMN = re.compile(r'Referenced column "(.+)" (?:was )?not found')
_SETTING = re.compile(r",? or SET \w+ ?= ?\w+ to [^.]*")
"""Advice that cannot be followed here."""
_UNKNOWN = re.compile(r"not found|does not exist|does not have a column|Ambiguous reference|is not in the catalog")
_KINDS: dict[str, type[SqlError]] = {
    "Parser": SyntaxProblem,
    "Syntax": SyntaxProblem,
    "Catalog": UnknownName,
    "Conversion": TypeProblem,
    "Out of Range": TypeProblem,
    "Invalid Input": TypeProblem,
    "Mismatch Type": TypeProblem,
    "Invalid Type": TypeProblem,
    "Out of Memory": TooMuch,
    "INTERRUPT": Cancelled,
    "Permission": NotSupported,
    "Not implemented": NotSupported,
    "Constraint": WriteRefused,
}
"""How DuckDB's text begins → the kind, where that alone says it."""


def sql_error(error: BaseException, text: str = "", tables: Iterable[str] = (), lines_before: int = 0) -> SqlError:
    """`text`: what the user wrote, if DuckDB was given just that, after `lines_before` lines of ours."""
    message = str(error)
    large = too_large(message)
    if large is not None:
        return large
    line, column = _place(message, text, lines_before)
    said = _PLACE.split(message, maxsplit=1)[0].strip()
    kind, said = _kind(kind_of(error), said)
    first, _, rest = said.partition("\n")
    remedy = _remedy(rest)
    first = _SETTING.sub("", first)
    unknown = _TABLE.search(first)
    if kind is NotSupported and "disabled by configuration" in first:
        first = "files and the network are closed to statements: " + first.partition(" - ")[0]
        remedy = "Load files with `kubegrid load`, or give the rows to `grid.sql` as parameters."
    elif kind is TooMuch:
        first = f"the statement needs more memory than SQL may use in a pod: {first}"
        remedy = "Ask for fewer rows, columns or groups, or give SQL more memory (memory_bytes of SqlSettings)."
    elif unknown:
        first = f"there is no table {unknown[1]!r}"
        names = list(tables)
        near = nearest(unknown[1], names)
        remedy = f"Did you mean {near!r}?" if near else "SHOW TABLES lists the tables of this grid."
    elif (name := _in_quotes(first, text, line, column)) is not None:
        remedy = _text_was_meant(name, remedy)
    return kind(first, line=line, column=column, text=text, remedy=remedy)


def _in_quotes(said: str, text: str, line: int, column: int) -> str | None:
    """The name of an unknown column that stands in double quotes."""
    unknown = _COLUMN.search(said)
    quoted = unknown is not None and line > 0 and text.split("\n")[line - 1][column - 1 :].startswith('"')
    return unknown[1] if unknown is not None and quoted else None


def _text_was_meant(name: str, candidates: str) -> str:
    """What to do about a column that there is not; the columns that there are help only if one is named alike."""
    single = name.replace("'", "''")
    hint = f"In double quotes it is a name; as a text it is written '{single}'."
    return f"{candidates}\n{hint}" if nearest(name, re.findall(r'"([^"]+)"', candidates)) else hint


def _kind(word: str, said: str) -> tuple[type[SqlError], str]:
    said = said[said.index(" Error: ") + len(" Error: ") :] if word else said
    if word == "Binder":
        if said.startswith(("No function matches", "Cannot compare", "Cannot mix", "Could not choose")):
            return TypeProblem, said
        return (UnknownName if _UNKNOWN.search(said.partition("\n")[0]) else SqlError), said
    return _KINDS.get(word, SqlError), said


def _remedy(rest: str) -> str:
    lines = [line.rstrip().replace("Candidate bindings: :", "Candidate bindings:") for line in rest.splitlines()]
    lines = [line for line in lines if line.strip()]
    more = len(lines) - REMEDY_LINES_MAX
    return "\n".join(lines[:REMEDY_LINES_MAX] + ([f"… and {more} more"] if more > 0 else []))


def _place(message: str, text: str, lines_before: int) -> tuple[int, int]:
    """Line and column in the user's text, from 1; zeros: not known."""
    found = _PLACE.search(message)
    if found is None or not text:
        return 0, 0
    line = int(found[1]) - lines_before
    lines = text.split("\n")
    if not 0 < line <= len(lines):
        return 0, 0
    excerpt = found[2]
    column = len(found[3]) - len(f"LINE {found[1]}: ")
    if excerpt.startswith("...") and not lines[line - 1].startswith("..."):  # DuckDB shows only a part of a long line
        whole = lines[line - 1].find(excerpt.removeprefix("...").removesuffix("..."))
        if whole < 0:
            return 0, 0
        column += whole - 3
    return line, min(max(0, column), len(lines[line - 1])) + 1
