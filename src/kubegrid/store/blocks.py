"""Rows that came as columns and were not touched since: they stay Arrow, in blocks, and are found by their versions.

A row of a block is *cold*: in the place of its `Record` its key's slot holds an integer, the row's version. Versions of a
block follow each other, so a version says which block a row is of and where in it, on every member alike. Whoever touches
a row *thaws* it (`cold_rows`): its record takes the integer's place, and the block has one row less that counts. A block
without cold rows is dropped.

Columnar bases with a row-wise place for what changes are as old as C-Store (Stonebraker et al., 2005); here the base is
whatever was loaded, and a row leaves it for good. Pure, and without Arrow until a row is looked at: a member that has no
blocks does not load it. Next: `cold_rows`; blocks come in by `row_blocks`.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import msgspec

from kubegrid.base.tables import Column, TableDefinition
from kubegrid.store.records import HEADER, Record

if TYPE_CHECKING:
    import pyarrow as pa

    from kubegrid.wire.arrow_blocks import BlockRows

FEW: Final = 96
"""So few rows of a block are made one by one, at 8 to 15 µs; for more the columns are packed in C, in calls of a millisecond."""
ROW_UNITS: Final = 7
"""What making a record of one row costs of a turn, whose unit is a plain GET (`node.turn`)."""
VALUES_PER_UNIT: Final = 2
"""A wide row costs more: so many of its values a unit."""
OPENING_UNITS: Final = 150
"""What it costs to come by a block's columns, before its first row is read: 0.1 to 0.4 ms."""
MANY_UNITS: Final = 3
"""What making the record of a row, one of many, costs of a slice, where looking at a key costs 1."""
VALUES_PER_UNIT_OF_MANY: Final = 4


