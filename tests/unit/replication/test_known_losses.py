"""The known ways in which systems like this one lose data, as far as they concern the core.

Several are told elsewhere, under the rule that prevents them:
acknowledging before all have it: test_confirming (R6); promoting a copy that is not in sync: test_taking_over (R11); two
primaries, a read by a deposed primary: test_leases (R8), test_taking_over (R12); dirty reads: test_confirming (R7);
truncating by position: test_matching (R14); backups that differ after a promotion: test_taking_over (R13); a helper that
keeps a hung loop's session alive, clocks that stop: test_leases (R8); a stale reading of the configuration:
test_taking_over (R11), test_configuration (R1, R5); a lock without a fencing token: test_leases (R10).
Here are the others. Applying a retried write twice is R22's, which the core leaves to the store: what the core promises,
that an entry is applied once however often it comes, is in test_confirming.
"""

from tests.unit.replication.conversation import Stage

from kubegrid.replication import CompareAndSwap, Role, Rules


def come_back_empty_under_the_old_name(rules: Rules) -> Stage:
    """B's process dies unnoticed and is back, empty, in a moment; before anything else happens, A's machine is gone."""
    stage = Stage("A", "B", rules=rules)
    w = stage.write("A", "k", "1")
    stage.run(100)
    assert w.confirmed
    stage.coordinator.deaf_to = {"A"}
    stage.crash_silently("B")
    stage.restart("B")
    stage.run(100)
    stage.crash_silently("A")
    stage.run(5000)
    return stage


def test_an_empty_pod_is_not_the_one_that_is_listed() -> None:
    stage = come_back_empty_under_the_old_name(Rules())
    assert stage.answering == "" and stage.role("B") is Role.IDLE


def test_known_by_name_only_an_empty_pod_takes_over() -> None:
    stage = come_back_empty_under_the_old_name(Rules(incarnations=False))
    assert stage.answering == "B" and stage["B"].store == {}


def test_an_outage_of_the_coordinator_takes_nothing_down() -> None:
    stage = Stage("A", "B", "C")
    stage.coordinator.reachable = False
    for n in range(200):
        w = stage.write("A", f"k{n % 7}", str(n))
        r = stage.read("A", f"k{n % 7}")
        stage.run(100)
        assert w.confirmed and r.answered and r.value == str(n)
    assert stage.equal("ABC")


def test_a_backup_that_dies_during_the_outage_costs_until_its_end_and_loses_nothing() -> None:
    stage = Stage("A", "B", "C")
    stage.coordinator.reachable = False
    stage.crash("C")
    w = stage.write("A", "k", "1")
    stage.run(5000)
    assert w.waiting and stage.answering == ""
    stage.coordinator.reachable = True
    assert stage.until(lambda: stage.primary) < 1500, "A, or B, since A fell silent (R17)"
    stage.until(lambda: stage.whole("AB"))
    assert not w.waiting and stage[stage.primary].store == {"k": "1"}


def test_a_primary_that_dies_during_the_outage_is_replaced_at_its_end() -> None:
    stage = Stage("A", "B")
    w = stage.write("A", "k", "1")
    stage.run(100)
    stage.coordinator.reachable = False
    stage.crash("A")
    stage.run(10_000)
    assert stage.answering == ""
    stage.coordinator.reachable = True
    assert stage.until(lambda: stage.primary == "B") < 1000
    assert w.confirmed and stage["B"].store == {"k": "1"}


def test_two_backups_that_compete_do_not_both_win() -> None:
    stage = Stage("A", "B", "C")
    w = stage.write("A", "k", "1")
    stage.run(100)
    stage.crash("A")
    stage.cut("B", "C")
    stage.coordinator.holds_requests = True
    stage.until(lambda: {c.asker.letter for c in stage.coordinator.held} == {"B", "C"})
    stage.coordinator.release()
    stage.heal()
    stage.until(lambda: stage.primary)
    assert stage.coordinator.value.epoch == 2
    assert w.confirmed and stage[stage.primary].store == {"k": "1"}
    stage.run(300)
    assert stage.equal("BC")


def test_two_changes_of_one_primary_are_never_made_on_the_same_version() -> None:
    """B and C die together: one swap removes both, or two do so one after the other."""
    stage = Stage("A", "B", "C")
    asked: list[CompareAndSwap] = []
    swap = stage.coordinator.swap
    stage.coordinator.swap = lambda cas: (asked.append(cas.instruction), swap(cas))  # type: ignore[method-assign]
    w = stage.write("A", "k", "1")
    stage.crash("B")
    stage.crash("C")
    stage.until(lambda: w.confirmed)
    assert stage.in_sync() == "A"
    applied = [c for c in asked if c.proposed.epoch <= stage.coordinator.value.epoch]
    assert len({c.token for c in applied}) == stage.coordinator.value.epoch - 1


def test_everybody_dying_but_one_in_sync_member_loses_nothing() -> None:
    stage = Stage("A", "B", "C")
    written = {}
    for n in range(50):
        written[f"k{n}"] = str(n)
        stage.write("A", f"k{n}", str(n))
    stage.run(100)
    stage.crash("A")
    stage.crash("B")
    stage.until(lambda: stage.primary == "C")
    assert stage["C"].store == written
    stage.restart("A")
    stage.until(lambda: stage.whole("AC"))
    stage.crash("C")
    stage.until(lambda: stage.primary == "A")
    assert stage["A"].store == written
