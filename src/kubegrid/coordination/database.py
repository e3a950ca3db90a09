"""The embedded coordinator's file: one SQLite database, written by one process, and suspicious of everybody else.

The manager answers from memory; the file is what survives it. So the file is read once, at opening, and from then on it
is only asked whether it is still the one that was opened and written: same inode, same size and time of the main file
(nobody but us moves its pages, and only in `_checkpoint`), same write-ahead log. At opening the revision and the digest
over all rows tell whether the parts belong together: an old main file beside a newer log would else pass for whole.

Synchronous, for the writer's thread. Not here: who may call, when to begin and what a loss means (`embedded`).
"""

import contextlib
import os
import sqlite3
from hashlib import sha256
from pathlib import Path

from kubegrid.coordination.coordinator import DataLost, StorageFailing, Versioned

WAL_BYTES_MAX = 1024 * 1024
"""The log is moved into the main file when it is longer than this."""
DIGEST_BITS = 128
_MASK = (1 << DIGEST_BITS) - 1

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL, token INTEGER NOT NULL) WITHOUT ROWID;
"""


def _digest(key: str, entry: Versioned) -> int:
    text = b"%d %b %d " % (len(key), key.encode(), entry.token) + entry.value
    return int.from_bytes(sha256(text).digest()[: DIGEST_BITS // 8], "big")


class Database:
    """Invariant: `entries`, `revision` and `digest` are what the last successful commit made durable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = path.with_name(path.name + "-wal")
        self.id = ""
        self.grid = ""
        self.revision = 0
        self.entries: dict[str, Versioned] = {}
        self._digest = 0
        self._connection: sqlite3.Connection | None = None
        self._main_identity: tuple[int, ...] = ()
        self._wal_identity: tuple[int, ...] | None = None

    # -- opening -------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, database: str, grid: str, revision: int, values: dict[str, bytes]) -> "Database":
        """Make a new file in one step: it is there with all `values`, durable, or it is not there.

        Raises StorageFailing. An older file of that path is replaced.
        """
        fresh = path.with_name(path.name + ".new")
        made = cls(path)
        made.id, made.grid = database, grid
        try:
            for leftover in (fresh, made.wal):
                leftover.unlink(missing_ok=True)
            connection = sqlite3.connect(fresh, isolation_level=None)
            try:
                connection.executescript(f"PRAGMA synchronous=FULL; BEGIN; {SCHEMA}")
                for key, value in values.items():
                    revision += 1
                    made.entries[key] = Versioned(value, revision)
                    connection.execute("INSERT INTO entry VALUES (?, ?, ?)", (key, value, revision))
                digest = sum(_digest(key, entry) for key, entry in made.entries.items()) & _MASK
                meta = {"id": database, "grid": grid, "revision": str(revision), "digest": f"{digest:x}"}
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
                connection.execute("COMMIT")
            finally:
                connection.close()
            os.replace(fresh, path)
            sync_directory(path.parent)
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise StorageFailing(f"cannot write {path}: {error}") from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Raises FileNotFoundError, DataLost (not ours, damaged, or put together of two), StorageFailing."""
        database = cls(path)
        database._open()
        return database

    def _open(self) -> None:
        os.stat(self.path)  # else connecting would make a new file
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0.5)
        except sqlite3.Error as error:
            raise StorageFailing(f"cannot open {self.path}: {error}") from error
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
            rows = connection.execute("SELECT key, value, token FROM entry").fetchall()
            entries = {key: Versioned(value, token) for key, value, token in rows}
            digest = sum(_digest(key, entry) for key, entry in entries.items()) & _MASK
            if meta["digest"] != f"{digest:x}":
                raise DataLost(f"{self.path} holds a mixture of older and newer data")
            self.id, self.grid, self.revision = meta["id"], meta["grid"], int(meta["revision"])
        except (sqlite3.DatabaseError, KeyError, ValueError) as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise StorageFailing(f"cannot read {self.path}: {error}") from error
            raise DataLost(f"{self.path} is not, or no longer, a coordinator's database: {error}") from error
        except DataLost:
            connection.close()
            raise
        self.entries, self._digest = entries, digest
        self._connection = connection
        self._checkpoint()
        sync_directory(self.path.parent)

    # -- using ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise DataLost when the file is no longer the one that we opened and wrote."""
        if self._connection is None:
            return
        try:
            main = _identity(self.path)
        except FileNotFoundError:
            raise DataLost(f"{self.path} was deleted") from None
        except OSError as error:
            raise StorageFailing(f"cannot look at {self.path}: {error}") from error
        if main != self._main_identity:
            raise DataLost(f"{self.path} was replaced or changed by somebody else")
        if self._wal_identity is not None:
            try:
                wal = _identity(self.wal)[:2]
            except FileNotFoundError:
                raise DataLost(f"{self.wal} was deleted") from None
            if wal != self._wal_identity:
                raise DataLost(f"{self.wal} was replaced by somebody else")

    def commit(self, changes: dict[str, bytes]) -> None:
        """Make all changes durable in one step; the memory follows only then.

        Raises DataLost before and after writing when the file is not ours any more, and StorageFailing.
        """
        if self._connection is None:
            self._reopen()
        self.check()
        connection = self._connection
        assert connection is not None
        # Without changes it is a trial of the disk; a row that stays the same would not be written at all.
        revision, digest = self.revision + (not changes), self._digest
        entries: dict[str, Versioned] = {}
        for key, value in changes.items():
            revision += 1
            entries[key] = Versioned(value, revision)
            old = self.entries.get(key)
            digest += _digest(key, entries[key]) - (_digest(key, old) if old is not None else 0)
        digest &= _MASK
        try:
            connection.execute("BEGIN IMMEDIATE")
            for key, entry in entries.items():
                connection.execute(
                    "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = ?2, token = ?3",
                    (key, entry.value, entry.token),
                )
            connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (str(revision),))
            connection.execute("UPDATE meta SET value = ? WHERE name = 'digest'", (f"{digest:x}",))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._settle(error, revision)
        else:
            self.entries.update(entries)
            self.revision, self._digest = revision, digest
        if self._wal_identity is None:
            self._wal_identity = _identity(self.wal)[:2]
            sync_directory(self.path.parent)
        self.check()
        if self.wal.stat().st_size > WAL_BYTES_MAX:
            self._checkpoint()

    def _settle(self, error: sqlite3.Error, attempted: int) -> None:
        """A commit failed: find out by reading the file again whether it is there. Always raises StorageFailing."""
        before = self.revision
        self.close()
        try:
            self._reopen()
        except (StorageFailing, OSError) as again:
            raise StorageFailing(f"cannot write {self.path}: {error}; {again}", outcome_known=False) from error
        if self.revision == attempted:
            raise StorageFailing(f"writing {self.path} was in doubt: {error}", outcome_known=False) from error
        assert self.revision == before
        raise StorageFailing(f"cannot write {self.path}: {error}") from error

    def _reopen(self) -> None:
        """Open the file again; what it holds must be what we wrote, or what we tried to write last."""
        grid, database, revision = self.grid, self.id, self.revision
        try:
            self._open()
        except FileNotFoundError:
            raise DataLost(f"{self.path} was deleted") from None
        if (self.grid, self.id) != (grid, database) or self.revision < revision:
            self.close()
            raise DataLost(f"{self.path} was replaced by somebody else")

    def _checkpoint(self) -> None:
        """Move the log into the main file, as far as the disk allows, and remember what both look like."""
        assert self._connection is not None
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError:
            pass  # a full disk: the log keeps everything, and the next one may succeed
        finally:
            self._main_identity = _identity(self.path)
            self._wal_identity = _identity(self.wal)[:2] if self.wal.exists() else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _identity(path: Path) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """A missing table or an unreadable page is damage; a lock or a full disk is not."""
    return error.sqlite_errorcode in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def sync_directory(directory: Path) -> None:
    """Make the names of new files durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
