"""KG.ONCE: a write that is executed once, however often its client sends it.

`KG.ONCE client seq acked COMMAND arg …`: what is known of request `seq` of the client decides (`store.requests`). Seen
before: the reply of then, whatever may be written now. New: the inner command goes through `dispatch` with all of its
checks; what it did and what was answered become part of the same turn, thus of the same log entry. A refusal (another
member's slot, no memory, no copies) is not an execution: nothing is remembered, and the client may send it again.

Every reply of an execution is remembered, also that of one which changed nothing: were it not, a copy of the request
that was delayed on its way could be executed after its client had the answer.
"""

from collections.abc import Callable
from typing import Any

from kubegrid.node import session_take
from kubegrid.node.context import Session
from kubegrid.store.numbers import parse_int64
from kubegrid.store.requests import NEW
from kubegrid.wire import command_table, resp

INNER_AT = 4
"""Where the inner command begins."""
_NOT_A_NUMBER = b"-ERR the numbers of KG.ONCE are integers: KG.ONCE client seq acked COMMAND [arg ...]\r\n"
_NOT_THE_TIME = b"-ERR KG.ONCE cannot repeat a command that takes several turns\r\n"


def once(session: Session, args: list[bytes], dispatch: Callable[[Session, list[bytes]], Any]) -> Any:
    """The reply of the first execution; `None` or a generator where the inner command waits (KG.TAKE … BLOCK)."""
    node = session.node
    client, seq, acked = args[1], parse_int64(args[2]), parse_int64(args[3])
    if seq is None or acked is None:
        return _NOT_A_NUMBER
    inner = args[INNER_AT:]
    complaint = _complaint(inner)
    if complaint is not None:
        return complaint
    if not session.turn.open_gate:
        return dispatch(session, inner)  # refuses it, and says who can
    requests = node.keyspace.requests
    known = requests.begin(client, seq, acked, node.keyspace.now_ms)
    if known is not NEW:
        return known

    def remember(reply: bytes) -> bytes:
        requests.finish(client, seq, acked, node.keyspace.now_ms, reply)
        return reply

    refusals = node.refusals
    with session_take.answered_through(node, remember):
        reply = dispatch(session, inner)
    if node.refusals != refusals or reply is None:
        return reply
    if type(reply) is not bytes:
        if inner[0].lower() == b"kg.take":
            return reply
        reply.close()
        return _NOT_THE_TIME
    return remember(reply)


def _complaint(inner: list[bytes]) -> bytes | None:
    """Why this command cannot be an inner one."""
    info = command_table.find_request(inner)
    if info is None:
        return command_table.unknown_command(inner)
    if "write" not in info.flags or info.name == "kg.once":
        return resp.error(f"ERR KG.ONCE is for writes, {info.name.upper()} is none")
    return None
