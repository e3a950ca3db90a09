"""The configuration of one partition: the small value that the coordinator keeps and only compare-and-swap changes.

All comparisons use `epoch`, a field of the value; the coordinator's own version is only
the token of the compare-and-swap, so a configuration can be rebuilt in, or moved to, another coordinator.
"""

import msgspec

from kubegrid.base.ids import Member


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """Who holds the data of a partition, as of one epoch.

    Invariant: `primary` is in `in_sync` unless the partition has none; no name stands twice in `in_sync` and `joining`
    taken together (R2: one incarnation per name).
    """

    grid: str
    """UUID of the grid, so that a coordinator of another grid, or one that lost its data, is recognised."""
    partition: int
    epoch: int
    primary: Member | None
    in_sync: tuple[Member, ...]
    joining: tuple[Member, ...] = ()
    proposer: str = ""
    """Member and attempt that proposed this value: how a member recognises its own success (R1)."""
    note: str = ""
    """Why this configuration was made when it was not the ordinary course: an accepted loss, an orderly down, a rebuild."""

    def names(self) -> set[str]:
        return {m.name for m in self.in_sync} | {m.name for m in self.joining}
