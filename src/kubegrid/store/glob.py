"""Patterns of KEYS and SCAN, as Redis's `stringmatchlen` reads them, translated once into a regular expression.

Redis's reading has corners that differ from `fnmatch`: `[^…]` negates, a backslash escapes everywhere, a class may be
left open at the end of the pattern, a range may be given backwards and may swallow the closing bracket. Each part between
two stars is an atomic group, so that no pattern takes exponential time.
"""

import re
from collections.abc import Callable
from functools import lru_cache

Matcher = Callable[[bytes], object]


def matcher(pattern: bytes) -> Matcher | None:
    """A function that is true for the names that `pattern` matches; None when every name does."""
    if pattern == b"*":
        return None
    expression = _compiled(pattern)
    if not pattern:
        return lambda name: not name
    # Only the single star matches an empty name.
    return lambda name: name and expression.fullmatch(name)


@lru_cache(maxsize=64)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    parts: list[bytes] = [b""]
    i = 0
    while i < len(pattern):
        char = pattern[i : i + 1]
        if char == b"*":
            if parts[-1] or len(parts) == 1:
                parts.append(b"")
        elif char == b"?":
            parts[-1] += b"."
        elif char == b"[":
            expression, i = _class(pattern, i + 1)
            parts[-1] += expression
        else:
            if char == b"\\" and i + 1 < len(pattern):
                i += 1
            parts[-1] += re.escape(pattern[i : i + 1])
        i += 1
    first, *middle = parts
    if not middle:
        return re.compile(first, re.DOTALL)
    last = middle.pop()
    lazily = b"".join(b"(?>.*?%b)" % part for part in middle if part)
    return re.compile(b"%b%b.*%b" % (first, lazily, last), re.DOTALL)


def _class(pattern: bytes, i: int) -> tuple[bytes, int]:
    """The expression of the class that begins at `i`, after its bracket, and the index of its last character."""
    negated = pattern[i : i + 1] == b"^"
    if negated:
        i += 1
    members: set[int] = set()
    while True:
        left = len(pattern) - i
        if left <= 0:
            i = len(pattern) - 1
            break
        if left >= 2 and pattern[i] == 0x5C:
            i += 1
            members.add(pattern[i])
        elif pattern[i] == 0x5D:
            break
        elif left >= 3 and pattern[i + 1] == 0x2D:
            low, high = sorted((pattern[i], pattern[i + 2]))
            members.update(range(low, high + 1))
            i += 2
        else:
            members.add(pattern[i])
        i += 1
    if negated:
        members = set(range(256)) - members
    if not members:
        return b"(?!)", i
    return b"[%b]" % b"".join(b"\\x%02x" % member for member in sorted(members)), i
