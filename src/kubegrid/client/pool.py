"""The sync client's connections to one member: as many as threads need at the same time, up to a limit.

**Hot path**: a thread takes a connection by `pool.free.pop()` and gives it back by `pool.free.append`: both are atomic, so
there is no lock while there are connections enough. `acquire` is the way for everything else.

Invariant: every open connection is either in `free` or in the hands of one thread; `_open` counts both.
"""

import threading

from kubegrid.client import clock
from kubegrid.client.connection import Connection, LostError
from kubegrid.client.options import ClientOptions
from kubegrid.client.spinning import Spinning

LOOK_AGAIN_S = 0.05
"""A waiting thread looks again after this, because `free.append` tells only those that it sees waiting."""


class Pool:
    """The connections to one address."""

    __slots__ = ("_condition", "_open", "_options", "_spinning", "address", "free", "readonly", "waiting")

    def __init__(self, address: str, options: ClientOptions, spinning: Spinning, readonly: bool = False) -> None:
        self.address = address
        self.readonly = readonly
        self.free: list[Connection] = []
        self.waiting = 0
        self._options = options
        self._spinning = spinning
        self._open = 0
        self._condition = threading.Condition()

    def acquire(self, deadline: float) -> Connection:
        """A free connection, a new one, or one that another thread gives back before `deadline`. LostError otherwise."""
        with self._condition:
            while True:
                try:
                    return self.free.pop()
                except IndexError:
                    pass
                if self._open < self._options.connections:
                    self._open += 1
                    break
                left = deadline - clock.now()
                if left <= 0:
                    raise LostError(f"all {self._open} connections were in use", sent=False)
                self.waiting += 1
                try:
                    self._condition.wait(min(left, LOOK_AGAIN_S))
                finally:
                    self.waiting -= 1
        options = self._options
        try:
            timeout = max(0.001, min(options.connect_timeout, deadline - clock.now()))
            return Connection(self.address, options.password, self.readonly, timeout, options.patience, self._spinning)
        except BaseException:
            self._gone()
            raise

    def release(self, connection: Connection) -> None:
        """Give back a connection that owes nothing."""
        self.free.append(connection)
        if self.waiting:
            self.wake()

    def discard(self, connection: Connection) -> None:
        """Close a connection for good, and the idle ones with it: what ended one has most likely ended all."""
        connection.close()
        self._gone()
        while True:
            try:
                self.free.pop().close()
            except IndexError:
                return
            self._gone()

    def wake(self) -> None:
        with self._condition:
            self._condition.notify()

    def close(self) -> None:
        """Close the idle ones. Those in use are closed by their threads, whose pool this then is no more."""
        while self.free:
            self.free.pop().close()

    def _gone(self) -> None:
        with self._condition:
            self._open -= 1
            self._condition.notify()
