"""CLIENT: the connections of this member, this one and the others."""

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from kubegrid.node import session_kill
from kubegrid.node.context import Session
from kubegrid.node.idle_clients import idle_ms
from kubegrid.node.session_connection import name_error
from kubegrid.store import slot_of
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

if TYPE_CHECKING:
    from kubegrid.node.executable import Executable

CONNECTION_BYTES = 4500
"""What an idle connection takes of the process: 1,500 of them, measured."""
CLIENTS_A_SLICE = 500
"""Connections that CLIENT LIST describes in one turn of the loop: a few milliseconds."""

_HELP = (
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CACHING (YES|NO)",
    "    Refused: nothing is tracked.",
    "GETNAME",
    "    The name of this connection.",
    "GETREDIR",
    "    The connection that is told of invalidations: always -1, for nothing is tracked.",
    "ID",
    "    The number of this connection.",
    "INFO",
    "    The line of CLIENT LIST for this connection.",
    "KILL <ip:port>",
    "    Close the connection from this address.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close connections that fit all options:",
    "    * ID <client-id>",
    "    * ADDR <ip:port>",
    "    * LADDR <ip:port>",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "    * USER <username>",
    "    * SKIPME (YES|NO)",
    "      Whether to spare this connection (default: yes).",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [...]]",
    "    The open connections, one a line.",
    "NO-EVICT (ON|OFF)",
    "    Exempt this connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Let the reads of this connection leave idle times alone.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Hold all requests, or writes only, for some milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Whether this connection is sent replies.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Record the client library.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Only OFF is supported.",
    "TRACKINGINFO",
    "    That nothing is tracked.",
    "UNBLOCK <client-id> [TIMEOUT|ERROR]",
    "    End the waiting of another connection.",
    "UNPAUSE",
    "    End a pause of writes.",
    "HELP",
    "    This text.",
)
_BAD_INFO = b"-ERR %b cannot contain spaces, newlines or special characters.\r\n"


def _id(session: Session, args: list[bytes]) -> bytes:
    return resp.integer(session.id)


def _setname(session: Session, args: list[bytes]) -> bytes:
    refusal = name_error(args[2])
    if refusal is not None:
        return refusal
    session.name = args[2]
    return resp.OK


def _getname(session: Session, args: list[bytes]) -> bytes:
    return resp.bulk_or_null(session.name or None, session.resp == 3)


def _setinfo(session: Session, args: list[bytes]) -> bytes:
    option = args[2].lower()
    if option not in (b"lib-name", b"lib-ver"):
        return resp.error(b"ERR Unrecognized option '%b'" % args[2])
    if name_error(args[3]) is not None:
        return _BAD_INFO % option
    if option == b"lib-name":
        session.lib_name = args[3]
    else:
        session.lib_ver = args[3]
    return resp.OK


def _switch(word: bytes) -> bool | None:
    """ON and OFF; None for anything else."""
    return {b"on": True, b"off": False}.get(word.lower())


def _no_evict(session: Session, args: list[bytes]) -> bytes:
    value = _switch(args[2])
    if value is None:
        return resp.ERR_SYNTAX
    session.no_evict = value
    return resp.OK


def _no_touch(session: Session, args: list[bytes]) -> bytes:
    value = _switch(args[2])
    if value is None:
        return resp.ERR_SYNTAX
    session.no_touch = value
    return resp.OK


def untouched(session: Session, command: "Executable", args: list[bytes]) -> Any:
    """What a client that said NO-TOUCH reads, so that its key's idle time stays as it was; TOUCH alone changes that."""
    keyspace = session.node.keyspace
    keys = command.info.keys(args) if command.reads_only and command.label != "touch" else []
    used_ms = [(slot, keyspace.used_ms[slot]) for slot in map(slot_of, keys)]
    reply = command.data(keyspace, args, session.resp == 3)  # type: ignore[misc]
    for slot, when in used_ms:
        keyspace.used_ms[slot] = when
    return reply


def _reply(session: Session, args: list[bytes]) -> bytes:
    mode = args[2].lower()
    if mode == b"on":
        session.reply_mode = "on"
        return resp.OK
    if mode == b"off":
        session.reply_mode = "off"
        return b""
    if mode == b"skip":
        if session.reply_mode != "off":
            session.reply_mode = "skip-next"
        return b""
    return resp.ERR_SYNTAX


