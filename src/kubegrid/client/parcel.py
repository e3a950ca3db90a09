"""Several writes that travel, are executed and are remembered by the members as one: a *parcel*, under one request id.

The members take a parcel as `KG.ONCE client seq acked KG.BATCH requests` and answer with the array of the replies
(`kubegrid.node.session_batch`), or refuse it as a whole. So its id is what an id of one write is: whatever becomes of
connections and members, all of its writes are applied once. A parcel that was sent is sent again as it was.

Which writes may share one: those that the members take in a batch, whose replies are short. Pure.
Next on the path of the data: `batch` (sync) and `link` (asyncio), which fill them.
"""

from collections.abc import Sequence
from typing import Any

from kubegrid.client.connection import pack_command
from kubegrid.client.request_ids import RequestIds

ONCE = b"KG.ONCE"
BATCH = b"KG.BATCH"
COMMANDS_MAX = 250
"""Writes in one parcel. The members take more; but a second parcel can be packed while they execute the first."""
BYTES_MAX = 32 * 1000
"""Of all of them, packed: longer strings take a slower way through the members' parser."""
ONE_BYTES_MAX = 8 * 1024
"""A longer write travels by itself: there is nothing to be saved for it."""
_SHARING = frozenset(
    (
        *(b"SET", b"SETNX", b"SETEX", b"PSETEX", b"APPEND", b"SETRANGE"),
        *(b"INCR", b"INCRBY", b"INCRBYFLOAT", b"DECR", b"DECRBY"),
        *(b"HSET", b"HSETNX", b"HDEL", b"HINCRBY", b"HINCRBYFLOAT"),
        *(b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT", b"PERSIST"),
    )
)
_OF_ONE_KEY = frozenset((b"DEL", b"UNLINK"))
_PLAIN_SET = 3


def may_share(args: tuple[Any, ...]) -> bool:
    """Whether this write may travel in one parcel with others."""
    name = args[0]
    if name == b"SET":
        return len(args) == _PLAIN_SET or not any(type(word) is bytes and word.upper() == b"GET" for word in args[3:])
    return name in _SHARING or (name in _OF_ONE_KEY and len(args) == 2)


def pack(ids: RequestIds, seq: int, acked: int, requests: list[bytes], args: tuple[Any, ...]) -> bytes:
    """The parcel with these packed requests; `args` are those of the first, which needs no batch when it is the only one."""
    if len(requests) == 1:
        return pack_command((ONCE, ids.client, seq, acked, *args))
    return pack_command((ONCE, ids.client, seq, acked, BATCH, b"".join(requests)))


def name_of(requests: Sequence[tuple[Any, ...]]) -> str:
    """What to call them in an error."""
    names = {args[0] for args in requests}
    name = names.pop()
    if names:
        return "a write"
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
