"""One client that waits for a record, and its search for one that is there already. Next: `session_takers`."""

from collections.abc import Callable, Generator
from typing import Any

from kubegrid.base.table_errors import TableError
from kubegrid.node.context import NodeContext, Session
from kubegrid.node.session_wait import has_left
from kubegrid.store import commands_find, record_changes
from kubegrid.wire import resp

Answered = Callable[[bytes], bytes]
Number = tuple[bytes, int] | None
"""Client and number of a request that is sent with KG.ONCE."""


class Waiter:
    """One client that waits for a record of one table."""

    __slots__ = ("answered", "missed", "number", "predicate", "request", "scanning", "session", "table", "timer")

    def __init__(
        self, session: Any, request: list[bytes], table: int, predicate: Any, answered: Answered, number: Number
    ) -> None:
        self.session = session
        self.request = request
        self.table = table
        self.predicate = predicate
        self.answered = answered
        self.number = number
        """Of KG.ONCE: who sends the same one again waits in its own place, and the older connection is given up."""
        self.scanning = False
        """What was there before is still being searched, in slices."""
        self.missed = False
        """A record was written meanwhile, perhaps behind the place that the search had reached."""
        self.timer: Any = None


def while_there(session: Session, steps: Any) -> Generator[int | None, None, bytes | None]:
    """A search for a client, given up when it leaves: it may ask again elsewhere, and two would take two records: then None."""
    while True:
        if has_left(session):
            steps.close()
            session.close()
            return None
        try:
            pause_ms = next(steps)
        except StopIteration as done:
            reply: bytes = done.value
            return reply
        yield pause_ms


def unchanged(reply: bytes) -> bytes:
    return reply


def is_null(reply: bytes) -> bool:
    return reply in (resp.NULL_BULK, resp.NULL3, resp.NULL_ARRAY)


def table_and_predicate(node: NodeContext, request: list[bytes]) -> tuple[int, Any] | bytes:
    """The number of the table and what is asked of its records, or the error reply."""
    try:
        table = record_changes.table_named(node.keyspace, request[1])
    except TableError as error:
        return record_changes.refusal(error)
    predicate = commands_find.compile_predicate(node.keyspace, table, request[2])
    return predicate if isinstance(predicate, bytes) else (table.id, predicate)
