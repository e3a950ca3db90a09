"""Which keys a command has looked up, and which of them it found: `keyspace_hits` and `keyspace_misses` of INFO.

`dispatch` counts the common commands itself, in few steps. This is for what is rare there (errors, commands that read at
times only) and for all commands of a transaction. As in Redis, a read counts although an error follows it, so it matters
which errors come first.
"""

from typing import TYPE_CHECKING, Any

from kubegrid.store import slot_of
from kubegrid.wire import resp

if TYPE_CHECKING:
    from kubegrid.node.context import NodeContext
    from kubegrid.node.executable import Executable

_LOOKS_BEFORE_IT_COMPLAINS = {
    "getex": resp.ERR_SYNTAX,
    "hscan": resp.ERR_INVALID_CURSOR,
    "lcs": None,
    "object|freq": None,
}
"""With the one error that comes before the key is looked up. Other commands look after all else and complain of the type only."""


def count(node: "NodeContext", command: "Executable", request: list[bytes], reply: Any) -> None:
    """The command was executed; keys whose time was over are gone by that."""
    keys = _looked_up(command, request)
    if not keys:
        return
    if type(reply) is bytes:
        if reply[:1] == b"-":
            if not _came_after_the_lookup(command, reply):
                return
        elif command.counts_hits or command.label == "set":
            missed = reply in (resp.NULL_BULK, resp.NULL3)
            node.count_hits(not missed, missed)
            return
    node.count_lookups(slot_of(keys[0]), keys)


def _looked_up(command: "Executable", request: list[bytes]) -> list[bytes]:
    if command.counts_hits or command.looks_up:
        return command.info.keys(request)
    if command.label == "copy" or (command.label == "set" and b"GET" in (word.upper() for word in request[3:])):
        return request[1:2]
    return []


def _came_after_the_lookup(command: "Executable", error: bytes) -> bool:
    if error == resp.ERR_WRONGTYPE:
        return True
    return command.label in _LOOKS_BEFORE_IT_COMPLAINS and error != _LOOKS_BEFORE_IT_COMPLAINS[command.label]
