"""What a person may have meant: the nearest known name to one that is not known.

Every message about an unknown name ends in this, because a typo is the usual reason and the right spelling the usual
question.
"""

import difflib
from collections.abc import Iterable

NAMES_LISTED_MAX = 20
"""More known names than this are not listed in a message; it would hide what was wrong."""


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is spelt most like `name`, upper and lower case aside; None when none is like it, or it is no text."""
    if not isinstance(name, str):
        return None
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def hint(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: `; did you mean 'flights'?`, or `; known here: a, b`."""
    names = list(known)
    close = nearest(name, names)
    if close is not None:
        return f"; did you mean {close!r}?"
    if not names:
        return ""
    listed = ", ".join(names[:NAMES_LISTED_MAX])
    return f"; known here: {listed}{', …' if len(names) > NAMES_LISTED_MAX else ''}"
