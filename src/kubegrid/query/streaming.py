"""Rows on their way out: made to the bound names and types, counted, and everything given back when they end."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from kubegrid.query.duck_errors import sql_error
from kubegrid.query.plain_types import plain
from kubegrid.query.running import Running
from kubegrid.sql.errors import SchemaMoved, SqlError, TooMuch, Unavailable


class Stream:
    """An iterator of batches that gives back what the statement held when it ends, fails, is closed or is forgotten.

    A slow reader holds it between two batches, and another thread may close it meanwhile: the step that is under way is
    ended by the statement's own means (`running.stop`), and the thread that took it gives everything back.
    """

    def __init__(
        self,
        batches: Iterator[Any],
        schema: Any,
        running: Running,
        bytes_max: int,
        ends: list[Callable[[], None]],
        explained: Callable[[SqlError], SqlError] = lambda error: error,
    ) -> None:
        """`explained`: an error of the rows, as it is to be told."""
        self._explained = explained
        self._batches = batches
        self._schema = schema
        self._running = running
        self._bytes_max = bytes_max
        self._bytes = 0
        self._ends = ends
        self._lock = threading.Lock()
        self._over = False

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Any:
        with self._lock:
            if self._over:
                raise StopIteration
            try:
                self._running.check()
                batch = next(self._batches)
                self._bytes += batch.nbytes
                if self._bytes > self._bytes_max:
                    raise TooMuch(
                        f"the answer is larger than {self._bytes_max} bytes",
                        remedy="Ask for fewer rows or columns, or in parts (result_bytes_max of SqlSettings).",
                    )
                return self._fitted(batch)
            except StopIteration:
                self._end()
                raise
            except SchemaMoved as error:
                self._end()
                raise Unavailable(
                    f"a table changed while rows were given out: {error.message}", remedy="Ask again."
                ) from error
            except SqlError as error:
                self._end()
                raise self._explained(error) from error.__cause__
            except Exception as error:
                failed = self._explained(self._told(error))
                self._end()
                raise failed from error
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        self._running.stop()
        with self._lock:
            self._end()

    def __del__(self) -> None:
        if not self._over:
            self.close()

    def _told(self, error: Exception) -> SqlError:
        try:
            self._running.check()
        except SqlError as over:
            return over
        return sql_error(error)

    def _fitted(self, batch: Any) -> Any:
        import pyarrow as pa

        schema = self._schema
        if batch.schema.equals(schema, check_metadata=True):
            return batch
        columns = [plain(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()
        while self._ends:
            self._ends.pop()()
