"""Freeing large things in slices: a hash of millions of fields, or all keys after FLUSHALL, would stall the loop at once.

What is thrown away waits in `Keyspace.garbage` until nobody else holds it: the undo records of changes that are not
committed yet refer to the very objects that were removed, and a revert puts them back.
"""

from collections import deque
from sys import getrefcount
from typing import Any, Final

from kubegrid.store.blocks import Block
from kubegrid.store.hashes import Hash

ROWS_PER_UNIT: Final = 64
"""Of a block: a megabyte that goes back to the system takes as long as some hundred keys."""
SMALL_UNITS: Final = 1000
"""A hash with fewer fields is freed with its last reference: well under a millisecond."""
HELD_ONLY_HERE: Final = 2
"""What `getrefcount` says of an object that one local name holds: the name and the call's own argument."""


def free_slice(garbage: deque[Any], budget: int) -> int:
    """Free at most about `budget` keys or fields; how many. Things that others still hold go to the end of the queue."""
    freed = 0
    held = 0
    while freed < budget and held < len(garbage):
        thing = garbage.popleft()
        if getrefcount(thing) > HELD_ONLY_HERE:
            garbage.append(thing)
            held += 1
        elif type(thing) is Hash:
            shards = thing.table
            if type(shards) is list:
                freed += len(shards)
            else:
                garbage.extendleft(reversed(shards.tables))  # type: ignore[union-attr]
                freed += 1
            # Now only the queue holds the shards, and the following rounds free them one by one.
            del thing, shards
        else:
            freed += _drain(thing, budget - freed)
            if thing:
                garbage.appendleft(thing)
    return freed


def _drain(table: dict[Any, Any] | set[Any], budget: int) -> int:
    """Take at most `budget` entries out of a dictionary or set; how many. A small one is freed as a whole."""
    if type(table) is set:
        taken = min(len(table), budget)
        for _ in range(taken):
            table.pop()
        return taken
    assert type(table) is dict
    if len(table) <= budget:
        size = len(table) + sum(map(_units_within, table.values()))
        if size <= 2 * budget:
            table.clear()
            return size
    taken = 0
    while table and taken < budget:
        taken += 1 + _units_within(table.popitem()[1])
    return taken


def _units_within(value: Any) -> int:
    if type(value) is Hash:
        return len(value)
    return value.size // ROWS_PER_UNIT if type(value) is Block else 0