def _line(session: Session, args: list[bytes], client: Session) -> bytes:
    """One connection as a line of `name=value` words. Buffers of a fixed size, which this server has not, are 0."""
    now_ms = time.monotonic_ns() // 1_000_000
    age_s = max(0, (now_ms - client.created_ms) // 1000)
    idle_s = idle_ms(client, session.node.keyspace.now_ms) // 1000
    letters = {
        "x": client.multi is not None,
        "b": client.id in session.node.blocked or client.id in session.node.held_back,
        "d": client.dirty,
        "r": client.readonly,
        "e": client.no_evict,
        "T": client.no_touch,
    }
    flags = "".join([letter for letter, holds in letters.items() if holds])
    multi = -1 if client.multi is None else len(client.multi)
    asks = client is session
    asked_bytes = len(resp.array_of_bulks(args)) if asks else 0
    query_bytes = client.unexecuted_bytes() + asked_bytes
    argument_bytes = sum(map(len, args)) if asks else 0
    unsent_bytes = client.unsent_bytes()
    total_bytes = CONNECTION_BYTES + asked_bytes + argument_bytes + client.held_bytes()
    words = (
        f"id={client.id} addr={client.peer} laddr={client.laddr} fd={client.id} name={client.name.decode('ascii')} "
        f"age={age_s} idle={idle_s} flags={flags or 'N'} db={client.db} sub=0 psub=0 ssub=0 multi={multi} "
        f"qbuf={query_bytes} qbuf-free=0 argv-mem={argument_bytes} multi-mem={client.multi_bytes} "
        f"rbs=0 rbp=0 obl=0 oll={int(unsent_bytes > 0)} omem={unsent_bytes} tot-mem={total_bytes} "
        f"events={'rw' if unsent_bytes else 'r'} cmd={client.last_command.decode('ascii') or 'NULL'} user=default redir=-1 "
        f"resp={client.resp} lib-name={client.lib_name.decode('ascii')} lib-ver={client.lib_ver.decode('ascii')}\n"
    )
    return words.encode()


def _info(session: Session, args: list[bytes]) -> bytes:
    return resp.verbatim(_line(session, args, session), session.resp == 3)


def _list(session: Session, args: list[bytes]) -> bytes | Generator[None, None, bytes]:
    clients = [client for _, client in sorted(session.node.sessions.items())]
    if len(args) == 4 and args[2].lower() == b"type":
        is_normal = session_kill.TYPES.get(args[3].lower())
        if is_normal is None:
            return session_kill.unknown_type(args[3])
        if not is_normal:
            clients = []
    elif len(args) > 3 and args[2].lower() == b"id":
        wanted = {parse_int64(word) for word in args[3:]}
        if None in wanted:
            return resp.error("ERR Invalid client ID")
        clients = [client for client in clients if client.id in wanted]
    elif len(args) != 2:
        return resp.ERR_SYNTAX
    if len(clients) > CLIENTS_A_SLICE:
        return _lines_in_slices(session, args, clients)
    return resp.verbatim(b"".join([_line(session, args, client) for client in clients]), session.resp == 3)


def _lines_in_slices(session: Session, args: list[bytes], clients: list[Session]) -> Generator[None, None, bytes]:
    """The lines of many clients, some in each turn of the loop."""
    lines: list[bytes] = []
    for client in clients:
        lines.append(_line(session, args, client))
        if len(lines) % CLIENTS_A_SLICE == 0:
            yield None
    return resp.verbatim(b"".join(lines), session.resp == 3)


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS: dict[str, Callable[[Session, list[bytes]], bytes | Generator[None, None, bytes]]] = {
    "client|id": _id,
    "client|setname": _setname,
    "client|getname": _getname,
    "client|setinfo": _setinfo,
    "client|list": _list,
    "client|info": _info,
    "client|kill": session_kill.kill,
    "client|no-evict": _no_evict,
    "client|no-touch": _no_touch,
    "client|reply": _reply,
    "client|help": _help,
}
