"""What a statement answered: rows, kept as Arrow and given in the shape that is asked for.

Next on the path of the data: `sql_text`, for what a person reads.
"""

from collections.abc import Iterator
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.client import sql_text
from kubegrid.wire.sql_tickets import Note, PartOutcome

REPR_ROWS = 10


class SqlResult:
    """The rows of a question, or what a statement that writes did (`rows_changed`, `outcomes`). Never changes.

    result = grid.sql("SELECT carrier, count(*) AS n FROM flights GROUP BY carrier ORDER BY n DESC")
    for carrier, n in result: …
    result.pandas()
    """

    def __init__(self, schema: Any, batches: list[Any], note: Note | None, statement_id: str) -> None:
        self._schema = schema
        self._batches = batches
        self._table: Any = None
        self.rows_changed: int | None = None if note is None else note.rows_changed
        """Rows that a statement wrote or removed; None of a question, and of one that defines something."""
        self.outcomes: tuple[PartOutcome, ...] = () if note is None else tuple(note.outcomes)
        """Of a statement that writes: what each partition that it touched did."""
        self.statement_id: str | None = None if note is None else note.statement_id or statement_id
        """Of a statement that writes: under it the same statement can be run again, and is not done twice."""
        self._writes = note is not None

    # -- shapes ------------------------------------------------------------------------------------------------------

    @property
    def schema(self) -> Any:
        """`pyarrow.Schema`: names and types of the columns."""
        return self._schema

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._schema.names)

    def arrow(self) -> Any:
        """All rows as a `pyarrow.Table`. No copy."""
        if self._table is None:
            import pyarrow as pa

            self._table = pa.Table.from_batches(self._batches, self._schema)
        return self._table

    def batches(self) -> list[Any]:
        """All rows as they came, in `pyarrow.RecordBatch`es."""
        return list(self._batches)

    def pandas(self, **options: Any) -> Any:
        """All rows as a `pandas.DataFrame`; options as of `pyarrow.Table.to_pandas`."""
        _needed("pandas")
        return self.arrow().to_pandas(**options)

    def polars(self) -> Any:
        """All rows as a `polars.DataFrame`."""
        return _needed("polars").from_arrow(self.arrow())

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows as tuples of Python's values (Decimal, datetime …); a UUID is a text, as in Arrow."""
        return list(self)

    def dicts(self) -> list[dict[str, Any]]:
        """All rows as dicts by column name. Of two columns of one name the last one counts."""
        names = self.columns
        return [dict(zip(names, row, strict=True)) for row in self]

    def scalar(self) -> Any:
        """The one value of an answer of one row and one column; UsageError for any other."""
        if len(self) != 1 or len(self.columns) != 1:
            raise UsageError(f"the answer has {len(self)} rows of {len(self.columns)} columns, not one value")
        return next(iter(self))[0]

    # -- as a sequence -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for batch in self._batches:
            yield from rows_of(batch)

    def __len__(self) -> int:
        """How many rows."""
        return sum(batch.num_rows for batch in self._batches)

    def __bool__(self) -> bool:
        """An answer without rows is an answer."""
        return True

    def __repr__(self) -> str:
        if self._writes:
            count = "done" if self.rows_changed is None else sql_text.counted(self.rows_changed, "row") + " changed"
            return f"<SqlResult: {count}>"
        shown: list[tuple[Any, ...]] = []
        for batch in self._batches:
            shown += rows_of(batch.slice(0, REPR_ROWS - len(shown)))
            if len(shown) == REPR_ROWS:
                break
        more = len(self) - len(shown)
        end = sql_text.counted(len(self), "row") + (f", the first {len(shown)} shown" if more else "")
        return "\n".join([*sql_text.table(self._schema, shown), f"({end})"])


def rows_of(batch: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a RecordBatch as tuples of Python's values."""
    columns = [column.to_pylist() for column in batch.columns]
    if not columns:
        return iter([()] * batch.num_rows)
    return zip(*columns, strict=True)


def _needed(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is not installed here: {error}", f"`pip install {name}`, or use .arrow().") from error
