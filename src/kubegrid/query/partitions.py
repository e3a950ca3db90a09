"""What the engine needs of the partitions: that each runs a fragment. `flight` does it."""

from collections.abc import Callable
from typing import Any, Protocol

from kubegrid.columns.requests import FragmentRequest

Cancelled = Callable[[], bool]
"""Whether nobody wants the answer any more; asked often, from any thread, so it is cheap and does not block."""


class Partitions(Protocol):
    """The primaries of all partitions, wherever they are now. Every method is called from many threads at once."""

    @property
    def count(self) -> int:
        """How many partitions the grid has."""

    def run(self, partition: int, request: FragmentRequest, cancelled: Cancelled) -> Any:
        """The fragment's rows as a `pyarrow.RecordBatchReader`: whole if it ends, or it raises on the way. Its schema tells
        the marks of the partition's own rows that were read (`columns.broadcast`).

        Raises `sql.errors.Unavailable` when the partition has no primary now or lost it meanwhile, at the call or while
        it is read; the engine looks again. Every other SqlError is the statement's own and is passed on as it is.
        A reader that is closed, or dropped, early ends the fragment.
        """
