"""What a caller may give: each argument is looked at before anything is made of it or sent, and an error names it. Pure.

A word of a command (key, field, value) that is none is a TypeError; every other argument that does not hold is a UsageError.
Whole numbers are what `operator.index` takes, so that numpy's are among them; truth values are no numbers.

**Hot path**: `word` and `whole` are called for each value.
"""

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.base.table_errors import shown

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
EXPIRY_MAX_S = 1e12
"""Some thirty thousand years: members count milliseconds in 64 bits."""
_LARGE = 10**4000
"""Python spells no number that is much longer, and hiredis ends the process over one."""


def word(given: Any, name: str = "a value") -> Any:
    """A word of a command as hiredis can pack it: of types of its own it would send what Python shows of them, or nothing."""
    kind = type(given)
    if (
        kind is bytes
        or (kind is str and given.isascii())
        or kind is float
        or (kind is int and -_LARGE < given < _LARGE)
    ):
        return given
    if isinstance(given, str):
        return given if given.isascii() else _encoded(given, name)
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, float):
        return float(given)
    number = _index(given)
    if number is None:
        raise TypeError(f"{name} is str, bytes, int or float, not {kind.__name__}")
    if not -_LARGE < number < _LARGE:
        raise ValueError(f"{name} is {shown(number)}: that is too long for a number")
    return number


def _encoded(given: str, name: str) -> bytes:
    try:
        return given.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} cannot be sent as UTF-8: {shown(given)} ({error.reason})") from None


def text(given: Any, name: str) -> str:
    """A str that can be sent."""
    if not isinstance(given, str):
        raise UsageError(f"{name} is a str, not {type(given).__name__}")
    try:
        _encoded(given, name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return given


def whole(given: Any, name: str, least: int = INT64_MIN, most: int = INT64_MAX) -> int:
    """A whole number from `least` to `most`."""
    number = given if type(given) is int else _whole(given, name)
    if least <= number <= most:
        return number
    raise UsageError(f"{name} is a whole number from {least} to {most}, not {shown(number)}")


def count(given: Any, name: str, least: int = 0) -> int:
    """A number of things, however large: more than the members can count is as many as there are."""
    number = _whole(given, name)
    if number < least:
        raise UsageError(f"{name} is a whole number, at least {least}, not {shown(number)}")
    return min(number, INT64_MAX)


def _whole(given: Any, name: str) -> int:
    number = _index(given)
    if number is None:
        raise UsageError(f"{name} is a whole number, not {shown(given)}")
    return number


def _index(given: Any) -> int | None:
    """The int that something is; None when it is none."""
    if isinstance(given, bool):
        return None
    try:
        return operator.index(given)
    except TypeError:
        return None


def number(given: Any, name: str) -> float:
    """A number, with a fraction or without."""
    found = float(given) if isinstance(given, float) else _index(given)
    if found is None or not (math.isfinite(found) if isinstance(found, float) else -_LARGE < found < _LARGE):
        raise UsageError(f"{name} is a finite number, not {shown(given)}")
    return found


def seconds(given: Any, name: str, most: float = math.inf, *, least: float | None = None) -> float:
    """A time in seconds, with a fraction or without: from `least` on, or above 0."""
    found = float(given) if isinstance(given, float) else _index(given)
    if found is None or not (found > 0 if least is None else found >= least) or found > most:
        limits = ["above 0" if least is None else f"at least {least:g}", f"at most {most:g}"][: 1 + (most < math.inf)]
        raise UsageError(f"{name} is a number of seconds {', '.join(limits)}, not {shown(given)}")
    return found


def truth(given: Any, name: str) -> bool:
    if not isinstance(given, bool):
        raise UsageError(f"{name} is True or False, not {shown(given)}")
    return given


def mapping(given: Any, name: str, of: str) -> Mapping[Any, Any]:
    """A dict or the like, `of` what to what."""
    if not isinstance(given, Mapping):
        raise UsageError(f"{name} is a dict of {of}, not {shown(given)}")
    return given


def several(given: Any, name: str, of: str) -> Iterable[Any]:
    """A list or the like. A text is refused: it would be taken for its letters."""
    if isinstance(given, str | bytes | bytearray) or not isinstance(given, Iterable):
        raise UsageError(f"{name} is a list of {of}, or gives them one by one; not {shown(given)}")
    return given
