"""Which records a predicate can be true of: those that the best of a table's indexes gives, or all.

A predicate's bounds are necessary, not sufficient, so whoever gets candidates asks the predicate of each. An index is of
use when the conditions bound its first column: a hash index when each of its columns has to equal something, an ordered
one when some leading columns do, and the next lies in a range. The index with the fewest candidates is taken; one with
more than `CANDIDATES_MAX`, or that is still being built, is none, and then all records are looked at, in slices.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, Final

from kubegrid.sql.bounds import Bounds
from kubegrid.sql.predicate import Predicate
from kubegrid.store.indexes import NULL, TOP, Chunks, Index, place_of
from kubegrid.store.records import Record
from kubegrid.store.tables import Table

CANDIDATES_MAX: Final = 100_000
"""References to so many records are copied in about a millisecond."""
VALUES_MAX: Final = 10_000
"""Values of an index that one question looks up or walks through: some milliseconds."""

Bucket = list[Record] | Chunks


def buckets_for(table: Table, predicate: Predicate) -> list[Bucket] | None:
    """The records of each value that the best index gives, in ascending order of versions; None: no index helps."""
    best: list[Bucket] | None = None
    fewest = CANDIDATES_MAX + 1
    bounds = predicate.bounds
    if not bounds:
        return None
    names = table.definition.names
    for index in table.indexes:
        if index.building:
            continue
        places = _places(index, [bounds.get(names[column]) for column in index.columns])
        if places is None:
            continue
        found = _gathered(index, places, fewest)
        if found is not None:
            best = found
            fewest = sum(map(len, found))
    return best


def _gathered(index: Index, places: Iterable[Any], limit: int) -> list[Bucket] | None:
    """The buckets at these places, or None if they have `limit` records or more, or are too many."""
    found: list[Bucket] = []
    records = 0
    for looked, place in enumerate(places):
        bucket = index.equal(place)
        if bucket:
            found.append(bucket)
            records += len(bucket)
        if records >= limit or looked >= VALUES_MAX:
            return None
    return found


def _places(index: Index, bounds: list[Bounds | None]) -> Iterable[Any] | None:
    """Where in the index to look; None: it is of no use."""
    equal: list[tuple[Any, ...]] = []
    for bound in bounds:
        if bound is None or bound.equal is None:
            break
        equal.append(tuple(map(place_of, bound.equal)))
    count = 1
    for values in equal:
        count *= len(values)
    if count > VALUES_MAX:
        return None
    if len(equal) == len(bounds):
        return equal[0] if len(equal) == 1 else product(*equal)
    if not index.ordered:
        return None
    limits = bounds[len(equal)]
    if limits is None and not equal:
        return None
    if len(bounds) == 1:
        assert limits is not None
        return _single_range(index, limits)
    return _composite_ranges(index, list(product(*equal)), limits)


def _single_range(index: Index, limits: Bounds) -> Iterator[Any]:
    # Without an upper limit everything follows but NULL, NaN among it.
    high, inclusive = (NULL, False) if limits.high is None else (limits.high, limits.high_inclusive)
    found: Iterator[Any] = index.order.irange(limits.low, high, (limits.low_inclusive, inclusive))
    return found


def _composite_ranges(index: Index, prefixes: list[tuple[Any, ...]], limits: Bounds | None) -> Iterator[Any]:
    """A shorter tuple stands before every longer one that begins like it, and one that ends with TOP behind them."""
    for prefix in prefixes:
        if limits is None:
            yield from index.order.irange(prefix, (*prefix, TOP))
            continue
        low = prefix if limits.low is None else (*prefix, limits.low)
        high = (*prefix, NULL) if limits.high is None else (*prefix, limits.high, TOP)
        yield from index.order.irange(low, high, (True, False))
