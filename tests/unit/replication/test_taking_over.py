"""R11 to R13: who may take over, and what a winner has to finish before it answers."""

from tests.unit.replication.conversation import Stage

from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import Ack, Append, Beacon, Matched, Stopped


def the_removed_one_survives(rules: Rules) -> tuple[Stage, str]:
    """B is cut off and removed; A confirms w1 alone; A dies, B comes back."""
    stage = Stage("A", "B", rules=rules)
    stage.cut("B")
    stage.coordinator.deaf_to = {"B"}
    stage.until(lambda: stage.in_sync() == "A")
    w1 = stage.write("A", "k", "1")
    stage.write("A", "other", "1")
    stage.run(20)
    said = w1.state
    stage.crash("A")
    stage.heal()
    stage.coordinator.deaf_to = set()
    stage.run(5000)
    return stage, said


def test_r11_a_copy_that_is_not_in_sync_is_never_promoted() -> None:
    stage, said = the_removed_one_survives(Rules())
    assert said == "answered"
    assert stage.answering == "" and stage.in_sync() == "A", "down, and it says so, until a person decides"


def test_r11_without_it_an_acknowledged_write_is_lost() -> None:
    stage = Stage("A", "B", rules=Rules(in_sync_promotes=False))
    stage.write("A", "k", "0")
    stage.run(100)
    stage.cut("B")
    stage.coordinator.deaf_to = {"B"}
    stage.until(lambda: stage.in_sync() == "A")
    w1 = stage.write("A", "k", "1")
    stage.run(20)
    assert w1.confirmed
    stage.crash("A")
    stage.heal()
    stage.coordinator.deaf_to = set()
    stage.run(5000)
    assert stage.answering == "B" and stage["B"].store == {"k": "0"}


def test_r11_the_next_in_line_waits_its_turn() -> None:
    stage = Stage("A", "B", "C")
    stage.crash("A")
    stage.until(lambda: stage.primary)
    assert stage.primary == "B" and "r11_promotion" not in stage["C"].notes


def test_r11_a_promotion_decided_on_an_old_reading_fails() -> None:
    """B, cut off from A, reads the configuration as it was before A removed it."""
    stage = Stage("A", "B", "C")
    stage.coordinator.stale = (stage.coordinator.value, stage.coordinator.token)
    stage.cut("B")
    stage.until(lambda: stage.in_sync() == "AC")
    w1 = stage.write("A", "k", "1")
    stage.run(2000)
    assert "r11_promotion" in stage["B"].notes and stage.role("B") is not Role.PRIMARY
    assert w1.confirmed and stage.primary == "A"


def test_r11_a_backup_that_stood_still_first_reads_what_was_said_meanwhile() -> None:
    """B's process was stopped for longer than a grace, A could not remove it; awake, B ticks before it finds the beacons."""
    stage = Stage("A", "B")
    stage.coordinator.deaf_to = {"A"}
    stage.pause("B")
    stage.run(stage.settings.grace_ms + 350)
    stage.resume("B")
    stage.run(50)
    assert "r11_promotion" not in stage["B"].notes
    stage.until(lambda: stage.primary == "A", limit_ms=100)


def promoted_without_knowing(rules: Rules) -> Stage:
    """C's promotion applies, but before C learns so, it hears A again and acknowledges its beacon."""
    stage = Stage("A", "C", rules=rules)
    stage.write("A", "k", "old")
    stage.run(100)
    stage.coordinator.deaf_to = {"A"}
    stage.cut("A", "C")
    stage.coordinator.holds_requests = stage.coordinator.loses_answers = True
    stage.until(lambda: any(cas.asker.letter == "C" for cas in stage.coordinator.held))
    stage.coordinator.deaf_to = {"A", "C"}
    stage.coordinator.carry_out(next(cas for cas in stage.coordinator.held if cas.asker.letter == "C"))
    assert stage.in_sync() == "C"
    stage.heal()
    stage.until(lambda: stage.primary == "A", limit_ms=200)
    stage.run(100)
    stage.cut_one_way("C", "A")
    stage.coordinator.deaf_to = {"A"}
    stage["C"].input(lambda r, now: r.changed_hint(now))
    stage.until(lambda: stage.role("C") is Role.PRIMARY, limit_ms=100)
    stage.run(20)
    return stage


def test_r12_a_winner_waits_for_the_leases_that_it_gave_itself() -> None:
    stage = promoted_without_knowing(Rules())
    assert "C" not in stage.answering
    assert stage.until(lambda: stage.primary == "C") <= stage.settings.grace_ms


