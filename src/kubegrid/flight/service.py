"""What the Flight server may ask of the pod it belongs to. Every method is called from gRPC's threads, many at once.

The pod's side is `node.sql_service`; the tests of the protocol bring an engine of their own.
"""

from typing import TYPE_CHECKING, Any, Protocol

from kubegrid.base.tables import Catalog
from kubegrid.query.partitions import Cancelled

if TYPE_CHECKING:
    from kubegrid.query.engine import Engine


class Fragments(Protocol):
    """This partition's part of statements (`node.sql_fragments`)."""

    def run(self, request: Any, cancelled: Cancelled) -> Any:
        """A `pyarrow.RecordBatchReader`. Raises sql.errors.SqlError."""


class Ingest(Protocol):
    """Takes batches of rows for a table, of whatever partitions (`node.sql_ingest`)."""

    def write(self, table: str, batch: Any, options: dict[str, Any]) -> int:
        """Rows of any partition; how many were written, when they are confirmed. Raises sql.errors.SqlError."""

    def serve(self, words: list[str], reader: Any, writer: Any, cancelled: Cancelled) -> None:
        """Rows of this partition, in many batches; each is answered in the stream, in order. `words`: of the path."""


class Service(Protocol):
    """The pod."""

    @property
    def grid(self) -> str: ...
    @property
    def grid_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def version(self) -> str: ...
    @property
    def secret(self) -> bytes | None: ...
    def catalog(self) -> Catalog:
        """The newest that the pod knows."""

    def engine(self) -> "Engine":
        """Made by the first call, which loads what a query needs. Raises sql.errors.Unavailable while the pod stops."""

    def fragments(self) -> Fragments:
        """Likewise."""

    def ingest(self) -> Ingest:
        """Likewise."""
