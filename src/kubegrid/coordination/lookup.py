"""The lookup service's memory: who is where, under leases. Pure: time is passed in. It decides nothing.

A record is there from the first registration until its lease runs out, its member leaves, or its death is proven. A
broken link alone ends nothing: the lease does. Two incarnations of one name may be there at once, for as long as
the older one's lease; the one that started last is the one that is found by name.
"""

from collections.abc import Callable, Iterator

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.coordination.records import MemberRecord, visibly_different

MEMBERS_MAX = 16384
"""Records kept at once: four times the largest grid (1024 partitions of 4 members)."""


class LookupFull(Exception):
    """More members than a grid can have: somebody registers names without end."""


class Entry(msgspec.Struct):
    """A record with what the lookup service knows about it."""

    record: MemberRecord
    configuration: Configuration | None
    """What the member itself follows, which may be newer than what the coordinator has."""
    expires_ms: int
    connected: bool = True


class Lookup:
    """Invariant: no entry's lease is longer than `lease_ms` from its last renewal."""

    def __init__(self, lease_ms: int) -> None:
        self.lease_ms = lease_ms
        self.entries: dict[Member, Entry] = {}

    def renew(self, now_ms: int, record: MemberRecord, configuration: Configuration | None) -> bool:
        """Register, or renew. True when others have to be told. Raises LookupFull."""
        old = self.entries.get(record.member)
        if old is None and len(self.entries) >= MEMBERS_MAX:
            raise LookupFull(f"more than {MEMBERS_MAX} members")
        changed = (
            old is None
            or not old.connected
            or visibly_different(old.record, record)
            or old.configuration != configuration
        )
        self.entries[record.member] = Entry(record, configuration, now_ms + self.lease_ms)
        return changed

    def disconnected(self, member: Member) -> bool:
        """Its link broke: it keeps its lease, for it may only be changing links, but does not count as serving."""
        entry = self.entries.get(member)
        if entry is None:
            return False
        entry.connected = False
        entry.record = msgspec.structs.replace(entry.record, serving=False)
        return True

    def connected(self) -> set[Member]:
        """Those whose link is there."""
        return {member for member, entry in self.entries.items() if entry.connected}

    def remove(self, member: Member) -> bool:
        """It left, or is proven dead."""
        return self.entries.pop(member, None) is not None

    def extend(self, now_ms: int) -> None:
        """Who was not listening may not say that others were silent: every lease begins anew."""
        for entry in self.entries.values():
            entry.expires_ms = now_ms + self.lease_ms

    def expire(self, now_ms: int) -> list[Member]:
        """Drop the leases that have run out."""
        over = [member for member, entry in self.entries.items() if entry.expires_ms <= now_ms]
        for member in over:
            del self.entries[member]
        return over

    def find(
        self,
        *,
        name: str | None = None,
        role: str | None = None,
        matching: Callable[[MemberRecord], bool] | None = None,
    ) -> list[MemberRecord]:
        """Records by name, role or anything else, of each name the incarnation that started last; ordered by name."""
        latest: dict[str, MemberRecord] = {}
        for entry in self.entries.values():
            record = entry.record
            known = latest.get(record.name)
            if known is None or (entry.connected, record.started_at) > self._freshness(known):
                latest[record.name] = record
        return sorted(
            (
                record
                for record in latest.values()
                if (name is None or record.name == name)
                and (role is None or record.role == role)
                and (matching is None or matching(record))
            ),
            key=lambda record: (record.partition, record.ordinal, record.name),
        )

    def _freshness(self, record: MemberRecord) -> tuple[bool, float]:
        return self.entries[record.member].connected, record.started_at

    def configurations(self) -> Iterator[tuple[Member, Configuration]]:
        """What connected members follow, for comparing with the coordinator and for rebuilding it."""
        for member, entry in self.entries.items():
            if entry.connected and entry.configuration is not None:
                yield member, entry.configuration
