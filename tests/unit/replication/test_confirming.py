"""R6, R7, R9: when the reply of a write or a read may leave."""

from tests.unit.replication.conversation import Stage

from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import Rules
from kubegrid.replication.messages import Ack, Append, Beacon


def lose_the_primary_before_the_backup_has_it(rules: Rules) -> tuple[Stage, str]:
    """A writes w1; it does not reach B; A dies."""
    stage = Stage("A", "B", rules=rules)
    stage.keep_back("A", "B", Append)
    w1 = stage.write("A", "k", "1")
    stage.run(50)
    said = w1.state
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    return stage, said


def test_r6_a_write_waits_for_every_backup() -> None:
    _, said = lose_the_primary_before_the_backup_has_it(Rules())
    assert said == "waiting"


def test_r6_without_it_an_acknowledged_write_is_lost() -> None:
    stage, said = lose_the_primary_before_the_backup_has_it(Rules(confirm_by_all=False))
    assert said == "answered" and stage["B"].store == {}


def test_r6_one_backup_of_two_is_not_enough() -> None:
    stage = Stage("A", "B", "C")
    stage.keep_back("A", "C", Append)
    w1 = stage.write("A", "k", "1")
    stage.run(100)
    assert w1.waiting
    stage.let_through("A", "C", Append)
    stage.run(5)
    assert w1.confirmed


def count_an_acknowledgement_of_another_tenure(rules: Rules) -> tuple[Stage, str, str]:
    """w1 reaches B and not C; A dies; C takes over, without w1, and writes w2 under the number that B has acknowledged."""
    stage = Stage("A", "C", "B", rules=rules)
    stage.keep_back("A", "C", Append)
    w1 = stage.write("A", "k", "1")
    stage.run(20)
    first = w1.state
    stage.crash("A")
    stage.let_through("A", "C", Append, lose=True)
    stage.until(lambda: stage.primary == "C")
    stage.keep_back("C", "B", Append)
    w2 = stage.write("C", "k", "2")
    stage.run(20)
    second = w2.state
    stage.crash("C")
    stage.let_through("C", "B", Append, lose=True)
    stage.until(lambda: stage.primary == "B")
    return stage, first, second


def test_r6_an_acknowledgement_counts_for_its_tenure_only() -> None:
    _, first, second = count_an_acknowledgement_of_another_tenure(Rules())
    assert (first, second) == ("waiting", "waiting")


def test_r6_without_it_an_acknowledged_write_is_lost_to_an_older_one() -> None:
    stage, _, second = count_an_acknowledgement_of_another_tenure(Rules(acks_by_tenure=False))
    assert second == "answered" and stage["B"].store.get("k") != "2"


def test_r6_acknowledgements_survive_a_change_of_epoch_within_the_tenure() -> None:
    """B acknowledged w1 in epoch 1. C, which did not, dies and is removed: epoch 2 confirms w1 without asking B again."""
    stage = Stage("A", "B", "C")
    stage.keep_back("A", "C", Append)
    w1 = stage.write("A", "k", "1")
    stage.run(20)
    stage.crash("C")
    stage.until(lambda: w1.confirmed, limit_ms=50)
    assert len(stage.heard("A", "B", Append)) == 1


def test_r6_an_acknowledgement_that_comes_twice_or_late_changes_nothing() -> None:
    stage = Stage("A", "B")
    w1 = stage.write("A", "k", "1")
    stage.run(5)
    w2 = stage.write("A", "k", "2")
    stage.keep_back("A", "B", Append)
    w3 = stage.write("A", "k", "3")
    for ack in stage.heard("B", "A", Ack) * 3:
        stage.again("B", "A", ack)
    stage.run(10)
    assert w1.confirmed and w2.confirmed and w3.waiting


def test_entries_that_come_twice_or_out_of_order_are_taken_once() -> None:
    stage = Stage("A", "B")
    writes = [stage.write("A", f"k{n}", str(n)) for n in range(3)]
    stage.run(10)
    for append in reversed(stage.heard("A", "B", Append)):
        stage.again("A", "B", append)
    stage.run(200)
    assert all(w.confirmed for w in writes)
    assert stage["B"].replica.last_seq == 3 and stage.equal("AB")


