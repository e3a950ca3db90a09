"""R1 to R5: how the configuration changes, and what is believed about it."""

from typing import get_args

import msgspec
from tests.unit.replication.conversation import GRID, Stage

from kubegrid.base.configuration import Configuration
from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import Append, Matched, Message


def test_r1_a_lost_answer_is_made_up_for_by_recognising_the_own_proposal() -> None:
    stage = Stage("A", "B")
    stage.coordinator.loses_answers = True
    stage.crash("B")
    w1 = stage.write("A", "k", "1")
    stage.until(lambda: w1.confirmed)
    assert stage.in_sync() == "A"
    assert stage["A"].notes.count("tenure_begins") == 1, "it was its own success, not another's"


def test_r1_two_open_proposals_both_count_and_one_applies() -> None:
    """A adds C; the outcome is unknown when B dies; A then proposes to remove B, at the same epoch."""
    stage = Stage("A", "B", spare="C")
    stage.coordinator.holds_requests = stage.coordinator.loses_answers = True
    stage.crash("B")
    stage.run(50)
    first = len(stage.coordinator.held)
    assert first >= 1
    w1 = stage.write("A", "k", "1")
    stage.run(300)
    assert w1.waiting, "B is in the configuration until its removal is known"
    stage.coordinator.loses_answers = False
    stage.coordinator.release()
    stage.until(lambda: w1.confirmed)
    assert stage.coordinator.token == stage.coordinator.value.epoch, "each epoch was written once"


def forget_an_unknown_addition(rules: Rules) -> tuple[Stage, str]:
    """A adds C, gets no answer, and loses sight of C; the swap arrives late; then A dies."""
    stage = Stage("A", spare="C", rules=rules, holds_adding="C")
    stage.coordinator.loses_answers = True
    stage.until(lambda: stage.coordinator.held)
    stage.run(20)
    stage.coordinator.holds_requests = True
    stage.cut("A", "C")
    w1 = stage.write("A", "k", "1")
    stage.run(4000)
    said = w1.state
    stage.coordinator.loses_answers = False
    stage.coordinator.release()
    assert stage.in_sync() == "AC"
    stage.crash("A")
    stage.until(lambda: stage.primary == "C")
    return stage, said


def test_r1_what_is_unknown_stays_open() -> None:
    _, said = forget_an_unknown_addition(Rules())
    assert said == "waiting", "C may be in sync and does not have it"


def test_r1_without_it_an_acknowledged_write_is_lost() -> None:
    stage, said = forget_an_unknown_addition(Rules(unknown_stays_open=False))
    assert said == "answered" and stage["C"].store == {}


def write_with_an_old_version(rules: Rules) -> Stage:
    """A is alone; B takes over; then A's proposal to remove the others reaches the coordinator."""
    stage = Stage("A", "B", "C", rules=rules)
    stage.cut("A")
    stage.coordinator.holds_requests = True
    stage.run(400)
    held, stage.coordinator.held = stage.coordinator.held, []
    stage.coordinator.holds_requests = False
    assert {cas.asker.letter for cas in held} == {"A"}
    stage.coordinator.deaf_to = {"A"}
    stage.until(lambda: stage["B"].replica.serving)
    stage.coordinator.deaf_to = set()
    stage.coordinator.carry_out(held[-1])
    stage.run(40)
    return stage


def test_r1_a_swap_at_an_old_version_changes_nothing() -> None:
    stage = write_with_an_old_version(Rules())
    assert stage.answering == "B" and stage.in_sync() == "BC"
    assert stage.role("A") is not Role.PRIMARY, "the answer told it"


def test_r1_without_it_two_primaries_answer() -> None:
    stage = write_with_an_old_version(Rules(conditional_write=False))
    assert stage.answering == "AB"


def add_with_a_write_in_between(rules: Rules) -> tuple[Stage, str]:
    """A says "add C", writes w1, and C does not get it; the swap applies; A dies."""
    stage = Stage("A", spare="C", rules=rules, holds_adding="C")
    stage.until(lambda: stage.coordinator.held)
    stage.keep_back("A", "C", Append)
    w1 = stage.write("A", "k", "1")
    stage.run(20)
    said = w1.state
    stage.coordinator.release()
    assert stage.in_sync() == "AC"
    stage.crash("A")
    stage.until(lambda: stage.primary == "C")
    return stage, said


def test_r3_while_a_joiner_is_being_added_writes_need_it() -> None:
    _, said = add_with_a_write_in_between(Rules())
    assert said == "waiting"


def test_r3_without_the_union_the_joiner_is_promoted_without_the_write() -> None:
    stage, said = add_with_a_write_in_between(Rules(joiner_in_union=False))
    assert said == "answered" and stage["C"].store == {}


def join_without_being_let_in(rules: Rules) -> tuple[Stage, str]:
    """C believes that it has everything, while A confirms a write that C does not have; then A dies."""
    stage = Stage("A", rules=rules)
    stage.keep_back("A", "C", Matched)
    stage.restart("C")
    stage.until(lambda: stage.role("C") is Role.JOINING)
    stage.run(200)
    stage.cut_one_way("C", "A")
    stage.keep_back("A", "C", Append)
    stage.let_through("A", "C", Matched)
    stage.run(30)
    w1 = stage.write("A", "k", "1")
    said = w1.state
    stage.run(10)
    stage.crash("A")
    stage.run(3000)
    return stage, said


