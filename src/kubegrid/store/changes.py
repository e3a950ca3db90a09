"""Which records came and went since somebody last asked: what keeps a copy of a table in another shape up to date.

A copy (the columnar replica of a member, in `columns`) is brought up to date by leaving out the records that went and
adding those that came. Both are kept here by their versions, not by keys: no two records of a table have the same, so that
the sums are right whatever the reason of a change was: a write, a deletion, expiry, a log that is applied or taken back. A
row of a block that goes need not be looked at. Nothing is kept, and nothing is paid but one question for each record, until
`start`.

    state = (state when it was last asked, without `gone`) + rows of `blocks` without `dead` + `added`

In this order: a record that left and came back (a deposed primary takes back a deletion) is in `added` as well. A table
whose records all went at once begins anew, with another *generation*: then the state is what stands behind `gone` alone.

Rows that came as columns (`store.blocks`) are given as columns: a block that came since the last time is one entry of
`blocks`, however many rows it has, and only those of its rows that left are named, by their versions. That somebody touched
such a row, so that it is a record now, changes nothing: it has the same version.

To begin a copy: `start`, then `walk` over the keyspace in as many slices as are wanted, then `take` like ever after; a
`Walk` gives what was there before the start and is there still, `take` the rest. What is no longer kept track of when it
is asked for (its table was dropped, a cleared keyspace came back, too much changed) has to be begun again.

Pure: no clock, no thread. The hooks are in `tables` and `record_writes`. Next: `columns`.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kubegrid.store.records import Record

if TYPE_CHECKING:
    from kubegrid.store.blocks import Block
    from kubegrid.store.keyspace import Keyspace

RECORDS_MIN: Final = 50_000
"""So many changed records are kept of any table; above it, half as many as the table has."""
OTHERS_PER_RECORD: Final = 4
"""So many keys that hold no record are passed over in the time that one record takes: each is a miss of the cache."""
TAKEN_PER_RECORD: Final = 3
"""The same for noting places that were taken out of a block."""
TAKEN_AT_ONCE_MAX: Final = 5_000
"""Of rows that were taken out of blocks, so many are noted in one step."""


class Cold(NamedTuple):
    """The rows of a block that still were columns when somebody looked."""

    block: "Block"
    taken: Collection[int]
    """Places of the rows that were not: each of them is a record elsewhere, or gone. Does not change."""


class Met(NamedTuple):
    """What a step of a walk met of one table."""

    records: list[Record]
    blocks: list[Cold]
    """In the order of their versions, and before all records."""


class Captured(NamedTuple):
    """What changed in one table. Sets and lists are the caller's: nobody else refers to them."""

    added: dict[int, Record]
    """By version: records that are there now and were not at the last capture (or, of another generation, all that are)."""
    gone: set[int]
    """Versions of records that were there then."""
    generation: int
    blocks: list["Block"]
    """Those that came since, in the order of their versions; none of their rows is in `gone`."""
    dead: set[int]
    """Versions of rows of `blocks` that do not count: they left, or were records when the block came."""


