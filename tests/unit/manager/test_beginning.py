"""R20, decision by decision."""

import msgspec
import pytest

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.coordination import Death, MemberRecord
from kubegrid.manager.beginning import Propose, Refuse, View, Wait, accept_loss, decide

A, B, C = Member("p0-0", "a"), Member("p0-1", "b"), Member("p0-2", "c")
NEW_A, NEW_B = Member("p0-0", "a2"), Member("p0-1", "b2")


def record(member: Member, complete: bool = False, position: tuple[int, int] = (0, 0)) -> MemberRecord:
    return MemberRecord(
        name=member.name,
        incarnation=member.incarnation,
        partition=0,
        ordinal=int(member.name[-1]),
        role="idle",
        address="h",
        resp_port=1,
        http_port=2,
        replication_port=3,
        complete=complete,
        last_epoch=position[0],
        last_seq=position[1],
    )


def deaths(*members: Member) -> dict[Member, Death]:
    return {member: Death(member.name, member.incarnation, 1000.0, "its process was reaped") for member in members}


STORED = Configuration("g", 0, 7, A, (A, B))
VIEW = View(
    grid="g",
    name="local",
    partition=0,
    stored=STORED,
    records=[],
    dead={},
    on_loss="wait",
    first_primary="p0-0",
    now=2000.0,
)


def view(**changes) -> View:
    return msgspec.structs.replace(VIEW, **changes)


def test_a_partition_begins_with_its_first_primary_alone():
    decision = decide(view(stored=None, records=[record(B), record(A)]))
    assert isinstance(decision, Propose)
    made = decision.configuration
    assert (made.epoch, made.primary, made.in_sync, made.joining, made.grid) == (1, A, (A,), (), "g")


def test_it_does_not_begin_with_anybody_else():
    decision = decide(view(stored=None, records=[record(B)]))
    assert isinstance(decision, Wait) and "waits for p0-0" in decision.explanation and not decision.for_person


def test_it_does_not_begin_with_a_dead_incarnation():
    assert isinstance(decide(view(stored=None, records=[record(A)], dead=deaths(A))), Wait)


@pytest.mark.parametrize("on_loss", ["wait", "startEmpty"])
@pytest.mark.parametrize("dead", [(), (A,), (B,)])
def test_while_any_in_sync_member_may_live_nothing_is_done(on_loss, dead):
    decision = decide(view(on_loss=on_loss, dead=deaths(*dead), records=[record(NEW_A), record(NEW_B)]))
    assert isinstance(decision, Wait) and "not proven" in decision.explanation


def test_a_partition_that_works_needs_no_explanation():
    assert decide(view(records=[record(A), record(B)])) == Wait()


def test_with_wait_a_person_is_told_what_happened_and_what_to_do():
    decision = decide(view(dead=deaths(A, B), records=[record(NEW_A)]))
    assert isinstance(decision, Wait) and decision.for_person
    assert "p0-0/a died at 1970-01-01T00:16:40Z" in decision.explanation
    assert "p0-1/b died at" in decision.explanation
    assert decision.explanation.endswith("run `kubegrid partition accept-loss 0`")
    of_another_grid = decide(view(name="demo", dead=deaths(A, B), records=[record(NEW_A)])).explanation
    assert of_another_grid.endswith("run `kubegrid partition accept-loss 0 --name demo`")


def test_a_person_who_has_to_decide_is_told_of_a_survivor_and_what_it_has():
    """A primary that dies while it removes a silent backup leaves one that lacks nothing: that must not read as total loss."""
    alone = Configuration("g", 0, 8, A, (A,))
    records = [record(B, complete=True, position=(7, 40)), record(NEW_A)]
    decision = decide(view(stored=alone, dead=deaths(A), records=records))
    assert isinstance(decision, Wait) and decision.for_person
    assert "all copies in sync were lost: p0-0/a died at" in decision.explanation
    assert "p0-1 has what there was up to 7.40, and goes on with that; run `kubegrid" in decision.explanation
    accepted = accept_loss(view(stored=alone, dead=deaths(A), records=records), [], "", set())
    assert isinstance(accepted, Propose) and accepted.configuration.primary == B
    assert "p0-1 kept what it had up to 7.40" in accepted.configuration.note


def test_with_start_empty_the_first_primary_begins_again_at_the_next_epoch():
    decision = decide(view(on_loss="startEmpty", dead=deaths(A, B), records=[record(NEW_B), record(NEW_A)]))
    assert isinstance(decision, Propose)
    made = decision.configuration
    assert (made.epoch, made.primary, made.in_sync) == (8, NEW_A, (NEW_A,))
    assert "startEmpty" in made.note and "p0-0 starts empty" in made.note


