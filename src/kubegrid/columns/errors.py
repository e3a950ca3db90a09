"""What DuckDB raises while a fragment runs, as errors of `sql.errors`: the kind, DuckDB's own sentence, what to do.

The place that DuckDB names is left out: it is one of the fragment's text, which no user wrote. An error that comes while
Arrow is read has lost its class (pyarrow makes an OSError of it), so the class is told by how the text begins. Why a
statement was interrupted DuckDB does not know: `running` does.
"""

import re

from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, TooMuch, TypeProblem, UnknownName

_PREFIX = re.compile(r"^([A-Z][A-Za-z]*(?: [A-Za-z]+){0,3}) Error: ")
_HINT = re.compile(r"\n+(Did you mean .*?)\s*(?:\n|$)")
_FULL = re.compile(r"failed to offload|could not allocate|max_temp_directory_size")

_KINDS: dict[str, type[SqlError]] = {
    "Parser": SyntaxProblem,
    "Syntax": SyntaxProblem,
    "Catalog": UnknownName,
    "Binder": TypeProblem,
    "Conversion": TypeProblem,
    "Out of Range": TypeProblem,
    "Mismatch Type": TypeProblem,
    "Invalid Type": TypeProblem,
    "Invalid Input": TypeProblem,
    "Out of Memory": TooMuch,
    "Not implemented": NotSupported,
    "Permission": NotSupported,
}
"""How DuckDB's text begins → the kind. Anything else is a plain SqlError."""
_FATAL = ("INTERNAL", "FATAL")


_SIZED = re.compile(r"(\w+\(\) makes more than \d+ (?:bytes|elements))")
"""Told by the macros of `sized_functions`, in a cast that fails."""


def too_large(message: str) -> TooMuch | None:
    """If a function would have made a value beyond its limit: that, as an error."""
    found = _SIZED.search(message)
    if found is None:
        return None
    return TooMuch(
        f"{found[1]}, which is the most for one value",
        remedy="Rows have no such limit: SELECT … FROM range(1000000) makes them one after the other.",
    )


def as_sql_error(error: BaseException) -> SqlError:
    """The same error as SQL says it."""
    if isinstance(error, SqlError):
        return error
    message = str(error).strip()
    large = too_large(message)
    if large is not None:
        return large
    word = kind_of(error)
    sentence = _PREFIX.sub("", message).split("\n", 1)[0].strip() or "DuckDB gives no reason"
    if word == "Out of Memory":
        return TooMuch(
            f"the statement needs more memory than SQL has in a member: {sentence}",
            remedy="Ask for fewer rows or columns, aggregate in the statement, or give the members more memory.",
        )
    hint = _HINT.search(message)
    return _KINDS.get(word, SqlError)(sentence, remedy=hint[1] if hint is not None else "")


def kind_of(error: BaseException) -> str:
    """How DuckDB calls it: `Out of Memory`, `Conversion` and so on; empty if it is none of its errors."""
    text = str(error).strip()
    found = _PREFIX.match(text)
    if found is None:
        return ""
    # Met in a commit, it is called an error of the transaction.
    return "Out of Memory" if _FULL.search(text) else found[1]


def is_fatal(error: BaseException) -> bool:
    """Whether the database that raised it cannot be trusted any more."""
    return kind_of(error) in _FATAL


def is_interruption(error: BaseException) -> bool:
    return kind_of(error) == "INTERRUPT"
