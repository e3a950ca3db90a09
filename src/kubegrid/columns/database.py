"""An in-memory DuckDB that statements from outside may run in: bounded, and with nothing to reach but its tables.

Files, networks, extensions and Python variables are closed, and so are the settings, so that no statement opens them
again; functions that make values of any size have a limit (`sized_functions`). The time zone is UTC in every pod alike,
wherever its machine stands.

DuckDB is imported when the first database is opened: a member that never runs SQL does without its 30 MB and 0.2 s.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kubegrid.columns import dense_groups, sized_functions

SETTINGS = {
    "python_enable_replacements": "false",  # `FROM x` means a table, never a variable of ours
    "python_scan_all_frames": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
}


def open_database(
    memory_bytes: int, spill_folder: str, spill_bytes_max: int, threads: int = 1, *, lossless: bool = True
) -> Any:
    """A new DuckDB, as a connection; `cursor()` gives others to it. It uses `spill_folder` when its memory is full.

    A statement runs in the thread that gives it, and DuckDB adds `threads` - 1 of its own. `lossless`: HUGEINT, UUID and
    JSON come out as Arrow's extension types, which DuckDB takes back as what they are; else as decimals and text.
    """
    import duckdb

    settings = SETTINGS | {
        "arrow_lossless_conversion": str(lossless).lower(),
        "threads": str(threads),
        "memory_limit": f"{memory_bytes}B",
        "temp_directory": spill_folder,
        "max_temp_directory_size": f"{spill_bytes_max}B",
        "immediate_transaction_mode": "true",  # a transaction sees what there is at its BEGIN, not at its first table
        "checkpoint_threshold": "1TB",  # compaction comes when it is asked for, not in the middle of a commit
        "allocator_background_threads": "true",  # else the process keeps what compaction has freed
    }
    connection = duckdb.connect(":memory:")
    for name, value in settings.items():
        connection.execute(f"SET {name} = '{value.replace(chr(39), chr(39) * 2)}'")
    # Else it is the process's own; without GLOBAL it would be set for this cursor only.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # In this order: the folder for temporary files cannot be set after the files are closed, and nothing after the lock.
    sized_functions.limit(connection)
    connection.execute("SET enable_external_access = false")
    connection.execute(f"SET allowed_configs = ['{dense_groups.SETTING}']")
    connection.execute("SET lock_configuration = true")
    return connection


_made: set[Path] = set()
"""Folders for temporary files that this process made."""


class SpillFolder:
    """A folder of one process's own, made when it is needed and removed with all that is in it."""

    def __init__(self, parent: str, name: str) -> None:
        """In `parent`; empty: where the system keeps temporary files. What a killed process left there goes first."""
        if parent:
            Path(parent).mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(
            prefix=f"{_prefix(name)}{os.getpid()}-", dir=parent or None, ignore_cleanup_errors=True
        )
        self.path = self._folder.name
        _made.add(Path(self.path))
        for left in Path(self.path).parent.glob(f"{_prefix(name)}*-*"):
            if not _is_used(left, left.name.removeprefix(_prefix(name)).partition("-")[0]):
                shutil.rmtree(left, ignore_errors=True)

    def remove(self) -> None:
        """May be called twice."""
        self._folder.cleanup()


def _prefix(name: str) -> str:
    return f"kubegrid-{name}-"


def _is_used(folder: Path, process: str) -> bool:
    """By the process that made it. In a container every process that is started has the same number."""
    if process == str(os.getpid()):
        return folder in _made
    return not process.isdecimal() or Path(f"/proc/{process}").exists()


def quoted(name: str) -> str:
    """A table's or column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'
