"""Arguments and answers of plain commands, where they are more than the bytes as they travel. Pure."""

from collections.abc import Mapping
from typing import Any

from kubegrid.base.errors import UsageError

_VALUES = (bytes, str, int, float, bytearray, memoryview)


def set_arguments(
    key: Any, value: Any, ex: float | None, only_if_absent: bool, only_if_present: bool, keep_ttl: bool
) -> tuple[Any, ...]:
    """A SET with its options; UsageError when two of them exclude each other, TypeError for what is no value."""
    if not isinstance(value, _VALUES):
        raise TypeError(f"a value is str, bytes, int or float, not {type(value).__name__}")
    if ex is None and not (only_if_absent or only_if_present or keep_ttl):
        return (b"SET", key, value)
    if only_if_absent and only_if_present:
        raise UsageError("only_if_absent and only_if_present exclude each other")
    if keep_ttl and ex is not None:
        raise UsageError("ex and keep_ttl exclude each other: the one sets an expiry, the other keeps the one there is")
    args: tuple[Any, ...] = (b"SET", key, value)
    if ex is not None:
        if ex < 0.001:
            raise UsageError(f"ex is a number of seconds, at least 0.001, not {ex!r}")
        args += (b"PX", round(ex * 1000))
    if keep_ttl:
        args += (b"KEEPTTL",)
    if only_if_absent:
        args += (b"NX",)
    if only_if_present:
        args += (b"XX",)
    return args


def hash_arguments(key: Any, fields: Mapping[Any, Any]) -> tuple[Any, ...]:
    if not fields:
        raise UsageError("hset needs at least one field")
    return (b"HSET", key, *(word for pair in fields.items() for word in pair))


def is_ok(reply: Any) -> bool:
    return reply is not None


def text(reply: Any) -> str:
    return str(reply, "utf-8") if isinstance(reply, bytes) else str(reply)


def seconds_left(reply: int) -> float | None:
    return reply / 1000 if reply >= 0 else None


def pairs(reply: Any) -> dict[Any, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
