"""Statements that run in DuckDB now, and the one thread that interrupts those whose time is over or that nobody wants.

DuckDB works in the thread that asked; whoever waits there for it cannot look at a clock. So one thread for all of a
member's statements does, every few milliseconds, as long as there are any.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from kubegrid.columns.errors import as_sql_error, is_interruption
from kubegrid.sql.errors import Cancelled, SqlError, TimedOut, Unavailable

LOOK_S = 0.02
"""How often the thread looks: by so much a statement may outlive its end."""


class Running:
    """One statement. `check` raises when it has to end; `explained` says why it was interrupted."""

    def __init__(self, watch: "Watch", timeout_ms: int, cancelled: Callable[[], bool]) -> None:
        self._watch = watch
        self._timeout_ms = timeout_ms
        self._deadline = time.monotonic() + timeout_ms / 1000
        self._cancelled = cancelled
        self._cursor: Any = None
        self._guard = (
            threading.RLock()
        )  # a statement may end when the collector finds its rows, in the middle of anything
        self._ended = False
        self._at_end: list[Callable[[], None]] = []
        self.refusal: SqlError | None = None

    @property
    def left_ms(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def check(self) -> None:
        """Raise TimedOut, Cancelled or Unavailable if the statement may not go on."""
        if self.refusal is None:
            if time.monotonic() > self._deadline:  # first: when the time is over, the pod that asks cancels it as well
                self.refusal = TimedOut(
                    f"the statement did not end within {self._timeout_ms} ms",
                    remedy="Ask for less, or give it a longer time.",
                )
            elif self._cancelled():
                self.refusal = Cancelled("the statement was cancelled")
        if self.refusal is not None:
            raise self.refusal

    def look(self) -> bool:
        """Interrupt it if it may not go on; whether it is over. Raises nothing: one thread looks for all statements."""
        try:
            self.check()
        except SqlError:
            pass
        except Exception as error:  # `cancelled` is somebody else's
            self.refusal = Cancelled(f"the statement was cancelled: {error!r}")
        if self.refusal is not None:
            self._interrupt()
            self._release()  # whoever has to read the rest may have gone to sleep
        return self.refusal is not None

    def stop(self, why: str) -> None:
        """End it from outside."""
        self.refusal = self.refusal or Unavailable(why)
        self._interrupt()

    def _interrupt(self) -> None:
        with self._guard:
            if self._cursor is not None and not self._ended:
                self._cursor.interrupt()

    def use(self, cursor: Any) -> None:
        """This is the connection that the statement runs on; it is closed with it."""
        with self._guard:
            self._cursor = cursor

    def at_end(self, function: Callable[[], None]) -> None:
        """Do this, once, when it is over or has to be."""
        self._at_end.append(function)

    def _release(self) -> None:
        with self._guard:
            functions, self._at_end = self._at_end, []
        for function in functions:
            function()

    def end(self) -> None:
        """It is over, for whatever reason. May be called twice."""
        with self._guard:
            if self._ended:
                return
            self._ended = True
            cursor, self._cursor = self._cursor, None
        self._watch.forget(self)
        self._release()
        if cursor is not None:
            with contextlib.suppress(Exception):  # a transaction that only read has nothing to lose
                cursor.close()

    def explained(self, error: BaseException) -> SqlError:
        """What to raise for an error that came while it ran."""
        if self.refusal is not None and is_interruption(error):
            return self.refusal
        return as_sql_error(error)


class Watch:
    """All statements of one member. The thread starts with the first of them."""

    def __init__(self) -> None:
        self._running: set[Running] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, timeout_ms: int, cancelled: Callable[[], bool]) -> Running:
        """Whoever begins one ends it. Raises Unavailable after `close`."""
        running = Running(self, timeout_ms, cancelled)
        with self._changed:
            if self._closed:
                raise Unavailable("this member is stopping")
            self._running.add(running)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kubegrid-sql-watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        return running

    def forget(self, running: Running) -> None:
        with self._changed:
            self._running.discard(running)

    def __len__(self) -> int:
        return len(self._running)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._running and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                running = list(self._running)
            for each in running:
                each.look()
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Interrupt whatever runs. May be called twice."""
        with self._changed:
            self._closed = True
            running = list(self._running)
            self._changed.notify_all()
        for each in running:
            each.stop("this member is stopping")
