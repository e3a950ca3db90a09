"""Indexes of tables: from the values of some columns to the records that have them, oldest last change first.

A `Record` begins with its table's number and its version, both big-endian, so records of one table compare as their
versions do: a list of them in ascending order is the order of their last changes, and an index entry is one reference.
What holds the records of one value grows with their number: the record itself, a list, `Chunks`.

A *hash* index finds equal values; an *ordered* one keeps its distinct values sorted as well (`sortedcontainers`) and so
finds ranges. NULL and NaN are given a place at the end of the order, where DuckDB and PostgreSQL put them.

While `building` an index of records that were there before it, records that change meanwhile are entered or removed as
always, so building may enter what is entered already, and removing may find nothing. Not here: which records exist
(`tables`), and what a predicate needs (`commands_find`).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

from sortedcontainers import SortedList

from kubegrid.store.memory import INDEX_ENTRY_BYTES, INDEX_VALUE_BYTES
from kubegrid.store.records import Record

LIST_MAX: Final = 1024
"""Records of one value in a plain list: beyond it, taking out the first would move too much."""
CHUNK_MAX: Final = 2048

_first = itemgetter(0)


class _Beyond:
    """A value after all others of its column."""

    __slots__ = ("name", "rank")

    def __init__(self, rank: int, name: str) -> None:
        self.rank = rank
        self.name = name

    def __lt__(self, other: Any) -> bool:
        return type(other) is _Beyond and self.rank < other.rank

    def __gt__(self, other: Any) -> bool:
        return type(other) is not _Beyond or self.rank > other.rank

    def __le__(self, other: Any) -> bool:
        return self is other or self < other

    def __ge__(self, other: Any) -> bool:
        return self is other or self > other

    def __repr__(self) -> str:
        return self.name


NAN: Final = _Beyond(1, "NaN")
NULL: Final = _Beyond(2, "NULL")
TOP: Final = _Beyond(3, "TOP")
"""After everything that a column can hold: only to look up ranges."""


def place_of(value: Any) -> Any:
    """What stands for a column's value in an index."""
    if value is None:
        return NULL
    return value if value == value else NAN


class Chunks:
    """Many records in ascending order: a list of lists. Invariant: none is empty, and each ends before the next begins."""

    __slots__ = ("lists", "size")

    def __init__(self, records: list[Record]) -> None:
        self.lists = [records]
        self.size = len(records)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Record]:
        for chunk in self.lists:
            yield from chunk

    def all(self) -> list[Record]:
        found: list[Record] = []
        for chunk in self.lists:
            found += chunk
        return found

    def add(self, record: Record) -> None:
        lists = self.lists
        last = lists[-1]
        self.size += 1
        if record > last[-1]:
            if len(last) < LIST_MAX:
                last.append(record)
            else:
                lists.append([record])
            return
        place = max(0, bisect_right(lists, record, key=_first) - 1)
        chunk = lists[place]
        insort(chunk, record)
        if len(chunk) > CHUNK_MAX:
            lists.insert(place + 1, chunk[LIST_MAX:])
            del chunk[LIST_MAX:]

    def remove(self, record: Record) -> bool:
        lists = self.lists
        place = max(0, bisect_right(lists, record, key=_first) - 1)
        chunk = lists[place]
        if not _take_out(chunk, record):
            return False
        if not chunk:
            del lists[place]
        self.size -= 1
        return True

    def holds(self, record: Record) -> bool:
        return _holds(self.lists[max(0, bisect_right(self.lists, record, key=_first) - 1)], record)


Bucket = Record | list[Record] | Chunks


def _take_out(records: list[Record], record: Record) -> bool:
    if records[0] is record:  # the oldest, as KG.TAKE and writing the same rows again in the same order have it
        del records[0]
        return True
    place = bisect_left(records, record)
    if place == len(records) or records[place] != record:
        return False
    del records[place]
    return True


def _holds(records: list[Record], record: Record) -> bool:
    place = bisect_left(records, record)
    return place < len(records) and records[place] == record


