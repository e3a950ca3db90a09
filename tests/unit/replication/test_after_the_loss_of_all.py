"""R20: what the manager may write when no in-sync member is left, and what members make of it."""

from tests.unit.replication.conversation import Stage

from kubegrid.base.ids import ORIGIN
from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import Append, Beacon


def lose_all_in_sync(stage: Stage) -> None:
    """B, out of sync, survives A, which alone was in sync."""
    stage.write("A", "k", "1")
    stage.run(200)
    stage.cut("B")
    stage.until(lambda: stage.in_sync() == "A")
    stage.write("A", "k", "2")
    stage.run(20)
    stage.crash("A")
    stage.heal()
    stage.run(2000)


def test_without_a_decision_nobody_serves() -> None:
    stage = Stage("A", "B")
    lose_all_in_sync(stage)
    stage.restart("A")
    stage.run(5000)
    assert stage.answering == "" and stage.coordinator.value.epoch == 2


def test_an_accepted_loss_lets_the_survivor_serve_what_it_has() -> None:
    stage = Stage("A", "B")
    lose_all_in_sync(stage)
    assert stage["B"].replica.last == (1, 1), "what members report, the manager chooses by"
    stage.configure(3, "B", "B", note="loss accepted")
    assert stage.until(lambda: stage.primary == "B") < 2000
    r = stage.read("B", "k")
    stage.run(5)
    assert r.answered and r.value == "1"


def test_a_survivor_commits_its_whole_log() -> None:
    """w1 was confirmed, and B had not heard so: it is in B's log, and counts."""
    stage = Stage("A", "B")
    stage.keep_back("A", "B", Beacon)
    w1 = stage.write("A", "k", "1")
    stage.run(5)
    assert w1.confirmed and stage["B"].store == {}
    stage.crash("A")
    stage.configure(2, "B", "B", note="loss accepted")
    stage.until(lambda: stage.primary == "B")
    assert stage["B"].store == {"k": "1"}


def test_the_survivor_keeps_its_promise_before_it_answers() -> None:
    """R12 holds here too: A may be alive after all, with B's lease."""
    stage = Stage("A", "B")
    stage.pause("A")
    stage.configure(2, "B", "B", note="a person was wrong")
    stage["B"].input(lambda r, now: r.changed_hint(now))
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    assert stage.until(lambda: stage.primary == "B") > stage.settings.lease_ms


def let_the_winner_die_before_it_learns_that_it_won(rules: Rules) -> Stage:
    """A holds a lease that only the dead knew of, when the manager makes C, who never heard of A, primary."""
    stage = Stage("A", "B", rules=rules, validating=False)
    stage.coordinator.deaf_to = {"A"}
    stage.coordinator.holds_requests = True
    stage.cut_one_way("A", "B")  # B hears nothing, waits for its grace, and asks to be primary: the swap takes long
    stage.until(lambda: any(cas.asker.letter == "B" for cas in stage.coordinator.held))
    stage.heal()
    stage.until(lambda: stage.answering == "A", limit_ms=100)  # meanwhile it hears A again and acknowledges: a lease
    stage.coordinator.held = [cas for cas in stage.coordinator.held if cas.asker.letter == "B"]
    stage.crash_silently("B")
    stage.coordinator.release()  # B has won, and is dead; with it what it promised
    assert stage.in_sync() == "B"
    stage.restart("C")
    stage.cut("A", "C")
    stage.configure(stage.coordinator.value.epoch + 1, "C", "C", note="loss accepted")
    stage["C"].input(lambda r, now: r.changed_hint(now))
    return stage


def test_leases_given_by_the_dead_end_before_the_survivor_answers() -> None:
    stage = let_the_winner_die_before_it_learns_that_it_won(Rules())
    seen = []
    while stage.answering != "C":
        seen.append(stage.answering)
        stage.run(10)
    assert seen[0] == "A" and set(seen) == {"A", ""}, "first A, by its lease; then nobody; then C"


def test_a_survivor_that_counts_only_its_own_promises_answers_beside_another() -> None:
    stage = let_the_winner_die_before_it_learns_that_it_won(Rules(promises_of_the_dead=False))
    stage.run(20)
    assert stage.answering == "AC"


