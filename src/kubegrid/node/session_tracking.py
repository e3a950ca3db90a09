"""CLIENT TRACKING and what belongs to it, CLIENT UNBLOCK, CLIENT PAUSE; ROLE and ASKING.

A pause holds the requests of all clients, as a hand-over does (`turn`), or their writes only; no key expires meanwhile,
so that the data stay as they are. Nothing is tracked here: a client that asks to be told when cached keys change is
refused, with the same errors as in Redis for what is wrong with its request. What asks about that state is answered as by
a Redis that tracks nothing.
"""

from collections.abc import Callable, Generator
from typing import Any

from kubegrid.node.context import NodeContext, Session
from kubegrid.node.session_views import CurrentTurn
from kubegrid.replication import Role
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp
from kubegrid.wire.command_table import wrong_count

_NO_TRACKING = b"-ERR CLIENT TRACKING ON is not supported by this server\r\n"
_NOT_TRACKING = (
    b"-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n"
)
_NO_SUCH_REDIRECT = b"-ERR The client ID you want redirect to does not exist\r\n"
PAUSE_STEP_MS = 5
"""How often a write that was held back by CLIENT PAUSE … WRITE looks whether the pause is over."""
_NOBODY = b""
"""Watched by nobody while writes are paused: the hot path leaves writes to `dispatch` while anything is watched."""
_BAD_REASON = b"-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"


def _getredir(session: Session, args: list[bytes]) -> bytes:
    return resp.MINUS_ONE


def _trackinginfo(session: Session, args: list[bytes]) -> bytes:
    resp3 = session.resp == 3
    parts = [
        resp.bulk(b"flags"),
        resp.set_of([resp.bulk(b"off")], resp3),
        resp.bulk(b"redirect"),
        resp.MINUS_ONE,
        resp.bulk(b"prefixes"),
        resp.EMPTY_ARRAY,
    ]
    return resp.map_of(parts, resp3)


def _tracking(session: Session, args: list[bytes]) -> bytes:
    """Redis looks at all options before it looks at ON or OFF, so mistakes are told first."""
    options: set[bytes] = set()
    prefixes: list[bytes] = []
    index = 3
    while index < len(args):
        option = args[index].upper()
        if option == b"REDIRECT" and index + 1 < len(args):
            index += 1
            number = parse_int64(args[index])
            if number is None:
                return resp.ERR_NOT_INTEGER
            if b"REDIRECT" in options:
                return resp.error("ERR A client can only redirect to a single other client")
            if number not in session.node.sessions:
                return _NO_SUCH_REDIRECT
        elif option == b"PREFIX" and index + 1 < len(args):
            index += 1
            prefixes.append(args[index])
        elif option not in (b"BCAST", b"OPTIN", b"OPTOUT", b"NOLOOP"):
            return resp.ERR_SYNTAX
        options.add(option)
        index += 1
    word = args[2].upper()
    if word == b"OFF":
        return resp.OK
    if word != b"ON":
        return resp.ERR_SYNTAX
    if prefixes and b"BCAST" not in options:
        return resp.error("ERR PREFIX option requires BCAST mode to be enabled")
    if b"BCAST" in options and options & {b"OPTIN", b"OPTOUT"}:
        return resp.error("ERR OPTIN and OPTOUT are not compatible with BCAST")
    if {b"OPTIN", b"OPTOUT"} <= options:
        return resp.error("ERR You can't specify both OPTIN mode and OPTOUT mode")
    return _NO_TRACKING


def _caching(session: Session, args: list[bytes]) -> bytes:
    return _NOT_TRACKING


