"""Messages and instructions as short text, so that a failing seed reads like a conversation.

A configuration is shown as `e7{p0-1/ab12* p0-0/cd34 +p0-2/ef56}`: the epoch, the primary with a star, joiners with a plus;
an entry as `(epoch, number)` with its effects. Everything else is its class and fields.
"""

from typing import Any

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member, Position


def shown(value: Any) -> str:
    if isinstance(value, Member):
        return f"{value.name}/{value.incarnation[:4]}"
    if isinstance(value, Position):
        return f"({value.epoch}, {value.seq})"
    if isinstance(value, Configuration):
        return _configuration(value)
    if isinstance(value, msgspec.Struct):
        if type(value).__name__ == "Entry":
            return f"({value.epoch}, {value.seq}) {value.effects!r}"  # type: ignore[attr-defined]
        fields = (f"{name}={shown(getattr(value, name))}" for name in value.__struct_fields__)
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(shown(part) for part in value)}]"
    return repr(value)


def _configuration(value: Configuration) -> str:
    others = [f"{shown(m)}{'*' if m == value.primary else ''}" for m in value.in_sync]
    if value.primary is None or value.primary not in value.in_sync:
        others.append(f"(primary {shown(value.primary)})")
    return f"e{value.epoch}{{{' '.join(others + ['+' + shown(m) for m in value.joining])}}}"
