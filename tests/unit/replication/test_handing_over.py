"""R16: giving the partition away without a failed request; leaving; fail-back."""

from tests.unit.replication.conversation import Stage

from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import Append, Beacon, BeaconAck, Stopped


def test_everything_executed_is_answered_before_the_partition_goes() -> None:
    stage = Stage("A", "B")
    writes = [stage.write("A", f"k{n}", str(n)) for n in range(5)]
    assert stage.hand_over("A", "B")
    during = stage.write("A", "k", "held")
    stage.until(lambda: stage.primary == "B", limit_ms=100)
    assert during.held, "not executed: it may be sent to B"
    assert all(w.confirmed for w in writes)
    stage.run(100)
    assert stage.equal("AB") and len(stage["B"].store) == 5


def test_no_request_is_refused_on_either_side() -> None:
    stage = Stage("A", "B")
    assert stage.hand_over("A", "B")
    refused_by_target = 0
    while stage.primary != "B":
        if stage.role("A") is Role.PRIMARY:
            assert not stage.write("A", "k", "1").refused
        elif stage.role("B") is Role.PRIMARY:
            refused_by_target += stage.write("B", "k", "1").refused
        stage.run(1)
    assert refused_by_target == 0


def test_the_swap_waits_until_everything_is_confirmed() -> None:
    stage = Stage("A", "B")
    stage.keep_back("A", "B", Append)
    w = stage.write("A", "k", "1")
    assert stage.hand_over("A", "B")
    stage.run(100)
    assert w.waiting and stage.coordinator.value.epoch == 1
    stage.let_through("A", "B", Append)
    stage.until(lambda: stage.primary == "B", limit_ms=100)
    assert w.confirmed


def test_a_third_member_follows() -> None:
    stage = Stage("A", "B", "C")
    assert stage.hand_over("A", "C")
    stage.until(lambda: stage.primary == "C", limit_ms=100)
    w = stage.write("C", "k", "1")
    stage.run(100)
    assert w.confirmed and stage.stores("ABC") == [{"k": "1"}] * 3
    assert stage.role("A") is Role.BACKUP and stage.in_sync() == "ABC"


def ask_the_old_primary(rules: Rules) -> tuple[str, str | None]:
    """A has handed over to B; B confirms "new"; a client asks A."""
    stage = Stage("A", "B", rules=rules)
    stage.write("A", "k", "old")
    stage.run(100)
    assert stage.hand_over("A", "B")
    stage.until(lambda: stage["B"].replica.serving, limit_ms=200)
    w = stage.write("B", "k", "new")
    stage.run(5)
    assert w.confirmed
    r = stage.read("A", "k")
    stage.run(1)
    return r.state, r.value


def test_r16_reads_stop_with_writes() -> None:
    assert ask_the_old_primary(Rules()) == ("refused", None)


def test_r16_without_stopping_reads_the_old_primary_answers_beside_the_new() -> None:
    assert ask_the_old_primary(Rules(handover_stops_reads=False)) == ("answered", "old")


def test_r16_if_the_swap_is_slow_the_old_primary_resumes() -> None:
    stage = Stage("A", "B")
    stage.coordinator.holds_requests = True
    assert stage.hand_over("A", "B")
    stage.run(stage.settings.handover_hold_ms + 50)
    assert stage.primary == "A"
    w = stage.write("A", "k", "1")
    stage.run(10)
    assert w.confirmed
    stage.coordinator.release()
    stage.until(lambda: stage.primary == "B", limit_ms=300)
    stage.run(100)
    assert stage.stores("AB") == [{"k": "1"}] * 2


def test_r16_a_swap_that_applies_unheard_leaves_one_to_answer() -> None:
    """The answer is lost, so A resumes; B learns that it is primary, and waits for A's leases (R12) or its word."""
    stage = Stage("A", "B")
    stage.coordinator.loses_answers = True
    stage.coordinator.deaf_to = set()
    assert stage.hand_over("A", "B")
    stage.run(3)
    stage.coordinator.deaf_to = {"A"}
    stage.cut_one_way("B", "A")
    stage["B"].input(lambda r, now: r.changed_hint(now))
    for _ in range(200):
        stage.run(10)
        assert len(stage.answering) <= 1
    assert stage.answering == "B"


def test_r16_stopped_shortens_the_wait_of_r12() -> None:
    stage = Stage("A", "B")
    assert stage.hand_over("A", "B")
    assert stage.until(lambda: stage.primary == "B") < 100
    assert len(stage.heard("A", "B", Stopped)) == 1