def test_another_member_begins_again_when_the_first_primary_is_away():
    decision = decide(view(on_loss="startEmpty", dead=deaths(A, B), records=[record(NEW_B)]))
    assert isinstance(decision, Propose) and decision.configuration.primary == NEW_B


def test_nobody_there_means_waiting():
    decision = decide(view(on_loss="startEmpty", dead=deaths(A, B), records=[record(A)]))
    assert isinstance(decision, Wait) and "waits for a member" in decision.explanation


def test_the_survivor_with_the_highest_position_goes_before_empty_members_epoch_first():
    survivors = [
        record(NEW_A),
        record(C, complete=True, position=(6, 3)),
        record(NEW_B, complete=True, position=(5, 900)),
    ]
    decision = decide(view(on_loss="startEmpty", dead=deaths(A, B), records=survivors))
    assert isinstance(decision, Propose) and decision.configuration.primary == C
    assert "up to 6.3" in decision.configuration.note


@pytest.mark.parametrize("closed_at", [None, 1000.0])
def test_members_have_a_moment_to_register_before_one_is_chosen(closed_at):
    early = view(
        on_loss="startEmpty", dead=deaths(A, B), records=[record(NEW_B)], copies=2, settled=False, closed_at=closed_at
    )
    assert "waits a moment" in decide(early).explanation
    assert isinstance(decide(msgspec.structs.replace(early, settled=True)), Propose)
    complete = decide(msgspec.structs.replace(early, records=[record(NEW_B), record(NEW_A)]))
    assert isinstance(complete, Propose) and complete.configuration.primary == NEW_A


def test_a_half_loaded_joiner_is_no_survivor():
    half = record(C, complete=False, position=(7, 99))
    decision = decide(view(on_loss="startEmpty", dead=deaths(A, B), records=[half, record(NEW_A)]))
    assert isinstance(decision, Propose) and decision.configuration.primary == NEW_A


def test_after_an_orderly_down_it_begins_again_also_with_wait():
    decision = decide(view(dead=deaths(A, B), closed_at=1000.0, records=[record(NEW_A)]))
    assert isinstance(decision, Propose) and "taken down in order" in decision.configuration.note


def test_an_orderly_down_is_no_proof_of_death():
    assert isinstance(decide(view(dead=deaths(A), closed_at=1000.0, records=[record(NEW_A)])), Wait)


def test_an_accepted_loss_begins_again_and_says_so():
    decision = accept_loss(view(dead=deaths(A, B), records=[record(NEW_A)]), [], "", set())
    assert isinstance(decision, Propose)
    assert decision.configuration.epoch == 8 and "loss was accepted" in decision.configuration.note


def test_an_accepted_loss_waits_for_a_member_that_is_just_being_started() -> None:
    decision = accept_loss(view(dead=deaths(A, B), records=[]), [], "", set())
    assert isinstance(decision, Refuse) and decision.for_now and "none of its members runs" in decision.reason
    decision = accept_loss(view(dead=deaths(A), records=[]), [], "", set())
    assert isinstance(decision, Refuse) and not decision.for_now


def test_a_loss_is_not_accepted_without_proof():
    decision = accept_loss(view(dead=deaths(A), records=[record(NEW_A)]), [], "", set())
    assert isinstance(decision, Refuse) and decision.not_proven == (B,) and "p0-1/b" in decision.reason


def test_a_person_may_vouch_for_a_death_and_is_named():
    decision = accept_loss(view(dead=deaths(A), records=[record(NEW_A)]), [B], "jo", set())
    assert isinstance(decision, Propose) and "vouched for by jo" in decision.configuration.note


def test_nobody_can_vouch_for_the_death_of_the_living():
    decision = accept_loss(view(records=[record(A), record(NEW_B)]), [A, B], "jo", {A})
    assert isinstance(decision, Refuse) and "p0-0/a of its in-sync set lives" in decision.reason
    assert decision.not_proven == (), "so nobody is told to vouch"
    decision = accept_loss(view(records=[record(A), record(B)]), [], "", {A, B})
    assert isinstance(decision, Refuse) and "p0-0/a, p0-1/b of its in-sync set live" in decision.reason


def test_what_has_not_begun_cannot_be_lost():
    assert isinstance(accept_loss(view(stored=None), [], "", set()), Refuse)


def test_a_record_without_members_waits_for_a_person():
    nobody = Configuration("g", 0, 5000, None, (), note="rebuilt by force")
    decision = decide(view(stored=nobody, records=[record(NEW_A)]))
    assert isinstance(decision, Wait) and decision.for_person and "no copy is known" in decision.explanation
    accepted = accept_loss(view(stored=nobody, records=[record(NEW_A)]), [], "", set())
    assert isinstance(accepted, Propose) and accepted.configuration.epoch == 5001
