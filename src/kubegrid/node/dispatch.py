"""From a request to its reply: finds the command, checks whether it may run here and now, runs it or queues it.

**Hot path**: speed beats form here; measure every change with `bench/`.

`dispatch(session, args)` answers with

- `bytes`: the complete reply. Empty when there is nothing to say (CLIENT REPLY SKIP).
- `None`: the client waits for an event (KG.TAKE … BLOCK); whoever brings it calls `finish_task` of the connection.
- a generator: a long command, cut into slices. The connection executes nothing else of this client until it is done, and
  the turn resumes it once a turn. It yields `None` when it wants to go on, or an `int`: nothing to do for that many
  milliseconds (WAIT). Its return value is the complete reply, or `None` as above. It may be closed when the connection is gone.

The checks come in the order of Redis: does the command exist, has it the right number of arguments, is the client
authenticated, may this member serve the slot, is there room and redundancy for a write, is a transaction open. A refusal
makes an open transaction void. HOLD never gets here: the connection keeps requests back meanwhile.

What data commands do is in `store`, what the others do in the `session_*` modules, which register themselves in
`COMMANDS` below. Next on the path of the data: `store.commands`.
"""

from binascii import crc_hqx
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any

from kubegrid import store
from kubegrid.node import (
    clocked,
    lookups,
    routing,
    session_acl,
    session_catalog,
    session_clients,
    session_cluster,
    session_commands,
    session_connection,
    session_endpoints,
    session_latency,
    session_memory,
    session_once,
    session_server,
    session_settings,
    session_slowlog,
    session_take,
    session_tracking,
    session_wait,
    transactions,
)
from kubegrid.node.context import Session
from kubegrid.node.executable import Executable
from kubegrid.node.slow_log import SAMPLE_MASK
from kubegrid.store import refusals, slot_of
from kubegrid.wire import command_table, resp
from kubegrid.wire.command_table import CommandInfo

Reply = bytes | Generator[int | None, None, Any] | None

_SESSION_COMMANDS: dict[str, Callable[[Session, list[bytes]], Any]] = {
    **session_connection.HANDLERS,
    **session_clients.HANDLERS,
    **session_commands.HANDLERS,
    **session_server.HANDLERS,
    **session_memory.HANDLERS,
    **session_settings.HANDLERS,
    **session_slowlog.HANDLERS,
    **session_latency.HANDLERS,
    **session_acl.HANDLERS,
    **session_cluster.HANDLERS,
    **session_wait.HANDLERS,
    **session_tracking.HANDLERS,
    **session_catalog.HANDLERS,
    **session_take.HANDLERS,
    **session_endpoints.HANDLERS,
    "kg.once": lambda session, args: session_once.once(session, args, dispatch, _found),
    **transactions.HANDLERS,
}


def _build(info: CommandInfo) -> Executable:
    container = info.name.partition("|")[0]
    data = store.COMMANDS.get(container.upper().encode())
    executable = Executable(info, _SESSION_COMMANDS.get(info.name), data)
    if info.subcommands:
        executable.subcommands = {name: _build(sub) for name, sub in info.subcommands.items()}
    return executable


_BY_LOWER_NAME: dict[bytes, Executable] = {name: _build(info) for name, info in command_table.COMMANDS.items()}
COMMANDS: dict[bytes, Executable] = {
    spelling: command
    for name, command in _BY_LOWER_NAME.items()
    for spelling in (name, name.upper(), name.capitalize())
}
"""By the spellings that clients use; others take one step more."""
_MINUS = ord("-")
_WEB_WORDS = frozenset((b"post", b"host:"))
"""A web page makes somebody's browser send commands in the body of a request: closed unanswered at its head, as in Redis."""


def _found(name: bytes) -> Executable | None:
    return COMMANDS.get(name) or _BY_LOWER_NAME.get(name.lower())


