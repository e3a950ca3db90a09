"""Prepared statements of Flight SQL: a handle, the statement's text, and the rows of parameters bound to it.

Nothing is planned ahead: the catalog may change between two executions. Handles are this pod's and are not replicated:
who changes pods prepares again, as the error says. Flight has no connections, so a client that went away leaves its
statements behind: the longest unused ones are forgotten.
"""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from kubegrid.sql.errors import NotSupported, SqlError, TooMuch
from kubegrid.wire.sql_tickets import Statement

PREPARED_MAX = 2000
IDLE_S = 3600.0
"""After an hour without a use a statement is forgotten."""
HANDLE_BYTES = 16
BOUND_BYTES_MAX = 64 * 2**20
"""Of all bound parameters together, as they came; beyond it the longest unused statements are forgotten."""
BOUND_ROWS_MAX = 10_000
"""Rows of parameters that one execution may have; more are written with `adbc_ingest`, or `kubegrid load`."""


@dataclass(slots=True)
class Prepared:
    sql: str
    parameters: int
    writes: bool
    rows: list[list[Any]] = field(default_factory=list)
    """Values of the parameters, for each execution."""
    size: int = 0
    """Bytes of `rows`, about."""
    used: float = 0.0

    def statements(self, rows: list[list[Any]] | None = None) -> list[Statement]:
        """One for each row of parameters (the bound ones unless others are given); the statement itself where it has none.
        Raises SqlError if values are missing or too many."""
        given = self.rows if rows is None else rows
        if self.parameters and not given:
            raise SqlError(f"the statement has {self.parameters} parameters and none was bound")
        self.check(given)
        return [Statement(sql=self.sql, parameters=row) for row in given or [[]]]

    def check(self, rows: list[list[Any]]) -> None:
        """Raises SqlError when a row has not as many values as the statement has parameters."""
        wrong = next((row for row in rows if len(row) != self.parameters), None)
        if wrong is not None:
            raise SqlError(f"{len(wrong)} values are bound to a statement with {self.parameters} parameters")

    def statement(self) -> Statement:
        """For a question, which has one answer. Raises SqlError."""
        found = self.statements()
        if len(found) != 1:
            raise NotSupported(
                f"a question with {len(found)} rows of parameters", remedy="Bind one row for each execution."
            )
        return found[0]


class PreparedStatements:
    """Invariant: at most `PREPARED_MAX`, with at most `BOUND_BYTES_MAX` of parameters, ordered by their last use."""

    def __init__(self) -> None:
        self._bytes = 0
        self._known: OrderedDict[bytes, Prepared] = OrderedDict()
        self._guard = threading.Lock()

    def add(self, sql: str, parameters: int, writes: bool) -> bytes:
        """The handle of a new one."""
        handle = secrets.token_bytes(HANDLE_BYTES)
        now = time.monotonic()
        with self._guard:
            self._known[handle] = Prepared(sql, parameters, writes, used=now)
            while len(self._known) > PREPARED_MAX or next(iter(self._known.values())).used < now - IDLE_S:
                self._forget(next(iter(self._known)))
        return handle

    def find(self, handle: bytes) -> Prepared:
        """Raises SqlError when it is not known here, or not any more."""
        with self._guard:
            prepared = self._known.get(handle)
            if prepared is not None:
                prepared.used = time.monotonic()
                self._known.move_to_end(handle)
        if prepared is None:
            raise SqlError(
                "this prepared statement is not known here: it was closed, made at another member, or not used for an hour",
                remedy="Prepare it again.",
            )
        return prepared

    def bind(self, handle: bytes, rows: list[list[Any]], size: int) -> None:
        """Remember parameters for the executions to come. Raises SqlError, TooMuch."""
        prepared = self.find(handle)
        prepared.check(rows)
        if size > BOUND_BYTES_MAX:
            raise TooMuch(f"{size} bytes of parameters; {BOUND_BYTES_MAX} are the most")
        with self._guard:
            if handle in self._known:
                self._bytes += size - prepared.size
                prepared.rows, prepared.size = rows, size
                while self._bytes > BOUND_BYTES_MAX:
                    self._forget(next(iter(self._known)))

    def remove(self, handle: bytes) -> None:
        with self._guard:
            if handle in self._known:
                self._forget(handle)

    def _forget(self, handle: bytes) -> None:
        self._bytes -= self._known.pop(handle).size

    def __len__(self) -> int:
        return len(self._known)