class Block:
    """The rows of one batch. All but `taken` is immutable, and may be read in any thread.

    Invariant (`Blocks.validate`): a place is in `taken`, or exactly one key has its version in the place of a value.
    """

    def __init__(
        self, number: int, first: int, size: int, data: bytes, rows: "BlockRows", taken: Iterable[int] = ()
    ) -> None:
        self.number = number
        """Of the table."""
        self.first = first
        """The version of the row at place 0."""
        self.size = size
        """How many rows came."""
        self.data = data
        """The settled columns, as `wire.arrow_blocks.encode_columns` made them."""
        self.rows = rows
        self.taken: set[int] = set(taken)
        """Places whose rows are not here any more: read, changed, or removed."""

    @cached_property
    def columns(self) -> "pa.RecordBatch":
        """All rows that came, whether taken or not. Refers to `data`."""
        from kubegrid.wire.arrow_blocks import decode_columns

        return decode_columns(self.data)

    @cached_property
    def _row_at(self) -> Callable[[int], bytes]:
        """The packed row at a place."""
        return self.rows.reader(self.columns)

    @property
    def is_open(self) -> bool:
        """Whether a row of it was read before."""
        return "_row_at" in self.__dict__

    @property
    def cost(self) -> int:
        """Counted bytes, beyond those of the keys."""
        return len(self.data)

    @property
    def units(self) -> int:
        """What making a record of one row costs of a turn now."""
        row = max(ROW_UNITS, self.width // VALUES_PER_UNIT)
        return row if self.is_open else row + max(OPENING_UNITS, self.width)

    @property
    def units_of_many(self) -> int:
        """What the record of each row costs of a slice in which many are made."""
        return max(MANY_UNITS, self.width // VALUES_PER_UNIT_OF_MANY)

    @property
    def width(self) -> int:
        """How many columns the table had when the rows came; one that was added later is not in them."""
        return len(self.rows.definition.columns)

    @property
    def end(self) -> int:
        """The version behind those of the rows."""
        return self.first + self.size

    def cold(self, start: int = 0, stop: int | None = None) -> list[int]:
        """The places that are not taken, in order."""
        places = range(self.size)[start:stop]
        return [place for place in places if place not in self.taken] if self.taken else list(places)

    def record(self, version: int) -> Record:
        """The record that the row of this version is."""
        return Record(HEADER.pack(self.number, version) + self._row_at(version - self.first))

    def records(self, places: Sequence[int]) -> list[Record]:
        """The same for many, by places."""
        first, number = self.first, self.number
        if len(places) <= FEW:
            return [self.record(first + place) for place in places]
        packed = self.rows.rows(self.columns, None if len(places) == self.size else places)
        head = HEADER.pack
        return [Record(head(number, first + place) + row) for place, row in zip(places, packed, strict=True)]

    def projection(self, wanted: Sequence[Column]) -> Callable[[int], tuple[Any, ...]]:
        """A function from a place to the values of a few columns of the table as it is now, without making the row."""
        from kubegrid.wire.arrow_blocks import projection

        return projection(self.columns, wanted)

    def keys(self, places: Sequence[int]) -> tuple[list[bytes], list[int]]:
        """The keys of the rows at these places, and their slots: spelt again from the columns."""
        if len(places) == self.size:
            return self.rows.keys(self.columns)
        from kubegrid.wire.arrow_packing import int32_array

        return self.rows.keys(self.columns.take(int32_array(places)))


class Scan:
    """Somebody who looks at blocks first and at slots later, and must not see a row twice that left its block meanwhile.

    `keys` are those of rows below the version `reached` that left since: they were looked at already.
    """

    __slots__ = ("keys", "reached")

    def __init__(self) -> None:
        self.reached = 0
        self.keys: set[bytes] = set()


class Blocks:
    """The blocks of one member.

    Invariant (`validate`): `firsts` has the keys of `by_first` in order; versions of two blocks do not overlap; each
    block has a row that is cold.
    """

    def __init__(self) -> None:
        self.by_first: dict[int, Block] = {}
        self.firsts: list[int] = []
        self.worn: list[Block] = []
        """Blocks of which more than half was taken, to be thawed by and by; some may be dropped already."""
        self.scans: list[Scan] = []
        self._rows: WeakValueDictionary[tuple[int, int], BlockRows] = WeakValueDictionary()

    def __iter__(self) -> Iterator[Block]:
        """In the order of versions. Blocks must not come or go meanwhile."""
        return map(self.by_first.__getitem__, self.firsts)

    def of(self, version: int) -> Block:
        """The block that has the row of this version."""
        return self.by_first[self.firsts[bisect_right(self.firsts, version) - 1]]

    def of_table(self, number: int) -> list[Block]:
        """In the order of versions."""
        return [block for block in self if block.number == number]

    def overlap(self, first: int, size: int) -> bool:
        """Whether some block has one of these versions."""
        behind = bisect_left(self.firsts, first + size)
        return behind > 0 and self.by_first[self.firsts[behind - 1]].end > first

    def has(self, block: Block) -> bool:
        """Whether the block is here (still)."""
        return self.by_first.get(block.first) is block

    def record(self, version: int) -> Record:
        """The record of a cold row, which stays cold."""
        return self.of(version).record(version)

    def enter(self, block: Block) -> None:
        """A block came, or came back; its versions are no other block's."""
        if not self.firsts or block.first > self.firsts[-1]:
            self.firsts.append(block.first)
        else:
            self.firsts.insert(bisect_left(self.firsts, block.first), block.first)
        self.by_first[block.first] = block
        if len(block.taken) > block.size // 2:
            self.worn.append(block)

    def take(self, block: Block, versions: Sequence[int], keys: Sequence[bytes]) -> int:
        """These rows of it are cold no more. How many bytes the block had, if they were its last and it is dropped."""
        taken, first, half = block.taken, block.first, block.size // 2
        before = len(taken)
        taken.update([version - first for version in versions])
        for scan in self.scans:
            scan.keys.update([key for key, version in zip(keys, versions, strict=True) if version < scan.reached])
        if len(taken) == block.size:
            self._drop(block)
            return block.cost
        if before <= half < len(taken):
            self.worn.append(block)
        return 0

    def _drop(self, block: Block) -> None:
        del self.by_first[block.first]
        del self.firsts[bisect_left(self.firsts, block.first)]

    def rows_of(self, definition: TableDefinition, width: int) -> "BlockRows":
        """What makes rows of columns that came when the table had its first `width` columns only."""
        rows = self._rows.get((definition.id, width))
        if rows is None:
            from kubegrid.wire.arrow_blocks import BlockRows

            then = msgspec.structs.replace(definition, columns=definition.columns[:width])
            rows = self._rows[definition.id, width] = BlockRows(then)
        return rows

    @contextmanager
    def scan(self) -> Iterator[Scan]:
        """Note which rows leave blocks after they were looked at."""
        scan = Scan()
        self.scans.append(scan)
        try:
            yield scan
        finally:
            self.scans.remove(scan)

    # -- everything goes, and comes back -------------------------------------------------------------------------

    def contents(self) -> tuple[dict[int, Block], list[int], list[Block]]:
        """What `clear` throws away, by reference."""
        return self.by_first, self.firsts, self.worn

    def put_back(self, contents: tuple[dict[int, Block], list[int], list[Block]]) -> set[int]:
        """Undo `clear`; the identities of what must not be freed."""
        self.by_first, self.firsts, self.worn = contents
        return {id(self.by_first)}

    def clear(self, garbage: deque[Any]) -> None:
        """No block is left."""
        if self.by_first:
            garbage.append(self.by_first)
        self.by_first, self.firsts, self.worn = {}, [], []

    # -- tests ---------------------------------------------------------------------------------------------------

    def validate(self, versions: list[int]) -> None:
        """Check the invariants against all versions that stand in the place of values."""
        assert self.firsts == sorted(self.by_first)
        last = 0
        for block in self:
            assert block.first > last
            last = block.end - 1
            assert len(block.taken) < block.size
            assert block.taken <= set(range(block.size))
            assert 2 * len(block.taken) <= block.size or block in self.worn
        expected = [block.first + place for block in self for place in block.cold()]
        assert sorted(versions) == expected, (sorted(versions), expected)