class Index:
    """One index of one table.

    Invariant: unless `building`, each record of the table is in the bucket of its value, once, buckets are in ascending
    order and never empty; `cost_bytes` is what its entries and values are counted as; `order` has each value once.
    """

    __slots__ = ("buckets", "building", "columns", "cost_bytes", "order", "ordered", "place")

    def __init__(self, columns: Sequence[int], ordered: bool) -> None:
        """`columns` are the positions of its columns in the table's rows."""
        self.columns = tuple(columns)
        self.ordered = ordered
        self.building = False
        self.buckets: dict[Any, Bucket] = {}
        self.order: Any = SortedList() if ordered else None
        self.cost_bytes = 0
        self.place = placer(self.columns)
        """Where a row with these values belongs."""

    def add(self, place: Any, record: Record) -> int:
        """Enter a record; by how many bytes the index grew."""
        return self.add_many((place,), (record,))

    def add_many(self, places: Iterable[Any], records: Iterable[Record]) -> int:
        """Enter records at these places; by how many bytes the index grew. **Hot path** of writing records."""
        buckets = self.buckets
        get = buckets.get
        grown = 0
        building = self.building
        for place, record in zip(places, records, strict=True):
            bucket = get(place)
            if bucket is None:
                buckets[place] = record
                grown += INDEX_VALUE_BYTES + INDEX_ENTRY_BYTES + _size_of(place)
                if self.order is not None:
                    self.order.add(place)
                continue
            if building and _is_in(bucket, record):
                continue
            grown += INDEX_ENTRY_BYTES
            if type(bucket) is list:
                if record > bucket[-1]:
                    bucket.append(record)
                else:
                    insort(bucket, record)
                if len(bucket) > LIST_MAX:
                    buckets[place] = Chunks(bucket)
            elif type(bucket) is Chunks:
                bucket.add(record)
            else:
                buckets[place] = [bucket, record] if bucket < record else [record, bucket]  # type: ignore[list-item,operator]
        self.cost_bytes += grown
        return grown

    def remove(self, place: Any, record: Record) -> int:
        """Take a record out; by how many bytes the index shrank."""
        bucket = self.buckets.get(place)
        if bucket is None:
            assert self.building, f"{place!r} is not in the index"
            return 0
        if type(bucket) is list:
            found, left = _take_out(bucket, record), len(bucket)
        elif type(bucket) is Chunks:
            found, left = bucket.remove(record), bucket.size
        else:
            found, left = bucket == record, 0
        if not found:
            assert self.building, f"{place!r} does not have this record in the index"
            return 0
        shrunk = INDEX_ENTRY_BYTES
        if not left:
            del self.buckets[place]
            shrunk += INDEX_VALUE_BYTES + _size_of(place)
            if self.order is not None:
                self.order.remove(place)
        self.cost_bytes -= shrunk
        return shrunk

    def exchange(self, place: Any, copy: Record) -> None:
        """Refer to this copy instead of the equal record that is here; nothing to do if none is."""
        bucket = self.buckets.get(place)
        if type(bucket) is Chunks:
            bucket = bucket.lists[max(0, bisect_right(bucket.lists, copy, key=_first) - 1)]
        if type(bucket) is list:
            at = bisect_left(bucket, copy)
            if at < len(bucket) and bucket[at] == copy:
                bucket[at] = copy
        elif bucket == copy:
            self.buckets[place] = copy

    def equal(self, place: Any) -> "list[Record] | Chunks":
        """The records of one value, oldest last change first. Not to be kept: it goes on changing."""
        bucket = self.buckets.get(place)
        if bucket is None:
            return []
        return [bucket] if type(bucket) is Record else bucket  # type: ignore[return-value]

    def clear(self) -> dict[Any, Bucket]:
        """Forget everything at once; what it held, to be freed in slices."""
        thrown_away = self.buckets
        self.buckets = {}
        if self.order is not None:
            self.order = SortedList()
        self.cost_bytes = 0
        return thrown_away

    def contents(self) -> tuple[Any, ...]:
        """What `clear` throws away, by reference, for `put_back`."""
        return self.buckets, self.order, self.cost_bytes, self.building

    def put_back(self, contents: tuple[Any, ...]) -> None:
        self.buckets, self.order, self.cost_bytes, self.building = contents

    def recount(self) -> dict[Any, list[Record]]:
        """Everything in it, with the invariant checked as far as the index alone can tell (tests)."""
        found: dict[Any, list[Record]] = {}
        cost = 0
        for place in self.buckets:
            records = list(self.equal(place))
            assert records, f"{place!r} has no records"
            assert all(a < b for a, b in pairwise(records)), f"{place!r} is not in order"
            bucket = self.buckets[place]
            if type(bucket) is Chunks:
                assert all(bucket.lists), f"{place!r} has an empty chunk"
                assert bucket.size == len(records)
            cost += INDEX_VALUE_BYTES + _size_of(place) + INDEX_ENTRY_BYTES * len(records)
            found[place] = records
        assert cost == self.cost_bytes, (cost, self.cost_bytes)
        assert self.order is None or (len(self.order) == len(found) and all(place in found for place in self.order))
        return found


def _is_in(bucket: Bucket, record: Record) -> bool:
    if type(bucket) is list:
        return _holds(bucket, record)
    if type(bucket) is Chunks:
        return bucket.holds(record)
    return bucket == record


def _size_of(place: Any) -> int:
    """Counted bytes of a value, beyond those of any value."""
    kind = type(place)
    if kind is str or kind is bytes:
        return len(place)
    return 32 + sum(_size_of(part) for part in place) if kind is tuple else 0


def placer(columns: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
    """A function from values to what stands for those of `columns` in an index."""
    if len(columns) == 1:
        column = columns[0]

        def single(row: Sequence[Any]) -> Any:
            value = row[column]
            return value if value == value and value is not None else place_of(value)

        return single

    def several(row: Sequence[Any]) -> Any:
        return tuple([place_of(row[column]) for column in columns])

    return several
