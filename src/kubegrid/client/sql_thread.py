"""Threads for calls to data pods: gRPC hears neither Ctrl-C nor a cancelled task, so somebody else has to wait for it.

To start a thread takes three times as long as to wake one (0.2 and 0.05 ms), and a small statement is a few such hops. So one
that is done waits for a while for the next call.

None of them keeps the process from ending, but it ends with care: a thread that comes out of gRPC or DuckDB when the interpreter
is gone is ended by force in the middle of C++, which aborts the process ("exception not rethrown"). So those that wait end
first, and those that are about to be done are waited for.
"""

import atexit
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
THREAD = "kubegrid-sql"
"""The name of one that works."""
IDLE = "kubegrid-idle"
IDLE_S = 10.0
"""How long one waits for the next call."""
IDLE_MAX = 16
"""That wait; another one that is done ends."""
END_S = 0.5
"""How long the end of the process waits for calls that are under way."""


def in_thread(call: Callable[[], T]) -> "Future[T]":
    """Run it in a thread that does not keep the process from ending, and that nobody has to wait for."""
    future: Future[T] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():  # from here on it cannot be cancelled, only be forgotten
            return
        try:
            future.set_result(Context().run(call))  # nothing of the call before is left in it
        except BaseException as error:
            future.set_exception(error)

    _idle.run(work)
    return future


class _Idle:
    """Invariant: a thread in `_waiting` is given exactly one piece of work, or None, or leaves it and ends."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: list[SimpleQueue[Callable[[], None] | None]] = []
        self._threads = 0
        self._none_left = threading.Condition(self._guard)
        self._idle_max = IDLE_MAX

    def run(self, work: Callable[[], None]) -> None:
        with self._guard:
            mine = self._waiting.pop() if self._waiting else None
            self._threads += mine is None
        if mine is None:
            mine = SimpleQueue()
            try:
                threading.Thread(target=self._loop, args=(mine,), name=IDLE, daemon=True).start()
            except BaseException:  # no more threads, or none any more
                self._one_less()
                raise
        mine.put(work)

    def end(self, patience_s: float) -> None:
        """Those that wait end, those that work end when they are done; wait for them for so long."""
        with self._guard:
            self._idle_max = 0
            waiting, self._waiting = self._waiting, []
            for mine in waiting:
                mine.put(None)
            self._none_left.wait_for(lambda: self._threads == 0, patience_s)

    def _loop(self, mine: "SimpleQueue[Callable[[], None] | None]") -> None:
        try:
            self._work(mine)
        finally:
            self._one_less()

    def _one_less(self) -> None:
        with self._guard:
            self._threads -= 1
            self._none_left.notify_all()

    def _work(self, mine: "SimpleQueue[Callable[[], None] | None]") -> None:
        thread = threading.current_thread()
        work = mine.get()
        while work is not None:
            thread.name = THREAD
            work()
            work = None  # what it refers to must not wait with it
            thread.name = IDLE
            with self._guard:
                if len(self._waiting) >= self._idle_max:
                    return
                self._waiting.append(mine)
            work = self._next(mine)

    def _next(self, mine: "SimpleQueue[Any]") -> Callable[[], None] | None:
        try:
            work: Callable[[], None] | None = mine.get(timeout=IDLE_S)
        except Empty:
            with self._guard:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                    return None
            work = mine.get()  # it was given in the same moment
        return work


_idle = _Idle()


def _in_child() -> None:
    """A fork has none of its parent's threads."""
    global _idle
    _idle = _Idle()


os.register_at_fork(after_in_child=_in_child)
atexit.register(lambda: _idle.end(END_S))
