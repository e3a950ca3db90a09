"""R17: who can't finish lets another try."""

from tests.unit.replication.conversation import Stage

from kubegrid.replication import Role
from kubegrid.replication.messages import Append, Beacon, BeaconAck, Matched


def test_a_winner_that_cannot_make_the_others_equal_lets_another_try() -> None:
    """B takes over; its beacons reach C, its log does not, and it has lost the coordinator, so it can't remove C."""
    stage = Stage("A", "B", "C")
    w1 = stage.write("A", "k", "1")
    stage.run(100)
    stage.keep_back("B", "C", Matched)
    stage.keep_back("B", "C", Append)
    stage.crash("A")
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    stage.run(5)
    stage.coordinator.deaf_to = {"B"}
    took = stage.until(lambda: stage.primary == "C", limit_ms=10_000)
    assert took >= stage.settings.finish_ms
    assert w1.confirmed and stage["C"].store == {"k": "1"}


def test_a_primary_without_leases_that_cannot_remove_who_withholds_them_lets_another_try() -> None:
    """A's beacons reach B, so B waits; B's acknowledgements don't reach A, nor does the coordinator."""
    stage = Stage("A", "B")
    stage.cut_one_way("B", "A")
    stage.coordinator.deaf_to = {"A"}
    took = stage.until(lambda: stage.primary == "B", limit_ms=10_000)
    assert stage.settings.finish_ms < took < 4000


def test_a_winner_that_waits_for_r12_is_not_silent() -> None:
    stage = Stage("A", "B", "C")
    stage.coordinator.holds_requests = True
    assert stage.hand_over("A", "B")
    stage.run(5)
    stage.coordinator.loses_answers = True
    stage.coordinator.release()
    stage.pause("A")
    stage["B"].input(lambda r, now: r.changed_hint(now))
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    said = len(stage.heard("B", "C", Beacon))
    stage.run(500)
    assert stage.answering == "" and len(stage.heard("B", "C", Beacon)) >= said + 9


def test_a_silent_primary_repeats_its_swap_and_resumes() -> None:
    stage = Stage("A", "B")
    w1 = stage.write("A", "k", "1")
    stage.run(20)
    stage.crash_silently("B")
    stage.coordinator.reachable = False
    stage.until(lambda: "r17_silent" in stage["A"].notes)
    assert stage.answering == ""
    stage.run(3000)
    stage.coordinator.reachable = True
    assert stage.until(lambda: stage.primary == "A") < 1000
    w2 = stage.write("A", "k", "2")
    stage.run(5)
    assert w1.confirmed and w2.confirmed and stage.in_sync() == "A"


def test_a_resumed_primary_has_fresh_leases_only() -> None:
    """C withheld its acknowledgements; when A, silent, has removed B, C's old promises are worth nothing."""
    stage = Stage("A", "B", "C")
    stage.crash_silently("B")
    stage.coordinator.reachable = False
    stage.until(lambda: "r17_silent" in stage["A"].notes)
    stage.coordinator.deaf_to = {"C"}
    stage.coordinator.reachable = True
    stage.keep_back("C", "A", BeaconAck)
    stage.run(250)
    assert stage.in_sync() == "AC" and stage.answering == ""
    stage.let_through("C", "A", BeaconAck)
    stage.until(lambda: stage.primary == "A", limit_ms=200)


def test_while_the_coordinator_is_away_a_blip_of_one_backup_costs_nothing() -> None:
    """B's connection breaks for a moment; the removal that follows at once reaches nobody; B is back before its lease ends."""
    stage = Stage("A", "B")
    stage.coordinator.reachable = False
    b = stage["B"].replica.me
    stage["A"].input(lambda r, now: r.disconnected(now, b))
    stage["A"].input(lambda r, now: r.connected(now, b))
    for n in range(100):
        w = stage.write("A", "k", str(n))
        stage.run(50)
        assert w.confirmed
    stage.coordinator.reachable = True
    stage.until(lambda: stage.whole("AB") and stage.coordinator.value.epoch > 1)
    stage.run(100)
    assert stage.equal("AB")
