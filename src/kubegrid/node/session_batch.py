"""Many writes of one client under one request id: `KG.ONCE client seq acked KG.BATCH requests`.

`requests` is one string: the requests as they would be sent by themselves, one behind the other. They are executed in
order, within one turn and so within one log entry, together with the one reply that is remembered: an array of theirs.
Whoever has the writes has the reply, so the batch as a whole is executed once, however often it is sent.

What is wrong with one of them is an error in its place of the array, and the others are executed all the same: were the
batch refused for it, its writes would come after those of the next batch. Refused as a whole is only what this member may
not execute now, and what is no batch; then nothing was done.

**Hot path**: plain SETs, most of what is written in batches, go through `plain_columns`. What is not taken: commands on
several keys, those whose replies can be long, and those that can take several turns. Next on the path of the data:
`plain_columns`, `store.commands`.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING

from kubegrid.node import plain_columns, routing
from kubegrid.node.context import Session
from kubegrid.store import slot_of
from kubegrid.wire import resp
from kubegrid.wire.requests import ProtocolError, RequestReader

if TYPE_CHECKING:
    from kubegrid.node.executable import Executable

NAME = b"KG.BATCH"
COMMANDS_MAX = 1000
"""Requests in one batch: a turn executes all of them, in some milliseconds."""
BYTES_MAX = 256 * 1024
"""Of requests in one batch: a fraction of a log entry."""
_NAMES = (
    "set setnx setex psetex append setrange incr decr incrby decrby incrbyfloat hset hmset hsetnx hdel hincrby "
    "hincrbyfloat expire pexpire expireat pexpireat persist del unlink"
)
MEMBERS = frozenset(_NAMES.split())
"""What a batch may hold: short replies, one key, one turn. SET with GET answers the old value, however long it is: when
the replies together are too long to be kept, a batch that is sent again is told so."""

Find = Callable[[bytes], "Executable | None"]

_name = itemgetter(0)
_key = itemgetter(1)
_value = itemgetter(2)
_OK = resp.OK
_THREE = {3}
_SET = {b"SET"}
_EMPTY = b"-ERR KG.BATCH holds no request, or half of one\r\n"
_TOO_MUCH = resp.error(
    "ERR the requests of KG.BATCH before this one made more bytes of values than one log entry may have"
)
_TOO_LARGE = resp.error(f"ERR KG.BATCH holds at most {COMMANDS_MAX} requests of {BYTES_MAX} bytes together")


def read(session: Session, text: bytes) -> list[list[bytes]] | bytes:
    """The requests in `text`; or what is wrong with them as a whole."""
    if len(text) > BYTES_MAX:
        return _TOO_LARGE
    node = session.node
    reader = RequestReader(node.client_settings, node.store_settings)
    reader.authenticated = True
    try:
        requests = reader.feed(text)
    except ProtocolError as error:
        return resp.error(f"ERR KG.BATCH: {error.message}")
    if not requests or reader.unfinished:
        return _EMPTY
    return requests if len(requests) <= COMMANDS_MAX else _TOO_LARGE


def execute(session: Session, requests: list[list[bytes]], find: Find) -> bytes:
    """Execute all of them; the array of their replies. The gate is open, and the partition may write."""
    node = session.node
    keyspace = node.keyspace
    count = len(requests)
    session.turn.units_left -= count
    done = 0
    if set(map(len, requests)) == _THREE and set(map(_name, requests)) == _SET:
        keys = list(map(_key, requests))
        if max(map(len, keys)) <= node.key_bytes_max and keyspace.used_bytes < keyspace.limit_bytes:
            slots = plain_columns.slots_of(keys, keys)
            done = plain_columns.put(keyspace, keys, list(map(_value, requests)), slots) or 0
            node.operations["set"] += done
            if done == count:
                return b"*%d\r\n%b" % (count, _OK * count)
    session.turn.units_left -= 2 * (count - done)
    replies = [b"*%d\r\n" % count, _OK * done]
    made_bytes_max = keyspace.made_bytes + keyspace.settings.atomic_bytes_max
    for args in requests[done:]:
        too_much = keyspace.made_bytes > made_bytes_max
        replies.append(_TOO_MUCH if too_much else _execute_one(session, args, find(args[0])))
    if node.waiters:
        node.takers.look()
    return b"".join(replies)


def _execute_one(session: Session, args: list[bytes], command: "Executable | None") -> bytes:
    """As `dispatch` would, for what a batch may hold."""
    node = session.node
    keyspace = node.keyspace
    if command is None or command.label not in MEMBERS:
        return resp.error(f"ERR KG.BATCH cannot hold {args[0][:64].decode(errors='replace').upper()}")
    if not command.arguments_min <= len(args) <= command.arguments_max:
        return command.info.arity_error()
    if len(args) > 2 and not command.single_key:
        return resp.error(f"ERR KG.BATCH cannot hold {command.label.upper()} of several keys")
    key = args[1]
    slot = slot_of(key)
    if keyspace.slots[slot] is None:
        return routing.refuse_slot(session, slot, False) or resp.ERR_CLUSTERDOWN
    if len(key) > node.key_bytes_max:
        return resp.error(f"ERR key is longer than {node.key_bytes_max} bytes")
    node.operations[command.label] += 1
    reply: bytes = command.data(keyspace, args, session.resp == 3)  # type: ignore[misc]  # all of MEMBERS have one
    if reply[:1] == b"-":
        node.count_failure(command.label, reply)
    return reply