def test_r12_without_it_both_answer() -> None:
    stage = promoted_without_knowing(Rules(other_leases_awaited=False))
    assert stage.answering == "AC"
    w = stage.write("C", "k", "new")
    r = stage.read("A", "k")
    stage.run(2)
    assert w.confirmed and r.answered and r.value == "old"


def test_r12_an_older_stopped_does_not_count() -> None:
    """A said "stopped" in an earlier tenure, and was primary again since: the word comes once more, from the network."""
    stage = Stage("A", "B")
    assert stage.hand_over("A", "B")
    stage.until(lambda: stage.primary == "B")
    stopped = stage.heard("A", "B", Stopped)[0]
    stage.run(200)
    assert stage.hand_over("B", "A")
    stage.until(lambda: stage.primary == "A")
    stage.run(200)
    stage.keep_back("A", "B", Stopped)
    stage.coordinator.holds_requests = True
    assert stage.hand_over("A", "B")
    stage.run(10)
    stage.coordinator.loses_answers = True
    stage.coordinator.release()
    stage.pause("A")
    stage["B"].input(lambda r, now: r.changed_hint(now))
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    stage.again("A", "B", stopped)
    stage.run(200)
    assert stage.answering == "", "B acknowledged A's beacons 200 ms ago"


def inherit(rules: Rules) -> Stage:
    """w1 reaches B and not C; A dies; B takes over and loses sight of C and of the coordinator; C takes over and writes w2."""
    stage = Stage("A", "B", "C", rules=rules)
    stage.keep_back("A", "C", Append)
    stage.write("A", "k", "w1")
    stage.run(20)
    stage.crash("A")
    stage.let_through("A", "C", Append, lose=True)
    stage.keep_back("B", "C", Matched)
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    stage.run(20)
    stage.cut("B", "C")
    stage.coordinator.deaf_to = {"B"}
    stage.until(lambda: stage.primary == "C")
    w2 = stage.write("C", "k", "w2")
    stage.until(lambda: w2.confirmed)
    return stage


def test_r13_what_is_inherited_stays_uncommitted_until_all_have_it() -> None:
    stage = inherit(Rules())
    assert stage["B"].store == {}, "B has w1 in its log only"
    stage.heal()
    stage.coordinator.deaf_to = set()
    stage.until(lambda: stage.whole("BC"))
    stage.run(100)
    assert stage.stores("BC") == [{"k": "w2"}] * 2


def test_r13_without_it_a_deposed_winner_has_committed_what_never_was() -> None:
    assert inherit(Rules(inherited_uncommitted=False))["B"].store == {"k": "w1"}


def serve_before_the_others_are_equal(rules: Rules) -> tuple[Stage, str | None]:
    """w1 is confirmed, but the backups have not heard so when A dies; B takes over, and hears nothing from C at first."""
    stage = Stage("A", "B", "C", rules=rules)
    stage.run(5)
    stage.keep_back("A", "B", Beacon)
    w1 = stage.write("A", "k", "w1")
    stage.run(5)
    assert w1.confirmed
    stage.crash("A")
    stage.keep_back("C", "B", Ack)
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    stage.run(60)
    r = stage.read("B", "k")
    refused = r.refused
    stage.let_through("C", "B", Ack)
    stage.until(lambda: stage.primary == "B")
    if refused:
        r = stage.read("B", "k")
    stage.run(10)
    assert r.answered
    return stage, r.value


def test_r13_a_winner_serves_when_the_others_are_equal() -> None:
    assert serve_before_the_others_are_equal(Rules())[1] == "w1"


def test_r13_without_it_an_acknowledged_write_is_not_seen() -> None:
    assert serve_before_the_others_are_equal(Rules(equal_before_serving=False))[1] is None


def test_r13_a_dead_member_is_removed_while_the_winner_equalises() -> None:
    stage = Stage("A", "B", "C")
    w1 = stage.write("A", "k", "1")
    stage.run(100)
    stage.crash_silently("A")
    stage.crash_silently("C")
    assert stage.until(lambda: stage.primary == "B") < 2000
    assert w1.confirmed and stage.in_sync() == "B" and stage["B"].store == {"k": "1"}


def test_backups_are_equal_after_a_promotion() -> None:
    """w1 and w2 reach only B, w2 alone reaches C (and waits for w1): whatever the winner has, all have."""
    stage = Stage("A", "B", "C")
    stage.keep_back("A", "C", Append)
    stage.write("A", "k1", "1")
    stage.let_through("A", "C", Append, lose=True)
    stage.write("A", "k2", "2")
    stage.run(5)
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    stage.run(100)
    assert stage.stores("BC") == [{"k1": "1", "k2": "2"}] * 2
