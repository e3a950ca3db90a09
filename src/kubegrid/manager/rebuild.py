"""Making the coordinator's data anew from what is known elsewhere. Pure.

For each partition the configuration of the highest epoch counts. It is certain to be the newest only when

- this process had read it, and saw the file vanish under it: the memory is what was last answered; or
- every member of its in-sync set is here and follows it: only they could have proposed a newer one.

Anything less might bring back a member that had been removed, and with it lose what was written since. Then a person has
to force it, having been told who is missing. A partition of which nobody knows anything gets, when forced, a record
without members and of an epoch above all that can have been: its loss has to be accepted like any other.
"""

from collections.abc import Iterable, Mapping

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member


class Source(msgspec.Struct, frozen=True):
    configuration: Configuration
    origin: str
    """Where it is from, for people."""


class Plan(msgspec.Struct, frozen=True):
    found: dict[int, Source]
    missing: dict[int, str]
    """For which partitions the newest configuration is not certain, and why."""


def plan(
    partitions: int,
    grid: str,
    remembered: Mapping[int, Configuration] | None,
    reported: Iterable[tuple[Member, Configuration]],
) -> Plan:
    """`remembered`: what this process had durably before the loss; None when it can't be sure. `reported`: by members
    that are connected now."""
    by_partition: dict[int, dict[Member, Configuration]] = {}
    for member, configuration in reported:
        if configuration.grid == grid and 0 <= configuration.partition < partitions:
            by_partition.setdefault(configuration.partition, {})[member] = configuration
    found: dict[int, Source] = {}
    missing: dict[int, str] = {}
    for number in range(partitions):
        reports = by_partition.get(number, {})
        known = remembered.get(number) if remembered is not None else None
        best = max(reports.values(), key=lambda configuration: configuration.epoch, default=None)
        if known is not None and (best is None or best.epoch <= known.epoch):
            found[number] = Source(known, "this manager's memory")
            continue
        if best is None and remembered is not None:
            continue  # it had not begun
        if best is None:
            missing[number] = "no member of it reports a configuration"
            continue
        followers = [member for member, configuration in reports.items() if configuration == best]
        found[number] = Source(best, ", ".join(sorted(str(member) for member in followers)))
        silent = [str(member) for member in best.in_sync if member not in reports]
        rivals = [str(m) for m, c in reports.items() if c.epoch == best.epoch and c != best]
        if silent:
            missing[number] = f"{', '.join(silent)} of its in-sync set (epoch {best.epoch}) does not report"
        elif rivals:
            missing[number] = f"{', '.join(rivals)} reports another configuration of epoch {best.epoch}"
    return Plan(found, missing)


def unknown(grid: str, partition: int, now: float) -> Configuration:
    """The record of a partition of which nobody knows anything: nobody is in it, and no epoch was ever as high."""
    return Configuration(
        grid=grid,
        partition=partition,
        epoch=int(now),
        primary=None,
        in_sync=(),
        proposer="manager",
        note="the coordinator was rebuilt by force, and no member of this partition was known",
    )
