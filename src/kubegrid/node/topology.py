"""What this member knows of the grid: who owns which slot, and where every member listens.

Two sources: the snapshots that the manager pushes, and the member's own partition, whose configuration it knows first.
Of two configurations of a partition the newer epoch wins, whoever brought it. Nothing is forgotten when the managers
are away: what was known last is as good as anything, and a wrong owner only costs a client one more `-MOVED`.

Views are built when something changes and read as plain attributes by `CLUSTER …` and `-MOVED`. Soft state only: no
decision about data rests on it. Next on the path of the data: `dispatch`.
"""

import hashlib
from dataclasses import dataclass, field

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import SLOT_COUNT, Member, slots_of_partition
from kubegrid.coordination import MemberRecord, TopologySnapshot

MEMBERS_KEPT_MAX = 20_000
"""Records of members that are kept; beyond it those that no configuration names are forgotten."""


def node_id(grid_id: str, member: Member) -> str:
    """The 40 hexadecimal digits by which Redis Cluster clients know a node: another incarnation is another node."""
    return hashlib.sha1(f"{grid_id}/{member.name}/{member.incarnation}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member as clients see it."""

    name: str
    node_id: str
    host: str
    port: int
    http: int
    replication: int
    incarnation: str
    partition: int
    role: str
    serving: bool
    commit: int
    flight: int | None = None
    """Where it listens for Arrow Flight; None: not now."""


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition as clients see it. `slots` are inclusive ranges."""

    id: int
    epoch: int
    slots: list[tuple[int, int]]
    primary: MemberView | None
    backups: list[MemberView] = field(default_factory=list)
    """In sync: they hold everything that is committed. A member that is still joining is in neither place."""
    joining: list[MemberView] = field(default_factory=list)


class Topology:
    """The newest known configuration of every partition, joined with the newest known record of every member.

    Invariant: an epoch never falls; `partitions[p]` is built from `configurations[p]` and `records`.
    """

    def __init__(self, grid_id: str, partitions: int, me: MemberRecord) -> None:
        self.grid_id = grid_id
        self.changes = 0
        """Raised by each change of what clients can see."""
        self.heard = False
        """Whether a manager's snapshot came since this member started: before that an unknown primary means nothing."""
        self.epoch = 0
        """The highest epoch of any partition: the cluster's `current_epoch`."""
        self.configurations: dict[int, Configuration] = {}
        self.records: dict[Member, MemberRecord] = {}
        ranges = [slots_of_partition(number, partitions) for number in range(partitions)]
        self.partitions = [PartitionView(number, 0, [ranges[number]], None) for number in range(partitions)]
        self._own = Member(me.name, me.incarnation)
        self._partition_of = [0] * SLOT_COUNT
        for number, (first, last) in enumerate(ranges):
            self._partition_of[first : last + 1] = [number] * (last + 1 - first)
        self.records[self._own] = me
        self.me = self._view(self._own, me)

    # -- questions -------------------------------------------------------------------------------------------------

    def partition_of(self, slot: int) -> PartitionView:
        return self.partitions[self._partition_of[slot]]

    def slot_owner(self, slot: int) -> tuple[str, int] | None:
        """Where the primary of `slot` listens; None when its partition has none that is known."""
        primary = self.partitions[self._partition_of[slot]].primary
        return None if primary is None else (primary.host, primary.port)

    def addresses(self, partition: int) -> dict[Member, tuple[str, int]]:
        """Where the other members of `partition` listen for replication."""
        return {
            member: (record.address, record.replication_port)
            for member, record in self.records.items()
            if record.partition == partition and member.name != self._own.name
        }

    # -- news ------------------------------------------------------------------------------------------------------

    def learn_configuration(self, configuration: Configuration) -> bool:
        """Take up a configuration if it is newer than the known one; whether it was."""
        number = configuration.partition
        known = self.configurations.get(number)
        if configuration.grid != self.grid_id or not 0 <= number < len(self.partitions):
            return False
        if known is not None and known.epoch >= configuration.epoch:
            return False
        self.configurations[number] = configuration
        self._build(number)
        return True

    def learn_me(self, record: MemberRecord) -> None:
        """This member's own record changed."""
        if record != self.records.get(self._own):
            self.records[self._own] = record
            self.me = self._view(self._own, record)
            self._build(record.partition)

    def learn_snapshot(self, snapshot: TopologySnapshot) -> None:
        """Take up what a manager pushed: newer configurations, and the members that it knows."""
        if snapshot.grid != self.grid_id:
            return
        self.heard = True
        for configuration in snapshot.partitions.values():
            self.learn_configuration(configuration)
        changed: set[int] = set()
        for record in snapshot.members:
            member = Member(record.name, record.incarnation)
            if member.name != self._own.name and self.records.get(member) != record and self._newest(record):
                self._forget_others(member)
                self.records[member] = record
                changed.add(record.partition)
        for number in changed:
            if 0 <= number < len(self.partitions):
                self._build(number)

    def _newest(self, record: MemberRecord) -> bool:
        """Whether no later incarnation of the name is known: two managers may push in any order. A machine's clock may have
        been set back between two starts, so what the configuration names goes before what the clocks say."""
        known = [member for member in self.records if member.name == record.name]
        configuration = self.configurations.get(record.partition)
        named = () if configuration is None else (*configuration.in_sync, *configuration.joining)
        return record.member in named or all(
            member not in named or self.records[member].started_at <= record.started_at for member in known
        )

    def _forget_others(self, member: Member) -> None:
        """A new incarnation of a name registered: the old one's address is of no use to anybody."""
        for old in [known for known in self.records if known.name == member.name and known != member]:
            del self.records[old]
        if len(self.records) > MEMBERS_KEPT_MAX:
            named = {m for c in self.configurations.values() for m in (*c.in_sync, *c.joining)}
            self.records = {m: record for m, record in self.records.items() if m in named or m == self._own}

    # -- views -----------------------------------------------------------------------------------------------------

    def _view(self, member: Member, record: MemberRecord) -> MemberView:
        return MemberView(
            name=record.name,
            node_id=node_id(self.grid_id, member),
            host=record.address,
            port=record.resp_port,
            http=record.http_port,
            replication=record.replication_port,
            incarnation=record.incarnation,
            partition=record.partition,
            role=record.role,
            serving=record.serving,
            commit=record.commit,
            flight=record.flight_port or None,
        )

    def _build(self, number: int) -> None:
        configuration = self.configurations.get(number)
        if configuration is None:
            return

        def views(members: tuple[Member, ...]) -> list[MemberView]:
            return [self._view(m, self.records[m]) for m in members if m in self.records and m != configuration.primary]

        primary = None if configuration.primary is None else self.records.get(configuration.primary)
        before = self.partitions[number]
        self.partitions[number] = PartitionView(
            id=number,
            epoch=configuration.epoch,
            slots=before.slots,
            primary=None
            if configuration.primary is None or primary is None
            else self._view(configuration.primary, primary),
            backups=views(configuration.in_sync),
            joining=views(configuration.joining),
        )
        self.epoch = max(self.epoch, configuration.epoch)
        self.changes += 1
