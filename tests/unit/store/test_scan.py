"""SCAN and HSCAN: whatever stays is returned, a call looks at a bounded number, and cursors survive what happens between."""

from random import Random
from typing import Any

import hiredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubegrid.store import Keyspace, scan_index
from kubegrid.store.hashes import Hash
from kubegrid.store.scan_index import INDEXES_MAX, WHOLE_SLOT_KEYS_MAX
from kubegrid.store.shards import SHARD_FIELDS, Shards


def decoded(reply: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(reply)
    return reader.gets()


def fill(call: Any, count: int, prefix: bytes = b"{tag}") -> set[bytes]:
    keys = {prefix + b"%d" % i for i in range(count)}
    for key in keys:
        call(b"SET", key, b"v")
    return keys


def test_a_scan_of_a_nearly_empty_keyspace_ends_in_few_calls(call: Any) -> None:
    call(b"SET", b"one", b"1")
    cursor, keys = decoded(call(b"SCAN", b"0", b"COUNT", b"100"))
    assert (cursor, keys) == (b"0", [b"one"])


def test_a_scan_of_a_large_slot_returns_about_count_at_a_time(call: Any) -> None:
    keys = fill(call, 3000)
    found: list[bytes] = []
    cursor, calls = b"0", 0
    while True:
        cursor, page = decoded(call(b"SCAN", cursor, b"COUNT", b"50"))
        assert len(page) <= 50 + 150
        assert int(cursor) < 1 << 64
        found += page
        calls += 1
        if cursor == b"0":
            break
    assert sorted(found) == sorted(keys)
    assert calls >= 20


def test_a_slot_of_ordinary_size_is_returned_as_a_whole(call: Any, keyspace: Keyspace) -> None:
    keys = fill(call, WHOLE_SLOT_KEYS_MAX)
    _, page = decoded(call(b"SCAN", b"0"))
    assert set(page) == keys
    assert not keyspace.scan_indexes


@pytest.mark.parametrize("scans", [1, INDEXES_MAX, INDEXES_MAX + 3])
def test_keys_that_stay_are_returned_while_others_come_and_go(call: Any, keyspace: Keyspace, scans: int) -> None:
    random = Random(scans)
    staying = fill(call, 700)
    found: list[set[bytes]] = [set() for _ in range(scans)]
    cursors = [b"0"] * scans
    running = set(range(scans))
    extra = 0
    while running:
        for scan in sorted(running):
            cursors[scan], page = decoded(call(b"SCAN", cursors[scan], b"COUNT", b"100"))
            found[scan].update(page)
            if cursors[scan] == b"0":
                running.discard(scan)
        for _ in range(random.randrange(60)):
            extra += 1
            call(b"SET", b"{tag}extra%d" % extra, b"v")
            call(b"DEL", b"{tag}extra%d" % random.randrange(extra))
        assert len(keyspace.scan_indexes) <= INDEXES_MAX
    assert all(staying <= each for each in found)


def test_a_key_made_before_a_scan_is_found_though_an_older_scan_goes_on(call: Any) -> None:
    fill(call, 600)
    cursor, _ = decoded(call(b"SCAN", b"0"))
    assert cursor != b"0"
    call(b"SET", b"{tag}later", b"v")
    found: set[bytes] = set()
    second = b"0"
    while True:
        second, page = decoded(call(b"SCAN", second))
        found.update(page)
        if second == b"0":
            break
    assert b"{tag}later" in found


def test_any_cursor_is_answered(call: Any) -> None:
    fill(call, 600)
    for cursor in (1, 77, 2**32, 2**46 - 1, 2**63, 2**64 - 1):
        assert isinstance(decoded(call(b"SCAN", b"%d" % cursor))[1], list)
        call(b"HSET", b"h", b"f", b"v")
        assert isinstance(decoded(call(b"HSCAN", b"h", b"%d" % cursor))[1], list)


@pytest.mark.parametrize("seed", range(20))
def test_cursors_that_nobody_gave_out_end_and_harm_no_scan(call: Any, keyspace: Keyspace, seed: int) -> None:
    random = Random(seed)
    staying = fill(call, 600, b"{tag}") | fill(call, 400, b"{other}") | fill(call, 300, b"each")
    call(b"HSET", b"h", *[b"f%d" % (number // 2) for number in range(2000)])
    found: set[bytes] = set()
    fields: set[bytes] = set()
    keys_cursor = fields_cursor = b"0"
    strange = b"%d" % random.getrandbits(64)
    while keys_cursor or fields_cursor:
        if keys_cursor:
            keys_cursor, page = decoded(call(b"SCAN", keys_cursor, b"COUNT", b"50"))
            found.update(page)
        if fields_cursor:
            fields_cursor, page = decoded(call(b"HSCAN", b"h", fields_cursor))
            fields.update(page[0::2])
        keys_cursor, fields_cursor = (
            keys_cursor.strip(b"0") and keys_cursor,
            fields_cursor.strip(b"0") and fields_cursor,
        )
        # As it is, and with the number of an index that another scan uses.
        call(b"SCAN", b"%d" % random.getrandbits(64))
        number = next(iter(keyspace.scan_indexes), 0)
        call(b"SCAN", b"%d" % scan_index.pack(random.randrange(16384), random.getrandbits(32), number))
    assert staying <= found and len(fields) == 1000
    for _ in range(2000):
        strange, _ = decoded(call(b"SCAN", strange, b"COUNT", b"100"))
        if strange == b"0":
            break
    assert strange == b"0"


def test_scan_filters_by_type_and_pattern_and_hides_what_has_expired(call: Any, keyspace: Keyspace) -> None:
    call(b"SET", b"s1", b"v")
    call(b"SET", b"s2", b"v", b"PX", b"10")
    call(b"HSET", b"h1", b"f", b"v")
    keyspace.now_ms += 11
    assert decoded(call(b"SCAN", b"0", b"COUNT", b"99", b"TYPE", b"string"))[1] == [b"s1"]
    assert decoded(call(b"SCAN", b"0", b"COUNT", b"99", b"MATCH", b"h*"))[1] == [b"h1"]
    assert keyspace.key_count == 2


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 900), st.integers(0, 2**32), st.integers(1, 40), st.booleans())
def test_fields_that_stay_are_returned_however_the_hash_grows(size: int, seed: int, churn: int, shrink: bool) -> None:
    random = Random(seed)
    staying = {b"s%d" % i for i in range(size)}
    value = Hash([part for field in sorted(staying) for part in (field, b"v")])
    found: list[bytes] = []
    position = extra = 0
    while True:
        fields, position = value.scan(position)
        assert len(fields) <= 8 * SHARD_FIELDS
        found += [field for field, _ in fields]
        if position == 0:
            break
        for _ in range(random.randrange(churn * 10)):
            extra += 1
            value.update([b"x%d" % extra, b"v"], 0, None)
            if shrink:
                value.remove([b"x%d" % random.randrange(extra)], 0, None)
    assert staying <= set(found)
    assert sum(field in staying for field in found) == size


def test_a_hash_of_any_size_splits_one_shard_at_a_time() -> None:
    shards = Shards({})
    expected = {}
    tables = 1
    for i in range(20_000):
        shards.put(b"f%d" % i, b"v%d" % i)
        expected[b"f%d" % i] = b"v%d" % i
        assert len(shards.tables) - tables in (0, 1)
        tables = len(shards.tables)
    assert dict(shards.items()) == expected
    assert max(map(len, shards.tables)) < 3 * SHARD_FIELDS
    assert all(shards.get(field) == value for field, value in expected.items())
    for field in expected:
        assert shards.pop(field) == expected[field]
    assert shards.size == 0


def test_hscan_looks_at_no_more_than_a_slice(call: Any, keyspace: Keyspace) -> None:
    call(b"HSET", b"h", *(b"%d" % i for i in range(8000)))
    _, flat = decoded(call(b"HSCAN", b"h", b"0", b"COUNT", b"1000000"))
    assert len(flat) // 2 <= keyspace.settings.slice_units + 3 * SHARD_FIELDS
