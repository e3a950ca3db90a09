"""How far a source of rows came: places in it, and what became of its rows."""

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Position:
    """Where in its source a block begins: bytes of a file's (unpacked) text or numbers of rows, and the line or row there."""

    offset: int
    line: int


class Counts(msgspec.Struct):
    """Rows of the source so far."""

    read: int = 0
    written: int = 0
    kept: int = 0
    bad: int = 0

    def add(self, other: "Counts") -> None:
        self.read += other.read
        self.written += other.written
        self.kept += other.kept
        self.bad += other.bad

    def copied(self) -> "Counts":
        return Counts(self.read, self.written, self.kept, self.bad)
