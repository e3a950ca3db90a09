"""Integers as Redis reads them: 64 bits, one spelling each. `+1`, `01`, `-0`, ` 1` are no integers."""

from typing import Final

INT64_MAX: Final = (1 << 63) - 1
INT64_MIN: Final = -(1 << 63)
INT64_DIGITS_MAX: Final = 20


def parse_int64(text: bytes) -> int | None:
    """The integer that `text` spells canonically, or None."""
    if len(text) > INT64_DIGITS_MAX:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    # int() is more liberal than Redis; what it accepts beyond the one spelling does not come back the same.
    if b"%d" % number != text or not INT64_MIN <= number <= INT64_MAX:
        return None
    return number
