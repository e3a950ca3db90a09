"""Ends calls to other members whose answers nobody wants any more.

A call waits in gRPC, where nothing of ours can look whether it should go on. One thread looks at all that run.
"""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("kubegrid.flight")

LOOK_S = 0.02
"""How often."""


class Lookout:
    """Its thread runs from the first call on, and sleeps while there is none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: dict[int, tuple[Callable[[], bool], Callable[[], None]]] = {}
        self._next = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, over: Callable[[], bool], end: Callable[[], None]) -> Callable[[], None]:
        """From now on `end` is called, again and again, while `over` is true; until what this returns is called."""
        with self._changed:
            self._next += 1
            number = self._next
            self._watched[number] = (over, end)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="kubegrid-lookout", daemon=True)
                self._thread.start()
            self._changed.notify()

        def forget() -> None:
            with self._changed:
                self._watched.pop(number, None)

        return forget

    def close(self) -> None:
        """End all calls, and the thread when none is left."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _look(self) -> None:
        while True:
            with self._changed:
                while not self._watched and not self._closed:
                    self._changed.wait()
                if not self._watched:
                    return
                watched = list(self._watched.values())
                closed = self._closed
            for over, end in watched:
                try:
                    if closed or over():
                        end()
                except Exception:  # one call's trouble must not leave the others unwatched
                    log.exception("a call could not be ended")
            time.sleep(LOOK_S)
