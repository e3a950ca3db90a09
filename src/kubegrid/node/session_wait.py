"""WAIT: how many copies there are of what a client wrote.

Every reply waits for all in-sync members anyway (the commit point), so the answer is the number of in-sync
backups, taken after everything that was executed so far is confirmed: a backup that is removed meanwhile does not count.
"""

import select
import time
from collections.abc import Generator
from typing import Any

from kubegrid.node.context import Session
from kubegrid.node.session_views import ReplicaView
from kubegrid.replication import Role
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

WAIT_STEP_MS = 5
"""How often a waiting client's count of copies is looked at again."""
_WAIT_ON_BACKUP = (
    b"-ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured "
    b"to be writable (which is not the default) writes to replicas are just local and are not propagated.\r\n"
)
UNBLOCKED_BY_CLIENT = b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
UNBLOCKED_BY_ROLE = b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n"


def is_closing(session: Any) -> bool:
    """Whether the connection is closed, or was told to close and has still something to send."""
    return bool(session.closed or session.waiting == "close")


def has_left(session: Any) -> bool:
    """Whether the peer has closed its end of the connection."""
    if is_closing(session):
        return True
    transport = session.transport
    if transport is None:
        return False
    asked = select.poll()
    asked.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    return bool(asked.poll(0))


def _wait(session: Session, args: list[bytes]) -> bytes | Generator[int | None, None, bytes]:
    """A client that asks for more copies than there are waits for its timeout, or until a joining member is in sync."""
    wanted = parse_int64(args[1])
    if wanted is None:
        return resp.ERR_NOT_INTEGER
    timeout_ms = parse_int64(args[2])
    if timeout_ms is None:
        return resp.error("ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        return resp.error("ERR timeout is negative")
    if session.node.replica.role is not Role.PRIMARY:
        return _WAIT_ON_BACKUP
    return _waiting(session, wanted, timeout_ms)


def wait_in_transaction(session: Session, args: list[bytes]) -> bytes:
    """WAIT inside of EXEC cannot wait: the copies as they are now."""
    answer = _wait(session, args)
    return answer if isinstance(answer, bytes) else resp.integer(_backups(session))


def _backups(session: Session) -> int:
    configuration = session.node.replica.configuration
    return 0 if configuration is None else max(0, len(configuration.in_sync) - 1)


def _waiting(session: Session, wanted: int, timeout_ms: int) -> Generator[int | None, None, bytes]:
    replica = session.node.replica
    ended: list[bool] = []
    """Filled by CLIENT UNBLOCK: whether with an error."""
    session.node.blocked[session.id] = ended.append
    try:
        return (yield from _steps(session, replica, wanted, timeout_ms, ended))
    finally:
        session.node.blocked.pop(session.id, None)


def _steps(
    session: Session, replica: ReplicaView, wanted: int, timeout_ms: int, ended: list[bool]
) -> Generator[int | None, None, bytes]:
    until = time.monotonic() + timeout_ms / 1000
    yield None  # what was executed in this turn becomes an entry first
    position = replica.last_seq
    while True:
        if replica.role is not Role.PRIMARY:
            return UNBLOCKED_BY_ROLE
        confirmed = replica.commit.seq >= position
        if confirmed and _backups(session) >= wanted:
            return resp.integer(_backups(session))
        if ended and ended[0]:
            return UNBLOCKED_BY_CLIENT
        if ended or (timeout_ms and time.monotonic() >= until):
            return resp.integer(_backups(session) if confirmed else 0)
        yield WAIT_STEP_MS


HANDLERS = {"wait": _wait}
