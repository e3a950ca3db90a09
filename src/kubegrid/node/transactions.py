"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: several commands of one slot, executed within one turn of the loop.

Nothing else runs between the commands of an EXEC, and what they changed becomes part of one log entry, so a transaction
is atomic in the log: a backup has all of it or nothing. That is why it has limits: a number of queued commands, their
bytes, the size of what a single command may touch, and of what all of them make of what is there.

WATCH registers the session with the keyspace, which marks it `dirty` when a watched key changes.
"""

from collections.abc import Generator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kubegrid.node import clocked, lookups, routing, session_clients, session_take, session_wait
from kubegrid.node.context import Session
from kubegrid.store import slot_of
from kubegrid.store.attempt import Attempt
from kubegrid.wire import resp

if TYPE_CHECKING:
    from kubegrid.node.executable import Executable

_TOO_MANY = b"-ERR transaction exceeds the limit of queued commands or bytes\r\n"
_TOO_LARGE = b"-ERR too many keys for this command inside of a transaction\r\n"
_TOO_MUCH = b"-ERR the commands make more bytes of values than one log entry may have\r\n"
_TOO_LONG = b"-ERR the replies of this transaction are too long already, so this command was not executed\r\n"
_UNBOUNDED = {"keys", "flushdb", "flushall", "kg.find", "kg.count", "kg.take"}
"""Commands whose work grows with the whole keyspace: outside of a transaction they are cut into slices."""


def _multi(session: Session, args: list[bytes]) -> bytes:
    if session.multi is not None:
        return resp.error("ERR MULTI calls can not be nested")
    session.multi = []
    session.multi_failed = False
    session.multi_bytes = 0
    return resp.OK


def not_allowed(name: str) -> bytes:
    return resp.error(f"ERR {name.upper()} is not allowed in a transaction")


def queue(session: Session, command: "Executable", args: list[bytes]) -> bytes:
    """Remember a request that was found fit for execution."""
    queued = session.multi
    assert queued is not None
    if session.multi_failed or session.dirty:
        return resp.QUEUED  # it is void already, and Redis, too, keeps no more of it
    node = session.node
    session.multi_bytes += sum(map(len, args))
    if (
        len(queued) >= node.store_settings.transaction_commands_max
        or session.multi_bytes > node.client_settings.query_bytes_max
    ):
        session.multi_failed = True
        return _TOO_MANY
    queued.append((command, args))
    return resp.QUEUED


def writes(session: Session) -> bool:
    """Whether what is queued would write."""
    return any(command.write for command, _ in session.multi or ())


def _exec(session: Session, args: list[bytes]) -> bytes:
    queued = session.multi
    if queued is None:
        return resp.error("ERR EXEC without MULTI")
    refusal = _refusal(session, queued)
    if refusal is not None:
        _end(session)
        return refusal
    if session.multi_failed:
        _end(session)
        return resp.ERR_EXECABORT
    if _watched_changed(session):
        _end(session)
        return resp.null_array(session.resp == 3)
    refusal = _write_refusal(session, queued)
    if refusal is not None:
        return abort(session, refusal)
    _end(session)
    replies = _replies(session, queued)
    if replies is None:
        return abort(session, _TOO_MUCH)
    reply = resp.array(replies)
    if session.node.waiters:
        session.node.takers.look()
    return reply


def _refusal(session: Session, queued: list[tuple["Executable", list[bytes]]]) -> bytes | None:
    """Whether the keys of the whole transaction lie in one slot, and this member may serve it now."""
    slot = -1
    reads_only = True
    whole_keyspace = partition = False
    for command, request in queued:
        reads_only = reads_only and not command.write
        whole_keyspace = whole_keyspace or command.whole_keyspace
        partition = partition or command.partition
        for key in command.info.keys(request):
            other = slot_of(key)
            if slot >= 0 and other != slot:
                return resp.ERR_CROSSSLOT
            slot = other
    if slot >= 0:
        refusal = routing.refuse_slot(session, slot, reads_only)
        if refusal is not None:
            return refusal
    if partition and (refusal := routing.refuse_partition(session, [], reads_only)) is not None:
        return refusal
    return routing.refuse_everywhere(session, [], reads_only) if whole_keyspace else None


def _write_refusal(session: Session, queued: list[tuple["Executable", list[bytes]]]) -> bytes | None:
    if writes(session):
        if not session.turn.member.writable:
            return resp.ERR_NOREPLICAS
        has_room = session.node.keyspace.has_room(session.multi_bytes)
        if not has_room and any(command.denied_when_full for command, _ in queued):
            return resp.ERR_OOM
    return None


def _watched_changed(session: Session) -> bool:
    """Whether a watched key changed; that its time is over by now counts as a change, also where nobody may delete it."""
    if session.watching and not session.dirty:
        for key, was_over in session.watching.items():
            if not was_over and _is_over(session, key):
                session.dirty = True
    return session.dirty


def _is_over(session: Session, key: bytes) -> bool:
    """Whether the key's time is over, and nobody may delete it now; else it is deleted."""
    keyspace = session.node.keyspace
    return keyspace.look_at(key) is None and keyspace.expiry_of(key) is not None