def dispatch(session: Session, args: list[bytes]) -> Reply:
    """Execute one request, or refuse it, or queue it. Never raises for anything that a client can send."""
    command = COMMANDS.get(args[0]) or _BY_LOWER_NAME.get(args[0].lower())
    if command is None:
        if args[0].lower() in _WEB_WORDS:
            session.close_after_reply = True
            return b""
        return _refuse(session, command_table.unknown_command(args))
    count = len(args)
    if command.subcommands is not None and count > 1:
        subcommand = command.subcommands.get(args[1]) or command.subcommands.get(args[1].lower())
        if subcommand is None:
            return _refuse(session, command_table.unknown_subcommand(args))
        command = subcommand
    if not command.arguments_min <= count <= command.arguments_max:
        return _refuse(session, command.info.arity_error(), command)
    if not session.authenticated and not command.no_auth:
        return _refuse(session, resp.ERR_NOAUTH, command)
    node = session.node
    turn = session.turn
    reply: Reply
    if command.first_key:
        key = args[command.first_key]
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 16383
        if count > 2 and not command.single_key:
            keys = command.info.keys(args)
            if len(keys) > node.store_settings.atomic_units_max:
                return _refuse(session, refusals.too_many(node.keyspace, command.label), command)
            for other in keys:
                if (slot_of(other) if b"{" in other else crc_hqx(other, 0) & 16383) != slot:
                    return _refuse(session, resp.ERR_CROSSSLOT, command)
            key = max(keys, key=len)
        if not turn.open_gate or node.keyspace.slots[slot] is None:
            refusal = routing.refuse_slot(session, slot, command.reads_only)
            if refusal is not None:
                return _refuse(session, refusal, command)
        if command.write and len(key) > node.key_bytes_max:
            return _refuse(session, resp.error(f"ERR key is longer than {node.key_bytes_max} bytes"), command)
    elif command.admit is not None:
        refusal = command.admit(session, args, command.reads_only)
        if refusal is not None:
            return _refuse(session, refusal, command)
    if node.writes_paused_until_ms and (
        command.held_back or (command.label == "exec" and transactions.writes(session))
    ):
        reply = session_tracking.held_back(session, args, dispatch)
        return reply
    if command.write:
        if not turn.member.writable:
            return _refuse(session, resp.ERR_NOREPLICAS, command)
        if command.denied_when_full:
            left = node.keyspace.limit_bytes - node.keyspace.used_bytes
            if left < node.client_settings.query_bytes_max and not node.keyspace.has_room(sum(map(len, args))):
                return _refuse(session, resp.ERR_OOM, command)
    if session.multi is not None and not command.immediate:
        if command.not_queued:
            return _refuse(session, transactions.not_allowed(command.label), command)
        return transactions.queue(session, command, args)
    session.last_command = command.name
    calls = node.operations[command.label]
    node.operations[command.label] = calls + 1
    data = command.data
    if data is None:
        if calls & node.clock_mask and count < command.clocked_from:
            reply = command.run(session, args)
        else:
            started = perf_counter()
            reply = command.run(session, args)
            reply = clocked.taken(session, command, args, reply, perf_counter() - started)
        if type(reply) is bytes and reply[:1] == b"-":
            node.count_failure(command.label, reply)
        return reply
    if session.no_touch:
        started = perf_counter()
        reply = session_clients.untouched(session, command, args)
        reply = clocked.taken(session, command, args, reply, perf_counter() - started)
    elif calls & node.clock_mask and count < command.clocked_from:
        reply = data(node.keyspace, args, session.resp == 3)
    else:
        started = perf_counter()
        reply = data(node.keyspace, args, session.resp == 3)
        took_s = perf_counter() - started
        if took_s >= node.slow_log.least_s or not calls & SAMPLE_MASK or type(reply) is not bytes:
            reply = clocked.taken(session, command, args, reply, took_s)
    if type(reply) is bytes and reply[0] == _MINUS:
        if reply.startswith(b"-MOVED "):
            return _refuse(session, routing.with_address(session, reply), command)
        node.count_failure(command.label, reply)
        lookups.count(node, command, args, reply)
    elif command.counts_hits:
        if reply == resp.NULL_BULK or reply == resp.NULL3:
            node.misses += 1
        else:
            node.hits += 1
    elif command.looks_up:
        if count > 2 and not command.single_key:
            node.count_lookups(slot, keys)
        elif key in node.keyspace.slots[slot]:  # type: ignore[operator]
            node.hits += 1
        else:
            node.misses += 1
    elif count >= command.may_look_up_from:
        lookups.count(node, command, args, reply)
    if node.waiters and command.write:
        node.takers.look()
    return reply


def _refuse(session: Session, error: bytes, command: Executable | None = None) -> bytes:
    """Answer with an error without executing anything; an open transaction can then only be given up."""
    node = session.node
    node.refusals += 1
    if command is not None:
        node.statistics_of(command.label).refused += 1
        if command.label == "exec":
            error = transactions.abort(session, error)
    node.count_error(error)
    if session.multi is not None:
        session.multi_failed = True
    return error
