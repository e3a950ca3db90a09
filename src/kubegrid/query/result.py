"""What a statement gives back: a stream of Arrow batches, or how many records it changed and where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """What one partition did of a statement that writes."""

    partition: int
    outcome: str
    """`done`, `not done`, or `unknown`: the answer was lost. Run the statement again with the same id: what was done is
    not done twice."""
    rows: int = 0
    """Records changed there."""
    error: str = ""


class Result:
    """An answer. Its batches can be read once; `close` ends the statement where it is and is done by the last batch.

    Whoever gets a Result reads it to its end or closes it: until then it holds one of the places for running queries.
    """

    def __init__(
        self,
        schema: Any,
        batches: Iterator[Any],
        *,
        rows_changed: int | None = None,
        outcomes: Sequence[PartitionOutcome] = (),
        statement_id: str | None = None,
    ) -> None:
        self.schema = schema
        """`pyarrow.Schema` of every batch."""
        self.batches = batches
        """Of `pyarrow.RecordBatch`. Next raises sql.errors.SqlError; rows given out before are then no whole answer."""
        self.rows_changed = rows_changed
        """Of a statement that writes; None: it was a question."""
        self.outcomes = tuple(outcomes)
        """Of a statement that writes, one for each partition it touched."""
        self.statement_id = statement_id
        """Of a statement that writes: with it the same statement can be run again safely."""

    def close(self) -> None:
        """End the statement; its rows not read yet are lost. Any number of times, from any thread."""
        close = getattr(self.batches, "close", None)
        if close is not None:
            close()

    def table(self) -> Any:
        """Every row, as a `pyarrow.Table`."""
        import pyarrow as pa

        with self:
            return pa.Table.from_batches(list(self.batches), self.schema)

    def __enter__(self) -> "Result":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
