"""Callers beside an async client's own, with connections of their own, for requests that may wait at the member.

Members remember the identity of a caller for minutes, and not many of them. So one that is done is used again, and one that was
given up leaves its identity to the next.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from kubegrid.client.routes import Routes

if TYPE_CHECKING:
    from kubegrid.client.async_caller import AsyncCaller


class CallersApart:
    """Those of one caller: at most as many at a time as it may have connections to a member."""

    def __init__(self, of: "AsyncCaller", make: "Callable[[Routes], AsyncCaller]") -> None:
        self._of = of
        self._make = make
        self._idle: list[AsyncCaller] = []
        self._at_work: set[AsyncCaller] = set()
        self._identities: list[Routes] = []
        """Of those that were given up. At most as many as there may be callers."""
        self._room = asyncio.Semaphore(of.options.connections)

    @contextlib.asynccontextmanager
    async def one(self) -> "AsyncIterator[AsyncCaller]":
        """One that nobody else has; closed when it is given up before its end."""
        async with self._room:
            begun = bool(self._idle)
            caller = self._idle.pop() if begun else self._another()
            self._at_work.add(caller)
            try:
                if not begun:
                    await caller.begin()
                yield caller
            except BaseException:
                self._identities.append(caller.routes)
                await caller.close()
                raise
            finally:
                self._at_work.discard(caller)
            if self._of.closed:
                await caller.close()
            else:
                self._idle.append(caller)

    def _another(self) -> "AsyncCaller":
        routes = self._identities.pop() if self._identities else Routes([])
        routes.seeds = self._of.routes.addresses()
        return self._make(routes)

    async def close(self) -> None:
        """Those at work, too: what waits in them ends."""
        for caller in (*self._idle, *self._at_work):
            await caller.close()
        self._idle.clear()