def test_a_lost_frame_is_sent_again() -> None:
    stage = Stage("A", "B")
    stage.keep_back("A", "B", Append)
    w1 = stage.write("A", "k", "1")
    stage.let_through("A", "B", Append, lose=True)
    w2 = stage.write("A", "k", "2")
    assert stage.until(lambda: w1.confirmed and w2.confirmed) <= stage.settings.resend_ms + 50


def read_what_is_not_confirmed(rules: Rules) -> tuple[Stage, str, str | None]:
    """A executes w1; a client reads it; w1 never reaches B; A dies."""
    stage = Stage("A", "B", rules=rules)
    stage.keep_back("A", "B", Append)
    stage.write("A", "k", "1")
    r = stage.read("A", "k")
    stage.run(20)
    said = r.state
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    return stage, said, r.value


def test_r7_a_read_waits_for_what_it_saw() -> None:
    _, said, _ = read_what_is_not_confirmed(Rules())
    assert said == "waiting"


def test_r7_without_it_a_value_is_read_that_never_was() -> None:
    stage, said, value = read_what_is_not_confirmed(Rules(reads_wait=False))
    assert (said, value) == ("answered", "1") and "k" not in stage["B"].store


def test_r7_the_lease_is_looked_at_after_the_batch_ran() -> None:
    """A reads the store, then its machine stands still until after the lease: the reply does not leave."""
    stage = Stage("A", "B")
    replica = stage["A"].replica
    executed_ms = stage.now
    assert replica.readable(executed_ms) == replica.last_seq
    assert replica.readable(executed_ms + stage.settings.lease_ms) == -1
    assert replica.releasable(executed_ms + stage.settings.lease_ms) == -1


TWO_COPIES = ReplicationSettings(min_in_sync=2, copies=2)


def test_r9_below_the_minimum_writes_are_refused_and_reads_served() -> None:
    stage = Stage("A", "B", settings=TWO_COPIES)
    w1 = stage.write("A", "k", "1")
    stage.run(10)
    stage.crash("B")
    stage.until(lambda: stage.in_sync() == "A")
    assert stage.write("A", "k", "2").refused
    r = stage.read("A", "k")
    stage.run(5)
    assert w1.confirmed and r.answered and r.value == "1"


def test_r9_a_reply_that_would_leave_below_the_minimum_waits_for_another_copy() -> None:
    stage = Stage("A", "B", settings=TWO_COPIES)
    stage.keep_back("A", "B", Append)
    w1 = stage.write("A", "k", "1")
    stage.crash("B")
    stage.run(1000)
    assert stage.in_sync() == "A" and w1.waiting
    r = stage.read("A", "k")
    stage.run(5)
    assert r.answered and r.value == "1", "it is committed, so it may be seen"
    stage.let_through("A", "B", Append, lose=True)
    stage.restart("B")
    stage.until(lambda: w1.confirmed)
    assert stage.in_sync() == "AB"


def test_r9_a_winner_short_of_copies_finishes_and_serves_reads() -> None:
    stage = Stage("A", "B", settings=TWO_COPIES)
    stage.keep_back("A", "B", Beacon)  # B does not learn that w1 is committed
    w1 = stage.write("A", "k", "1")
    stage.run(10)
    assert w1.confirmed
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    r = stage.read("B", "k")
    stage.run(5)
    assert r.answered and r.value == "1"
    assert stage.write("B", "k", "2").refused


def test_a_backup_applies_only_what_is_committed() -> None:
    stage = Stage("A", "B", "C")
    stage.keep_back("A", "C", Append)
    stage.write("A", "k", "1")
    stage.run(100)
    assert stage["B"].replica.last_seq == 1 and stage["B"].store == {}
    stage.let_through("A", "C", Append)
    stage.run(100)
    assert stage["B"].store == {"k": "1"}


def test_quiet_members_say_nothing_but_beacons() -> None:
    stage = Stage("A", "B", "C")
    stage.write("A", "k", "1")
    stage.run(500)
    said = len(stage.said)
    stage.run(10 * stage.settings.beacon_ms)
    assert {type(m).__name__ for _, _, m in stage.said[said:]} == {"Beacon", "BeaconAck"}
    assert len(stage.said) - said <= 11 * 4