def _replies(session: Session, queued: list[tuple["Executable", list[bytes]]]) -> list[bytes] | None:
    """Of each command, executed. Once they are too long together, reads get an error: what writes is still executed.

    None: what they write is too large for one entry, and none of it was done.
    """
    attempt = Attempt(session.node.keyspace)
    left = session.node.store_settings.reply_bytes_max
    replies = []
    for command, request in queued:
        reply = _TOO_LONG if left < 0 and not command.write else _execute(session, command, request)
        if attempt.too_large:
            attempt.take_back()
            return None
        left -= len(reply)
        replies.append(reply)
    attempt.keep()
    return replies


def _execute(session: Session, command: "Executable", request: list[bytes]) -> bytes:
    """One queued command, to its end: what is cut into slices elsewhere runs in one go here."""
    node = session.node
    if command.label in _UNBOUNDED and node.keyspace.key_count > node.store_settings.atomic_units_max:
        return _TOO_LARGE
    calls = node.operations[command.label]
    node.operations[command.label] = calls + 1
    unclocked = calls & node.clock_mask and len(request) < command.clocked_from
    started = 0.0 if unclocked else perf_counter()
    reply: Any
    if command.label == "wait":
        return session_wait.wait_in_transaction(session, request)
    if command.label == "kg.take":
        reply = session_take.take_at_once(session, request)
    elif command.data is None:
        reply = command.run(session, request)
    elif session.no_touch:
        reply = session_clients.untouched(session, command, request)
    else:
        reply = command.data(node.keyspace, request, session.resp == 3)
    if type(reply) is not bytes:
        reply = _finish(reply)
    if not unclocked:
        clocked.taken(session, command, request, reply, perf_counter() - started)
    if reply[:1] == b"-":
        if reply.startswith(b"-MOVED "):
            reply = routing.with_address(session, reply)
        node.count_failure(command.label, reply)
    lookups.count(node, command, request, reply)
    return reply or resp.OK  # CLIENT REPLY says nothing, and an array must hold something


def _finish(slices: Generator[Any, None, bytes]) -> bytes:
    while True:
        try:
            next(slices)
        except StopIteration as done:
            reply: bytes = done.value
            return reply


def abort(session: Session, error: bytes) -> bytes:
    """EXEC itself is refused: the transaction is over, and the reply says why."""
    _end(session)
    reason = error.removeprefix(b"-").removeprefix(b"ERR ")
    return b"-EXECABORT Transaction discarded because of: " + reason


def _end(session: Session) -> None:
    session.multi = None
    session.multi_failed = False
    session.multi_bytes = 0
    session.node.forget_watches(session)


def _discard(session: Session, args: list[bytes]) -> bytes:
    if session.multi is None:
        return resp.error("ERR DISCARD without MULTI")
    _end(session)
    return resp.OK


def _watch(session: Session, args: list[bytes]) -> bytes:
    if session.multi is not None:
        return resp.error("ERR WATCH inside MULTI is not allowed")
    keyspace = session.node.keyspace
    if session.watching is None:
        session.watching = {}
    if len(session.watching) + len(args) > session.node.store_settings.atomic_units_max:
        return resp.error("ERR too many watched keys")
    for key in args[1:]:
        was_over = _is_over(session, key)
        keyspace.watched.setdefault(key, set()).add(session)
        session.watching.setdefault(key, was_over)
    return resp.OK


def _unwatch(session: Session, args: list[bytes]) -> bytes:
    session.node.forget_watches(session)
    return resp.OK


HANDLERS = {
    "multi": _multi,
    "exec": _exec,
    "discard": _discard,
    "watch": _watch,
    "unwatch": _unwatch,
}
