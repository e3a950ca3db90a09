"""One fragment at another member: asked, waited for and read so that it can be given up at any moment.

Flight's `do_get` returns when the first bytes of the answer are there, and nothing ends it before, not even the peer's
death if the machine went with it. So it waits in a thread of its own: who has given up leaves the thread to its time-out,
and what comes too late is closed. From the first bytes on the stream is read where it is wanted, and the `Lookout` ends it.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pyarrow as pa

from kubegrid.client.sql_thread import in_thread
from kubegrid.flight.lookout import LOOK_S, Lookout

Raised = Callable[[BaseException], BaseException]


class GivenUp(Exception):
    """Given up: nobody wants the answer, or it will not come."""


def wait(ask: Callable[[], Any], over: Callable[[], bool]) -> Any:
    """The stream that `ask` brings; raises what it raises, or GivenUp as soon as `over` is true."""
    coming = in_thread(ask)
    try:
        while True:
            try:
                return coming.result(LOOK_S)
            except TimeoutError:
                if coming.done():  # it was `ask` that raised it, or the answer came just now
                    return coming.result()
            if over():
                raise GivenUp
    except BaseException:
        coming.add_done_callback(_dropped)
        raise


def _dropped(came: "Future[Any]") -> None:
    """A stream that nobody took is cancelled."""
    if came.exception() is None:
        came.result().cancel()


class FragmentStream:
    """Batches of a stream. Invariant: it is over exactly once: read, failed, closed or dropped; then nothing watches it."""

    def __init__(self, stream: Any, lookout: Lookout, over: Callable[[], bool], told: Raised) -> None:
        """`told` makes of what went wrong in reading what is to be raised."""
        self._stream = stream
        self._told = told
        self._over = False
        self._forget = lookout.watch(over, stream.cancel)

    def __iter__(self) -> "FragmentStream":
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            batch = self._stream.read_chunk().data
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            self._end()
            raise self._told(error) from error
        return batch

    def close(self) -> None:
        """No more of it is wanted."""
        if not self._over:
            self._end()
            self._stream.cancel()

    def __del__(self) -> None:
        self.close()

    def _end(self) -> None:
        self._over = True
        self._forget()

    def as_reader(self) -> Any:
        return pa.RecordBatchReader.from_batches(self._stream.schema, self)
