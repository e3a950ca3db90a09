"""Who and where: the identifiers that travel through every layer.

A member is a name and an incarnation: the name is a place in the grid (`p0-1`), the incarnation is the memory behind
it. A process that comes back with empty memory is the same name and another incarnation, and the protocol treats it as
somebody else. Next on the path of the data: `configuration`.
"""

from typing import NamedTuple, NewType

PartitionId = NewType("PartitionId", int)
Slot = NewType("Slot", int)

SLOT_COUNT = 16384
GRID_NAME_DEFAULT = "local"
"""Of a grid that nobody named."""


class Member(NamedTuple):
    """One incarnation of one place in the grid."""

    name: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.name}/{self.incarnation[:8]}"


class Position(NamedTuple):
    """A place in a partition's log, ordered by epoch, then by sequence number."""

    epoch: int
    seq: int


ORIGIN = Position(0, 0)


def slots_of_partition(partition: int, partitions: int) -> tuple[int, int]:
    """The first and last slot (inclusive) that partition number `partition` of `partitions` owns: equal shares, in order.

    The same cut that Redis tools make for a new cluster: slot boundaries are rounded, so shares differ by one at most.
    """
    first = round(partition * SLOT_COUNT / partitions)
    last = round((partition + 1) * SLOT_COUNT / partitions) - 1
    return first, last


def command_line(words: str, grid: str) -> str:
    """What to type to do `words` to the grid of that name; that the usual one is meant need not be said."""
    return f"kubegrid {words}" if grid == GRID_NAME_DEFAULT else f"kubegrid {words} --name {grid}"


def member_name(partition: int, ordinal: int) -> str:
    """`p<partition>-<ordinal>`, the name of a member everywhere."""
    return f"p{partition}-{ordinal}"
