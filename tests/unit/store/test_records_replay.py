"""Records, tables and numbered requests in the log: replicas are equal, turns are taken back, fuzzy snapshots end exact."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store.record_scripts import Step, act, catalog, definition, state, steps, tiny_keyspace

from kubegrid.store import Keyspace

RUNS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
flush = st.just([b"FLUSHALL"])
scripts = st.lists(steps, min_size=8, max_size=25)


def keyspace(*, primary: bool = True, tables: bool = True) -> Keyspace:
    return tiny_keyspace(primary=primary, tables=catalog(definition("trades")) if tables else None)


def work(on: Keyspace, step: Step) -> None:
    on.now_ms += 1
    act(on, step)
    if on.now_ms % 7 == 0:
        on.expire_slice(10)


@RUNS
@given(st.lists(st.one_of(steps, steps, steps, steps, flush), min_size=15, max_size=40))
def test_a_replica_that_applies_the_effects_equals_the_primary(script: list[Step]) -> None:
    primary, replica = keyspace(), keyspace(primary=False)
    for number, step in enumerate(script):
        work(primary, step)
        effects, _, size = primary.take_turn()
        assert size >= 0
        replica.apply(effects)
        if number % 8 == 0:  # looking at everything takes longer than doing it
            assert state(replica) == state(primary), step
    assert state(replica) == state(primary)


@RUNS
@given(
    scripts,
    st.lists(st.lists(st.one_of(steps, steps, steps, flush), min_size=2, max_size=8), min_size=1, max_size=5),
    st.booleans(),
)
def test_reverting_turns_brings_back_the_state_before_them(
    before: list[Step], turns: list[list[Step]], frees: bool
) -> None:
    one = keyspace()
    for step in before:
        work(one, step)
    one.take_turn()
    expected = state(one, version=False)
    undos = []
    for turn in turns:
        for step in turn:
            work(one, step)
            if frees:
                one.free_slice(1000)
        undos.append(one.take_turn()[1])
    for undo in reversed(undos):
        one.revert(undo)
    assert state(one, version=False) == expected
    del undos
    one.free_slice(10**6)
    assert state(one, version=False) == expected


@RUNS
@given(
    scripts, st.lists(st.one_of(steps, steps, flush, st.just(["slice"]), st.just(["slice"])), min_size=15, max_size=50)
)
def test_the_log_over_a_fuzzy_snapshot_ends_in_the_exact_state(before: list[Step], script: list[Step]) -> None:
    primary = keyspace()
    for step in before:
        work(primary, step)
    primary.take_turn()
    slices, log, payloads = primary.snapshot(), [], []
    for step in script:
        if step == ["slice"]:
            payload = next(slices, None)
            if payload is not None:
                payloads.append(payload)
        else:
            work(primary, step)
            log.append(primary.take_turn()[0])
    payloads += slices
    joiner = keyspace(primary=False, tables=False)
    act(joiner, ["create", "quotes", None])  # from an earlier life
    joiner.reset()
    for payload in payloads:
        joiner.load(payload)
        joiner.build_slice(7)
    for effects in log:
        joiner.apply(effects)
        joiner.build_slice(7)
    while joiner.build_slice(10_000):
        pass
    assert state(joiner) == state(primary)
    assert not any(index.building for table in joiner.tables.by_id.values() for index in table.indexes)


@RUNS
@given(scripts)
def test_replaying_a_log_twice_changes_nothing(script: list[Step]) -> None:
    primary, replica = keyspace(), keyspace(primary=False)
    for step in script:
        work(primary, step)
    effects = primary.take_turn()[0]
    replica.apply(effects)
    replica.apply(effects)
    while replica.build_slice(10_000):
        pass
    expected: Any = state(primary)
    assert state(replica) == expected
