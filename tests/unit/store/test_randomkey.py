"""RANDOMKEY: every key has its chance, whatever was written since the sizes of slots were last added up."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from kubegrid.base.settings import StoreSettings
from kubegrid.store import Keyspace, slot_sizes
from kubegrid.store.commands import COMMANDS


@pytest.fixture
def keyspace() -> Keyspace:
    made = Keyspace(StoreSettings(), 0, 16383, random=Random(1).randrange)
    made.primary = True
    made.now_ms = 1_000_000
    return made


def run(keyspace: Keyspace, *args: bytes) -> bytes:
    return COMMANDS[args[0]](keyspace, list(args), False)


def picked(keyspace: Keyspace, times: int) -> Counter[bytes]:
    return Counter(run(keyspace, b"RANDOMKEY") for _ in range(times))


def test_keys_of_full_and_of_nearly_empty_slots_have_the_same_chance(keyspace: Keyspace) -> None:
    for number in range(90):
        run(keyspace, b"SET", b"{tag}%d" % number, b"")
    for number in range(10):
        run(keyspace, b"SET", b"%d" % number, b"")
    times = picked(keyspace, 20_000)
    assert len(times) == 100
    assert 100 < min(times.values()) <= max(times.values()) < 300


def test_what_was_just_written_and_deleted_counts_at_once_among_few_keys(keyspace: Keyspace) -> None:
    assert run(keyspace, b"RANDOMKEY") == b"$-1\r\n"
    run(keyspace, b"SET", b"a", b"")
    assert set(picked(keyspace, 50)) == {b"$1\r\na\r\n"}
    run(keyspace, b"SET", b"b", b"")
    assert len(picked(keyspace, 50)) == 2
    run(keyspace, b"DEL", b"a")
    assert set(picked(keyspace, 50)) == {b"$1\r\nb\r\n"}
    run(keyspace, b"RENAME", b"b", b"{b}c")
    run(keyspace, b"SET", b"d", b"")
    run(keyspace, b"DEL", b"{b}c")  # as many as before, in another slot
    assert set(picked(keyspace, 50)) == {b"$1\r\nd\r\n"}
    run(keyspace, b"FLUSHALL")
    assert run(keyspace, b"RANDOMKEY") == b"$-1\r\n"


def test_a_key_that_is_new_among_many_is_picked_before_long(keyspace: Keyspace) -> None:
    for number in range(1000):
        run(keyspace, b"SET", b"%d" % number, b"")
    run(keyspace, b"RANDOMKEY")
    run(keyspace, b"SET", b"new", b"")
    keyspace.now_ms += slot_sizes.VALID_MS
    assert b"$3\r\nnew\r\n" in picked(keyspace, 20_000)


def test_only_keys_whose_time_is_over_are_no_keys(keyspace: Keyspace) -> None:
    run(keyspace, b"SET", b"a", b"", b"PX", b"10")
    keyspace.now_ms += 11
    assert run(keyspace, b"RANDOMKEY") == b"$-1\r\n"


def test_sizes_are_added_up_now_and_then_and_passing_by_many_keys_counts_as_work(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    added_up = []

    def accumulate(sizes: Any) -> list[int]:
        added_up.append(1)
        total, ends = 0, []
        for size in sizes:
            total += size
            ends.append(total)
        return ends

    monkeypatch.setattr(slot_sizes, "accumulate", accumulate)
    for number in range(10_000):
        run(keyspace, b"SET", b"{tag}%d" % number, b"")
    before = keyspace.units
    picked(keyspace, 100)
    assert len(added_up) == 1
    assert 10 < (keyspace.units - before) / 100 < 80
