"""Rows of the partitions that are the answer as they are: passed on while they come, without a DuckDB in between.

A partition that fails before any of its rows were passed on is asked again, so each part is held back until it is whole
or `HOLD_BYTES` large. After that its rows cannot be taken back: the statement fails, and the client is told that what
it has is no whole answer.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kubegrid.query.lanes import Lanes, Task
from kubegrid.query.running import Running
from kubegrid.sql.errors import Unavailable

HOLD_BYTES = 4 * 2**20
"""Of one part, and one batch more. Times `LANES_MAX`, and what waits: what one statement may hold in memory."""
COMING_BYTES_MAX = 16 * 2**20
"""Of batches that wait to be given out."""
LOOK_S = 0.05
"""How often one that waits looks whether the statement is over."""

Held = tuple[list[Any], Iterator[Any]]
"""The first batches of a part, and the others, for which it is too late to ask again."""


def hold(schema: Any, batches: Iterator[Any]) -> Held:
    held: list[Any] = []
    size = 0
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
            size += batch.nbytes
            if size >= HOLD_BYTES:
                return held, _for_good(batches)
    return held, iter(())


def passed(asks: Sequence[Callable[[Running], Held]], lanes: Lanes, running: Running) -> Iterator[Any]:
    """The batches of all parts, part by part or mixed. Returns when the first is there, or the end."""
    if not asks:
        return iter(())
    if len(asks) == 1:
        held, rest = asks[0](running)
        return _chained(held, rest)
    part = running.part()
    coming = _Coming(part)

    def task(ask: Callable[[Running], Held]) -> Task:
        def run() -> None:
            held, rest = ask(part)
            for batch in _chained(held, rest):
                coming.put(batch)

        return run

    lanes.start([task(ask) for ask in asks], part, coming.end)
    batches = coming.batches(running)
    first = next(batches, None)
    return iter(()) if first is None else _chained([first], batches)


class _Coming:
    """Between the threads that ask and the one that gives out, who wait for each other.

    Invariant: what is waiting is `COMING_BYTES_MAX` and one batch at most.
    """

    def __init__(self, part: Running) -> None:
        self._part = part
        self._changed = threading.Condition()
        self._waiting: deque[Any] = deque()
        self._bytes = 0
        self._ended = False
        self._failure: BaseException | None = None

    def put(self, batch: Any) -> None:
        with self._changed:
            while self._bytes >= COMING_BYTES_MAX:
                self._part.check()
                self._changed.wait(LOOK_S)
            self._waiting.append(batch)
            self._bytes += batch.nbytes
            self._changed.notify_all()

    def end(self, failure: BaseException | None) -> None:
        with self._changed:
            self._failure = failure
            self._ended = True
            self._changed.notify_all()

    def batches(self, running: Running) -> Iterator[Any]:
        try:
            while True:
                batch = self._next(running)
                if batch is None:
                    return
                yield batch
        finally:
            self._part.stop()

    def _next(self, running: Running) -> Any:
        """None: that was the last one."""
        with self._changed:
            while True:
                running.check()
                if self._failure is not None:
                    raise self._failure
                if self._waiting:
                    batch = self._waiting.popleft()
                    self._bytes -= batch.nbytes
                    self._changed.notify_all()
                    return batch
                if self._ended:
                    return None
                self._changed.wait(LOOK_S)


def _for_good(batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except Unavailable as error:
        raise Unavailable(
            f"{error.message}; rows had been given out already, and are no whole answer", remedy="Ask again."
        ) from error


def _chained(held: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    try:
        while held:
            yield held.pop(0)
        yield from rest
    finally:
        close = getattr(rest, "close", None)
        if close is not None:
            close()
