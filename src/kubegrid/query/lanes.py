"""The threads that ask the partitions: several for a statement, never more than a pod can bear.

Asking a partition is waiting, for the network and for DuckDB, so a statement asks many at once. Each statement has at
most `LANES_MAX` threads beside its own, and the pool holds that many for each statement that may run, so that one which
waits for a slow client keeps no other waiting.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from kubegrid.query.running import Running

LANES_MAX = 16

Task = Callable[[], None]


class Lanes:
    def __init__(self, statements_max: int) -> None:
        self._pool = ThreadPoolExecutor(statements_max * LANES_MAX, thread_name_prefix="sql-lane")

    def run(self, tasks: Sequence[Task], part: Running) -> None:
        """Run all, some of them in this thread. The first failure stops `part`, and is raised when none runs any more."""
        work = _Work(tasks, part)
        others = [self._pool.submit(work.lane) for _ in range(min(len(tasks) - 1, LANES_MAX))]
        work.lane()
        for other in others:
            other.result()
        if work.failure is not None:
            raise work.failure

    def start(self, tasks: Sequence[Task], part: Running, done: Callable[[BaseException | None], None]) -> None:
        """Run all in other threads; `done` is called by the last of them, with the first failure if there was one."""
        work = _Work(tasks, part)
        left = min(len(tasks), LANES_MAX)
        lock = threading.Lock()

        def ended(_: "Future[None]") -> None:
            nonlocal left
            with lock:
                left -= 1
                last = not left
            if last:
                done(work.failure)

        for _ in range(left):
            self._pool.submit(work.lane).add_done_callback(ended)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Work:
    def __init__(self, tasks: Sequence[Task], part: Running) -> None:
        self._tasks = deque(tasks)
        self._part = part
        self._lock = threading.Lock()
        self.failure: BaseException | None = None

    def lane(self) -> None:
        while not self._part.over():
            try:
                task = self._tasks.popleft()
            except IndexError:
                return
            try:
                task()
            except BaseException as error:
                self._fail(error)
                return
        try:
            self._part.check()  # who stopped because the time is over says so
        except BaseException as error:
            if self._tasks:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self.failure is None:
                self.failure = error
        self._part.stop()
