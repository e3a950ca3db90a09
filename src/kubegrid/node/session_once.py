"""KG.ONCE: a write that is executed once, however often its client sends it.

`KG.ONCE client seq acked COMMAND arg …`: what is known of request `seq` of the client decides (`store.requests`). Seen
before: the reply of then, whatever may be written now. New: the inner command goes through `dispatch` with all of its
checks; what it did and what was answered become part of the same turn, thus of the same log entry. A refusal (another
member's slot, no memory, no copies) is not an execution: nothing is remembered, and the client may send it again.

`KG.BATCH` in the place of the command stands for many under one number (`session_batch`).

Every reply of an execution is remembered, also that of one which changed nothing: were it not, a copy of the request
that was delayed on its way could be executed after its client had the answer. But what KG.REWRITE refuses for what stands in
it, or for want of room, is not: a copy is refused as well, while a statement that is run again under its id has computed
other rows, and would be answered by the refusal of the old ones.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from kubegrid.node import plain_columns, routing, session_batch, session_take
from kubegrid.node.context import Session
from kubegrid.node.session_waiter import Answered, Number
from kubegrid.store import Keyspace, commands_rewrite
from kubegrid.store.requests import NEW
from kubegrid.wire import command_table, resp

if TYPE_CHECKING:
    from kubegrid.node.executable import Executable

INNER_AT = 4
"""Where the inner command begins."""
PLAIN_SET = INNER_AT + 3
"""Words with a SET without options, the most frequent write: executed here, where nothing special is the case."""
DIGITS_MAX = 19
"""Longer numbers are no numbers of requests."""
_NOT_A_NUMBER = b"-ERR the numbers of KG.ONCE are integers: KG.ONCE client seq acked COMMAND [arg ...]\r\n"
_NO_BATCH = b"-ERR KG.ONCE client seq acked KG.BATCH takes one string: the requests, one behind the other\r\n"
_NOT_THE_TIME = b"-ERR KG.ONCE cannot repeat a command that takes several turns\r\n"


def once(
    session: Session,
    args: list[bytes],
    dispatch: Callable[[Session, list[bytes]], Any],
    find: Callable[[bytes], "Executable | None"],
) -> Any:
    """The reply of the first execution; `None` or a generator where the inner command waits (KG.TAKE … BLOCK).

    On the path of every write of our own client: kept flat.
    """
    _, client, first, second, name, *_ = args
    if not (first.isdigit() and second.isdigit()) or len(first) > DIGITS_MAX or len(second) > DIGITS_MAX:
        return _NOT_A_NUMBER
    seq, acked = int(first), int(second)
    turn = session.turn
    if name == b"SET" and len(args) == PLAIN_SET and turn.open_gate:
        node = session.node
        keyspace = node.keyspace
        requests = keyspace.requests
        known = requests.begin(client, seq, acked, keyspace.now_ms)
        if known is not NEW:
            return known
        reply = plain_columns.put_one(node, turn.member.writable, args[5], args[6])
        if reply:
            requests.finish(client, seq, acked, keyspace.now_ms, reply)
            return reply
    return _once(session, client, seq, acked, args[INNER_AT:], dispatch, find)


def _once(
    session: Session,
    client: bytes,
    seq: int,
    acked: int,
    inner: list[bytes],
    dispatch: Callable[[Session, list[bytes]], Any],
    find: Callable[[bytes], "Executable | None"],
) -> Any:
    """Any command, with all that may be special about it."""
    name = inner[0]
    command = find(name)
    if command is None or not command.write:
        if name.upper() == session_batch.NAME:
            return _batch(session, client, seq, acked, inner, find)
        return _complaint(inner)
    if not session.turn.open_gate:
        return dispatch(session, inner)  # refuses it, and says who can
    node = session.node
    keyspace = node.keyspace
    requests = keyspace.requests
    known = requests.begin(client, seq, acked, keyspace.now_ms)
    if known is not NEW:
        return known
    refusals = node.refusals
    if command.label == "kg.take":
        answered = partial(_remember, keyspace, client, seq, acked)
        return _take(session, inner, dispatch, answered, (client, seq))
    reply = dispatch(session, inner)
    if node.refusals != refusals or (command.label == "kg.rewrite" and _is_refused_again(reply)):
        return reply
    if type(reply) is not bytes:
        reply.close()
        return _NOT_THE_TIME
    requests.finish(client, seq, acked, keyspace.now_ms, reply)
    return reply


def _batch(
    session: Session,
    client: bytes,
    seq: int,
    acked: int,
    inner: list[bytes],
    find: Callable[[bytes], "Executable | None"],
) -> bytes:
    """Many writes under one number: executed together or refused together (`session_batch`)."""
    node = session.node
    if len(inner) != 2:
        return _NO_BATCH
    if not session.turn.open_gate:
        return routing.refuse_partition(session, inner, False) or resp.ERR_CLUSTERDOWN
    keyspace = node.keyspace
    requests = keyspace.requests
    known = requests.begin(client, seq, acked, keyspace.now_ms)
    if known is not NEW:
        return known  # type: ignore[return-value]
    if not session.turn.member.writable:
        return resp.ERR_NOREPLICAS
    batch = session_batch.read(session, inner[1])
    if isinstance(batch, bytes):
        return batch
    reply = session_batch.execute(session, batch, find)
    requests.finish(client, seq, acked, keyspace.now_ms, reply)
    return reply


def _take(
    session: Session,
    inner: list[bytes],
    dispatch: Callable[[Session, list[bytes]], Any],
    answered: Answered,
    number: Number,
) -> Any:
    """A take may be answered now, after a search in slices, or when somebody writes a record that fits."""
    node = session.node
    refusals = node.refusals
    with session_take.answered_through(node, answered, number):
        reply = dispatch(session, inner)
    if type(reply) is not bytes or node.refusals != refusals:
        return reply
    return answered(reply)


def _is_refused_again(reply: bytes) -> bool:
    return reply[:1] == b"-" and not reply.startswith(commands_rewrite.OF_WHAT_IS_THERE)


def _remember(keyspace: Keyspace, client: bytes, seq: int, acked: int, reply: bytes) -> bytes:
    keyspace.requests.finish(client, seq, acked, keyspace.now_ms, reply)
    return reply


def _complaint(inner: list[bytes]) -> bytes:
    """Why this command cannot be an inner one."""
    info = command_table.find_request(inner)
    if info is None:
        return command_table.unknown_command(inner)
    return resp.error(f"ERR KG.ONCE is for writes, {info.name.upper()} is none")
