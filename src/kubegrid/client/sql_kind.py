"""Whether a statement of SQL may change something: what an error may claim about it hangs on that.

Not a parser, which would have to be loaded: a statement may write if a word of those below stands in it outside of quotes and
comments. One that is taken for writing by mistake (a column called `update`) is served the same way; only an error whose
outcome is not known says so where it need not. Next on the path of the data: `sql_trial`.
"""

import re

_QUOTED = re.compile(
    r"""
      --[^\n]*                              # a comment to the end of the line
    | /\*.*?(?:\*/|\Z)
    | '(?:[^']|'')*(?:'|\Z)
    | "(?:[^"]|"")*(?:"|\Z)
    | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_WRITES = re.compile(
    r"\b(?:insert|update|delete|create|alter|drop|truncate|merge|copy|replace\s+into)\b", re.IGNORECASE
)
_DEFINES = re.compile(r"\b(?:create|alter|drop|truncate)\b", re.IGNORECASE)
SHOWN_CHARS = 60


def writes(statement: str) -> bool:
    """False only of a statement that changes nothing."""
    return _WRITES.search(_QUOTED.sub(" ", statement)) is not None


def defines(statement: str) -> bool:
    """False only of a statement that leaves the tables as they are and changes rows at most."""
    return _DEFINES.search(_QUOTED.sub(" ", statement)) is not None


def shown(statement: str) -> str:
    """The statement in a few words, on one line, for messages."""
    text = " ".join(statement[: 4 * SHOWN_CHARS].split())
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
