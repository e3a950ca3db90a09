"""The DuckDB in which a pod puts answers together: bounded in memory, spilling to disk, closed to the outside."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from kubegrid.base.settings import SqlSettings
from kubegrid.columns.database import open_database
from kubegrid.columns.errors import is_fatal


class Workroom:
    """One for an engine; opened by the first statement that needs it. Every user gets a connection of its own."""

    def __init__(self, settings: SqlSettings, spill_folder: str, granted: Callable[[int], int]) -> None:
        self._settings = settings
        self._granted = granted
        self.memory_bytes = settings.replica_bytes(0)
        self._spill_folder = spill_folder
        self._lock = threading.Lock()
        self._connection: Any = None

    def cursor(self) -> Any:
        """Raises TooMuch when the process has no memory for it."""
        with self._lock:
            if self._connection is None:
                settings = self._settings
                self._connection = open_database(
                    self._granted(self.memory_bytes),
                    self._spill_folder,
                    settings.spill_bytes_max,
                    settings.threads,
                    lossless=False,
                )
            return self._connection.cursor()

    def mend(self, error: BaseException) -> None:
        """After DuckDB has said that it cannot go on: the next statement gets a new one."""
        if is_fatal(error):
            self.close()

    def make(self, schema: str) -> None:
        self._run(f"CREATE SCHEMA {schema}")

    def drop(self, schema: str) -> None:
        self._run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def close(self) -> None:
        """It is opened again by who asks for a cursor."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(Exception):  # busy with a result that nobody reads: it closes with that
                    self._connection.close()
                self._connection = None

    def _run(self, sql: str) -> None:
        cursor = self.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()
