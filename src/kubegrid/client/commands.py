"""Any command by its words: which key it is about, and whether it changes anything. From the table of `wire`.

Commands that change the state of a connection make no sense here, because a client shares its connections.
"""

from dataclasses import dataclass
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.client import arguments
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
    known: bool = True
    """False of what the members may know, and the client does not: its key is a guess."""


def key_bytes(key: Any) -> bytes:
    """A key as bytes; TypeError for what is none."""
    return _bytes(key, "a key")


def _bytes(given: Any, name: str) -> bytes:
    word = arguments.word(given, name)
    return word if type(word) is bytes else str(word).encode()


def with_key(args: tuple[Any, ...], key: Any) -> tuple[tuple[Any, ...], int]:
    """Words about a key, which is the second of them, as they can be sent, and the key's slot. **Hot path.**"""
    if type(key) is str and key.isascii():
        return args, slot_of(key.encode())
    if type(key) is bytes:
        return args, slot_of(key)
    raw = key_bytes(key)
    return (args[0], raw, *args[2:]), slot_of(raw)


def plan(words: tuple[Any, ...]) -> Command:
    """Find out about a command's words; UsageError when it cannot be sent on its own."""
    if not words:
        raise UsageError("execute needs a command's name, as in execute('GET', 'key')")
    args = tuple(_bytes(word, "a word of a command") for word in words)
    name = args[0].lower()
    if name in _OF_A_CONNECTION:
        raise UsageError(f"{name.decode(errors='replace').upper()} cannot be executed here: {_OF_A_CONNECTION[name]}")
    info = command_table.COMMANDS.get(name)
    shown = name.decode(errors="replace").upper()
    if info is None:
        # The member says what it thinks of it; taken for a write, so that it is never repeated without an id.
        return Command(shown, args, args[1] if len(args) > 1 else None, True, known=False)
    if info.subcommands and len(args) > 1:
        info = info.subcommands.get(args[1].lower(), info)
    keys = info.keys(list(args))
    return Command(shown, args, keys[0] if keys else None, "write" in info.flags)
