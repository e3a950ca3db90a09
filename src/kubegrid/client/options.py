"""What can be set about a client: every time and limit, with its meaning, default and reason.

Times are in seconds, as everywhere in Python's own library. Next on the path of the data: `addresses`.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from kubegrid.base.errors import UsageError
from kubegrid.base.nearest import hint
from kubegrid.client import arguments

RETRY_PERIOD_MAX_S = 300.0
"""The longest time over which one write may be retried. Members forget a client's request ids when it was idle for 600 s;
a retry after that would be executed a second time."""

BUSY_WAIT_MAX_S = 0.01
STATEMENT_TIMEOUT_MAX_S = TIMES_MAX_S = 86_400.0
"""A day. What a pod allows is less; infinity is no number of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client behaves. Shared by the sync and the async one."""

    password: str | None = None
    """The grid's secret; None when it has none."""
    timeout: float = 10.0
    """Deadline of one operation with all its retries. A failover takes about a second: ten leave room for a busy machine."""
    connect_timeout: float = 1.0
    """For one connection to one member."""
    silence: float = 2.0
    """A member that leaves a short command unanswered for this long is taken for dead: the connection is closed, and the
    slot map is read from another member. Longer than any lease (0.5 s) and any hand-over (0.4 s)."""
    retry_first: float = 0.01
    """Wait before the first retry of what a member could not serve; each further one waits 1.6 times as long."""
    retry_max: float = 0.2
    """The longest wait between two retries: what a failover's end may be noticed late by."""
    connections: int = 32
    """Sync: connections to one member; a thread that needs one more waits for another's. Async: takes that wait at a time."""
    busy_wait: float = 0.001
    """Sync: for so long a thread looks for the reply to a short command before it sleeps until it comes, where that is of use
    (`spinning`): with two processors or more, while no other thread of the client waits, as long as replies come in that
    time. A read takes half as long then; it takes processor time that the thread would have slept. 0: never."""
    in_flight: int = 1000
    """Requests on their way to one member, not answered: the size of a pipeline's rounds, and the async client's window."""
    waiting: int = 100_000
    """Async: requests kept back because a window is full or a partition has no primary; beyond it they are refused."""
    statement_timeout: float = 60.0
    """Deadline of one statement of SQL with all its retries and the reading of its rows; the grid's own limit by default."""
    statements: int = 32
    """Statements of SQL that run at a time through this client; one more waits for another's end."""
    answer_bytes: int = 1 << 30
    """The largest answer of a statement that is kept whole in memory, as Arrow; `sql_stream` has no such limit."""
    request_ids: bool = True
    """Writes carry an id, so that the retry of one whose reply was lost is applied once. Without, such a write ends in
    `OutcomeUnknownError`."""

    @property
    def patience(self) -> float:
        """How long the first attempt waits for a member, in seconds: what is left of `timeout` may be less than `silence`."""
        return min(self.silence, self.timeout)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From keyword arguments; UsageError with the nearest name for one that there is not."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise UsageError(f"there is no option {name!r}{hint(name, known)}")
        return cls(**given)

    def __post_init__(self) -> None:
        if self.password is not None:
            arguments.text(self.password, "password")
        arguments.truth(self.request_ids, "request_ids")
        for name in ("timeout", "connect_timeout", "silence", "retry_first", "retry_max", "statement_timeout"):
            arguments.seconds(getattr(self, name), name, math.inf if name == "timeout" else TIMES_MAX_S)
        arguments.seconds(self.busy_wait, "busy_wait", BUSY_WAIT_MAX_S, least=0)
        if self.timeout > RETRY_PERIOD_MAX_S:
            raise UsageError(
                f"timeout must be at most {RETRY_PERIOD_MAX_S:g} s, not {self.timeout!r}: "
                "members forget the ids of requests some time later, and a retry could then be applied twice"
            )
        limits = {
            "connections": 10_000,
            "in_flight": 2000,
            "waiting": 10_000_000,
            "statements": 1000,
            "answer_bytes": 1 << 40,
        }
        for name, most in limits.items():
            arguments.whole(getattr(self, name), name, 1, most)