def test_what_the_dead_primary_said_and_nobody_had_read_is_given_up() -> None:
    """C stood still with A's words unread; A, alone in sync, died; B, who has less, was made primary; then C goes on.

    It takes what A committed for committed, as it must, for it knows no better, and shows it to nobody; when it hears of
    B it can't take that back, so it begins anew with a snapshot.
    """
    stage = Stage("A", "B", "C")
    stage.write("A", "k", "1")
    stage.run(100)
    stage.cut("B")
    stage.until(lambda: stage.in_sync() == "AC")
    stage.pause("C")
    stage.until(lambda: stage.in_sync() == "A")
    stage.resume("C")
    stage.until(lambda: stage.in_sync() == "AC")
    stage.keep_back("A", "C", Append)
    lost = stage.write("A", "k", "2")
    stage.until(lambda: stage.in_sync() == "A")
    stage.run(10)
    assert lost.confirmed, "by A alone"
    stage.run(500)
    stage.crash("A")
    stage.heal()
    stage.cut("B", "C")
    stage.coordinator.deaf_to = {"C"}
    stage.configure(stage.coordinator.value.epoch + 1, "B", "B", note="loss accepted")
    stage.until(lambda: stage.primary == "B")
    new = stage.write("B", "k", "3")
    stage.run(20)
    assert new.confirmed
    stage.let_through("A", "C", Append)
    stage.run(20)
    assert stage["C"].replica.last.seq == new.seq, "the same number, another history"
    stage.coordinator.deaf_to = set()
    stage.heal()
    stage.until(lambda: stage.whole("BC"))
    stage.run(100)
    assert stage.stores("BC") == [{"k": "3"}] * 2


def test_a_grid_that_may_starts_empty() -> None:
    stage = Stage("A", "B")
    stage.write("A", "k", "1")
    stage.run(100)
    stage.crash("A")
    stage.crash("B")
    stage.restart("A")
    stage.restart("B")
    stage.run(1000)
    assert stage.answering == ""
    stage.configure(2, "A", "A", note="started empty")
    stage.until(lambda: stage.whole("AB"))
    w = stage.write("A", "k", "2")
    stage.run(100)
    assert w.confirmed and stage.stores("AB") == [{"k": "2"}] * 2


def test_a_survivor_of_an_accepted_loss_takes_nothing_over_that_was_lost() -> None:
    """C has a longer log than the chosen survivor: it can't take back what it has applied, so it takes a snapshot."""
    stage = Stage("A", "B", "C")
    stage.write("A", "k", "1")
    stage.run(100)
    stage.cut("B")
    stage.until(lambda: stage.in_sync() == "AC")
    stage.write("A", "k", "2")
    stage.run(100)
    stage.crash("A")
    stage.pause("C")
    stage.heal()
    stage.configure(3, "B", "B", note="a person chose the older copy")
    stage.until(lambda: stage.primary == "B")
    stage.resume("C")
    stage.until(lambda: stage.whole("BC"))
    stage.run(100)
    assert stage.stores("BC") == [{"k": "1"}] * 2


def test_an_unfinished_copy_reports_nothing_to_choose_it_by() -> None:
    stage = Stage("A")
    stage.fill("A", 60)
    stage["A"].replica._state.log.trim(60, 0, 16)
    stage.restart("B")
    stage.until(lambda: stage["B"].replica._following.loading)
    assert stage["B"].replica.last == stage["B"].replica.commit == ORIGIN


def test_an_unfinished_copy_that_is_chosen_all_the_same_starts_empty() -> None:
    stage = Stage("A")
    stage.fill("A", 60)
    stage["A"].replica._state.log.trim(60, 0, 16)
    stage.restart("B")
    stage.until(lambda: stage["B"].store)
    stage.crash("A")
    stage.configure(9, "B", "B", note="started empty")
    stage.until(lambda: stage.primary == "B")
    assert stage["B"].store == {} and stage["B"].replica.last_seq == 0


def test_a_member_that_is_named_in_a_lower_epoch_stays_what_it_is() -> None:
    stage = Stage("A", "B")
    stage.crash("B")
    stage.until(lambda: stage.in_sync() == "A")
    stage.restart("B")
    stage.until(lambda: stage.whole("AB"))
    epoch = stage["A"].replica.epoch
    stage.configure(2, "B", "B")
    for letter in "AB":
        stage[letter].input(lambda r, now: r.changed_hint(now))
    stage.run(1000)
    assert stage.primary == "A" and stage["B"].replica.epoch == epoch
