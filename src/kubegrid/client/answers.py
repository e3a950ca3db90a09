"""Arguments and answers of plain commands, where they are more than the bytes as they travel. Pure."""

from collections.abc import Mapping
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.client import arguments


def set_arguments(
    key: Any, value: Any, ex: float | None, only_if_absent: bool, only_if_present: bool, keep_ttl: bool
) -> tuple[Any, ...]:
    """A SET with its options; UsageError when two of them exclude each other, TypeError for what is no value."""
    value = arguments.word(value)
    if ex is None and not (only_if_absent or only_if_present or keep_ttl):
        return (b"SET", key, value)
    if only_if_absent and only_if_present:
        raise UsageError("only_if_absent and only_if_present exclude each other")
    if keep_ttl and ex is not None:
        raise UsageError("ex and keep_ttl exclude each other: the one sets an expiry, the other keeps the one there is")
    args: tuple[Any, ...] = (b"SET", key, value)
    if ex is not None:
        args += (b"PX", round(arguments.seconds(ex, "ex", arguments.EXPIRY_MAX_S, least=0.001) * 1000))
    if keep_ttl:
        args += (b"KEEPTTL",)
    if only_if_absent:
        args += (b"NX",)
    if only_if_present:
        args += (b"XX",)
    return args


def expire_arguments(key: Any, seconds: float) -> tuple[Any, ...]:
    """A PEXPIRE. A time that is over deletes the key, as in Redis."""
    most = arguments.EXPIRY_MAX_S
    return (b"PEXPIRE", key, round(arguments.seconds(seconds, "seconds", most, least=-most) * 1000))


def hash_arguments(key: Any, fields: Mapping[Any, Any]) -> tuple[Any, ...]:
    """An HSET of at least one field."""
    if not arguments.mapping(fields, "fields", "field → value"):
        raise UsageError("hset needs at least one field")
    words: list[Any] = [b"HSET", key]
    for field, value in fields.items():
        words += (arguments.word(field, "a field"), arguments.word(value, "the value of a field"))
    return tuple(words)


def field_arguments(name: bytes, key: Any, fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """A command on fields of a hash, of which there is at least one."""
    if not fields:
        raise UsageError("name at least one field of the hash")
    return (name, key, *[arguments.word(field, "a field") for field in fields])


def is_ok(reply: Any) -> bool:
    return reply is not None


def text(reply: Any) -> str:
    return str(reply, "utf-8") if isinstance(reply, bytes) else str(reply)


def seconds_left(reply: int) -> float | None:
    return reply / 1000 if reply >= 0 else None


def pairs(reply: Any) -> dict[Any, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