class Delta:
    """What changed in one table since the last capture.

    Invariant (`validate`): every record of `added` is in the keyspace; one of `gone` is there only if it is in `added`; a
    row of `blocks` is there, and not in `added`, unless it is in `dead`.
    """

    __slots__ = ("added", "blocks", "dead", "firsts", "generation", "gone", "rows")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.added: dict[int, Record] = {}
        self.gone: set[int] = set()
        self.blocks: list[Block] = []
        self.firsts: list[int] = []
        """The version that each block begins with."""
        self.rows = 0
        """Of all blocks."""
        self.dead: set[int] = set()

    def enter_block(self, block: "Block") -> None:
        """A block came, with the rows that are not taken out of it already."""
        place = bisect_right(self.firsts, block.first)
        self.blocks.insert(place, block)
        self.firsts.insert(place, block.first)
        self.rows += block.size
        if block.taken:
            self.dead.update([block.first + taken for taken in block.taken])

    def has_in_block(self, version: int) -> bool:
        """Whether `blocks` without `dead` have this row. One that is dead from the beginning may have been there before."""
        place = bisect_right(self.firsts, version) - 1
        return place >= 0 and version < self.firsts[place] + self.blocks[place].size and version not in self.dead

    def enter(self, record: Record) -> None:
        self.added[record.version] = record

    def leave(self, versions: Sequence[int]) -> None:
        """Records of these versions went."""
        added = self.added
        if added:
            versions = [version for version in versions if added.pop(version, None) is None]
        if self.blocks:
            dead = {version for version in versions if self.has_in_block(version)}
            if dead:
                self.dead |= dead
                versions = [version for version in versions if version not in dead]
        self.gone.update(versions)

    def take(self) -> Captured:
        """Everything since the last time; begin again with nothing."""
        captured = Captured(self.added, self.gone, self.generation, self.blocks, self.dead)
        self.added, self.gone, self.dead = {}, set(), set()
        self.blocks, self.firsts, self.rows = [], [], 0
        return captured

    @property
    def waiting(self) -> int:
        """Changed records that the next `take` has to give. Rows of blocks are not counted: they cost next to nothing."""
        return len(self.added) + len(self.gone) + len(self.dead)

    def garbage(self) -> list[Any]:
        """What there is to be freed in slices."""
        return [self.added, self.gone, self.dead, dict(enumerate(self.blocks))]

    def validate(self, records: list[Record]) -> None:
        """Check the invariant against all records of the table, those that are rows of blocks among them (tests)."""
        there = {record.version: record for record in records}
        assert self.added.items() <= there.items(), self.added.keys() - there.keys()
        assert self.gone & there.keys() <= self.added.keys(), self.gone & there.keys() - self.added.keys()
        assert self.firsts == sorted(block.first for block in self.blocks)
        assert self.rows == sum(block.size for block in self.blocks)
        in_blocks = {block.first + place for block in self.blocks for place in range(block.size)}
        assert self.dead <= in_blocks
        others = there.keys() - self.added.keys()
        assert in_blocks - self.dead <= others, "a row of a block that is not there"


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
                keyspace.garbage += delta.garbage()

    def take(self, numbers: Iterable[int] | None = None) -> dict[int, Captured]:
        """What changed since the last time, of these tables or all; one that is missing is not kept track of."""
        captured = {}
        for number in list(self.deltas) if numbers is None else numbers:
            delta = self.deltas.get(number)
            if delta is not None:
                captured[number] = delta.take()
        return captured

    def waiting(self, number: int) -> int:
        """How many changed records the next `take` has to give for a table, beside rows of blocks."""
        delta = self.deltas.get(number)
        return 0 if delta is None else delta.waiting

    def waiting_in_blocks(self, number: int) -> int:
        """How many rows the blocks have that the next `take` gives for a table."""
        delta = self.deltas.get(number)
        return 0 if delta is None else delta.rows

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
        return [one for delta in dropped for one in delta.garbage()]

    def everything_went(self, garbage: deque[Any]) -> None:
        """No record is left of any table."""
        for number, delta in self.deltas.items():
            garbage += delta.garbage()
            self.deltas[number] = self._anew()

    def _anew(self) -> Delta:
        self._generation += 1
        return Delta(self._generation)


class Walk:
    """A way through the keyspace that meets every record that was there when its tables' tracking started and still is.

    Some of those that it met may leave afterwards: they are in `gone`. A record that came since the start is left out:
    `take` has it, and must not be called for these tables before the walk is over. `generations` are those of the
    beginning: what was met of a table counts only if `take` gives the same.

    Blocks come first: each as it is when its turn comes, without the rows that were taken out of it until then. Whatever
    happened to these before, they are records by now, which the way through the slots meets, or gone. If every row of a
    table is in its blocks, and few were ever taken out, all is noted at the start, and the slots are not looked at.
    """

    def __init__(self, keyspace: "Keyspace", numbers: Iterable[int]) -> None:
        """The tables have to be kept track of already."""
        deltas = keyspace.tables.changes.deltas
        self.generations = {number: deltas[number].generation for number in numbers if number in deltas}
        self._steps = _Way(keyspace, self.generations).steps()
        self.done = False
        next(self._steps)

    def step(self, budget: int) -> dict[int, Met]:
        """Look at about `budget` keys; what was met, by table. `done` says whether it was the last step."""
        try:
            return self._steps.send(budget)
        except StopIteration as end:
            self.done = True
            return end.value or {}


