"""What the simulator found in the core, as the shortest conversation that shows it, and the seeds that campaigns stumbled over.

The other finds are told in `tests/unit/replication` (a winner's snapshot of what it has not applied: `test_joining`).
"""

from tests.sim.operations import Operation, Request
from tests.sim.world import World
from tests.unit.replication.conversation import Stage


def test_a_lost_entry_is_sent_again_although_writes_go_on() -> None:
    """New entries were taken for a repair's progress: under steady writes the gap stayed until the member was removed."""
    stage = Stage("A", "B")
    stage.cut_one_way("A", "B")
    lost = stage.write("A", "k", "1")
    stage.run(1)
    stage.heal()
    for number in range(20):
        stage.write("A", f"k{number}", "2")
        stage.run(stage.settings.resend_ms // 5)
    assert lost.confirmed and stage.whole("AB")


def test_a_ghost_and_its_successor_are_never_both_in_sync() -> None:
    """A process that lives on after its place was given to another (R2: one incarnation per name)."""
    for seed in range(40):
        world = World(seed)
        world.scenario.faults = {"replace": 1.0, "isolate-backup": 0.3}
        world.nemesis.kinds, world.nemesis.weights = ["replace", "isolate-backup"], [1.0, 0.3]
        world.run()
        for configuration in world.coordinator.versions:
            names = [member.name for member in configuration.in_sync + configuration.joining]
            assert len(names) == len(set(names)), configuration


def test_a_loss_is_not_accepted_in_favour_of_a_ghost() -> None:
    """Seed 2001224: the manager made a process primary whose place had been given to another; the other could never join."""
    World(2_001_224).run()


def test_what_a_process_reads_late_of_a_lost_history_is_not_held_against_the_new_one() -> None:
    """Seeds like 5031062 and 5031510: survivors of an accepted loss stood still, and applied the dead primary's last words later.

    That broke no promise (they knew no newer epoch, and answered nobody), but the observer counted it as the new history.
    """
    for seed in (5_031_062, 5_031_510):
        world = World(seed)
        world.run()
        assert world.losses == 1 and len(world.observer.histories) == 2


def test_answers_from_a_lost_history_end_before_the_new_one_begins_also_if_the_winners_died() -> None:
    """Seeds 99 and 225, without R20's wait: the survivor served while the old primary held leases of dead members."""
    for seed in (99, 225):
        World(seed).run()


def test_a_kept_reply_that_is_given_after_a_loss_is_judged_as_of_before() -> None:
    """Seed 9005619 of the generator as it was then: a write executed in the lost history, its reply kept by the survivor,
    and its client answered by the successor, after another write had replaced what it wrote."""
    cas, later = Operation(0, 0, "r0", "cas", (None, "a"), 1), Operation(1, 1, "r0", "set", "b", 2)
    cas.request, cas.result, cas.returned, cas.state = Request(b"c", 1, 1), (True, None), 20, "done"
    later.result, later.returned, later.state = "OK", 5, "done"
    seen = Operation(2, 2, "r0", "get", None, 12)
    seen.result, seen.returned, seen.state = "b", 13, "done"
    world = World(0)
    world.history["r0"] += [cas, later, seen]
    world.observer.born_after["r0"] = 10
    world.observer._judge(30)
    seen.result = "a"
    world.observer._judge(30)


def test_what_was_called_before_the_network_heals_is_answered_after_it() -> None:
    """Seed 20045415: called while its machine stood still, answered by the very step that healed everything, so that no
    moment lay between and no order could put it there."""
    World(20_045_415).run()


def test_joining_ends_when_the_network_has_healed_however_short_the_log_was_kept() -> None:
    """Seed 20033985: single entries were longer than the log that was kept for joiners, and clients went on writing."""
    World(20_033_985).run()
