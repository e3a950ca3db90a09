"""The log of one member: entries in order, those behind the commit point staged (backup) or executed ahead (primary).

Two members that hold the same `(epoch, seq)` hold the same entries up to there, because an epoch has one primary and a
member takes entries only behind a matching position; so comparing logs means comparing runs of equal epoch (R14).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

import msgspec

from kubegrid.base.ids import ORIGIN, Position
from kubegrid.replication.messages import WireEntry


class Entry(msgspec.Struct):
    """One event-loop turn's effects."""

    epoch: int
    seq: int
    effects: Any
    undo: Any
    size_bytes: int
    end_bytes: int
    """Bytes of the whole log up to and including this entry: differences give the bytes of any stretch in O(1)."""

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)


def _epoch(entry: Entry) -> int:
    return entry.epoch


def _end_bytes(entry: Entry) -> int:
    return entry.end_bytes


class Log:
    """Invariant: entries are numbered without gap from `base.seq + 1`; epochs never fall; base.seq <= commit_seq <= last_seq."""

    __slots__ = ("_base_bytes", "_entries", "base", "commit_seq", "end_bytes", "last_seq")

    def __init__(self) -> None:
        self.base = ORIGIN
        """Position before the oldest entry kept."""
        self.last_seq = 0
        self.commit_seq = 0
        """What is committed and in the store. In an unfinished snapshot: where the snapshot began."""
        self.end_bytes = 0
        self._base_bytes = 0
        self._entries: list[Entry] = []

    # -- growing

    def append(self, epoch: int, effects: Any, undo: Any, size_bytes: int) -> Entry:
        self.last_seq += 1
        self.end_bytes += size_bytes
        entry = Entry(epoch, self.last_seq, effects, undo, size_bytes, self.end_bytes)
        self._entries.append(entry)
        return entry

    def extend(self, entries: Sequence[WireEntry]) -> None:
        """Stage entries that follow the end."""
        seq = self.last_seq
        end_bytes = self.end_bytes
        kept = self._entries
        for epoch, _, size_bytes, effects in entries:
            seq += 1
            end_bytes += size_bytes
            kept.append(Entry(epoch, seq, effects, None, size_bytes, end_bytes))
        self.last_seq = seq
        self.end_bytes = end_bytes

    def skip(self, epoch: int) -> int:
        """A lone member's write that nobody will ever ask for: it is counted and not kept, nor is anything before it."""
        self.reset(Position(epoch, self.last_seq + 1))
        return self.last_seq

    # -- shrinking

    def reset(self, base: Position) -> None:
        self._entries = []
        self.base = base
        self.last_seq = self.commit_seq = base.seq
        self._base_bytes = self.end_bytes

    def truncate(self, seq: int) -> int:
        """Drop what is behind `seq`, which is not committed; answers how many entries went."""
        assert seq >= self.commit_seq, (seq, self.commit_seq)
        dropped = self.last_seq - seq
        if dropped > 0:
            del self._entries[seq - self.base.seq :]
            self.last_seq = seq
            self.end_bytes = self._bytes_at(seq)
        return max(dropped, 0)

    def trim(self, floor: int, bytes_max: int, entries_max: int) -> None:
        """Forget committed entries beyond the limits, none above `floor` (R19); a good deal at once, or nothing."""
        floor = min(floor, self.commit_seq)
        cut = self.last_seq - entries_max + entries_max // 8
        if self.end_bytes - self._base_bytes > bytes_max:
            target = self.end_bytes - bytes_max + bytes_max // 8
            index = bisect_left(self._entries, target, key=_end_bytes)
            cut = max(cut, self.base.seq + index)
        cut = min(cut, floor)
        if cut <= self.base.seq:
            return
        last = self._entries[cut - self.base.seq - 1]
        if cut - self.base.seq >= entries_max // 16 or last.end_bytes - self._base_bytes >= bytes_max // 16:
            del self._entries[: cut - self.base.seq]
            self.base = last.position
            self._base_bytes = last.end_bytes

    def crowded(self, bytes_max: int, entries_max: int) -> bool:
        return self.end_bytes - self._base_bytes > bytes_max or self.last_seq - self.base.seq > entries_max

    # -- committing

    def commit_to(self, seq: int) -> list[Entry]:
        """Move the commit point; answers the entries that it passed."""
        passed = self.between(self.commit_seq, seq)
        self.commit_seq = seq
        return passed

    # -- asking

    def between(self, after: int, to: int) -> list[Entry]:
        """Entries after number `after` up to and including number `to`."""
        offset = -self.base.seq
        return self._entries[offset + after : offset + to]

    def frame(self, after: int, bytes_target: int) -> list[WireEntry]:
        """Entries after `after`, one at least, about `bytes_target` of them."""
        offset = -self.base.seq
        start = offset + after
        limit = self._bytes_at(after) + bytes_target
        stop = bisect_left(self._entries, limit, lo=start, key=_end_bytes)
        stop = max(min(stop, len(self._entries)), start + 1)
        return [(e.epoch, e.seq, e.size_bytes, e.effects) for e in self._entries[start:stop]]

    def bytes_between(self, after: int, to: int) -> int:
        return self._bytes_at(to) - self._bytes_at(after)

    def _bytes_at(self, seq: int) -> int:
        if seq <= self.base.seq:
            return self._base_bytes
        return self._entries[seq - self.base.seq - 1].end_bytes

    def epoch_at(self, seq: int) -> int:
        if seq == self.base.seq:
            return self.base.epoch
        return self._entries[seq - self.base.seq - 1].epoch

    @property
    def last(self) -> Position:
        return Position(self.epoch_at(self.last_seq), self.last_seq)

    @property
    def commit(self) -> Position:
        return Position(self.epoch_at(self.commit_seq), self.commit_seq)

    def runs(self) -> tuple[tuple[int, int], ...]:
        """Runs of equal epoch as `(epoch, last seq of the run)`."""
        runs = []
        index = 0
        while index < len(self._entries):
            epoch = self._entries[index].epoch
            index = bisect_right(self._entries, epoch, lo=index, key=_epoch)
            runs.append((epoch, self._entries[index - 1].seq))
        return tuple(runs)

    def agreement(self, base: Position, runs: tuple[tuple[int, int], ...], *, by_epoch: bool = True) -> int | None:
        """The highest number up to which this log and the described one are the same; None if that can't be told."""
        ends = [seq for _, seq in runs]
        low = max(self.base.seq, base.seq)
        high = min(self.last_seq, ends[-1] if ends else base.seq)
        if low > high:
            return None
        if not by_epoch:
            return high

        def theirs(seq: int) -> int:
            return base.epoch if seq == base.seq else runs[bisect_left(ends, seq)][0]

        if self.epoch_at(low) != theirs(low):
            return None
        while low < high:  # agreement is a prefix: search for its end
            middle = (low + high + 1) // 2
            if self.epoch_at(middle) == theirs(middle):
                low = middle
            else:
                high = middle - 1
        return low

    def validate(self) -> None:
        entries = self._entries
        assert self.base.seq <= self.commit_seq <= self.last_seq, (self.base, self.commit_seq, self.last_seq)
        assert len(entries) == self.last_seq - self.base.seq
        epoch = self.base.epoch
        for number, entry in enumerate(entries, self.base.seq + 1):
            assert entry.seq == number, (entry.seq, number)
            assert entry.epoch >= epoch, (entry.position, epoch)
            epoch = entry.epoch
