"""R8, R10: the right to answer, and what an old primary may still do.

The same scene throughout: A is cut off from some or all of the others, somebody else takes over and writes, and a client
asks A. Every test with a rule switched off ends with a *stale read*: A answers "old" after "new" was confirmed.
"""

from tests.unit.replication.actor import Reply
from tests.unit.replication.conversation import Stage

from kubegrid.replication import Role, Rules
from kubegrid.replication.messages import Append, Beacon, BeaconAck


def scene(*letters: str, rules: Rules) -> Stage:
    """k is "old" everywhere; A can't reach the coordinator, so it can change nothing."""
    stage = Stage(*letters, rules=rules)
    stage.write("A", "k", "old")
    stage.run(120)
    stage.coordinator.deaf_to = {"A"}
    return stage


def ask_after_the_change(stage: Stage, winner: str = "B") -> Reply:
    """The winner confirms "new"; then, at once, a client asks A."""
    stage.until(lambda: stage[winner].replica.serving)
    write = stage.write(winner, "k", "new")
    stage.run(5)
    assert write.confirmed
    reply = stage.read("A", "k")
    stage.run(1)
    return reply


def is_stale(reply: Reply) -> bool:
    return reply.answered and reply.value == "old"


def cut_off(rules: Rules) -> Reply:
    stage = scene("A", "B", rules=rules)
    stage.cut("A")
    return ask_after_the_change(stage)


def test_r8_a_primary_without_leases_answers_nothing() -> None:
    assert cut_off(Rules()).refused


def test_r8_without_leases_a_deposed_primary_answers() -> None:
    assert is_stale(cut_off(Rules(lease_checked=False)))


def test_r11_without_a_grace_longer_than_the_lease_two_answer() -> None:
    assert is_stale(cut_off(Rules(grace_exceeds_lease=False)))


def hiccup(rules: Rules) -> Stage:
    """For 200 ms nothing passes between A and B: shorter than a grace, longer than a few beacons."""
    stage = Stage("A", "B", rules=rules, validating=True)
    stage.coordinator.deaf_to = {"A"}
    stage.cut("A")
    stage.run(200)
    stage.heal()
    stage.coordinator.deaf_to = set()
    stage.run(100)
    return stage


def test_r11_a_hiccup_shorter_than_the_grace_deposes_nobody() -> None:
    assert hiccup(Rules()).primary == "A"


def test_r11_without_a_full_grace_a_hiccup_deposes_a_healthy_primary() -> None:
    """Only that: R12 still keeps the hasty winner from answering while A may."""
    stage = hiccup(Rules(grace_before_promotion=False))
    assert stage.role("B") is Role.PRIMARY and stage["A"].notes.count("tenure_ends") == 1


def one_still_believes(rules: Rules) -> Reply:
    """B is cut off from A and C, and takes over with the coordinator's help; C has heard nothing of it and follows A."""
    stage = scene("A", "B", "C", rules=rules)
    stage.cut("B")
    return ask_after_the_change(stage)


def test_r8_a_lease_is_needed_from_each_backup() -> None:
    assert one_still_believes(Rules()).refused


def test_r8_with_the_lease_of_one_two_answer() -> None:
    assert is_stale(one_still_believes(Rules(lease_from_each=False)))


def slow_acknowledgements(rules: Rules) -> Reply:
    """What B says takes 400 ms to A; then what A says no longer reaches B."""
    stage = scene("A", "B", rules=rules)
    stage.delays["B", "A"] = 400
    stage.run(200)
    stage.cut_one_way("A", "B")
    return ask_after_the_change(stage)


def test_r8_a_lease_counts_from_the_sending_of_the_beacon() -> None:
    assert slow_acknowledgements(Rules()).refused


def test_r8_counted_from_the_arrival_two_answer() -> None:
    assert is_stale(slow_acknowledgements(Rules(lease_from_sending=False)))


def back_and_forth(rules: Rules) -> Stage:
    """A gives the partition to B and gets it back, within the time of a lease; C acknowledges no beacon of the new tenure."""
    stage = Stage("A", "B", "C", rules=rules)
    assert stage.hand_over("A", "B")
    stage.until(lambda: stage.primary == "B")
    stage.keep_back("C", "A", BeaconAck)
    assert stage.hand_over("B", "A")
    stage.until(lambda: stage["A"].replica.serving)
    stage.run(20)
    return stage


def test_r8_a_new_tenure_begins_without_leases() -> None:
    stage = back_and_forth(Rules())
    assert stage.answering == ""
    assert stage.write("A", "k", "1").seq == -1, "not executed"
    stage.let_through("C", "A", BeaconAck)
    stage.run(10)
    assert stage.primary == "A"


def test_r8_without_it_a_primary_answers_on_a_promise_to_a_former_tenure() -> None:
    assert back_and_forth(Rules(leases_end_with_tenure=False)).primary == "A"


