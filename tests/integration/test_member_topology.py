"""What a member knows of the grid: newest epoch wins, whoever brought it, and nothing is forgotten."""

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.coordination import MemberRecord, TopologySnapshot
from kubegrid.node.topology import Topology, node_id

GRID = "11111111-1111-1111-1111-111111111111"


def record(name: str, incarnation: str = "a", started_at: float = 1.0) -> MemberRecord:
    partition, ordinal = map(int, name[1:].split("-"))
    return MemberRecord(
        name=name,
        incarnation=incarnation,
        partition=partition,
        ordinal=ordinal,
        role="backup",
        address="10.0.0.1",
        resp_port=7000 + 10 * partition + ordinal,
        http_port=8000,
        replication_port=9000 + 10 * partition + ordinal,
        started_at=started_at,
    )


def configuration(partition: int, epoch: int, primary: str | None, *in_sync: str, grid: str = GRID) -> Configuration:
    members = tuple(Member(name, "a") for name in in_sync)
    return Configuration(grid, partition, epoch, primary and Member(primary, "a"), members)


def snapshot(*parts: Configuration | MemberRecord, grid: str = GRID) -> TopologySnapshot:
    configurations = {part.partition: part for part in parts if isinstance(part, Configuration)}
    return TopologySnapshot(grid, 1, configurations, [part for part in parts if isinstance(part, MemberRecord)])


def topology() -> Topology:
    known = Topology(GRID, 3, record("p0-0"))
    known.learn_snapshot(
        snapshot(
            record("p0-1"),
            record("p1-0"),
            record("p1-1"),
            configuration(0, 4, "p0-0", "p0-0", "p0-1"),
            configuration(1, 7, "p1-1", "p1-0", "p1-1"),
        )
    )
    return known


def test_slots_lead_to_the_primary_of_their_partition() -> None:
    known = topology()
    assert known.slot_owner(0) == ("10.0.0.1", 7000)
    assert known.slot_owner(5461) == ("10.0.0.1", 7011)
    assert known.slot_owner(16383) is None
    assert [partition.slots for partition in known.partitions] == [[(0, 5460)], [(5461, 10922)], [(10923, 16383)]]
    assert [view.name for view in known.partitions[1].backups] == ["p1-0"]
    assert known.epoch == 7


def test_an_older_configuration_changes_nothing_whoever_brings_it() -> None:
    known = topology()
    assert known.learn_configuration(configuration(0, 6, "p0-1", "p0-1"))
    known.learn_snapshot(snapshot(configuration(0, 5, "p0-0", "p0-0")))
    assert known.slot_owner(0) == ("10.0.0.1", 7001)


def test_another_grids_news_are_ignored() -> None:
    known = topology()
    other = "22222222-2222-2222-2222-222222222222"
    known.learn_snapshot(snapshot(record("p0-9"), configuration(0, 99, None, grid=other), grid=other))
    known.learn_snapshot(snapshot(configuration(0, 99, None, grid=other)))
    assert known.slot_owner(0) == ("10.0.0.1", 7000)
    assert Member("p0-9", "a") not in known.records


def test_members_that_the_manager_does_not_list_any_more_are_kept() -> None:
    known = topology()
    known.learn_snapshot(snapshot())
    assert known.slot_owner(5461) == ("10.0.0.1", 7011)
    assert set(known.addresses(0)) == {Member("p0-1", "a")}


def test_a_later_incarnation_takes_the_place_of_the_one_before() -> None:
    known = topology()
    known.learn_snapshot(snapshot(record("p0-1", "b", started_at=2.0)))
    assert set(known.addresses(0)) == {Member("p0-1", "b")}
    assert known.partitions[0].backups == []
    taken_up = msgspec.structs.replace(configuration(0, 5, "p0-0", "p0-0"), joining=(Member("p0-1", "b"),))
    known.learn_snapshot(snapshot(taken_up))
    known.learn_snapshot(snapshot(record("p0-1", "a", started_at=1.0)))
    assert set(known.addresses(0)) == {Member("p0-1", "b")}


def test_a_member_that_was_started_again_is_known_also_when_its_clock_was_set_back() -> None:
    known = topology()
    known.learn_snapshot(snapshot(record("p0-1", "b", started_at=0.5)))
    assert set(known.addresses(0)) == {Member("p0-1", "a")}
    taken_up = msgspec.structs.replace(configuration(0, 5, "p0-0", "p0-0"), joining=(Member("p0-1", "b"),))
    known.learn_snapshot(snapshot(taken_up, record("p0-1", "b", started_at=0.5)))
    assert set(known.addresses(0)) == {Member("p0-1", "b")}
    assert [view.incarnation for view in known.partitions[0].joining] == ["b"]


def test_node_ids_are_forty_digits_and_differ_by_incarnation() -> None:
    known = topology()
    assert known.me.node_id == node_id(GRID, Member("p0-0", "a"))
    assert len(known.me.node_id) == 40
    assert known.me.node_id != node_id(GRID, Member("p0-0", "b"))


def test_this_members_own_role_is_known_without_a_manager() -> None:
    known = topology()
    before = known.changes
    known.learn_me(msgspec.structs.replace(record("p0-0"), role="primary", serving=True))
    assert known.me.role == "primary"
    assert known.partitions[0].primary == known.me
    assert known.changes > before
