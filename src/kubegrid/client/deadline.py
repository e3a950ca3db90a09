"""A deadline for everything inside a block, instead of the client's `timeout` for each operation.

    with kubegrid.deadline(0.5):
        trade = trades.read(("FX", 42))
        grid.incr("reads")

Kept in a context variable: it holds for the thread or the asyncio task that set it, and what they call. The nearer one of
two that are nested counts.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from kubegrid.client import arguments, clock
from kubegrid.client.options import RETRY_PERIOD_MAX_S

CURRENT: ContextVar[float | None] = ContextVar("kubegrid_deadline", default=None)
"""By `clock.now`; None: each operation has the client's `timeout`."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Operations inside must be done within `seconds` from now, all together."""
    until = clock.now() + arguments.seconds(seconds, "a deadline", RETRY_PERIOD_MAX_S)
    outer = CURRENT.get()
    token = CURRENT.set(until if outer is None else min(outer, until))
    try:
        yield
    finally:
        CURRENT.reset(token)
