"""What the engine needs of the partitions: run a fragment, tell the marks of broadcast tables. `flight` does both."""

from collections.abc import Callable, Mapping, Sequence
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
        """The fragment's rows as a `pyarrow.RecordBatchReader`: whole if it ends, or it raises on the way.

        Raises `sql.errors.Unavailable` when the partition has no primary now or lost it meanwhile, at the call or while
        it is read; the engine looks again. Every other SqlError is the statement's own and is passed on as it is.
        A reader that is closed, or dropped, early ends the fragment.
        """

    def marks(self, partition: int, tables: Sequence[str]) -> Mapping[str, str]:
        """The state of this partition's own rows of broadcast tables, for `FragmentRequest.broadcast`.

        Raises Unavailable like `run`.
        """
