"""Tracking of changed records: a copy that is brought up to date by what was captured equals the store, whatever happened."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store import record_scripts
from tests.unit.store.block_scripts import load
from tests.unit.store.record_scripts import Step, catalog, definition, notes, pack, prices, steps, tiny_keyspace

from kubegrid.store import Keyspace, changes, row_blocks
from kubegrid.store.changes import Cold, Walk
from kubegrid.store.records import Record

RUNS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

TICKS = definition("ticks", indexes=[])
"""A table whose rows may come as blocks."""

SEEDS_TOGETHER = 5

flush = st.just([b"FLUSHALL"])
ids = st.integers(0, 29)
ticks = ids.map(lambda number: tick(number))
loads = st.tuples(st.just("load"), ids, st.integers(1, 9)).map(list)
tick_steps = st.one_of(
    loads,
    loads,
    loads,
    st.lists(st.tuples(ids, prices, notes), min_size=1, max_size=5).map(
        lambda rows: [b"KG.WRITE", b"ticks", b"0", b"REPLACE", *[pack(["ab"[n % 2], n, *more]) for n, *more in rows]]
    ),
    ticks.map(lambda key: [b"GET", key]),
    ticks.map(lambda key: [b"HGETALL", key]),
    ticks.map(lambda key: [b"HINCRBYFLOAT", key, b"price", b"2.5"]),
    ticks.map(lambda key: [b"DEL", key]),
    st.lists(ticks, min_size=2, max_size=12).map(lambda keys: [b"DEL", *set(keys)]),
    ticks.map(lambda key: [b"SET", key, b"plain"]),
    st.tuples(ticks, st.sampled_from([b"1", b"50"])).map(lambda t: [b"PEXPIRE", *t]),
    st.just(["build"]),
    st.sampled_from([["drop", "ticks"], ["create ticks"], ["create ticks"], ["add column", "ticks"]]),
)
steps = st.one_of(steps, tick_steps, tick_steps)
of_copies = st.sampled_from(["copy", "copy", "walk", "walk", "take", "take", "stop", "end of turn", "end of turn"])
of_log = st.tuples(st.just("take back"), st.integers(1, 3)).map(list)
scripts = st.lists(
    st.one_of(steps, steps, steps, steps, of_copies.map(lambda what: [what]), of_copies.map(lambda what: [what]), of_log, flush),
    min_size=15,
    max_size=60,
)  # fmt: skip


def tick(number: int) -> bytes:
    return f"ticks:{{{'ab'[number % 2]}}}:{number}".encode()


def tick_rows(*numbers: int) -> list[list[Any]]:
    return [["ab"[number % 2], number, number / 2, "x"] for number in numbers]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS_MIN", 1)


def act(on: Keyspace, step: Step) -> bytes:
    """Do one step on a primary, also one on ticks."""
    if step[0] == "load":
        if b"ticks" not in on.tables.by_name:
            return b""
        _, first, count = step
        numbers = [number for number in range(first, 60) if first % 4 == 0 or on.find(tick(number)) is None]
        return load(on, "ticks", tick_rows(*numbers[:count])) if numbers else b""
    if step[0] == "create ticks":
        if b"ticks" not in on.tables.by_name:
            on.adopt_catalog(on.catalog.create(TICKS))
        return b""
    return record_scripts.act(on, step)


def keyspace(*, primary: bool = True) -> Keyspace:
    return tiny_keyspace(primary=primary, tables=catalog(definition("trades"), TICKS))


def records(of: Keyspace) -> dict[int, set[Record]]:
    found: dict[int, set[Record]] = {number: set() for number in of.tables.by_id}
    for values in filter(None, of.slots):
        for value in values.values():
            if type(value) is int:
                value = of.blocks.record(value)
            if type(value) is Record and value.table_id in found:
                found[value.table_id].add(value)
    return found


def rows_of(cold: Cold) -> list[Record]:
    return cold.block.records([place for place in range(cold.block.size) if place not in cold.taken])


class Copies:
    """Copies of all tables of one keyspace, kept as the columnar replica is: by versions, a table at a time."""

    def __init__(self, of: Keyspace) -> None:
        self.of = of
        self.changes = of.tables.changes
        self.copies: dict[int, tuple[int, dict[int, Record]]] = {}
        self.walk: Walk | None = None
        self.met: dict[int, dict[int, Record]] = {}
        self.blocks_met = 0
        self.blocks_taken = 0

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
            self.blocks_met += len(found.blocks)
            for record in [*found.records, *[record for cold in found.blocks for record in rows_of(cold)]]:
                assert record.version not in self.met[number], "met twice"
                self.met[number][record.version] = record
        if self.walk.done:
            for number, generation in self.walk.generations.items():
                self.copies[number] = (generation, self.met[number])
            self.walk = None
            self.take()

    def take(self) -> None:
        """Bring the copies up to date, and compare them with the store."""
        walked = self.walk.generations if self.walk is not None else {}
        captured = self.changes.take(number for number in self.copies if number not in walked)
        self.copies = {number: copy for number, copy in self.copies.items() if number in captured}
        for number, (added, gone, generation, blocks, dead) in captured.items():
            known, copy = self.copies[number]
            if generation != known:
                copy = {}
            for version in gone:
                copy.pop(version, None)
            self.blocks_taken += len(blocks)
            cold = [
                Cold(block, {version - block.first for version in dead if block.first <= version < block.end})
                for block in blocks
            ]
            for record in [*[record for each in cold for record in rows_of(each)], *added.values()]:
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
    elif what == "track":  # what comes before the walk begins is not met by it
        known = set(copies.copies).union(copies.walk.generations if copies.walk is not None else ())
        copies.changes.start(copies.of, set(copies.of.tables.by_id) - known)
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


def tick_step(random: Random) -> Step:
    """Work on ticks: loads, and whatever may happen to rows of blocks."""
    key = tick(random.randrange(60))
    some = [tick(random.randrange(60)) for _ in range(random.choice([1, 1, 4, 20]))]
    rows = [["ab"[n % 2], n, random.random(), "y"] for n in random.sample(range(60), random.choice([1, 3, 10]))]
    return random.choice(
        [
            ["load", random.randrange(40), random.randrange(1, 15)],
            ["load", random.randrange(40), random.randrange(1, 15)],
            ["load", random.randrange(40), random.randrange(1, 15)],
            [b"KG.WRITE", b"ticks", b"0", b"REPLACE", *map(pack, rows)],
            [b"HGETALL", key],
            [b"HINCRBYFLOAT", key, b"price", b"1"],
            [b"DEL", *dict.fromkeys(some)],
            [b"DEL", *dict.fromkeys(some)],
            [b"SET", key, b"plain"],
            [b"PEXPIRE", key, b"3"],
            ["build"],
            ["add column", "ticks"],
        ]
    )


@pytest.mark.parametrize("first", range(0, 25, SEEDS_TOGETHER))
def test_copies_follow_blocks_of_rows_through_everything(first: int) -> None:
    blocks: Counter[str] = Counter()
    for seed in range(first, first + SEEDS_TOGETHER):
        _follow_through_everything(seed, blocks)
    assert blocks["met"] > 80 and blocks["taken"] > 30, blocks


def _follow_through_everything(seed: int, blocks: Counter[str]) -> None:
    """Counts the blocks that the copies had to do with."""
    random = Random(seed)
    primary, backup, joiner = keyspace(), keyspace(primary=False), keyspace(primary=False)
    all_copies = [Copies(primary), Copies(backup), Copies(joiner)]
    log: list[tuple[list[Any], list[Any]]] = []
    joining: list[Any] = []
    for _ in range(250):
        for each in (primary, backup, joiner):
            each.now_ms += 1
        what = random.choices(
            ["act", "of copies", "end of turn", "take back", "housekeeping", "rare", "join"], [40, 30, 15, 3, 8, 1, 4]
        )[0]
        if what == "act":
            act(primary, tick_step(random))
        elif what == "of copies":
            step = random.choice(["copy", "copy", "track", "walk", "walk", "walk", "walk", "take", "take", "stop"])
            for copies in all_copies:
                step_of_copies(copies, step)
        elif what == "end of turn":
            log.append(primary.take_turn()[:2])
            if len(log) > 3:
                effects = log.pop(0)[0]
                backup.apply(effects)
                joining.append(effects)
        elif what == "take back":
            log.append(primary.take_turn()[:2])
            for _ in range(min(random.randrange(1, 4), len(log))):
                primary.revert(log.pop()[1])
        elif what == "housekeeping":
            primary.expire_slice(10)
            for each in (primary, backup, joiner):
                each.free_slice(5)
                each.build_slice(random.choice([3, 50]))
        elif what == "rare":
            act(primary, random.choice([[b"FLUSHALL"], ["drop", "ticks"]]))
            act(primary, ["create ticks"])
        else:  # a joiner gets a snapshot of what is confirmed, and the log since
            log.append(primary.take_turn()[:2])
            while log:
                backup.apply(log.pop(0)[0])
            joining = []
            joiner.reset()
            all_copies[2].stop()
            for payload in primary.snapshot():
                joiner.load(payload)
                step_of_copies(all_copies[2], random.choice(["track", "copy", "walk", "take"]))
                if random.random() < 0.5:
                    act(primary, tick_step(random))
                    log.append(primary.take_turn()[:2])
                    joining.append(log.pop()[0])
                    backup.apply(joining[-1])
            for effects in joining:
                joiner.apply(effects)
                all_copies[2].take()
            joining = []
        if what != "join" and joining and joiner.catalog.version:
            joiner.apply(joining.pop(0))
    for copies in all_copies:
        finish(copies)
        blocks.update(met=copies.blocks_met, taken=copies.blocks_taken)


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
    assert primary.tables.changes.take()[1][:2] == ({}, set())


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
        met = walk.step(100).get(1)
        sizes.append(0 if met is None else len(met.records))
    assert sum(sizes) == 1000
    assert max(sizes) <= 100


def walked(on: Keyspace, number: int, budget: int = 1000) -> tuple[list[Record], list[Record]]:
    """All that a walk meets of a table: records, and rows of blocks."""
    on.tables.changes.start(on, [number])
    walk = Walk(on, [number])
    records: list[Record] = []
    cold: list[Record] = []
    while not walk.done:
        for met in walk.step(budget).values():
            records += met.records
            cold += [record for each in met.blocks for record in rows_of(each)]
    return records, cold


def test_rows_that_nobody_touched_are_met_and_captured_as_blocks(primary: Keyspace) -> None:
    load(primary, "ticks", tick_rows(*range(8)))
    assert [len(part) for part in walked(primary, 2)] == [0, 8]
    load(primary, "ticks", tick_rows(*range(8, 13)))
    load(primary, "ticks", tick_rows(*range(13, 18)))
    captured = primary.tables.changes.take()[2]
    assert [block.size for block in captured.blocks] == [5, 5]
    assert (captured.added, captured.gone, captured.dead) == ({}, set(), set())


def test_a_row_of_a_block_that_was_read_is_met_once_and_is_no_change(primary: Keyspace) -> None:
    load(primary, "ticks", tick_rows(*range(8)))
    primary.find(b"ticks:{a}:2")
    assert [len(part) for part in walked(primary, 2, budget=1)] == [1, 7]
    load(primary, "ticks", tick_rows(*range(8, 16)))
    primary.find(b"ticks:{a}:8")
    assert primary.tables.changes.waiting(2) == 0
    captured = primary.tables.changes.take()[2]
    assert (captured.added, captured.gone, captured.dead, len(captured.blocks)) == ({}, set(), set(), 1)


def test_rows_that_left_a_block_are_named_beside_it_and_their_successors_added(primary: Keyspace) -> None:
    primary.tables.changes.start(primary, [2])
    load(primary, "ticks", tick_rows(*range(8)))
    [first] = [block.first for block in primary.blocks]
    act(primary, [b"DEL", b"ticks:{a}:2"])
    act(primary, [b"HINCRBYFLOAT", b"ticks:{b}:3", b"price", b"1"])
    assert primary.tables.changes.waiting(2) == 3
    captured = primary.tables.changes.take()[2]
    assert captured.dead == {first + 2, first + 3}
    assert list(captured.added) == [first + 8]
    act(primary, [b"DEL", b"ticks:{a}:4"])
    assert primary.tables.changes.take()[2].gone == {first + 4}


def test_rows_of_blocks_are_no_reason_to_give_up_a_copy(primary: Keyspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "RECORDS_MIN", 3)
    tracked = primary.tables.changes
    tracked.start(primary, [2])
    load(primary, "ticks", tick_rows(*range(10)))
    assert (tracked.waiting(2), tracked.waiting_in_blocks(2), tracked.trim(primary)) == (0, 10, [])
    for number in range(0, 12, 2):
        act(primary, [b"DEL", b"ticks:{a}:%d" % number])
    assert tracked.trim(primary) == [2], "they left, and are named one by one"


def test_a_walk_passes_over_keys_of_rows_that_it_gave_as_blocks(primary: Keyspace) -> None:
    for first in range(0, 500, 50):
        load(primary, "ticks", [["a", n, 1.0, None] for n in range(first, first + 50)])
    primary.find(b"ticks:{a}:77")
    primary.tables.changes.start(primary, [2])
    walk = Walk(primary, [2])
    primary.find(b"ticks:{a}:78")
    steps = 0
    found: list[int] = []
    while not walk.done:
        for met in walk.step(20).values():
            found += [record.version for record in met.records]
            found += [record.version for cold in met.blocks for record in rows_of(cold)]
        primary.find(b"ticks:{a}:%d" % (100 + steps))
        steps += 1
    assert sorted(found) == list(range(1, 501))


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


def test_a_record_that_was_there_before_its_block_came_is_gone_when_it_leaves(primary: Keyspace) -> None:
    """On a joiner: a log over a fuzzy snapshot."""
    load(primary, "ticks", tick_rows(*range(8)))
    record = primary.find(b"ticks:{a}:2")
    [block] = primary.blocks
    delta = changes.Delta(1)
    delta.enter_block(block)
    assert not delta.has_in_block(record.version)
    delta.leave([record.version])
    assert (delta.gone, delta.dead) == ({record.version}, {record.version})
