"""The seam between the engine and whoever carries out statements that write or define: `writing` does it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlglot import exp

from kubegrid.base.tables import Catalog
from kubegrid.query.partitions import Cancelled
from kubegrid.query.result import PartitionOutcome
from kubegrid.sql.statements import Statement


class Queries(Protocol):
    """What a writing statement may ask while it runs: its own time, cancellation and limits hold. One for a statement."""

    @property
    def catalog(self) -> Catalog:
        """The one to plan under now; asked again after a conflict over it."""

    def columns(self, query: exp.Query) -> tuple[tuple[str, str], ...]:
        """Names and DuckDB types of what it gives; nothing is run. Raises sql.errors.SqlError."""

    def select(self, query: exp.Query) -> Iterator[Any]:
        """Its rows as `pyarrow.RecordBatch`es, from all partitions. A base table's `__version` (UBIGINT) may be named."""

    def check_room(self, wanted_bytes: int) -> None:
        """Raise TooMuch if the process has not so much memory left for what a statement makes of rows."""

    def local(self, sql: str, relations: Mapping[str, Any]) -> Any:
        """DuckDB's answer (`pyarrow.Table`) over these Arrow tables and nothing else."""


@dataclass(frozen=True, slots=True)
class Written:
    rows_changed: int | None
    """None: the statement defines something and changes no rows."""
    outcomes: Sequence[PartitionOutcome] = ()
    statement_id: str | None = None
    """The one it ran under; made by the writer when the client gave none."""


class Writer(Protocol):
    def execute(
        self,
        statement: Statement,
        queries: Queries,
        *,
        statement_id: str | None,
        again: bool,
        deadline: float,
        cancelled: Cancelled,
    ) -> Written:
        """Carry out INSERT, UPDATE, DELETE, CREATE, CREATE AS, ALTER, DROP, TRUNCATE. Raises sql.errors.SqlError.

        The statement has its parameters bound. `again`: it may have been run before under its id. `deadline` is a
        `time.monotonic()`. Returns when the outcome is known.
        """
