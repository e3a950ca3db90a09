"""Interrupts DuckDB when the statement that it works for is over.

DuckDB asks nobody while it computes; somebody has to tell it. One thread looks at all of a pod's running statements
every `PERIOD_S`, and sleeps when there are none. It says *interrupt* again and again until the statement is gone from
its list, because one that comes between two steps of a statement is lost.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

from kubegrid.query.running import Running

PERIOD_S = 0.02


class Watch:
    """Invariant: the interrupt of an entry is called under the lock, so never after its `over` block has been left."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: dict[int, tuple[Running, Callable[[], None]]] = {}
        self._next = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, running: Running, interrupt: Callable[[], None]) -> Callable[[], None]:
        """From now on `interrupt` is called when the statement is over; until what this returns is called."""
        with self._changed:
            number = self._next
            self._next += 1
            self._entries[number] = (running, interrupt)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._look, name="sql-watch", daemon=True)
                self._thread.start()
            elif len(self._entries) == 1:
                self._changed.notify()

        def end() -> None:
            with self._changed:
                self._entries.pop(number, None)

        return end

    @contextlib.contextmanager
    def over(self, running: Running, interrupt: Callable[[], None]) -> Iterator[None]:
        end = self.begin(running, interrupt)
        try:
            yield
        finally:
            end()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _look(self) -> None:
        with self._changed:
            while not self._closed:
                for running, interrupt in self._entries.values():
                    if running.over():
                        with contextlib.suppress(
                            Exception
                        ):  # the others' time must be kept, whatever is wrong with one
                            interrupt()
                self._changed.wait(PERIOD_S if self._entries else None)
