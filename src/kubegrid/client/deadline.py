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

from kubegrid.base.errors import UsageError
from kubegrid.client import clock
from kubegrid.client.options import RETRY_PERIOD_MAX_S

CURRENT: ContextVar[float | None] = ContextVar("kubegrid_deadline", default=None)
"""By `clock.now`; None: each operation has the client's `timeout`."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Operations inside must be done within `seconds` from now, all together."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= RETRY_PERIOD_MAX_S:
        raise UsageError(f"a deadline is a number of seconds above 0, at most {RETRY_PERIOD_MAX_S:g}, not {seconds!r}")
    until = clock.now() + seconds
    outer = CURRENT.get()
    token = CURRENT.set(until if outer is None else min(outer, until))
    try:
        yield
    finally:
        CURRENT.reset(token)
