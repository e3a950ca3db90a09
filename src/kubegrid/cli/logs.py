"""`kubegrid logs`: what the processes of a local grid wrote, of one or of all, and on and on with `-f`."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from kubegrid.base.errors import UsageError
from kubegrid.cli.target import LocalGrid
from kubegrid.runtime.folder import Folder

FOLLOW_S = 0.2
CHUNK_BYTES = 64 * 1024
SUPERVISOR = "supervisor"


def logs(grid: LocalGrid, member: str | None, follow: bool, lines: int) -> int:
    known = [SUPERVISOR, *grid.state.names]
    if member is not None and member not in known:
        raise UsageError(f"there is no {member!r} in {grid.state.name}; there are {', '.join(known)}")
    tails = [_Tail(grid.folder, one, prefixed=member is None) for one in ([member] if member else known)]
    for tail in tails:
        for line in tail.last(lines):
            sys.stdout.write(line)
    sys.stdout.flush()
    while follow:
        for tail in tails:
            for line in tail.more():
                sys.stdout.write(line)
        sys.stdout.flush()
        time.sleep(FOLLOW_S)
    return 0


class _Tail:
    """One log file, read from where it was left; one that got shorter was cut and is read from its beginning."""

    def __init__(self, folder: Folder, name: str, prefixed: bool) -> None:
        self._path: Path = folder.log(name)
        self._prefix = f"{name:<10} " if prefixed else ""
        self._offset = 0
        self._rest = b""

    def last(self, count: int) -> Iterator[str]:
        yield from deque(self.more(), maxlen=count)

    def more(self) -> Iterator[str]:
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset, self._rest = 0, b""
                file.seek(self._offset)
                while chunk := file.read(CHUNK_BYTES):
                    self._offset += len(chunk)
                    *whole, self._rest = (self._rest + chunk).split(b"\n")
                    for line in whole:
                        yield f"{self._prefix}{line.decode(errors='replace')}\n"
        except FileNotFoundError:
            return
