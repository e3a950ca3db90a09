"""Errors that several data commands share and that need a name or a number in their text."""

from typing import Final

from kubegrid.store.keyspace import Keyspace
from kubegrid.wire import resp

ANSWERS_MAX: Final = 2
"""Replies of the greatest length that may be put together at once, by whatever number of questions: each is there twice in the
end. Short ones are no matter."""


def wrong_arity(name: str) -> bytes:
    return resp.error(f"ERR wrong number of arguments for '{name}' command")


def invalid_expiry(name: str) -> bytes:
    return resp.error(f"ERR invalid expire time in '{name}' command")


def reply_too_long(keyspace: Keyspace, name: str) -> bytes:
    """A few words may ask for more than the member has memory for: every value that there is, or one of them many times."""
    size = keyspace.settings.reply_bytes_max
    return resp.error(
        f"ERR the reply of '{name}' would exceed {size} bytes, which this store refuses: ask for less at once"
    )


def answers_too_long(keyspace: Keyspace) -> bytes:
    """Each reply that is being put together is short enough, but not all of them together."""
    return resp.error(f"TRYAGAIN replies of {keyspace.answer_bytes} bytes are being put together")


def too_many(keyspace: Keyspace, name: str) -> bytes:
    """A command that must be atomic would touch more than one loop turn can carry."""
    units, size = keyspace.settings.atomic_units_max, keyspace.settings.atomic_bytes_max // (1 << 20)
    return resp.error(
        f"ERR '{name}' would touch more than {units} keys or fields or {size} MiB at once, which this store refuses"
    )
