"""What the supervisor decides, read as scenes: who is seen, and what is to be done about it."""

import pytest

from kubegrid.runtime import plan
from kubegrid.runtime.plan import (
    AnnounceClosing,
    Closing,
    Finished,
    Hurry,
    Kill,
    Limits,
    Observation,
    Phase,
    Process,
    Start,
    Terminate,
)
from kubegrid.runtime.state import Kind

LIMITS = Limits()
TOLD = Closing(asked_ms=0, answered=True)


def member(name: str, **facts: object) -> Process:
    return Process(name, Kind.MEMBER, int(name[1]), **facts)  # type: ignore[arg-type]


def manager(**facts: object) -> Process:
    return Process("m0", Kind.MANAGER, **facts)  # type: ignore[arg-type]


def decide(
    phase: Phase, *seen: Process, now_ms: int = 0, closing: Closing = TOLD, proofs: bool = False
) -> list[plan.Action]:
    return plan.decide(Observation(phase, now_ms, seen, closing, proofs), LIMITS)


def test_at_first_everything_is_started_managers_before_members() -> None:
    seen = (member("p0-0"), member("p0-1"), manager())
    assert decide(Phase.RUN, *seen) == [Start("m0"), Start("p0-0"), Start("p0-1")]


def test_nothing_is_ever_signalled_while_the_grid_is_wanted() -> None:
    hanging = member("p0-0", running=True, started_ms=0, failures=9)
    assert decide(Phase.RUN, hanging, manager(running=True), now_ms=10**9) == []


def test_a_process_that_keeps_ending_waits_longer_each_time() -> None:
    assert [plan.backoff_ms(failures, LIMITS) for failures in range(1, 10)] == [
        0, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000,
    ]  # fmt: skip
    ended = member("p0-0", ended_ms=1000, failures=3)
    assert decide(Phase.RUN, ended, now_ms=1399) == []
    assert decide(Phase.RUN, ended, now_ms=1400) == [Start("p0-0")]


def test_a_process_that_ran_well_begins_its_count_afresh() -> None:
    well = member("p0-0", running=True, started_ms=0, failures=5)
    assert plan.failures_after_end(well, LIMITS.stable_ms, LIMITS) == 1
    assert plan.failures_after_end(well, LIMITS.stable_ms - 1, LIMITS) == 6


def test_down_begins_with_telling_the_manager_and_waits_for_its_word() -> None:
    seen = (member("p0-0", running=True), manager(running=True))
    assert decide(Phase.STOP, *seen, closing=Closing()) == [AnnounceClosing()]
    assert decide(Phase.STOP, *seen, closing=Closing(asked_ms=0), now_ms=2999) == []
    assert decide(Phase.STOP, *seen, closing=Closing(asked_ms=0), now_ms=3000) == [Terminate("p0-0")]


def test_backups_go_before_their_primary_and_managers_last() -> None:
    running = {"running": True}
    primary, backup = member("p0-0", primary=True, **running), member("p0-1", **running)
    lone = member("p1-1", primary=True, **running)
    assert decide(Phase.STOP, primary, backup, lone, manager(**running)) == [Terminate("p0-1"), Terminate("p1-1")]
    leaving = member("p0-1", running=True, terminated_ms=0)
    assert decide(Phase.STOP, primary, leaving, manager(**running)) == []
    assert decide(Phase.STOP, primary, member("p0-1"), manager(**running)) == [Terminate("p0-0")]
    assert decide(Phase.STOP, member("p0-0"), member("p0-1"), manager(**running)) == [Terminate("m0")]
    assert decide(Phase.STOP, member("p0-0"), member("p0-1"), manager()) == [Finished()]


def test_the_manager_stays_until_it_has_heard_of_the_deaths_but_not_for_ever() -> None:
    gone = member("p0-0", ended_ms=1000)
    assert decide(Phase.STOP, gone, manager(running=True), now_ms=3999, proofs=True) == []
    assert decide(Phase.STOP, gone, manager(running=True), now_ms=4000, proofs=True) == [Terminate("m0")]


def test_who_does_not_go_in_time_is_killed_once() -> None:
    late = member("p0-0", running=True, terminated_ms=0)
    assert decide(Phase.STOP, late, now_ms=LIMITS.hurry_ms) == [Hurry("p0-0")]
    hurried = member("p0-0", running=True, terminated_ms=0, hurried=True)
    assert decide(Phase.STOP, hurried, now_ms=LIMITS.stop_ms - 1) == []
    assert decide(Phase.STOP, late, now_ms=LIMITS.stop_ms) == [Kill("p0-0")]
    assert decide(Phase.STOP, member("p0-0", running=True, terminated_ms=0, killed=True), now_ms=10**6) == []


@pytest.mark.parametrize("phase", [Phase.RUN, Phase.STOP])
def test_without_anything_there_is_nothing_to_start(phase: Phase) -> None:
    assert decide(phase) == ([Finished()] if phase is Phase.STOP else [])
