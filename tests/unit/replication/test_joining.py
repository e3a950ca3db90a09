"""R18, R19: snapshots while writes go on, and what is never thrown away or forgotten."""

from tests.unit.replication.conversation import Stage

from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import (
    Append,
    Beacon,
    Matched,
    SnapshotAck,
    SnapshotBegin,
    SnapshotSlice,
)

SHORT_LOG = ReplicationSettings(copies=3, log_entries_max=20)


def test_a_snapshot_that_is_cut_while_writes_go_on_becomes_exact() -> None:
    stage = Stage("A", settings=SHORT_LOG)
    stage.fill("A", 100, keys=30)
    stage.restart("B")
    n = 100
    while not stage.whole("AB"):
        n += 1
        stage.write("A", f"k{n % 40}", str(n))
        stage.run(1)
    assert stage.heard("A", "B", SnapshotBegin)
    stage.run(200)
    assert stage.equal("AB")


def test_lost_slices_and_beginnings_are_sent_again() -> None:
    stage = Stage("A", settings=SHORT_LOG)
    stage.fill("A", 100)
    stage.keep_back("A", "B", SnapshotBegin)
    stage.restart("B")
    stage.until(lambda: stage.heard("A", "B", SnapshotBegin))
    stage.let_through("A", "B", SnapshotBegin, lose=True)
    stage.keep_back("A", "B", SnapshotSlice)
    stage.until(lambda: len(stage.heard("A", "B", SnapshotSlice)) >= 3)
    stage.let_through("A", "B", SnapshotSlice, lose=True)
    stage.keep_back("B", "A", SnapshotAck)
    stage.run(300)
    stage.let_through("B", "A", SnapshotAck, lose=True)
    stage.until(lambda: stage.whole("AB"))
    stage.run(200)
    assert stage.equal("AB")


def test_slices_that_come_twice_or_in_another_order_are_loaded_once_and_in_order() -> None:
    stage = Stage("A", settings=SHORT_LOG)
    stage.fill("A", 30)
    stage.restart("B")
    stage.until(lambda: stage.whole("AB"))
    stage.write("A", "k0", "newer")
    stage.run(100)
    for message in reversed(stage.heard("A", "B", SnapshotSlice) + stage.heard("A", "B", SnapshotBegin)):
        stage.again("A", "B", message)
    stage.run(100)
    assert stage["B"].store["k0"] == "newer" and stage.equal("AB")


def lose_the_primary_behind_a_snapshot(rules: Rules) -> Stage:
    """C takes a snapshot from A that holds w, which B never gets; A dies; B goes on without w, and takes C up."""
    stage = Stage("A", "B", rules=rules, settings=SHORT_LOG)
    stage.fill("A", 40, pause_ms=2)
    stage.run(100)
    stage.keep_back("A", "C", SnapshotSlice)
    stage.restart("C")
    stage.until(lambda: stage.heard("A", "C", SnapshotSlice))
    stage.keep_back("A", "B", Append)
    stage.keep_back("A", "C", Append)
    w = stage.write("A", "k39", "never confirmed")
    stage.let_through("A", "C", SnapshotSlice)
    stage.until(lambda: len(stage.heard("A", "C", SnapshotSlice)) >= 20)
    stage.run(20)
    assert stage["C"].store["k39"] == "never confirmed" and w.waiting
    stage.crash("A")
    stage.let_through("A", "B", Append, lose=True)
    stage.until(lambda: stage.whole("BC"))
    stage.write("B", "other", "1")
    stage.run(200)
    return stage


def test_r18_a_snapshot_whose_position_was_not_committed_is_thrown_away_with_its_primary() -> None:
    stage = lose_the_primary_behind_a_snapshot(Rules())
    assert stage.equal("BC") and stage["C"].store["k39"] == "39"


def test_r18_kept_it_shows_a_write_that_never_was() -> None:
    stage = lose_the_primary_behind_a_snapshot(Rules(snapshot_thrown_away=False))
    assert stage["C"].store["k39"] == "never confirmed" and stage["B"].store["k39"] == "39"


def test_r18_an_in_sync_member_keeps_the_snapshot_it_came_by() -> None:
    """C has just been added, and has not heard a commit point since, when A dies: in sync means that all was committed."""
    stage = Stage("A", settings=SHORT_LOG, holds_adding="C")
    stage.fill("A", 60)
    stage.restart("C")
    stage.until(lambda: stage.coordinator.held)
    stage.keep_back("A", "C", Beacon)
    stage.coordinator.release()
    stage.crash("A")
    stage.until(lambda: stage.primary == "C")
    assert len(stage["C"].store) == 60 and "r18_thrown_away" not in stage["C"].notes


def test_r18_a_winner_takes_no_snapshot_of_what_it_has_not_applied() -> None:
    """B inherits w1 unapplied and takes C up at once: C must get w1 all the same."""
    stage = Stage("A", "B", "D")
    stage.keep_back("A", "B", Beacon)
    stage.write("A", "k", "1")
    stage.run(3)
    stage.crash("A")
    stage.keep_back("B", "D", Matched)
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    stage.restart("C")
    stage.run(250)
    stage.let_through("B", "D", Matched)
    stage.until(lambda: stage.whole("BCD"))
    stage.run(100)
    assert stage.stores("BCD") == [{"k": "1"}] * 3


def test_r19_an_in_sync_member_refuses_a_snapshot() -> None:
    stage = Stage("A", "B")
    w = stage.write("A", "k", "1")
    stage.run(100)
    known = stage["A"].replica.configuration
    assert known is not None
    stage.again("A", "B", SnapshotBegin(known, 1, 99, 1, 1))
    stage.run(100)
    assert w.confirmed and stage["B"].store == {"k": "1"} and stage["B"].replica.last_seq == 1


