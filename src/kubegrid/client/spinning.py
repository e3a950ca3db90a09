"""Adaptive spinning: a thread looks for its reply for a moment before it sleeps until the reply comes.

To wake a processor that has nothing to do costs tens of microseconds, several times in one round trip: a read of 100 µs takes
200. Who looks instead takes a processor from others, so nobody does where it could be of no use. One thread of a client
looks, and only while no other of its threads waits for a reply. When a reply did not come in time, the next call sleeps at
once, then the next two, four, and so on; a reply that does come in time ends that. Where the process may use less than
two processors, nobody looks at all.

**Hot path**. Next on the path of the data: `kubegrid.node.connection`, on the other side.
"""

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

RECEIVE_BYTES = 65536
REST_MAX = 1024
"""Calls in a row that sleep at once, at most: then the next one tries again whether it is of use."""
PROCESSORS_MIN = 2
CPU_MAX = "/sys/fs/cgroup/cpu.max"
"""Of a container (cgroup v2): microseconds of processor time that it may use, and in how many."""


def processors() -> float:
    """How many this process may use at a time: those that it may run on, or the container's limit."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        with open(CPU_MAX) as file:
            quota, period = file.read().split()
        return min(allowed, int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return allowed


class Spinning:
    """Of one client, for all its connections. Any thread may call it."""

    __slots__ = ("_rest", "_rest_next", "_under_way", "seconds")

    def __init__(self, seconds: float) -> None:
        """`seconds`: for so long a thread looks at most; 0: never."""
        self.seconds = seconds if processors() >= PROCESSORS_MIN else 0.0
        self._under_way: list[None] = []
        """One for each call that waits for its reply. A list, because its `append` and `pop` are atomic."""
        self._rest = 0
        self._rest_next = 1

    def receive(self, receive: Callable[[int], bytes], ready: Callable[[int], list[Any]]) -> bytes:
        """What a socket's `receive` brings; `ready` is the `poll` of a poll object that knows the socket."""
        under_way = self._under_way
        under_way.append(None)
        try:
            if self._rest:
                self._rest -= 1
            elif len(under_way) == 1:
                self._look(ready)
            return receive(RECEIVE_BYTES)
        finally:
            under_way.pop()

    def _look(self, ready: Callable[[int], list[Any]]) -> None:
        """Until there is something to receive, another thread waits, too, or the time is over."""
        until = perf_counter() + self.seconds
        under_way = self._under_way
        while not ready(0):
            if len(under_way) > 1:
                return
            if perf_counter() > until:
                self._rest = self._rest_next
                self._rest_next = min(2 * self._rest_next, REST_MAX)
                return
        self._rest_next = 1
