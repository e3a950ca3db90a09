"""Which records came and went since somebody last asked: what keeps a copy of a table in another shape up to date.

A copy (the columnar replica of a member, in `columns`) is brought up to date by leaving out the records that went and
adding those that came. Both are kept here as the records themselves, not as keys: a record's version makes its bytes
unique, so that the sums are right whatever the reason of a change was: a write, a deletion, expiry, a log that is applied
or taken back. Nothing is kept, and nothing is paid but one question for each record, until `start`.

    state = (state when it was last asked, without `gone`) + `added`

In this order: a record that left and came back (a deposed primary takes back a deletion) is in both. A table whose
records all went at once begins anew, with another *generation*: then the state is `added` alone.

To begin a copy: `start`, then `walk` over the keyspace in as many slices as are wanted, then `take` like ever after; a
`Walk` gives what was there before the start and is there still, `take` the rest. What is no longer kept track of when it
is asked for (its table was dropped, a cleared keyspace came back, too much changed) has to be begun again.

Pure: no clock, no thread. The hooks are in `tables` and `record_writes`. Next: `columns`.
"""

from collections import deque
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kubegrid.store.records import Record

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace

RECORDS_MIN: Final = 50_000
"""So many changed records are kept of any table; above it, half as many as the table has."""


class Captured(NamedTuple):
    """What changed in one table. The sets are the caller's: nobody else refers to them."""

    added: set[Record]
    """Records that are there now and were not at the last capture (or, of another generation, all that are there)."""
    gone: set[Record]
    """Records that were there then. Their versions name them: no two records of a table have the same."""
    generation: int


class Delta:
    """What changed in one table since the last capture.

    Invariant (`validate`): every record of `added` is in the keyspace; one of `gone` is there only if it is in `added`.
    """

    __slots__ = ("added", "generation", "gone")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.added: set[Record] = set()
        self.gone: set[Record] = set()

    def leave(self, record: Record) -> None:
        if record in self.added:
            self.added.discard(record)
        else:
            self.gone.add(record)

    def leave_many(self, records: list[Record]) -> None:
        both = self.added.intersection(records)
        if both:
            self.added -= both
            self.gone.update([record for record in records if record not in both])
        else:
            self.gone.update(records)

    def validate(self, records: list[Record]) -> None:
        """Check the invariant against all records of the table (tests)."""
        there = set(records)
        assert self.added <= there, self.added - there
        assert self.gone & there <= self.added, self.gone & there - self.added


class Changes:
    """The deltas of the tables that somebody keeps a copy of, by the tables' numbers."""

    def __init__(self) -> None:
        self.deltas: dict[int, Delta] = {}
        """Empty as long as nobody asked. The hooks look here."""
        self._generation = 0

    def start(self, keyspace: "Keyspace", numbers: Iterable[int]) -> None:
        """From now on keep track of these tables; those that are kept track of already, or do not exist, are left."""
        for number in numbers:
            if number not in self.deltas and number in keyspace.tables.by_id:
                self.deltas[number] = self._anew()

    def stop(self, keyspace: "Keyspace", numbers: Iterable[int] | None = None) -> None:
        """Forget about these tables, or about all."""
        for number in list(self.deltas) if numbers is None else numbers:
            delta = self.deltas.pop(number, None)
            if delta is not None:
                keyspace.garbage += (delta.added, delta.gone)

    def take(self, numbers: Iterable[int] | None = None) -> dict[int, Captured]:
        """What changed since the last time, of these tables or all; one that is missing is not kept track of."""
        captured = {}
        for number in list(self.deltas) if numbers is None else numbers:
            delta = self.deltas.get(number)
            if delta is not None:
                captured[number] = Captured(delta.added, delta.gone, delta.generation)
                delta.added = set()
                delta.gone = set()
        return captured

    def waiting(self, number: int) -> int:
        """How many changed records the next `take` has to give for a table."""
        delta = self.deltas.get(number)
        return 0 if delta is None else len(delta.added) + len(delta.gone)

    def trim(self, keyspace: "Keyspace") -> list[int]:
        """Forget about tables of which so much changed that a new copy costs no more; which they were."""
        counts = keyspace.tables.counts
        outgrown = [
            number for number in self.deltas if self.waiting(number) > max(RECORDS_MIN, counts.get(number, 0) // 2)
        ]
        self.stop(keyspace, outgrown)
        return outgrown

    # -- what the store says -------------------------------------------------------------------------------------

    def keep_only(self, numbers: Iterable[int]) -> list[Any]:
        """The catalog changed: these are the tables. What was kept of others, to be freed in slices."""
        dropped = [self.deltas.pop(number) for number in set(self.deltas).difference(numbers)]
        return [one for delta in dropped for one in (delta.added, delta.gone)]

    def everything_went(self, garbage: deque[Any]) -> None:
        """No record is left of any table."""
        for number, delta in self.deltas.items():
            garbage += (delta.added, delta.gone)
            self.deltas[number] = self._anew()

    def _anew(self) -> Delta:
        self._generation += 1
        return Delta(self._generation)


class Walk:
    """A way through the keyspace that meets every record that was there when its tables' tracking started and still is.

    Some of those that it met may leave afterwards: they are in `gone`. A record that came since the start is left out:
    `take` has it, and must not be called for these tables before the walk is over. `generations` are those of the
    beginning: what was met of a table counts only if `take` gives the same.
    """

    def __init__(self, keyspace: "Keyspace", numbers: Iterable[int]) -> None:
        """The tables have to be kept track of already."""
        deltas = keyspace.tables.changes.deltas
        self.generations = {number: deltas[number].generation for number in numbers if number in deltas}
        self._steps = _walk(keyspace, dict(self.generations))
        self.done = False
        next(self._steps)

    def step(self, budget: int) -> dict[int, list[Record]]:
        """Look at about `budget` keys; the records met, by table. `done` says whether it was the last step."""
        try:
            return self._steps.send(budget)
        except StopIteration as end:
            self.done = True
            return end.value or {}


Met = dict[int, list[Record]]


def _walk(keyspace: "Keyspace", generations: dict[int, int]) -> Generator[Met, int, Met]:
    deltas = keyspace.tables.changes.deltas
    heads = {number.to_bytes(4): number for number in generations}
    met: Met = {}
    budget = yield met
    left = budget
    for slot in keyspace.owned:
        left -= slot % 16 == 0  # an empty slot costs next to nothing beside a key
        values = keyspace.slots[slot]
        if values and len(values) <= left:
            left -= len(values)
            _sort_out(values.values(), heads, generations, deltas, met)
        elif values:
            # Keys stay listed over several steps; what they hold is looked up anew in each.
            keys = list(values)
            for start in range(0, len(keys), budget):
                now = keyspace.slots[slot] or {}
                found = [now.get(key) for key in keys[start : start + budget]]
                _sort_out(found, heads, generations, deltas, met)
                left = 0
                if start + budget < len(keys):
                    budget = yield met
                    met = {}
        if left <= 0:
            budget = yield met
            met = {}
            left = budget
    return met


def _sort_out(
    values: Iterable[Any], heads: dict[bytes, int], generations: dict[int, int], deltas: dict[int, Delta], met: Met
) -> None:
    for value in values:
        if type(value) is Record:
            number = heads.get(value[:4])
            if number is not None:
                delta = deltas.get(number)
                if delta is not None and delta.generation == generations[number] and value not in delta.added:
                    met.setdefault(number, []).append(value)
