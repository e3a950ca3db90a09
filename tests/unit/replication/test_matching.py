"""R14, R15: a member that was removed and comes back, and a primary that was deposed."""

from tests.unit.replication.actor import Reply
from tests.unit.replication.conversation import Stage

from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import Append, Beacon, LogShape, Match, Matched, SnapshotBegin


def depose(rules: Rules, *, matched_late: bool = False) -> tuple[Stage, Reply]:
    """A writes "mine", which nobody gets; B takes over and writes "theirs" under the same number; A comes back."""
    stage = Stage("A", "B", "C", rules=rules)
    stage.keep_back("A", "B", Append)
    stage.keep_back("A", "C", Append)
    mine = stage.write("A", "k", "mine")
    stage.cut("A")
    stage.coordinator.deaf_to = {"A"}
    for other in "BC":
        stage.let_through("A", other, Append, lose=True)
    stage.until(lambda: stage.primary == "B")
    theirs = stage.write("B", "k", "theirs")
    stage.until(lambda: theirs.confirmed)
    if matched_late:
        stage.keep_back("B", "A", Matched)
    stage.heal()
    stage.coordinator.deaf_to = set()
    return stage, mine


def come_back(rules: Rules) -> Stage:
    stage, _ = depose(rules)
    stage.until(lambda: stage.whole("ABC"))
    stage.write("B", "other", "1")
    stage.run(200)
    return stage


def test_r14_what_differs_is_dropped_by_epoch() -> None:
    stage = come_back(Rules())
    assert stage.stores("ABC") == [{"k": "theirs", "other": "1"}] * 3
    assert stage.heard("B", "A", SnapshotBegin) == [], "the logs overlap: no snapshot"


def test_r14_matched_by_length_copies_differ() -> None:
    stage = come_back(Rules(truncate_by_epoch=False))
    assert stage["A"].store == {"other": "1"} or stage["A"].store.get("k") == "mine"


def hear_of_a_commit_before_the_match(rules: Rules) -> Stage:
    """A's log ends with its own entry; B's beacon says that this number is committed, meaning another entry."""
    stage, _ = depose(rules, matched_late=True)
    stage.until(lambda: stage.role("A") is Role.JOINING)
    stage.until(lambda: len(stage.heard("B", "A", Beacon)) > 2)
    stage.run(20)
    return stage


def test_r14_nothing_is_applied_before_the_logs_are_matched() -> None:
    assert hear_of_a_commit_before_the_match(Rules())["A"].applied == []


def test_r14_without_it_a_write_is_applied_that_never_was() -> None:
    assert ("k", "mine") in hear_of_a_commit_before_the_match(Rules(match_before_apply=False))["A"].applied


def test_r14_entries_before_the_match_are_neither_taken_nor_acknowledged() -> None:
    stage = Stage("A", "B", "C")
    stage.run(50)
    stage.cut("A")
    stage.crash("A")
    stage.keep_back("B", "C", Matched)
    stage.until(lambda: stage.role("B") is Role.PRIMARY)
    stage.run(100)
    assert stage.answering == "", "C has not been matched"
    stage.let_through("B", "C", Matched)
    assert stage.until(lambda: stage.primary == "B") < 300


def test_r14_a_member_whose_log_does_not_overlap_takes_a_snapshot() -> None:
    small = ReplicationSettings(copies=2, log_entries_max=50)
    stage = Stage("A", "B", settings=small)
    stage.cut("A", "B")
    stage.coordinator.deaf_to = {"B"}
    stage.until(lambda: stage.in_sync() == "A")
    stage.fill("A", 200, keys=20)
    stage.heal()
    stage.coordinator.deaf_to = set()
    stage.until(lambda: stage.whole("AB"))
    stage.run(100)
    assert len(stage.heard("A", "B", SnapshotBegin)) >= 1
    assert stage.equal("AB") and len(stage["B"].store) == 20


def test_r14_a_late_or_repeated_match_drops_nothing_that_was_acknowledged() -> None:
    stage = Stage("A", "B")
    matched = stage.heard("A", "B", Matched)[0]
    match = stage.heard("A", "B", Match)[0]
    w1 = stage.write("A", "k", "1")
    stage.run(10)
    stage.again("A", "B", match)
    stage.again("A", "B", matched)
    stage.run(10)
    assert w1.confirmed and stage["B"].replica.last_seq == 1
    shapes = len(stage.heard("B", "A", LogShape))
    stage.run(200)
    assert len(stage.heard("B", "A", LogShape)) == shapes


def replies_of_a_deposed_primary(rules: Rules) -> Reply:
    stage, mine = depose(rules)
    stage.until(lambda: stage.whole("ABC"))
    stage.run(200)
    assert stage["A"].replica.commit_seq >= mine.seq and stage["A"].store["k"] == "theirs"
    return mine


def test_r15_a_deposed_primary_drops_its_pending_replies() -> None:
    assert replies_of_a_deposed_primary(Rules()).dropped


def test_r15_released_by_number_a_lost_write_is_acknowledged() -> None:
    assert replies_of_a_deposed_primary(Rules(replies_dropped=False)).answered


def test_r15_a_deposed_primary_takes_back_what_it_executed_newest_first() -> None:
    stage = Stage("A", "B")
    stage.write("A", "k", "0")
    stage.run(100)
    stage.keep_back("A", "B", Append)
    for value in "123":
        stage.write("A", "k", value)
    assert stage["A"].store == {"k": "3"}
    stage.cut("A")
    stage.coordinator.deaf_to = {"A"}
    stage.until(lambda: stage.primary == "B")
    stage.coordinator.deaf_to = set()
    stage.until(lambda: stage.role("A") is not Role.PRIMARY)
    assert stage["A"].store == {"k": "0"}
    assert stage["A"].replica.last_seq == 4, "its log is kept: R14 decides what becomes of it"


def test_r15_what_a_deposed_primary_had_sent_may_yet_be_confirmed_by_its_successor() -> None:
    """The outcome was unknown to the client, and this is one of the two."""
    stage = Stage("A", "B")
    stage.cut_one_way("B", "A")
    w = stage.write("A", "k", "1")
    stage.run(20)
    stage.cut("A")
    stage.coordinator.deaf_to = {"A"}
    stage.until(lambda: stage.primary == "B")
    assert stage["B"].store == {"k": "1"}
    stage.heal()
    stage.coordinator.deaf_to = set()
    stage.until(lambda: stage.whole("AB"))
    assert w.dropped and stage.equal("AB")
