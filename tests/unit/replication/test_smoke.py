"""The ordinary course: writing, failing over, coming back, handing over."""

from tests.unit.replication.conversation import Stage

from kubegrid.replication import Role


def test_a_write_is_confirmed_by_all_and_applied_by_all() -> None:
    stage = Stage("A", "B", "C")
    w1 = stage.write("A", "k", "1")
    assert w1.waiting
    stage.run(5)
    assert w1.confirmed
    stage.run(100)
    assert stage.stores("ABC") == [{"k": "1"}] * 3


def test_a_killed_primary_is_replaced_and_comes_back_empty() -> None:
    stage = Stage("A", "B", "C")
    stage.fill("A", 10)
    stage.run(20)
    stage.crash("A")
    took = stage.until(lambda: stage.primary == "B")
    assert took < 1000
    w = stage.write("B", "k", "new")
    stage.run(10)
    assert w.confirmed
    stage.restart("A")
    stage.until(lambda: stage.whole("ABC"))
    stage.run(200)
    assert stage.equal("ABC")
    assert stage.role("A") is Role.BACKUP


def test_a_killed_backup_is_removed_and_comes_back() -> None:
    stage = Stage("A", "B")
    stage.crash("B")
    w = stage.write("A", "k", "1")
    stage.run(50)
    assert w.confirmed
    assert stage.in_sync() == "A"
    stage.restart("B")
    stage.until(lambda: stage.whole("AB"))
    stage.run(200)
    assert stage.equal("AB")


def test_a_hand_over_takes_milliseconds() -> None:
    stage = Stage("A", "B")
    w = stage.write("A", "k", "1")
    assert stage["A"].input(lambda r, now: r.hand_over(now))
    assert stage.write("A", "k", "2").held
    assert stage.until(lambda: stage.primary == "B") <= 60
    assert w.confirmed
    r = stage.read("B", "k")
    stage.run(5)
    assert r.answered and r.value == "1"
    stage.run(200)
    assert stage.role("A") is Role.BACKUP


def test_sigterm_of_the_primary_hands_over_and_leaves() -> None:
    stage = Stage("A", "B")
    stage.run(10)
    stage["A"].input(lambda r, now: r.leave(now))
    stage.until(lambda: stage["A"].replica.left)
    assert stage.primary == "B" and stage.in_sync() == "B"


def test_a_member_joins_by_snapshot_while_writes_go_on() -> None:
    stage = Stage("A", spare="B")
    stage.fill("A", 300, keys=40, pause_ms=3)
    stage.until(lambda: stage.whole("AB"))
    stage.run(200)
    assert stage.equal("AB")
