"""How old a backup's data are at most: what it says holds, whoever is late, cut off or deposed."""

from tests.unit.replication.conversation import Stage

from kubegrid.replication.freshness import Echo
from kubegrid.replication.messages import BeaconAck


def age(stage: Stage, letter: str) -> int | None:
    return stage[letter].replica.staleness_ms(stage.now)


def test_a_backup_of_an_idle_partition_is_a_beacon_or_two_old() -> None:
    stage = Stage("A", "B")
    stage.run(500)
    for _ in range(100):
        stage.run(7)
        found = age(stage, "B")
        assert found is not None and found <= 3 * stage.settings.beacon_ms


def test_a_backup_that_hears_nothing_grows_old() -> None:
    stage = Stage("A", "B")
    stage.run(500)
    stage.cut_one_way("A", "B")
    before = age(stage, "B")
    stage.run(300)
    after = age(stage, "B")
    assert before is not None and after is not None and after >= before + 300


def test_a_backup_whose_stamps_do_not_arrive_grows_old_although_it_hears_all() -> None:
    stage = Stage("A", "B")
    stage.run(500)
    stage.keep_back("B", "A", BeaconAck)
    stage.run(200)
    found = age(stage, "B")
    assert found is not None and found >= 200


def test_only_a_backup_has_a_bound() -> None:
    stage = Stage("A", "B")
    stage.run(300)
    stage.restart("C")
    assert age(stage, "A") is None and age(stage, "B") is not None and age(stage, "C") is None


def test_a_primary_without_leases_makes_nobody_young() -> None:
    """C takes over and confirms alone, while A, who has lost C's lease, and B, who knows nothing, still hear each other."""
    stage = Stage("A", "B", "C")
    stage.run(500)
    stage.cut("C")
    stage.coordinator.deaf_to = {"A", "B"}
    stage.until(lambda: stage.in_sync() == "C" and stage["C"].replica.serving)
    w = stage.write("C", "k", "1")
    stage.run(20)
    assert w.confirmed
    confirmed_ms = stage.now
    for _ in range(100):
        stage.run(10)
        found = age(stage, "B")
        if stage["B"].store.get("k") != "1":
            assert found is None or found > stage.now - confirmed_ms
    stage.coordinator.deaf_to = set()
    stage.heal()
    stage.until(lambda: stage.whole("ABC"))
    stage.run(300)
    for letter in "AB":
        found = age(stage, letter)
        assert found is not None and found < 300 and stage[letter].store == {"k": "1"}


def test_a_new_primary_does_not_undo_what_is_known() -> None:
    stage = Stage("A", "B", "C")
    stage.run(500)
    before = age(stage, "C")
    stage.crash("A")
    stage.until(lambda: stage.primary == "B")
    after = age(stage, "C")
    assert before is not None and after is not None


def test_a_stamp_heard_at_the_same_clock_reading_is_not_echoed_yet() -> None:
    """The process may have stood still between reading its clock and reading its socket."""
    echo = Echo()
    assert echo.at(100) == 0
    echo.heard(100, 7)
    assert echo.at(100) == 0 and echo.at(101) == 7
    echo.heard(150, 9)
    assert echo.at(150) == 7
    echo.heard(150, 8)
    assert echo.at(151) == 9
