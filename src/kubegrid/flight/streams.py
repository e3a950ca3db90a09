"""An answer on its way to the caller: batches cut to a size that every client takes, and an orderly end whatever happens.

gRPC asks for a batch when it has sent the one before, so a slow reader slows the statement and nothing piles up here. It
drops the stream when the client is gone, or reads it to its end; in both cases the statement ends and the call is over.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pyarrow import flight

from kubegrid.flight.calls import Call
from kubegrid.flight.failures import outgoing
from kubegrid.sql.errors import Cancelled

BATCH_BYTES_MAX = 4 * 2**20
"""Of one message, where its rows can be divided. Go clients, ADBC's driver among them, take 16 MiB at most."""


class AnswerStream:
    """An iterator over batches that ends its call and its statement exactly once: read, failed, dropped or closed."""

    def __init__(self, batches: Iterator[Any], call: Call, close: Callable[[], None]) -> None:
        self._pieces = pieces(batches)
        self._call = call
        self._close = close
        self._over = False

    def __iter__(self) -> "AnswerStream":
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            batch = next(self._pieces)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            told = self._call.told(error)
            self._end(told)
            raise outgoing(told) from None
        self._call.rows += batch.num_rows
        return batch

    def close(self) -> None:
        """The caller wants no more of it."""
        if not self._over:
            self._end(Cancelled("the client went away"))

    def __del__(self) -> None:
        self.close()

    def _end(self, error: BaseException | None) -> None:
        self._over = True
        try:
            self._close()
        finally:
            self._call.end(error)

    def as_stream(self, schema: Any) -> Any:
        """For Flight."""
        return flight.GeneratorStream(schema, self)


def pieces(batches: Iterator[Any]) -> Iterator[Any]:
    """The same rows in batches of `BATCH_BYTES_MAX` or little more; one row is never cut. Empty batches are left out."""
    for batch in batches:
        rows = batch.num_rows
        if rows == 0:
            continue
        if batch.nbytes <= BATCH_BYTES_MAX:
            yield batch
            continue
        step = max(1, rows * BATCH_BYTES_MAX // batch.nbytes)
        for first in range(0, rows, step):
            piece = batch.slice(first, step)
            if piece.num_rows > 1 and piece.nbytes > 2 * BATCH_BYTES_MAX:  # its rows are the long ones
                half = piece.num_rows // 2
                yield from pieces(iter((piece.slice(0, half), piece.slice(half))))
            else:
                yield piece
