"""Errors that several data commands share and that need a name or a number in their text."""

from kubegrid.store.keyspace import Keyspace
from kubegrid.wire import resp


def wrong_arity(name: str) -> bytes:
    return resp.error(f"ERR wrong number of arguments for '{name}' command")


def invalid_expiry(name: str) -> bytes:
    return resp.error(f"ERR invalid expire time in '{name}' command")


def too_many(keyspace: Keyspace, name: str) -> bytes:
    """A command that must be atomic would touch more than one loop turn can carry."""
    units, size = keyspace.settings.atomic_units_max, keyspace.settings.atomic_bytes_max // (1 << 20)
    return resp.error(
        f"ERR '{name}' would touch more than {units} keys or fields or {size} MiB at once, which this store refuses"
    )
