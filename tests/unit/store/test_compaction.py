"""Live values are made anew: pages that were left nearly empty become free, and nobody can tell that anything happened."""

import subprocess
import sys
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store.record_scripts import Step, act, catalog, definition, state, steps, tiny_keyspace

from kubegrid.base.settings import StoreSettings
from kubegrid.store import COMMANDS, Compaction, Keyspace, slot_of
from kubegrid.store.compaction import SLOT_KEYS_MAX, SMALL_BYTES_MAX
from kubegrid.store.hashes import Hash

RUNS = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
PROGRAM = """
import random
from kubegrid.base.process_memory import give_back, process_memory
from kubegrid.base.settings import StoreSettings
from kubegrid.store import Compaction, Keyspace
keyspace = Keyspace(StoreSettings(), 0, 16383, random=random.randrange)
keyspace.recording = False
def resident():
    give_back()
    return process_memory().resident_bytes
def thinned(name, count, sizes):
    for i in range(count):
        keyspace.put(b"%s:%d" % (name, i), bytes(sizes()), EXPIRY)
    for i in range(count):
        if i % 20:
            keyspace.remove(b"%s:%d" % (name, i))
before = resident()
chance = random.Random(7)
thinned(b"any", 200_000, lambda: chance.randrange(16, 500))
thinned(b"short", 200_000, lambda: 40)
full = resident() - before
walk = Compaction(keyspace)
walk.begin()
while walk.under_way:
    walk.slice(4000)
print((resident() - before) / full)
"""


def all_of(keyspace: Keyspace) -> list[Any]:
    pairs = zip(keyspace.slots, keyspace.expires, strict=True)
    return [(list(values.items()), list((expires or {}).items())) for values, expires in pairs if values]


def compact(keyspace: Keyspace, budget: int = 7) -> None:
    walk = Compaction(keyspace)
    walk.begin()
    while walk.under_way:
        assert walk.slice(budget) > 0


def a_keyspace() -> Keyspace:
    made = Keyspace(StoreSettings(), 0, 16383, random=Random(7).randrange)
    made.primary = True
    made.now_ms = 1_000
    return made


@pytest.mark.parametrize("expiry", ["None", "1 << 50"])
def test_pages_on_which_little_is_left_become_free(expiry: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("EXPIRY", expiry)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.85, "1 without it"


def test_what_is_small_is_made_anew_and_what_is_large_or_held_by_others_is_not() -> None:
    keyspace = a_keyspace()
    keyspace.recording = False
    contents = {b"small": bytes(100), b"large": bytes(SMALL_BYTES_MAX + 1), b"held": bytes(99)}
    for key in list(contents):
        keyspace.put(key, contents[key])
    held = contents.pop(b"held")
    places = {key: id(content) for key, content in contents.items()}
    kept = contents.pop(b"large")
    del contents
    compact(keyspace)
    assert id(keyspace.find(b"small")) != places[b"small"]
    assert keyspace.find(b"large") is kept
    assert keyspace.find(b"held") is held


def test_everything_is_as_it_was_with_its_order_its_times_and_its_encodings() -> None:
    keyspace = a_keyspace()
    for number in range(SLOT_KEYS_MAX + 10):
        keyspace.put(b"{many}%d" % number, b"value %d" % number)
    for number in range(300):
        keyspace.put(b"some%d" % number, b"v" * number, 5_000 + number if number % 3 else None)
    for number, fields in enumerate((1, 30, 500)):
        pairs = [part for i in range(fields) for part in (b"field%d" % i, b"value%d" % i)]
        keyspace.replace(b"{many}hash%d" % number, Hash(list(pairs)), None)
        keyspace.replace(b"hash%d" % number, Hash(list(pairs)), 9_000)
    keyspace.encodings.remember(b"some5", keyspace.find(b"some5"), b"raw")
    hashes = [keyspace.find(b"hash%d" % number) for number in range(3)]
    before = all_of(keyspace)
    compact(keyspace)
    keyspace.validate()
    assert all_of(keyspace) == before
    assert [keyspace.find(b"hash%d" % number) for number in range(3)] == hashes
    assert all(keyspace.find(b"hash%d" % number) is value for number, value in enumerate(hashes))
    assert keyspace.encodings.of(b"some5", keyspace.find(b"some5")) == b"raw"


turns = st.lists(st.lists(st.one_of(steps, steps, steps, st.just([b"FLUSHALL"])), min_size=2, max_size=8), max_size=6)


@RUNS
@given(st.lists(steps, min_size=8, max_size=25), turns)
def test_turns_before_and_after_it_can_be_taken_back(before: list[Step], script: list[list[Step]]) -> None:
    """With records in indexes, which have to refer to the copies: `state` looks at the books and at every index."""
    one = tiny_keyspace(primary=True, tables=catalog(definition("trades")))
    for step in before:
        act(one, step)
    one.take_turn()
    expected = state(one, version=False)
    walk = Compaction(one)
    undos = []
    for turn in script:
        for step in turn:
            act(one, step)
            walk.begin()
            walk.slice(20_000)
        undos.append(one.take_turn()[1])
    state(one)
    for undo in reversed(undos):
        one.revert(undo)
    assert state(one, version=False) == expected


def test_a_large_hash_is_still_given_whole_in_the_pieces_of_a_snapshot() -> None:
    keyspace = a_keyspace()
    pairs = [part for i in range(20_000) for part in (b"field%d" % i, b"value%d" % i)]
    keyspace.replace(b"hash", Hash(pairs), None)
    pieces = keyspace.snapshot()
    payloads = [next(pieces), next(pieces)]
    compact(keyspace, 10_000)
    payloads += pieces
    joiner = a_keyspace()
    for payload in payloads:
        joiner.load(payload)
    assert joiner.find(b"hash") == keyspace.find(b"hash")


def test_records_that_many_have_in_an_index_are_exchanged_there() -> None:
    one = tiny_keyspace(primary=True, tables=catalog(definition("trades")))
    one.recording = False
    for start in range(0, SLOT_KEYS_MAX - 500, 100):
        pack = msgspec.msgpack.encode
        rows = [pack(["a", number, 1.5, "x"]) for number in range(start, start + 100)]
        COMMANDS[b"KG.WRITE"](one, [b"KG.WRITE", b"trades", b"0", b"REPLACE", *rows], False)
    slot = slot_of(b"trades:{a}:0")
    before = [bytes(value) for value in one.slots[slot].values()]  # type: ignore[union-attr]
    places = {id(value) for value in one.slots[slot].values()}  # type: ignore[union-attr]
    compact(one)
    one.validate()
    values = one.slots[slot].values()  # type: ignore[union-attr]
    assert [bytes(value) for value in values] == before
    assert not places & {id(value) for value in values}
    for index in one.tables.by_name[b"trades"].indexes:
        held = {id(record) for place in index.buckets for record in index.equal(place)}
        assert held == {id(value) for value in values}