def test_r2_a_joiner_does_not_add_itself() -> None:
    stage, said = join_without_being_let_in(Rules())
    assert said == "answered", "C was a joiner only"
    assert stage.in_sync() == "A" and stage.answering == "", "better nobody than one without the write"


def test_r2_without_it_a_joiner_serves_without_an_acknowledged_write() -> None:
    stage, said = join_without_being_let_in(Rules(joiner_waits=False))
    assert said == "answered" and stage.answering == "C" and stage["C"].store == {}


def remove_and_confirm(rules: Rules) -> tuple[Stage, str]:
    """A and B lose each other. A's swap is slow, B's is not."""
    stage = Stage("A", "B", rules=rules)
    stage.cut("A", "B")
    stage.coordinator.deaf_to = {"A"}
    stage.run(350)
    w1 = stage.write("A", "k", "1")
    stage.until(lambda: stage["B"].replica.serving)
    return stage, w1.state


def test_r3_nothing_is_confirmed_before_a_removal_is_known() -> None:
    stage, said = remove_and_confirm(Rules())
    assert said == "waiting"
    stage.coordinator.deaf_to = set()
    stage.heal()
    stage.until(lambda: stage.whole("AB"))
    stage.run(200)
    assert stage.stores("AB") == [{}, {}]


def test_r3_without_it_an_acknowledged_write_is_lost() -> None:
    stage, said = remove_and_confirm(Rules(removal_known=False))
    assert said == "answered" and stage["B"].store == {}


def test_r4_a_removal_just_before_the_coordinator_goes_down_stalls_nobody() -> None:
    stage = Stage("A", "B", "C")
    stage.crash("C")
    stage.until(lambda: stage.in_sync() == "AB")
    stage.coordinator.reachable = False
    w1 = stage.write("A", "k", "1")
    stage.run(100)
    assert w1.confirmed
    assert stage["B"].replica.epoch == 2, "B has it from A"
    stage.run(5000)
    w2 = stage.write("A", "k", "2")
    stage.run(20)
    assert w2.confirmed


def test_r5_an_older_or_a_missing_or_a_foreign_configuration_changes_nothing() -> None:
    stage = Stage("A", "B")
    stage.crash("B")
    stage.until(lambda: stage.in_sync() == "A")
    b = stage["B"].replica.me
    a = stage["A"].replica.me
    older = Configuration(GRID, 0, 1, b, (a, b))
    foreign = Configuration("another grid", 0, 9, b, (b,))
    elsewhere = Configuration(GRID, 1, 9, b, (b,))
    for configuration in (older, None, foreign, elsewhere):
        stage["A"].input(lambda r, now, c=configuration: r.configuration_read(now, c, 99))
        assert stage.primary == "A" and stage["A"].replica.epoch == 2
    w1 = stage.write("A", "k", "1")
    stage.run(10)
    assert w1.confirmed


def test_r5_a_coordinator_that_lost_everything_bootstraps_nobody() -> None:
    stage = Stage("A", "B")
    stage.coordinator.put(None)
    stage.run(3000)
    assert stage.primary == "A" and stage.coordinator.value is None
    stage.restart("B")
    stage.run(2000)
    assert stage["B"].replica.epoch == 0 and stage.role("B") is Role.IDLE


def test_what_a_confused_peer_says_raises_nothing() -> None:
    stage = Stage("A", "B")
    newcomer = stage._make("C").replica
    a, b = stage["A"].replica.me, stage["B"].replica.me
    nothing = Configuration(GRID, 0, 0, None, ())
    foreign = Configuration("another grid", 0, 5, b, (b,))
    known = stage.coordinator.value
    for configuration in (nothing, foreign, known):
        for replica in (stage["A"].replica, stage["B"].replica, newcomer):
            for sender in (a, b, newcomer.me):
                for message in one_of_each(configuration):
                    replica.receive(stage.now, sender, message)
                    replica.validate()


def one_of_each(configuration: Configuration) -> list[object]:
    """Every message there is, with numbers that fit nothing."""
    fields = {int: 7, str: "", bool: True, bytes: b"x", Configuration: configuration}
    return [kind(*[fields.get(f.type, []) for f in msgspec.structs.fields(kind)]) for kind in get_args(Message)]


def test_r2_a_restarted_name_waits_until_its_former_self_is_removed() -> None:
    stage = Stage("A", "B")
    stage.crash_silently("B")
    stage.restart("B")
    seen = []
    stage.until(lambda: seen.append(stage.coordinator.value) or stage.whole("AB"))
    for configuration in seen:
        names = [m.name for m in (*configuration.in_sync, *configuration.joining)]
        assert len(names) == len(set(names)), "one incarnation per name"
    assert any(c.in_sync == (stage["A"].replica.me,) for c in seen)


def test_r2_a_joiner_that_dies_holds_up_nobody() -> None:
    stage = Stage("A", "B", spare="C")
    stage.until(lambda: stage.role("C") is Role.JOINING)
    stage.crash_silently("C")
    worst = 0
    for n in range(100):
        w = stage.write("A", f"k{n}", "1")
        worst = max(worst, stage.until(lambda w=w: w.confirmed))
        stage.run(40)
    stage.until(lambda: not stage.coordinator.value.joining, limit_ms=40_000)
    assert worst <= stage.settings.silence_ms + 100
    assert stage.in_sync() == "AB"
