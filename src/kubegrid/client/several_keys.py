"""What the methods on several keys, and on all of them, ask of whom: the same for both clients. Pure.

Next on the path of the data: `grid`, `async_grid`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.client import arguments, commands
from kubegrid.client.batch import Request
from kubegrid.client.routes import Route
from kubegrid.client.slots import slot_of


def of_keys(name: bytes, keys: Iterable[Any], *, write: bool) -> list[Request]:
    """A command on one key, for each of them."""
    raw = [commands.key_bytes(key) for key in arguments.several(keys, "keys", "keys")]
    return [Request((name, key), slot_of(key), write) for key in raw]


def sets(values: Mapping[Any, Any]) -> list[Request]:
    """A SET for each key and value."""
    given = arguments.mapping(values, "values", "key → value")
    words = [(commands.key_bytes(key), arguments.word(value)) for key, value in given.items()]
    return [Request((b"SET", key, value), slot_of(key), True) for key, value in words]


def keyless(command: commands.Command, route: Route) -> Request:
    """A command without a key, of the partition of `route`."""
    return Request(command.args, route.first_slot, command.write, long=True, once=False)


def everywhere(words: tuple[Any, ...], routes: Iterable[Route]) -> list[Request]:
    """A command without a key, of every partition."""
    command = commands.plan(words)
    if command.key is not None and command.known:
        raise UsageError(
            f"{command.name} is about a key, which lies in one partition", "`execute` asks the one that has it."
        )
    return [keyless(command, route) for route in routes]


def scan_words(match: Any, count: Any) -> tuple[Any, ...]:
    """What a SCAN says after its cursor."""
    words: tuple[Any, ...] = (b"COUNT", arguments.count(count, "count", 1))
    return words if match is None else (*words, b"MATCH", arguments.word(match, "match"))
