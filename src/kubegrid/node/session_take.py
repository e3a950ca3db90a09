"""KG.TAKE, with and without BLOCK. Those who wait are in `session_takers`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubegrid.node.context import NodeContext, Session
from kubegrid.node.session_waiter import Answered, Number
from kubegrid.store import commands_take
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

_BAD_TIME = b"-ERR timeout is not an integer or out of range\r\n"
_NEGATIVE_TIME = b"-ERR timeout is negative\r\n"


@contextmanager
def answered_through(node: NodeContext, answered: Answered, number: Number) -> Iterator[None]:
    """What is taken for a command that is dispatched inside, at once or later, is answered through `answered`."""
    takers = node.takers
    if takers is None:
        yield
        return
    before = takers.answered, takers.number
    takers.answered, takers.number = answered, number
    try:
        yield
    finally:
        takers.answered, takers.number = before


def take_at_once(session: Session, args: list[bytes]) -> Any:
    """In a transaction nobody waits."""
    wait_ms = _wait_ms(args)
    if isinstance(wait_ms, bytes):
        return wait_ms
    return commands_take.take(session.node.keyspace, args[:3], session.resp == 3)


def _wait_ms(args: list[bytes]) -> int | bytes | None:
    """The time after BLOCK; None without it, the error when it is wrong."""
    if len(args) == 3:
        return None
    if len(args) != 5 or args[3].upper() != b"BLOCK":
        return resp.ERR_SYNTAX
    number = parse_int64(args[4])
    if number is None:
        return _BAD_TIME
    return _NEGATIVE_TIME if number < 0 else number


def _take(session: Session, args: list[bytes]) -> Any:
    wait_ms = _wait_ms(args)
    if isinstance(wait_ms, bytes):
        return wait_ms
    takers = session.node.takers
    if takers is not None and takers.waiters:
        takers.offer()  # what was written before this command belongs to those who waited for it
    if wait_ms is None or takers is None:
        reply = commands_take.take(session.node.keyspace, args[:3], session.resp == 3)
        return reply if isinstance(reply, bytes) or takers is None else takers.in_slices(session, reply)
    return takers.take(session, args[:3], wait_ms)


HANDLERS = {"kg.take": _take}