def _unblock(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 4:
        return wrong_count(args)
    as_error = False
    if len(args) == 4:
        reason = args[3].upper()
        if reason not in (b"TIMEOUT", b"ERROR"):
            return _BAD_REASON
        as_error = reason == b"ERROR"
    number = parse_int64(args[2])
    if number is None:
        return resp.ERR_NOT_INTEGER
    end = session.node.blocked.get(number)
    if end is None:
        return resp.ZERO
    end(as_error)
    return resp.ONE


def _pause(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 4:
        return wrong_count(args)
    if len(args) == 4 and args[3].upper() not in (b"WRITE", b"ALL"):
        return resp.error("ERR CLIENT PAUSE mode must be WRITE or ALL")
    timeout_ms = parse_int64(args[2])
    if timeout_ms is None:
        return resp.error("ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        return resp.error("ERR timeout is negative")
    if not timeout_ms:
        return resp.OK
    node = session.node
    turn = session.turn
    until_ms = node.keyspace.now_ms + timeout_ms
    if len(args) == 4 and args[3].upper() == b"WRITE":
        if until_ms > node.writes_paused_until_ms:
            node.writes_paused_until_ms = until_ms
            node.keyspace.watched.setdefault(_NOBODY, set())
            turn.loop.call_later(timeout_ms / 1000, _writes_go_on, node, turn, until_ms)
    elif until_ms > turn.paused_until_ms:
        turn.paused_until_ms = until_ms
        turn.loop.call_later(timeout_ms / 1000, _all_go_on, node, turn, until_ms)
    # Not in this turn: the transaction that asks for a pause may write in it.
    turn.loop.call_soon(_keep_expired, node, turn)
    return resp.OK


def _keep_expired(node: NodeContext, turn: CurrentTurn) -> None:
    """Whether keys whose time is over stay now. Between turns."""
    node.keyspace.keeps_expired = turn.paused_until_ms > 0 or node.writes_paused_until_ms > 0


def _all_go_on(node: NodeContext, turn: CurrentTurn, until_ms: int) -> None:
    """A pause is over, unless a longer one was asked for meanwhile."""
    if turn.paused_until_ms == until_ms:
        turn.paused_until_ms = 0
        _keep_expired(node, turn)
        turn.work(_nothing)


def _nothing() -> None:
    """What is done in the turn whose end wakes those who were held."""


def _writes_go_on(node: NodeContext, turn: CurrentTurn, until_ms: int) -> None:
    if node.writes_paused_until_ms == until_ms:
        node.writes_paused_until_ms = 0
        _keep_expired(node, turn)
        if not node.keyspace.watched.get(_NOBODY):
            node.keyspace.watched.pop(_NOBODY, None)


def held_back(session: Session, args: list[bytes], dispatch: Callable[[Session, list[bytes]], Any]) -> Any:
    """A write during CLIENT PAUSE … WRITE: executed when that is over."""
    node = session.node
    node.held_back.add(session.id)
    try:
        while node.writes_paused_until_ms:
            yield PAUSE_STEP_MS
    finally:
        node.held_back.discard(session.id)
    reply = dispatch(session, args)
    if not isinstance(reply, Generator):
        return reply
    return (yield from reply)


def _unpause(session: Session, args: list[bytes]) -> bytes:
    """Of writes; while everything is paused this command, too, is held, as in Redis 7.0."""
    _writes_go_on(session.node, session.turn, session.node.writes_paused_until_ms)
    return resp.OK


def _asking(session: Session, args: list[bytes]) -> bytes:
    return resp.OK


def _role(session: Session, args: list[bytes]) -> bytes:
    """As Redis shows it: a primary with its replicas, or a replica with its primary."""
    node = session.node
    topology = node.topology
    own = next((p for p in topology.partitions if p.id == getattr(topology.me, "partition", -1)), None)
    position = resp.integer(node.replica.commit.seq)
    if node.replica.role is Role.PRIMARY:
        backups = [] if own is None else own.backups
        lines = [resp.array_of_bulks([b.host.encode(), b"%d" % b.port, b"%d" % b.commit]) for b in backups]
        return resp.array([resp.bulk(b"master"), position, resp.array(lines)])
    primary = None if own is None else own.primary
    state = {Role.BACKUP: b"connected", Role.JOINING: b"sync"}.get(node.replica.role, b"connect")
    return resp.array(
        [
            resp.bulk(b"slave"),
            resp.bulk(b"" if primary is None else primary.host.encode()),
            resp.integer(0 if primary is None else primary.port),
            resp.bulk(state),
            position,
        ]
    )


HANDLERS = {
    "client|getredir": _getredir,
    "client|trackinginfo": _trackinginfo,
    "client|tracking": _tracking,
    "client|caching": _caching,
    "client|unblock": _unblock,
    "client|pause": _pause,
    "client|unpause": _unpause,
    "asking": _asking,
    "role": _role,
}
