"""A thread looks for its reply for a moment before it sleeps until the reply comes (`base.spinning` says when).

One thread of a client looks, and only while no other of its threads waits for a reply. The reply to a write is awaited by
the primary as well, which waits for its backup, and they look, too (`node.looking`): with fewer processors than these are,
who looks has the place of who is to answer.

**Hot path**. Next on the path of the data: `kubegrid.node.connection`, on the other side.
"""

from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Any

from kubegrid.base.spinning import Looks, bounded, give_way, processors

RECEIVE_BYTES = 65536
FOR_WRITES_MIN = 3
"""Processors with which the reply to a write is looked for: the client, the primary and the backup have one each."""


class Spinning:
    """Of one client, for all its connections. Any thread may call it."""

    __slots__ = ("_looks", "_under_way", "for_writes", "seconds")

    def __init__(self, seconds: float) -> None:
        """`seconds`: for so long a thread looks at most; 0: never."""
        self.seconds = bounded(seconds)
        self.for_writes = processors() >= FOR_WRITES_MIN
        self._under_way: list[None] = []
        """One for each call that waits for its reply. A list, because its `append` and `pop` are atomic."""
        self._looks = Looks()

    def receive(self, receive: Callable[[int], bytes], ready: Callable[[int], list[Any]]) -> bytes:
        """What a socket's `receive` brings; `ready` is the `poll` of a poll object that knows the socket."""
        under_way = self._under_way
        under_way.append(None)
        try:
            if len(under_way) == 1 and self._looks.due():
                self._look(ready)
            return receive(RECEIVE_BYTES)
        finally:
            under_way.pop()

    def _look(self, ready: Callable[[int], list[Any]]) -> None:
        """Until there is something to receive, another thread waits, too, or the time is over."""
        now = perf_counter()
        self._looks.begin(now, thread_time())
        until = now + self.seconds
        under_way = self._under_way
        while not ready(0):
            if len(under_way) > 1:
                return
            now = perf_counter()
            if now > until:
                self._looks.in_vain(now)
                return
            give_way()
        self._looks.came(perf_counter(), thread_time())
