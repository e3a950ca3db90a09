"""Redis's glob patterns: `*`, `?`, `[a-c]`, `[^x]`, and a backslash that takes the next character literally.

Matching goes back only to the last `*`, so that a hostile pattern costs no more than its length times the text's.
"""


def matches(pattern: bytes, text: bytes) -> bool:
    """Whether the whole of `text` is described by `pattern`."""
    p = t = 0
    star = -1
    resume = 0
    size = len(text)
    while t < size:
        if p < len(pattern) and pattern[p] == 42:  # `*`
            star = p
            resume = t
            p += 1
            continue
        if p < len(pattern):
            after = _match_one(pattern, p, text[t])
            if after > 0:
                p = after
                t += 1
                continue
        if star < 0:
            return False
        p = star + 1
        resume += 1
        t = resume
    while p < len(pattern) and pattern[p] == 42:
        p += 1
    return p == len(pattern)


def _match_one(pattern: bytes, p: int, char: int) -> int:
    """The position behind the element at `p` if it describes `char`, else 0."""
    kind = pattern[p]
    if kind == 63:  # `?`
        return p + 1
    if kind == 91:  # `[`
        return _match_class(pattern, p + 1, char)
    if kind == 92 and p + 1 < len(pattern):
        p += 1
        kind = pattern[p]
    return p + 1 if kind == char else 0


def _match_class(pattern: bytes, p: int, char: int) -> int:
    end = len(pattern)
    negated = p < end and pattern[p] == 94
    if negated:
        p += 1
    found = False
    while p < end and pattern[p] != 93:
        if pattern[p] == 92 and p + 1 < end:
            p += 1
            found |= pattern[p] == char
        elif p + 2 < end and pattern[p + 1] == 45:
            low, high = sorted((pattern[p], pattern[p + 2]))
            found |= low <= char <= high
            p += 2
        else:
            found |= pattern[p] == char
        p += 1
    return p + (p < end) if found != negated else 0
