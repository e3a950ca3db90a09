"""The tables that a manifest declares: made, or given the columns that they lack, as soon as the grid serves.

The manager does it, by the rule of `coordination.catalog` for `declare`; here it is asked, from a thread of its own, until
it has answered about every table. What a manifest does not name any more is left alone: a table goes only by a drop.
"""

import asyncio
from collections.abc import Callable, Sequence

from kubegrid.base.errors import KubegridError, RefusedError, UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import TableDefinition
from kubegrid.runtime import http
from kubegrid.runtime.http import HttpError
from kubegrid.runtime.state import GridState

AGAIN_S = 0.5
ANSWER_TIMEOUT_S = 10.0
"""Longer than the manager itself waits for the members."""


def declared(grid: GridState) -> list[TableDefinition]:
    """The definitions in the manifest that the grid was brought up with; they were checked when it was read."""
    given = grid.given.get("tables")
    return [parse_definition(None, entry) for entry in given] if isinstance(given, list) else []


def declare(addresses: Sequence[str], secret: str | None, tables: Sequence[TableDefinition]) -> None:
    """Have the manager make them. Raises RefusedError and UsageError for good, another KubegridError when it is worth a retry."""
    for table in tables:
        _declare(addresses, secret, table)


def _declare(addresses: Sequence[str], secret: str | None, table: TableDefinition) -> None:
    failure: HttpError | None = None
    for address in addresses:
        try:
            http.post(address, "/v1/tables?extend=true", table.to_json(), secret, ANSWER_TIMEOUT_S)
            return
        except HttpError as error:
            if error.status == 409:
                raise RefusedError(error.message, error.remedy) from error
            if error.status == 422:
                raise UsageError(error.message, error.remedy) from error
            failure = error
    raise KubegridError(
        f"table {table.name}: {failure.message if failure else 'there is no manager to ask'}"
    ) from failure


class DeclaredTables:
    """The work of having them made, for the supervisor's loop. `refusal` is set when asking again is of no use."""

    def __init__(self, grid: GridState, secret: str | None, done: Callable[[], None]) -> None:
        self.refusal: KubegridError | None = None
        self._addresses = grid.manager_addresses()
        self._secret = secret
        self._tables = declared(grid)
        self._done = done
        self._made = not self._tables
        self._trouble = "the declared tables are being made"
        self._task: asyncio.Task[None] | None = None

    def missing(self) -> list[str]:
        """Why they are not there yet; begins to make them when it is asked first. Empty when they are."""
        if self._made:
            return []
        if self._task is None:
            self._task = asyncio.ensure_future(self._make())
        return [self._trouble]

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _make(self) -> None:
        while not self._made:
            try:
                await asyncio.to_thread(declare, self._addresses, self._secret, self._tables)
            except (RefusedError, UsageError) as error:
                self.refusal = error
                break
            except KubegridError as error:
                self._trouble = error.message
                await asyncio.sleep(AGAIN_S)
            else:
                self._made = True
        self._done()