def test_r19_no_log_is_forgotten_above_the_lowest_acknowledgement_in_sync() -> None:
    stage = Stage("A", "B", "C", settings=SHORT_LOG)
    stage.keep_back("A", "C", Append)
    stage.fill("A", 100, pause_ms=1)
    assert stage["A"].replica._state.log.base.seq == 0
    stage.let_through("A", "C", Append, lose=True)
    stage.run(1000)
    assert stage["C"].replica.last_seq == 100
    stage.write("A", "k", "1")
    stage.run(100)
    assert stage["A"].replica._state.log.base.seq > 70
    assert stage.equal("ABC")


def test_r19_the_log_under_a_snapshot_is_kept_while_it_streams() -> None:
    stage = Stage("A", settings=SHORT_LOG)
    stage.fill("A", 60, keys=30)
    stage.keep_back("A", "B", SnapshotSlice)
    stage.restart("B")
    stage.until(lambda: stage.heard("A", "B", SnapshotSlice))
    start = stage.heard("A", "B", SnapshotBegin)[0].seq
    for n in range(200):
        stage.write("A", f"k{n % 30}", f"later {n}")
    assert stage["A"].replica._state.log.base.seq <= start
    stage.let_through("A", "B", SnapshotSlice)
    stage.until(lambda: stage.whole("AB"))
    stage.run(100)
    assert stage.equal("AB") and len(stage.heard("A", "B", SnapshotBegin)) == 1


def test_a_joiner_behind_a_slow_link_is_not_begun_again() -> None:
    stage = Stage("A", "B", settings=SHORT_LOG)
    stage.fill("A", 60, pause_ms=1)
    stage.keep_back("A", "C", SnapshotSlice)
    stage.busy.add(("A", "C"))
    stage.restart("C")
    stage.until(lambda: stage.role("C") is Role.JOINING)
    stage.run(5 * SHORT_LOG.join_stall_ms)
    epoch = stage["A"].replica.epoch
    slices = stage.heard("A", "C", SnapshotSlice)
    assert len(slices) == len({piece.index for piece in slices})
    stage.let_through("A", "C", SnapshotSlice)
    stage.until(lambda: stage.whole("ABC"))
    assert stage["A"].replica.epoch == epoch + 1
    assert len(stage.heard("A", "C", SnapshotBegin)) == 1


def test_a_joiner_that_stalls_is_dropped_and_may_try_again() -> None:
    stage = Stage("A", "B", settings=SHORT_LOG)
    stage.fill("A", 60, pause_ms=1)
    stage.keep_back("A", "C", SnapshotSlice)
    stage.restart("C")
    stage.until(lambda: stage.role("C") is Role.JOINING)
    stage.until(lambda: not stage.coordinator.value.joining, limit_ms=40_000)
    stage.let_through("A", "C", SnapshotSlice, lose=True)
    stage.until(lambda: stage.whole("ABC"))
    stage.run(100)
    assert stage.equal("ABC")


def test_several_members_join_at_once() -> None:
    stage = Stage("A", spare="BCD")
    stage.fill("A", 200, keys=50, pause_ms=2)
    stage.until(lambda: stage.whole("ABCD"))
    stage.run(100)
    assert stage.equal("ABCD")


def test_a_lone_member_of_a_grid_with_one_copy_records_nothing_until_somebody_joins() -> None:
    stage = Stage("A", settings=ReplicationSettings(copies=1))
    a = stage["A"].replica
    assert not a.recording
    for n in range(5):
        stage["A"].store[f"k{n}"] = str(n)
        assert a.append(stage.now, None, None, 10) == n + 1
    assert a.releasable(stage.now) == 5 and a.commit == (1, 5)
    stage.restart("B")
    stage.until(lambda: stage.whole("AB"))
    assert a.recording
    w = stage.write("A", "k", "1")
    stage.run(100)
    assert w.confirmed and stage.equal("AB") and len(stage["B"].store) == 6


def test_a_joiner_too_slow_for_the_writes_does_not_fill_the_primarys_memory() -> None:
    """Beyond `join_log_bytes_max` the log that only the joiner needs is forgotten, at once, and it begins again."""
    limits = ReplicationSettings(copies=2, log_entries_max=16, log_bytes_max=400, join_log_bytes_max=800)
    limits.check()
    stage = Stage("A", settings=limits)
    stage.fill("A", 60, keys=30)
    stage.keep_back("A", "B", SnapshotSlice)
    stage.restart("B")
    stage.until(lambda: stage.heard("A", "B", SnapshotSlice))
    stage.coordinator.reachable = False  # nobody has to be asked
    for n in range(600):
        stage.write("A", f"k{n % 30}", f"later {n}")
        stage.run(1)
        log = stage["A"].replica._state.log
        assert log.bytes_between(log.base.seq, log.last_seq) < 1200
    assert "join_too_slow" in stage["A"].notes
    stage.coordinator.reachable = True
    stage.let_through("A", "B", SnapshotSlice)
    stage.until(lambda: stage.whole("AB"))
    stage.run(100)
    assert stage.equal("AB") and len(stage.heard("A", "B", SnapshotBegin)) > 1


def test_a_member_in_sync_is_not_made_to_begin_again_however_far_it_is_behind() -> None:
    limits = ReplicationSettings(copies=2, log_entries_max=16, log_bytes_max=400, join_log_bytes_max=400)
    stage = Stage("A", "B", settings=limits)
    stage.keep_back("A", "B", Append)
    stage.fill("A", 100, pause_ms=1)
    stage.let_through("A", "B", Append)
    stage.until(lambda: stage["B"].replica.last_seq == 100)
    assert "join_too_slow" not in stage["A"].notes and not stage.heard("A", "B", SnapshotBegin)
