"""How many statements a pod runs at once, and how many more may wait for a place, in the order they came."""

import threading
from collections import deque

from kubegrid.query.running import Running
from kubegrid.sql.errors import TooMuch

LOOK_S = 0.05
"""How often one that waits looks whether its client is still there."""


class Places:
    """Invariant: 0 <= taken <= running_max, and nobody waits while a place is free."""

    def __init__(self, running_max: int, waiting_max: int) -> None:
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._lock = threading.Lock()
        self._taken = 0
        self._waiting: deque[threading.Event] = deque()
        self._empty = threading.Event()

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enter(self, running: Running) -> None:
        """Returns with a place, which is to be given back by `leave`. Raises TooMuch, TimedOut, Cancelled."""
        with self._lock:
            if self._taken < self._running_max:
                self._taken += 1
                return
            if len(self._waiting) >= self._waiting_max:
                raise TooMuch(
                    f"{self._taken} statements are running here and {self._waiting_max} are waiting, which is the most",
                    remedy="Ask again later, or ask another pod of the grid.",
                )
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            while not turn.wait(LOOK_S):
                running.check()
        except BaseException:
            self._give_up(turn)
            raise

    def wait_empty(self, seconds: float) -> bool:
        """Whether nobody has a place any more, now or before so long."""
        with self._lock:
            if not self._taken:
                return True
            empty = self._empty = threading.Event()
        return empty.wait(seconds)

    def leave(self) -> None:
        with self._lock:
            self._pass_on()
        assert self._taken >= 0

    def _give_up(self, turn: threading.Event) -> None:
        with self._lock:
            if turn.is_set():  # the place came in the same moment
                self._pass_on()
            else:
                self._waiting.remove(turn)

    def _pass_on(self) -> None:
        """The place goes to who has waited longest; else it is free."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._taken -= 1
            if not self._taken:
                self._empty.set()
