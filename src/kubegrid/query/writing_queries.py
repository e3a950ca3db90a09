"""What a statement that writes may ask: distributed questions with its own time and limits, and small ones of DuckDB."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlglot import exp

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.base.units import bytes_text
from kubegrid.query.duck_errors import sql_error
from kubegrid.query.preparing import Preparing
from kubegrid.query.running import Running
from kubegrid.sql.errors import SqlError, TooMuch

Answered = Callable[[Callable[[], Any], Running], Any]


class StatementQueries:
    """`writer.Queries`, for one statement."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        preparing: Preparing,
        answered: Answered,
        local: Callable[..., Any],
        settings: SqlSettings,
        granted: Callable[[int], int],
        running: Running,
        text: str = "",
    ) -> None:
        """`text`: what the user wrote, if DuckDB understands it."""
        self._catalog = catalog
        self._preparing = preparing
        self._answered = answered
        self._local = local
        self._settings = settings
        self._granted = granted
        self._running = running
        self._text = text

    @property
    def catalog(self) -> Catalog:
        return self._catalog()

    def columns(self, query: exp.Query) -> tuple[tuple[str, str], ...]:
        return self._preparing.hidden_query(query, self._catalog(), self._running, self._text).columns

    def select(self, query: exp.Query) -> Iterator[Any]:
        part = self._running.part()
        result = self._answered(lambda: self._preparing.hidden_query(query, self._catalog(), part, self._text), part)
        with result:
            yield from result.batches

    def check_room(self, wanted_bytes: int) -> None:
        left = self._granted(wanted_bytes)
        if left < wanted_bytes:
            raise TooMuch(
                f"the statement writes more records than this member has memory for: at least {bytes_text(wanted_bytes)} "
                f"would be needed, and {bytes_text(left)} are left",
                remedy="Divide it, for example by ranges of the key; files are loaded with kubegrid load.",
            )

    def local(self, sql: str, relations: Mapping[str, Any]) -> Any:
        try:
            return self._local(sql, list(relations.items()), self._running)
        except SqlError:
            raise
        except Exception as error:
            self._running.check()
            raise sql_error(error) from error
