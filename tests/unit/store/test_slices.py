"""Long work is cut: each slice of a command, of expiry, of clean-up and of a snapshot touches a bounded number of units."""

import gc
from typing import Any

import msgspec
import pytest

from kubegrid.store import COMMANDS, Keyspace
from kubegrid.store.hashes import Hash


def fill(call: Any, count: int, *options: bytes) -> None:
    for i in range(count):
        call(b"SET", b"k%d" % i, b"v", *options)


def test_keys_takes_a_slice_for_each_hundred_keys(call: Any) -> None:
    fill(call, 1000)
    assert call(b"KEYS", b"*").startswith(b"*1000\r\n")
    assert 20 <= call.slices <= 45


def test_scan_with_a_large_count_is_cut(call: Any) -> None:
    fill(call, 1000)
    call(b"SCAN", b"0", b"COUNT", b"1000000")
    assert call.slices >= 10


def test_the_index_of_a_large_slot_is_made_in_slices(call: Any, keyspace: Keyspace) -> None:
    for i in range(2000):
        call(b"SET", b"{t}%d" % i, b"v")
    call(b"SCAN", b"0")
    assert call.slices >= 20


def test_lcs_of_long_strings_is_cut(call: Any) -> None:
    call(b"MSET", b"{l}a", b"ab" * 1000, b"{l}b", b"ba" * 1040, b"{l}c", b"b", b"{l}d", b"ba" * 500_000)
    assert call(b"LCS", b"{l}a", b"{l}b", b"LEN") == b":2000\r\n"
    assert call.slices >= 2
    assert call(b"LCS", b"{l}c", b"{l}d", b"IDX").endswith(b":999998\r\n:999998\r\n$3\r\nlen\r\n:1\r\n")
    assert call.slices >= 16


def test_a_short_command_answers_at_once(call: Any, keyspace: Keyspace) -> None:
    assert isinstance(COMMANDS[b"LCS"](keyspace, [b"LCS", b"a", b"b"], False), bytes)
    assert isinstance(COMMANDS[b"SCAN"](keyspace, [b"SCAN", b"0", b"COUNT", b"5"], False), (bytes, object))


def test_a_slice_of_expiry_looks_at_its_budget_and_deletes_as_effects(call: Any, keyspace: Keyspace) -> None:
    fill(call, 1000, b"PX", b"5")
    keyspace.take_turn()
    keyspace.now_ms += 6
    looked = []
    while keyspace.key_count:
        looked.append(keyspace.expire_slice(100))
        assert looked[-1] <= 100
        assert len(looked) < 100
    effects = keyspace.take_turn()[0]
    assert sum(looked) >= 1000 == len(effects) // 2 == keyspace.expired


def test_expiry_of_keys_in_one_slot_is_cut_as_well(call: Any, keyspace: Keyspace) -> None:
    for i in range(1000):
        call(b"SET", b"{t}%d" % i, b"v", b"PX", b"5")
    keyspace.now_ms += 6
    slices = []
    while keyspace.key_count:
        slices.append(keyspace.expire_slice(100))
    assert max(slices) <= 100
    assert len(slices) < 60


def test_a_backup_expires_nothing_but_hides_it(call: Any, keyspace: Keyspace) -> None:
    call(b"SET", b"a", b"v", b"PX", b"5")
    keyspace.take_turn()
    keyspace.primary = False
    keyspace.now_ms += 6
    assert keyspace.expire_slice(100) == 0
    assert call(b"GET", b"a") == b"$-1\r\n"
    assert call(b"DBSIZE") == b":1\r\n"
    assert keyspace.take_turn() == ([], [], 0)


def test_a_large_hash_is_freed_in_slices_once_nobody_holds_it(call: Any, keyspace: Keyspace) -> None:
    call(b"HSET", b"h", *(b"%d" % i for i in range(20_000)))
    keyspace.take_turn()
    assert call(b"DEL", b"h") == b":1\r\n"
    assert keyspace.used_bytes == 0
    undo = keyspace.take_turn()[1]
    assert keyspace.free_slice(1000) == 0, "a revert may still need it"
    assert len(keyspace.garbage) == 1
    del undo
    gc.collect()
    freed = []
    while keyspace.garbage:
        freed.append(keyspace.free_slice(500))
        assert freed[-1] <= 500 + 2 * 200
    assert sum(freed) >= 10_000


def test_flushing_is_one_effect_and_freed_in_slices(call: Any, keyspace: Keyspace) -> None:
    for i in range(3000):
        call(b"SET", b"{t}%d" % i, b"v", b"PX", b"99999")
    keyspace.take_turn()
    call(b"FLUSHALL")
    assert len(keyspace.take_turn()[0]) == 2
    freed = []
    while keyspace.garbage:
        freed.append(keyspace.free_slice(100))
        assert 0 < freed[-1] <= 200
    assert sum(freed) == 6000