class _Way:
    """What a walk knows of its tables."""

    def __init__(self, keyspace: "Keyspace", generations: dict[int, int]) -> None:
        self.keyspace = keyspace
        self.deltas = keyspace.tables.changes.deltas
        self.generations = generations
        self.blocks: list[tuple[int, Block]] = []
        """Table and block, still to be given."""
        self.given: dict[int, list[Cold]] = {number: [] for number in generations}
        self.firsts: dict[int, list[int]] = {number: [] for number in generations}
        """The versions that the given ones begin with, in order."""
        self.heads: dict[bytes, int] = {}
        """How records of the tables begin of which there are records in the slots."""
        self.met: dict[int, Met] = {}
        for number in generations:
            self._begin(number)

    def _begin(self, number: int) -> None:
        delta = self.deltas[number]
        there = self.keyspace.blocks.of_table(number)
        rows = taken = 0
        for block in there:
            rows += block.size
            taken += len(block.taken)
        came = set(delta.firsts)
        old = sorted([block for block in there if block.first not in came], key=lambda block: block.first)
        if self.keyspace.tables.counts.get(number, 0) == rows - taken and taken <= TAKEN_AT_ONCE_MAX:
            for block in old:
                self._give(number, block)
        else:
            self.heads[number.to_bytes(4)] = number
            self.blocks += [(number, block) for block in old]

    def _give(self, number: int, block: "Block") -> None:
        cold = Cold(block, frozenset(block.taken))
        if len(cold.taken) < block.size:
            self.given[number].append(cold)
            self.firsts[number].append(block.first)
            self._met(number).blocks.append(cold)

    def _met(self, number: int) -> Met:
        met = self.met.get(number)
        if met is None:
            met = self.met[number] = Met([], [])
        return met

    def _handed_over(self) -> dict[int, Met]:
        met, self.met = self.met, {}
        return met

    def steps(self) -> Generator[dict[int, Met], int, dict[int, Met]]:
        budget = yield {}
        left = budget
        for number, block in self.blocks:
            left -= 1 + len(block.taken) // TAKEN_PER_RECORD
            self._give(number, block)
            if left <= 0:
                budget = yield self._handed_over()
                left = budget
        if not self.heads:
            return self._handed_over()
        keyspace = self.keyspace
        for slot in keyspace.owned:
            left -= slot % 16 == 0  # an empty slot costs next to nothing beside a key
            values = keyspace.slots[slot]
            found = _records_of(values) if values and len(values) <= OTHERS_PER_RECORD * left else None
            if values and found is not None and len(found) <= budget:
                left -= 1 + len(values) // OTHERS_PER_RECORD + len(found)
                self._sort_out(found)
            elif values:
                # Keys stay listed over several steps; what they hold is looked up anew in each.
                keys = list(values)
                for start in range(0, len(keys), budget):
                    now = keyspace.slots[slot] or {}
                    self._sort_out(_records_of({key: now.get(key) for key in keys[start : start + budget]}))
                    left = 0
                    if start + budget < len(keys):
                        budget = yield self._handed_over()
            if left <= 0:
                budget = yield self._handed_over()
                left = budget
        return self._handed_over()

    def _sort_out(self, records: list[Record]) -> None:
        for record in records:
            number = self.heads.get(record[:4])
            if number is not None:
                delta = self.deltas.get(number)
                if (
                    delta is not None
                    and delta.generation == self.generations[number]
                    and (version := record.version) not in delta.added
                    and not (delta.blocks and delta.has_in_block(version))
                    and not (self.firsts[number] and self._was_given(number, version))
                ):
                    self._met(number).records.append(record)

    def _was_given(self, number: int, version: int) -> bool:
        """As a row of a block: it was touched since."""
        place = bisect_right(self.firsts[number], version) - 1
        if place < 0:
            return False
        block, taken = self.given[number][place]
        return version < block.first + block.size and version - block.first not in taken


def _records_of(values: dict[bytes, Any]) -> list[Record]:
    return [value for value in values.values() if type(value) is Record]
