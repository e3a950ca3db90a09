"""Which configuration counts when the coordinator's data are made anew."""

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.manager import rebuild

A, B = Member("p0-0", "a"), Member("p0-1", "b")
OLD = Configuration("g", 0, 4, A, (A,))
NEW = Configuration("g", 0, 5, A, (A, B))


def plan(remembered, *reported, partitions=1):
    return rebuild.plan(partitions, "g", remembered, reported)


def test_the_highest_epoch_counts_when_all_of_its_in_sync_set_report():
    made = plan(None, (A, NEW), (B, OLD))
    assert made.found[0].configuration == NEW and not made.missing
    assert made.found[0].origin == "p0-0/a"


def test_a_silent_member_of_the_in_sync_set_might_know_more():
    made = plan(None, (A, NEW))
    assert made.found[0].configuration == NEW and "p0-1/b of its in-sync set" in made.missing[0]


def test_what_this_process_had_durably_needs_no_witness():
    made = plan({0: NEW}, (A, OLD))
    assert made.found[0].configuration == NEW and not made.missing
    assert plan({}, partitions=2) == rebuild.Plan({}, {}), "what had not begun stays so"


def test_a_partition_that_nobody_knows_is_missing():
    made = plan(None, (A, NEW), (B, NEW), partitions=2)
    assert set(made.found) == {0} and set(made.missing) == {1}


def test_two_configurations_of_one_epoch_are_not_decided_between():
    rival = msgspec.structs.replace(NEW, primary=B)
    assert "another configuration of epoch 5" in plan(None, (A, NEW), (B, rival)).missing[0]


def test_reports_of_other_grids_and_partitions_are_ignored():
    foreign = msgspec.structs.replace(NEW, grid="h", epoch=99)
    beyond = msgspec.structs.replace(NEW, partition=7)
    made = plan(None, (A, foreign), (B, beyond))
    assert not made.found and set(made.missing) == {0}


def test_a_forced_record_is_above_every_epoch_that_can_have_been():
    made = rebuild.unknown("g", 3, 1_900_000_000.5)
    assert made.epoch == 1_900_000_000 and made.primary is None and made.in_sync == ()
