"""What can go wrong around a grid of local processes.

KubegridError
├── StartError (1)        it was begun and did not come up; what was started has been stopped
├── DiskError (1)         the state folder cannot be written, a full disk above all, or not be read
├── NoGridError (3)       no such grid, or none of its processes answers
└── RefusedError (4)
    ├── BusyError         another supervisor has the folder, or processes of it run
    ├── PortsTakenError   somebody else listens where this grid would
    └── DifferentGridError the folder holds a grid of another shape
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubegrid.base.errors import KubegridError, NotReachableError, RefusedError


class StartError(KubegridError):
    pass


class DiskError(KubegridError):
    pass


class NoGridError(NotReachableError):
    pass


class BusyError(RefusedError):
    pass


class PortsTakenError(RefusedError):
    pass


class DifferentGridError(RefusedError):
    pass


@contextmanager
def told_as_disk_error(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> DiskError:
    place = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"the disk is full: {place} cannot be written{_free_text(path)}",
            "Free some space, or choose a folder on another disk with --dir.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DiskError(f"{place} cannot be written: {error.strerror}", "Choose another folder with --dir.")
    return DiskError(f"{place}: {error.strerror or error}")


def reading_error(error: OSError, path: Path) -> DiskError:
    """Above all for what is another user's."""
    remedy = (
        "It is another user's: be that user, or choose another folder with --dir."
        if error.errno in (errno.EACCES, errno.EPERM)
        else "Choose another folder with --dir."
    )
    return DiskError(f"{path} cannot be read: {error.strerror or error}", remedy)


def _free_text(path: Path) -> str:
    existing = next((p for p in (path, *path.parents) if p.exists()), None)
    if existing is None:
        return ""
    usage = os.statvfs(existing)
    return f" ({usage.f_bavail * usage.f_frsize // 1024} KiB free at {existing})"
