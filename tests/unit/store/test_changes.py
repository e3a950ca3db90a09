"""Tracking of changed records: a copy that is brought up to date by what was captured equals the store, whatever happened."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store.record_scripts import Step, act, catalog, definition, pack, steps

from kubegrid.base.settings import StoreSettings
from kubegrid.store import Keyspace, changes
from kubegrid.store.changes import Walk
from kubegrid.store.records import Record

RUNS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TINY = StoreSettings(slice_bytes=200, slice_units=5)

flush = st.just([b"FLUSHALL"])
of_copies = st.sampled_from(["copy", "copy", "walk", "walk", "take", "take", "stop", "end of turn", "end of turn"])
of_log = st.tuples(st.just("take back"), st.integers(1, 3)).map(list)
scripts = st.lists(
    st.one_of(steps, steps, steps, steps, of_copies.map(lambda what: [what]), of_copies.map(lambda what: [what]), of_log, flush),
    min_size=15,
    max_size=60,
)  # fmt: skip


def keyspace(*, primary: bool = True) -> Keyspace:
    made = Keyspace(TINY, 0, 16383, random=Random(7).randrange)
    made.primary = primary
    made.now_ms = 1_000_000
    made.adopt_catalog(catalog(definition("trades")))
    made.take_turn()
    return made


def records(of: Keyspace) -> dict[int, set[Record]]:
    found: dict[int, set[Record]] = {number: set() for number in of.tables.by_id}
    for values in of.slots:
        for value in (values or {}).values():
            if type(value) is Record and value.table_id in found:
                found[value.table_id].add(value)
    return found


class Copies:
    """Copies of all tables of one keyspace, kept as the columnar replica is: by versions, a table at a time."""

    def __init__(self, of: Keyspace) -> None:
        self.of = of
        self.changes = of.tables.changes
        self.copies: dict[int, tuple[int, dict[int, Record]]] = {}
        self.walk: Walk | None = None
        self.met: dict[int, dict[int, Record]] = {}

    def begin(self) -> None:
        """Copy the tables of which there is no copy yet; looking at their records takes several steps."""
        if self.walk is None:
            missing = [number for number in self.of.tables.by_id if number not in self.copies]
            self.changes.start(self.of, missing)
            self.walk = Walk(self.of, missing)
            self.met = {number: {} for number in missing}

    def look(self, budget: int) -> None:
        if self.walk is None:
            return
        for number, found in self.walk.step(budget).items():
            for record in found:
                assert record.version not in self.met[number]
                self.met[number][record.version] = record
        if self.walk.done:
            for number, generation in self.walk.generations.items():
                self.copies[number] = (generation, self.met[number])
            self.walk = None
            self.take()

    def take(self) -> None:
        """Bring the copies up to date, and compare them with the store."""
        walked = self.walk.generations if self.walk is not None else {}
        captured = self.changes.take(number for number in self.of.tables.by_id if number not in walked)
        self.copies = {number: copy for number, copy in self.copies.items() if number in captured}
        for number, (added, gone, generation) in captured.items():
            known, copy = self.copies[number]
            if generation != known:
                copy = {}
            for record in gone:
                copy.pop(record.version, None)
            for record in added:
                assert record.version not in copy, "two records of one version"
                copy[record.version] = record
            self.copies[number] = generation, copy
        there = records(self.of)
        for number, (_, copy) in self.copies.items():
            assert set(copy.values()) == there[number]

    def stop(self) -> None:
        self.changes.stop(self.of)
        self.copies.clear()
        self.walk = None


def step_of_copies(copies: Copies, what: str) -> None:
    if what == "copy":
        copies.begin()
    elif what == "walk":
        copies.look(3)
    elif what == "take":
        copies.take()
    elif what == "stop":
        copies.stop()


def finish(copies: Copies) -> None:
    """Copy what is not copied yet, and compare everything."""
    while copies.walk is not None:
        copies.look(1000)
    copies.take()
    copies.begin()
    while copies.walk is not None:
        copies.look(1000)
    assert set(copies.copies) == set(copies.of.tables.by_id)
    copies.of.validate()


@RUNS
@given(scripts)
def test_copies_on_a_primary_and_its_backup_follow_writes_expiry_catalogs_and_what_is_taken_back(
    script: list[Step],
) -> None:
    primary, backup = keyspace(), keyspace(primary=False)
    on_primary, on_backup = Copies(primary), Copies(backup)
    log: list[tuple[list[Any], list[Any]]] = []
    for step in script:
        what = step[0]
        primary.now_ms += 1
        backup.now_ms += 1
        if what == "end of turn":
            log.append(primary.take_turn()[:2])
            if len(log) > 3:  # what is confirmed is applied by the backup and never taken back
                backup.apply(log.pop(0)[0])
        elif what == "take back":
            log.append(primary.take_turn()[:2])
            for _ in range(min(step[1], len(log))):
                primary.revert(log.pop()[1])
        elif isinstance(what, str) and what in ("copy", "walk", "take", "stop"):
            step_of_copies(on_primary, what)
            step_of_copies(on_backup, what)
        else:
            act(primary, step)
            if primary.now_ms % 7 == 0:
                primary.expire_slice(10)
            primary.free_slice(5)
    finish(on_primary)
    finish(on_backup)


@RUNS
@given(st.lists(steps, min_size=5, max_size=20), st.lists(st.one_of(steps, steps, flush), min_size=5, max_size=25))
def test_copies_of_a_joiner_follow_its_snapshot_and_the_log_over_it(before: list[Step], after: list[Step]) -> None:
    primary, joiner = keyspace(), keyspace(primary=False)
    copies = Copies(joiner)
    for step in before:
        act(primary, step)
    primary.take_turn()
    finish(copies)
    joiner.reset()
    slices, log, payloads = primary.snapshot(), [], []
    for number, step in enumerate(after):
        act(primary, step)
        log.append(primary.take_turn()[0])
        if number % 2:
            payloads += [payload for payload in [next(slices, None)] if payload is not None]
    for payload in [*payloads, *slices]:
        joiner.load(payload)
        copies.take()
        copies.begin()
        copies.look(7)
    for effects in log:
        joiner.apply(effects)
        copies.look(2)
        copies.take()
    finish(copies)
    assert records(joiner) == records(primary)


def write(on: Keyspace, count: int, table: str = "trades") -> None:
    for start in range(0, count, 500):
        rows = [pack(["a", number, 1.0, None]) for number in range(start, min(start + 500, count))]
        reply = act(on, [b"KG.WRITE", table.encode(), b"0", b"REPLACE", *rows])
        assert reply.startswith(b"*3")
    on.take_turn()


@pytest.fixture
def primary() -> Keyspace:
    return keyspace()


def test_nothing_is_kept_until_somebody_asks(primary: Keyspace) -> None:
    write(primary, 10)
    assert primary.tables.changes.take() == {}
    assert not primary.tables.deltas


def test_a_record_that_came_and_went_between_two_captures_leaves_no_trace(primary: Keyspace) -> None:
    primary.tables.changes.start(primary, [1])
    write(primary, 3)
    act(primary, [b"KG.REMOVE", b"trades:{a}:0"])
    write(primary, 1)
    act(primary, [b"KG.REMOVE", b"trades:{a}:0"])
    captured = primary.tables.changes.take()[1]
    assert (len(captured.added), len(captured.gone)) == (2, 0)
    assert primary.tables.changes.take()[1][:2] == (set(), set())


def test_after_everything_went_a_copy_begins_anew_without_looking_at_the_store(primary: Keyspace) -> None:
    copies = Copies(primary)
    write(primary, 5)
    finish(copies)
    before = copies.copies[1][0]
    act(primary, [b"FLUSHALL"])
    write(primary, 2)
    copies.take()
    generation, copy = copies.copies[1]
    assert generation != before
    assert len(copy) == 2


def test_a_cleared_keyspace_that_comes_back_is_no_longer_kept_track_of(primary: Keyspace) -> None:
    copies = Copies(primary)
    write(primary, 5)
    finish(copies)
    act(primary, [b"FLUSHALL"])
    primary.revert(primary.take_turn()[1])
    assert primary.tables.changes.take() == {}
    finish(copies)
    assert len(copies.copies[1][1]) == 5


def test_a_dropped_table_is_no_longer_kept_track_of(primary: Keyspace) -> None:
    primary.tables.changes.start(primary, [1])
    write(primary, 5)
    act(primary, ["drop", "trades"])
    assert primary.tables.changes.take() == {}
    primary.validate()


def test_a_walk_looks_at_about_as_many_keys_as_it_may_also_in_one_slot(primary: Keyspace) -> None:
    write(primary, 1000)  # partition_by: all in the slot of {a}
    primary.tables.changes.start(primary, [1])
    walk = Walk(primary, [1])
    sizes = []
    while not walk.done:
        sizes.append(len(walk.step(100).get(1, ())))
    assert sum(sizes) == 1000
    assert max(sizes) <= 100


def test_what_changed_too_much_is_given_up(primary: Keyspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "RECORDS_MIN", 10)
    tracked = primary.tables.changes
    tracked.start(primary, [1])
    write(primary, 10)
    assert (tracked.waiting(1), tracked.trim(primary)) == (10, [])
    write(primary, 11)
    assert (tracked.waiting(1), tracked.trim(primary)) == (11, [1])
    assert (tracked.waiting(1), tracked.take()) == (0, {})


def test_sets_that_are_given_up_are_freed_in_slices(primary: Keyspace) -> None:
    primary.tables.changes.start(primary, [1])
    write(primary, 1000)
    primary.tables.changes.stop(primary)
    assert primary.free_slice(400) == 400
    assert primary.garbage
    while primary.garbage:
        assert primary.free_slice(400) <= 400
