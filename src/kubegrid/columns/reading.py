"""A statement's rows on their way out of DuckDB: begun, read batch by batch, ended whatever happens."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa

from kubegrid.columns.broadcast import MARKS
from kubegrid.columns.running import Running
from kubegrid.sql.errors import NotSupported, SqlError

UNBOUNDED = ("VARCHAR", "BLOB", "JSON", "BIT", "STRUCT", "MAP", "UNION")
"""How DuckDB's types begin whose values may be long; lists end with a bracket. A batch of such rows has fewer of them."""
NARROW_COLUMNS = 16
WIDE_PART = 8
Explain = Callable[[Exception], SqlError]


def bound(cursor: Any, sql: str) -> Any:
    """One SELECT as DuckDB's relation, which knows its columns. Raises NotSupported, and what DuckDB raises."""
    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name != "SELECT":
        raise NotSupported("a fragment is one SELECT")
    return cursor.sql(statements[0])


def begin(relation: Any, batch_rows: int) -> Any:
    """DuckDB's reader of its rows. Raises NotSupported, and what DuckDB raises."""
    types = [str(kind) for kind in relation.types]
    if any("ENUM(" in kind for kind in types):  # in the order of its values, which are lost on the way
        raise NotSupported(
            "values of an ENUM cannot be gathered from partitions", remedy="Make them VARCHAR by a CAST."
        )
    if len(types) > NARROW_COLUMNS or any(kind.startswith(UNBOUNDED) or kind.endswith("]") for kind in types):
        batch_rows = max(1, batch_rows // WIDE_PART)
    return relation.to_arrow_reader(batch_rows)


class Rows:
    """The batches of one statement. It ends the statement when it is exhausted, fails, or nobody refers to it any more."""

    def __init__(self, reader: Any, running: Running, explain: Explain) -> None:
        self.schema = reader.schema
        self._batches: Iterator[Any] = iter(reader)
        self._running = running
        self._explain = explain
        self._first: Any = None
        self._begun = False

    def begin(self) -> None:
        """Wait for the first batch."""
        self._first = next(self._batches, None)
        self._begun = True

    def __iter__(self) -> "Rows":
        return self

    def __next__(self) -> Any:
        try:
            self._running.check()
            if self._begun:
                first, self._first, self._begun = self._first, None, False
                if first is None:
                    raise StopIteration
                return first
            return next(self._batches)
        except StopIteration:
            self._running.end()
            raise
        except SqlError:
            self._running.end()
            raise
        except Exception as error:
            explained = self._explain(error)
            self._running.end()
            raise explained from None

    def __del__(self) -> None:
        self._running.end()

    def reader(self, marks: dict[str, str]) -> Any:
        """As a `pyarrow.RecordBatchReader` whose schema says which states of tables were read."""
        schema = self.schema
        if marks:
            schema = schema.with_metadata((schema.metadata or {}) | {MARKS: msgspec.json.encode(marks)})
        return pa.RecordBatchReader.from_batches(schema, self)
