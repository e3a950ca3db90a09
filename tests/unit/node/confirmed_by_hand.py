"""The turn's replicator in tests of what is above it: it confirms what the test lets it."""

import asyncio
from typing import Any

from kubegrid.replication import Gate


class ConfirmedByHand:
    """Gate and commit point are moved by the test; at first everything may be done and leaves at once."""

    def __init__(self) -> None:
        self.recording = True
        self.writable = True
        self.last_seq = 0
        self.backlog_bytes = 0
        self.open = Gate.OPEN
        self.confirmed = 1 << 60
        self.enough_copies = True
        self.entries: list[tuple[list[Any], list[Any]]] = []
        """Effects and undo records of each."""

    def now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    def gate(self, now: int) -> Gate:
        return self.open

    def append(self, now: int, effects: list[Any] | None, undo: list[Any] | None, size: int) -> int:
        self.entries.append((effects or [], undo or []))
        self.last_seq += 1
        return self.last_seq

    def drain(self) -> None:
        pass

    def releasable(self, now: int) -> int:
        return self.confirmed if self.enough_copies else -1

    def readable(self, now: int) -> int:
        return self.confirmed