def test_slices_of_a_snapshot_are_bounded(call: Any, keyspace: Keyspace) -> None:
    fill(call, 1000)
    call(b"HSET", b"h", *(b"field%d" % i for i in range(6000)))
    slices = list(keyspace.snapshot())
    assert len(slices) >= 20
    assert max(map(len, slices)) <= 2 * keyspace.settings.slice_bytes


@pytest.mark.parametrize(
    "args",
    [
        (b"HGETALL", b"h"), (b"HKEYS", b"h"), (b"HVALS", b"h"), (b"RENAME", b"h", b"{h}2"), (b"COPY", b"h", b"{h}2"),
        (b"HRANDFIELD", b"h", b"-200000"), (b"HRANDFIELD", b"h", b"200000"),
    ],
)  # fmt: skip
def test_what_must_be_atomic_is_refused_beyond_its_limit(
    call: Any, keyspace: Keyspace, args: tuple[bytes, ...]
) -> None:
    value = Hash([b"%d" % i for i in range(2 * (keyspace.settings.atomic_units_max + 1))])
    keyspace.place(keyspace_slot(b"h"), b"h", value, None)
    assert b"would touch more than 20000" in call(*args)
    keyspace.validate()


@pytest.mark.parametrize(
    "args",
    [
        (b"MGET", b"{h}v", b"{h}v"), (b"HGETALL", b"h"), (b"HVALS", b"h"), (b"HMGET", b"h", b"a", b"a"),
        (b"HRANDFIELD", b"h", b"-2", b"WITHVALUES"), (b"HSCAN", b"h", b"0"),
    ],
)  # fmt: skip
def test_a_reply_that_would_fill_the_memory_is_refused(call: Any, keyspace: Keyspace, args: tuple[bytes, ...]) -> None:
    """A few words may ask for one large value many times."""
    call(b"SET", b"{h}v", b"v" * 600)
    call(b"HSET", b"h", b"a", b"v" * 600, b"b", b"v" * 600)
    assert len(call(*args)) > 1200
    keyspace.settings = msgspec.structs.replace(keyspace.settings, reply_bytes_max=1000)
    assert call(*args) == (
        b"-ERR the reply of '%b' would exceed 1000 bytes, which this store refuses: ask for less at once\r\n"
        % args[0].lower()
    )
    assert call(b"HKEYS", b"h") == b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert call(b"MGET", b"{h}v").startswith(b"*1\r\n$600\r\n")


def test_hscan_hands_out_fewer_fields_when_they_are_long(call: Any, keyspace: Keyspace) -> None:
    for number in range(2000):
        call(b"HSET", b"h", b"f%d" % number, b"v" * 2000)
    keyspace.settings = msgspec.structs.replace(keyspace.settings, slice_units=4000, slice_bytes=100_000)
    assert 100_000 < len(call(b"HSCAN", b"h", b"0", b"COUNT", b"4000")) < 1_000_000


def keyspace_slot(key: bytes) -> int:
    from kubegrid.store import slot_of

    return slot_of(key)


def test_writes_that_may_grow_are_refused_when_memory_is_full_and_others_go_on(call: Any, keyspace: Keyspace) -> None:
    from kubegrid.store import DENY_OOM

    call(b"SET", b"a", b"1")
    keyspace.limit_bytes = keyspace.used_bytes
    refused = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    for name in sorted(DENY_OOM):
        assert call(name, b"a", b"1", b"1", b"1") == refused, name
    assert call(b"GET", b"a") == b"$1\r\n1\r\n"
    assert call(b"DEL", b"a") == b":1\r\n"
    assert call(b"SET", b"a", b"1") == b"+OK\r\n"


class Watcher:
    dirty = False


@pytest.mark.parametrize(
    "args",
    [
        (b"SET", b"{w}", b"2"), (b"DEL", b"{w}"), (b"APPEND", b"{w}", b"x"), (b"EXPIRE", b"{w}", b"9"), (b"INCR", b"{w}"),
        (b"RENAME", b"{w}", b"{w}2"), (b"RENAME", b"{w}3", b"{w}"), (b"COPY", b"{w}3", b"{w}", b"REPLACE"), (b"FLUSHALL",),
    ],
)  # fmt: skip
def test_a_change_marks_those_who_watch_the_key(call: Any, keyspace: Keyspace, args: tuple[bytes, ...]) -> None:
    call(b"MSET", b"{w}", b"1", b"{w}3", b"3")
    watcher, other = Watcher(), Watcher()
    keyspace.watched = {b"{w}": {watcher}, b"{w}other": {other}}
    call(b"GET", b"{w}")
    assert not watcher.dirty
    call(*args)
    assert watcher.dirty
    assert not other.dirty


def test_a_watched_key_that_ends_marks_its_watchers(call: Any, keyspace: Keyspace) -> None:
    call(b"SET", b"w", b"1", b"PX", b"5")
    watcher = Watcher()
    keyspace.watched = {b"w": {watcher}}
    keyspace.now_ms += 6
    call(b"GET", b"w")
    assert watcher.dirty
