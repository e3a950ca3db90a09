"""Amounts of memory and of time as people write them: `512Mi` and `30s`, the way Kubernetes and Go spell them.

Numbers without a unit are bytes; a duration always has its unit, because a bare `30` is where mistakes come from.
"""

import re

_BYTES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"(\d{1,15})(\.\d{1,6})?([KMGT]i|[kKMGT]|)", re.ASCII)

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def bytes_of(text: str) -> int:
    """`512Mi` → 536870912. Raises ValueError that says what a quantity looks like."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of memory such as 512Mi or 2Gi")
    whole, fraction, unit = match.groups()
    return int(float(whole + (fraction or "")) * _BYTES[unit]) if fraction else int(whole) * _BYTES[unit]


def milliseconds_of(text: str) -> int:
    """`1m30s` → 90000. Raises ValueError that says what a duration looks like."""
    if _DURATION.fullmatch(text.strip()) is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 30s or 5m")
    return round(sum(float(number) * _MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(text)))


def bytes_text(amount: int) -> str:
    """The shortest exact-looking spelling: 536870912 → `512Mi`; what is no round number gets one decimal."""
    for unit, size in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount >= size:
            return f"{amount // size}{unit}" if amount % size == 0 else f"{amount / size:.1f}{unit}"
    return str(amount)


def duration_text(amount_ms: int) -> str:
    """90000 → `1m30s`, 1500 → `1.5s`, 200 → `200ms`."""
    if amount_ms < 1000:
        return f"{amount_ms}ms"
    minutes, rest_ms = divmod(amount_ms, 60_000)
    seconds = f"{rest_ms / 1000:g}s" if rest_ms else ""
    return f"{minutes}m{seconds}" if minutes else seconds
