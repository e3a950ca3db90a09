"""Any command by its words: which key it is about, and whether it changes anything. From the table of `wire`.

Commands that change the state of a connection make no sense here, because a client shares its connections.
"""

from dataclasses import dataclass
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.client.slots import slot_of
from kubegrid.wire import command_table

_OF_A_CONNECTION = {
    b"multi": "use grid.transaction(…)",
    b"exec": "use grid.transaction(…)",
    b"discard": "use grid.transaction(…)",
    b"watch": "use grid.transaction(…)",
    b"unwatch": "use grid.transaction(…)",
    b"auth": "pass password=… to connect",
    b"hello": "pass password=… to connect",
    b"select": "there is one database",
    b"readonly": "use read(…, max_staleness_ms=…)",
    b"readwrite": "use read(…, max_staleness_ms=…)",
    b"reset": "close the client instead",
    b"quit": "close the client instead",
    b"client": "connections are the client's own",
    b"wait": "every acknowledged write is on every copy in sync",
    b"kg.once": "the client adds request ids by itself",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One request as the client has to know it."""

    name: str
    args: tuple[Any, ...]
    key: bytes | None
    write: bool


def key_bytes(key: Any) -> bytes:
    """A key as bytes; TypeError for what is none."""
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key)
    if isinstance(key, int | float) and not isinstance(key, bool):
        return str(key).encode()
    raise TypeError(f"a key is str or bytes, not {type(key).__name__}")


def slot(key: Any) -> int:
    return slot_of(key if type(key) is bytes else key_bytes(key))


def plan(words: tuple[Any, ...]) -> Command:
    """Find out about a command's words; UsageError when it cannot be sent on its own."""
    if not words:
        raise UsageError("execute needs a command's name, as in execute('GET', 'key')")
    args = tuple(_word(word) for word in words)
    name = args[0].lower()
    if name in _OF_A_CONNECTION:
        raise UsageError(f"{name.decode(errors='replace').upper()} cannot be executed here: {_OF_A_CONNECTION[name]}")
    info = command_table.COMMANDS.get(name)
    shown = name.decode(errors="replace").upper()
    if info is None:
        # The member says what it thinks of it; taken for a write, so that it is never repeated without an id.
        return Command(shown, args, args[1] if len(args) > 1 else None, True)
    if info.subcommands and len(args) > 1:
        info = info.subcommands.get(args[1].lower(), info)
    keys = info.keys(list(args))
    return Command(shown, args, keys[0] if keys else None, "write" in info.flags)


def _word(word: Any) -> bytes:
    if isinstance(word, bool):
        raise TypeError("a command's words are str, bytes, int or float, not bool")
    return key_bytes(word)
