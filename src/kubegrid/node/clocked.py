"""What is done with the time that a command took: INFO commandstats, SLOWLOG and LATENCY.

`dispatch` and `transactions` read the clock. Of a long command its slices are counted, not what lies between them. INFO
multiplies, so it is told one call in sixteen, whichever others were measured. Next on the path of the data: `slow_log`.
"""

from collections.abc import Generator
from time import perf_counter
from typing import Any

from kubegrid.node.context import Session
from kubegrid.node.executable import Executable


def taken(session: Session, command: Executable, args: list[bytes], reply: Any, took_s: float) -> Any:
    """The reply, which took so long; where it is slices, others that measure themselves."""
    sampled = is_sampled(session, command)
    if type(reply) is not bytes and isinstance(reply, Generator):
        return _measured(session, command, args, reply, took_s, sampled)
    took(session, command, args, took_s, sampled)
    return reply


def is_sampled(session: Session, command: Executable) -> bool:
    """Whether the call that was just counted is one of those that INFO multiplies."""
    node = session.node
    return not (node.operations[command.label] - 1) & node.clock_mask


def _measured(
    session: Session,
    command: Executable,
    args: list[bytes],
    slices: Generator[int | None, None, Any],
    took_s: float,
    sampled: bool,
) -> Generator[int | None, None, Any]:
    try:
        while True:
            started = perf_counter()
            try:
                pause_ms = next(slices)
            except StopIteration as done:
                took(session, command, args, took_s + perf_counter() - started, sampled)
                return done.value
            took_s += perf_counter() - started
            yield pause_ms
    finally:
        slices.close()


def took(session: Session, command: Executable, args: list[bytes], took_s: float, sampled: bool) -> None:
    """A command was executed in this time."""
    node = session.node
    if sampled:
        node.sample(command.label, took_s)
    slow_log = node.slow_log
    if took_s >= slow_log.least_s and command.logged:
        slow_log.note(node.keyspace.now_ms // 1000, took_s, args, session.peer, session.name, command.fast)