def test_r8_a_late_or_repeated_acknowledgement_renews_nothing() -> None:
    stage = Stage("A", "B")
    old = stage.heard("B", "A", BeaconAck)[-1]
    stage.cut("A", "B")
    stage.coordinator.reachable = False
    stage.run(stage.settings.lease_ms + 100)
    stage.heal()
    stage.keep_back("A", "B", Beacon)
    for _ in range(5):
        stage.again("B", "A", old)
    stage.run(10)
    assert stage.answering == ""


def test_r8_no_lease_is_had_from_another_incarnation() -> None:
    stage = Stage("A", "B")
    ack = stage.heard("B", "A", BeaconAck)[-1]
    stage.coordinator.reachable = False
    stage.crash_silently("B")
    stage.restart("B")
    stage.run(stage.settings.lease_ms)
    stage.again("B", "A", ack)
    stage.run(5)
    assert stage.answering == "", "the new B has promised nothing"


def test_r8_a_helper_that_answers_for_a_hung_loop_holds_no_lease() -> None:
    """The serving loop itself sends beacons: messages alone, without its ticks, keep nobody waiting."""
    stage = Stage("A", "B")
    a = stage["A"]
    a.paused = True
    ack = stage.heard("B", "A", BeaconAck)[-1]
    sender = stage["B"].replica.me
    took = 0
    while stage.role("B") is not Role.PRIMARY:
        a.replica.receive(stage.now, sender, ack)
        assert not a.replica.out
        stage.run(10)
        took += 10
        assert took < 2000


def test_r8_suspended_time_counts() -> None:
    """A laptop sleeps for 30 s with all members on it; nobody has lost anything, and somebody serves soon."""
    stage = Stage("A", "B", "C")
    w1 = stage.write("A", "k", "1")
    stage.run(200)
    for letter in "ABC":
        stage.pause(letter)
    stage.run(30_000)
    assert stage["A"].replica.releasable(stage.now) == -1
    for letter in "ABC":
        stage.resume(letter)
    assert stage.until(lambda: stage.primary) < 1000
    assert stage["A"].notes.count("tenure_ends") == 0, "it was no failure"
    assert w1.confirmed and stage[stage.primary].store == {"k": "1"}


def test_r8_a_stopped_primary_finds_itself_deposed() -> None:
    """SIGSTOP for 10 s, then SIGCONT: what it had executed is never answered, nor anything read from its old state."""
    stage = Stage("A", "B")
    stage.write("A", "k", "old")
    stage.run(100)
    stage.keep_back("A", "B", Append)
    w = stage.write("A", "k", "mine")
    r = stage.read("A", "k")
    stage.pause("A")
    stage.until(lambda: stage.primary == "B")
    stage.write("B", "k", "new")
    stage.run(10_000)
    stage.let_through("A", "B", Append)
    stage.resume("A")
    assert w.waiting and r.waiting
    late = stage.read("A", "k")
    assert late.refused
    stage.until(lambda: stage.whole("AB"))
    stage.run(100)
    assert w.dropped and r.dropped
    assert stage.stores("AB") == [{"k": "new"}] * 2


def late_entries_of_an_old_primary(rules: Rules) -> Stage:
    """w2 of A is still on its way to C when B has taken over; B's own w3 has the same number."""
    stage = Stage("A", "B", "C", rules=rules)
    stage.write("A", "k", "w1")
    stage.run(120)
    stage.keep_back("A", "C", Append)
    stage.keep_back("A", "B", Append)
    stage.write("A", "k", "w2")
    stage.run(5)
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    stage.let_through("A", "C", Append)
    stage.run(5)
    w3 = stage.write("B", "k", "w3")
    stage.until(lambda: w3.confirmed)
    stage.run(120)
    return stage


def test_r10_what_an_old_primary_sends_is_refused() -> None:
    assert late_entries_of_an_old_primary(Rules()).stores("BC") == [{"k": "w3"}] * 2


def test_r10_without_fencing_copies_differ() -> None:
    assert late_entries_of_an_old_primary(Rules(fencing=False)).stores("BC") == [{"k": "w3"}, {"k": "w2"}]


def test_r10_entries_keep_the_epoch_that_they_were_made_in() -> None:
    """w1 is in flight when C is removed: B accepts it in epoch 2, though it was made in epoch 1."""
    stage = Stage("A", "B", "C")
    stage.keep_back("A", "B", Append)
    w1 = stage.write("A", "k", "1")
    stage.crash("C")
    stage.until(lambda: stage["B"].replica.epoch == 2)
    assert w1.waiting
    stage.let_through("A", "B", Append, lose=True)
    stage.until(lambda: w1.confirmed)
    assert stage["B"].replica.last == (1, 1)