def test_r16_a_lost_stopped_is_made_up_for_by_the_first_acknowledged_beacon() -> None:
    stage = Stage("A", "B")
    stage.keep_back("A", "B", Stopped)
    assert stage.hand_over("A", "B")
    stage.run(20)
    stage["B"].input(lambda r, now: r.changed_hint(now))
    assert stage.until(lambda: stage.primary == "B") < 100


def test_r16_if_the_target_dies_the_old_primary_takes_over_again() -> None:
    stage = Stage("A", "B")
    stage.write("A", "k", "1")
    stage.run(100)
    assert stage.hand_over("A", "B")
    stage.run(3)
    stage.crash("B")
    assert stage.until(lambda: stage.primary == "A") < 1500
    assert stage["A"].store == {"k": "1"}


def test_r16_nothing_is_handed_to_a_member_that_is_not_in_sync() -> None:
    stage = Stage("A", "B", spare="C")
    stage.crash("B")
    stage.until(lambda: stage.in_sync() != "AB")
    assert not stage.hand_over("A", "B")
    assert stage.primary == "A"


def test_r16_joining_survives_as_far_as_the_new_primary_takes_it_up() -> None:
    stage = Stage("A", "B")
    stage.fill("A", 30)
    stage.keep_back("C", "A", BeaconAck)  # so it stays a joiner
    stage.restart("C")
    stage.until(lambda: stage.role("C") is Role.JOINING)
    assert stage.hand_over("A", "B")
    stage.until(lambda: stage.whole("ABC"))
    stage.run(100)
    assert stage.primary == "B" and stage.equal("ABC")


def test_a_leaving_backup_is_let_go() -> None:
    stage = Stage("A", "B", "C")
    stage.leave("C")
    stage.until(lambda: stage["C"].replica.left, limit_ms=500)
    assert stage.in_sync() == "AB" and stage.primary == "A"
    stage.run(1000)
    assert stage.in_sync() == "AB", "it does not ask to be let in again"


def test_a_leaving_primary_hands_over_first() -> None:
    stage = Stage("A", "B")
    outage = 0
    stage.leave("A")
    while not stage["A"].replica.left:
        stage.run(10)
        outage += 0 if stage.primary else 10
    assert stage.in_sync() == "B" and outage <= 60


def test_members_that_leave_together_do_not_hand_the_partition_to_each_other() -> None:
    stage = Stage("A", "B")
    stage.leave("A")
    stage.leave("B")
    stage.run(2000)
    assert sum(stage[letter].notes.count("r16_hand_over") for letter in "AB") <= 1
    assert len(stage.primary) == 1 and stage.in_sync() == stage.primary, "one is gone, the other waits for a joiner"


def test_a_lone_member_waits_for_a_joiner_before_it_leaves() -> None:
    stage = Stage("A")
    w = stage.write("A", "k", "1")
    stage.leave("A")
    stage.run(2000)
    assert not stage["A"].replica.left and stage.primary == "A" and w.confirmed
    stage.restart("B")
    stage.until(lambda: stage["A"].replica.left)
    assert stage.primary == "B" and stage["B"].store == {"k": "1"}


def test_a_member_whose_going_would_break_the_minimum_waits_for_a_joiner() -> None:
    stage = Stage("A", "B", settings=ReplicationSettings(min_in_sync=2, copies=2))
    stage.leave("B")
    stage.run(2000)
    assert not stage["B"].replica.left and stage.in_sync() == "AB"
    stage.restart("C")
    stage.until(lambda: stage["B"].replica.left)
    assert stage.in_sync() == "AC"


def test_the_preferred_primary_gets_the_partition_back() -> None:
    stage = Stage("A", "B", settings=ReplicationSettings(copies=2, failback_after_ms=3000), preferred="A")
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    stage.restart("A")
    stage.until(lambda: stage.whole("AB"))
    whole_ms = stage.now
    stage.run(2500)
    assert stage.primary == "B", "not before redundancy has been full for long enough"
    stage.until(lambda: stage.primary == "A")
    assert stage.now - whole_ms < 3500
    stage.run(5000)
    assert stage.primary == "A" and stage["A"].notes.count("r16_hand_over") == 0


def test_during_a_hand_over_the_leases_must_last_too() -> None:
    """B stops acknowledging beacons while the swap is on its way: what is still unanswered at A stays so."""
    stage = Stage("A", "B")
    stage.coordinator.holds_requests = True
    assert stage.hand_over("A", "B")
    stage.keep_back("A", "B", Beacon)
    stage.run(stage.settings.lease_ms + 50)
    assert stage.answering == ""
