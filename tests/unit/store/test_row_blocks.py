"""Stores that keep batches as columns equal stores that write every batch row by row, whatever happens to the rows.

Equal means what clients can see: keys, values, versions, expiries, counts, replies. The books are counted again each time.
"""

import gc
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store.block_scripts import load
from tests.unit.store.record_scripts import TINY, Step, catalog, definition, pack, tiny_keyspace

from kubegrid.base.settings import StoreSettings
from kubegrid.base.table_definitions import parse_column
from kubegrid.store import COMMANDS, Keyspace, replay, row_blocks
from kubegrid.store.hashes import Hash
from kubegrid.store.records import Record

RUNS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Also a single row is a block, and also few cold rows are deleted together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_blocks, "BLOCK_ROWS_MIN", 1)
        patch.setattr(replay, "MANY_KEYS", 2)
        yield


def plain_definition(name: str, ttl: int | None = None) -> Any:
    return definition(name, indexes=[], ttl=ttl)


def keyspace(*, primary: bool = True, tables: bool = True) -> Keyspace:
    return tiny_keyspace(primary=primary, tables=catalog(plain_definition("trades")) if tables else None)


# -- scripts -------------------------------------------------------------------------------------------------------------

names = st.sampled_from(["trades", "trades", "trades", "trades", "quotes"])
books = st.sampled_from(["a", "b", "FX:{1}"])
ids = st.integers(0, 20)
notes = st.sampled_from(["x", "y", "", None])
prices = st.sampled_from([None, 0.0, 1.5, -2.0])
keys = st.tuples(names, st.sampled_from(["a", "b", "FX%3A%7B1%7D"]), ids).map(
    lambda t: f"{t[0]}:{{{t[1]}}}:{t[2]}".encode()
)
modes = st.sampled_from([b"REPLACE", b"REPLACE", b"REPLACE", b"KEEP", b"FAIL"])
loads = st.tuples(names, modes, books, ids, st.integers(1, 8), prices, notes, st.sampled_from([2, 3, 4, 4])).map(
    lambda t: ["load", t[0], t[1], [[t[2], t[3] + i, t[5], t[6]][: t[7]] for i in range(t[4])]]
)
rows = st.tuples(books, ids, prices, notes).map(list)
predicates = st.sampled_from([b"note = 'x'", b"price > 0", b"id < 9 and book = 'a'", b"id >= 0"])
changes = st.one_of(
    st.tuples(names, modes, st.lists(rows, min_size=1, max_size=6)).map(
        lambda t: [b"KG.WRITE", t[0].encode(), b"0", t[1], *map(pack, t[2])]
    ),
    st.tuples(keys, notes).map(lambda t: [b"KG.CHANGE", t[0], json.dumps({"set": {"note": t[1]}}).encode()]),
    st.tuples(keys, st.sampled_from([b"1", b"2.5"])).map(lambda t: [b"HINCRBYFLOAT", t[0], b"price", t[1]]),
    st.tuples(keys, st.sampled_from([b'{"price":3}', b'{"note":"x"}'])).map(lambda t: [b"JSON.SET", t[0], b"$", t[1]]),
    st.tuples(names, st.lists(st.tuples(st.just(-1), keys.map(bytes.decode)), max_size=4, unique=True)).map(
        lambda t: [b"KG.REWRITE", t[0].encode(), b"0", pack(t[1])]
    ),
    st.tuples(keys, rows, st.sampled_from([0, 3])).map(
        lambda t: [b"KG.COMMIT", t[0], pack([[[t[0], t[2]]], [["remove", t[0]], ["write", t[0].split(b":")[0], 0, pack(t[1])]]])]
    ),
    st.tuples(names, predicates).map(lambda t: [b"KG.TAKE", t[0].encode(), t[1]]),
    keys.map(lambda k: [b"KG.REMOVE", k]),
    st.lists(keys, min_size=1, max_size=4).map(lambda ks: [b"DEL", *ks]),
    keys.map(lambda k: [b"SET", k, b"plain"]),
    st.tuples(keys, keys).map(lambda t: [b"RENAME", *t]),
    st.tuples(keys, keys).map(lambda t: [b"COPY", *t]),
    st.tuples(keys, st.sampled_from([b"1", b"50", b"-1"])).map(lambda t: [b"PEXPIRE", *t]),
    keys.map(lambda k: [b"PERSIST", k]),
)  # fmt: skip
reads = st.one_of(
    st.tuples(names, st.lists(keys, min_size=1, max_size=4)).map(lambda t: [b"KG.READ", t[0].encode(), *t[1]]),
    keys.map(lambda k: [b"JSON.GET", k]),
    keys.map(lambda k: [b"HGETALL", k]),
    keys.map(lambda k: [b"GET", k]),
    keys.map(lambda k: [b"TYPE", k]),
    keys.map(lambda k: [b"OBJECT", b"ENCODING", k]),
    keys.map(lambda k: [b"KG.VERSION", k]),
    st.lists(keys, min_size=1, max_size=4).map(lambda ks: [b"EXISTS", *ks]),
    st.tuples(names, predicates).map(lambda t: [b"KG.COUNT", t[0].encode(), t[1]]),
    st.tuples(names, predicates).map(lambda t: [b"KG.FIND", t[0].encode(), t[1], b"WITHVERSIONS"]),
    st.just([b"KEYS", b"*"]),
    st.just([b"SCAN", b"0", b"COUNT", b"100", b"TYPE", b"record"]),
)
others = st.one_of(
    st.tuples(st.just("create"), names, st.sampled_from([None, None, None, 1])).map(list),
    st.tuples(st.just("drop"), names).map(list),
    st.tuples(st.just("truncate"), names).map(list),
    st.tuples(st.just("add column"), names).map(list),
    st.sampled_from([["sweep"], ["sweep all"], ["build"], ["free"], ["full", True], ["full", False]]),
)
flush = st.just([b"FLUSHALL"])
steps = st.one_of(loads, loads, loads, changes, changes, reads, reads, others)
scripts = st.lists(steps, min_size=10, max_size=30)


def step_on(on: Keyspace, step: Step, *, blocks: bool) -> Any:
    """Do one step on a primary; what a client would see of it."""
    what, tables = step[0], on.catalog
    on.now_ms += 1
    if isinstance(what, bytes):
        reply = COMMANDS[what](on, list(step), False)
        if not isinstance(reply, bytes):
            reply = finish(reply)
        # In which order records are found is nobody's business.
        return sorted(reply.split(b"\r\n")) if what in (b"KG.FIND", b"KEYS", b"SCAN") else reply
    if what == "load":
        return load(on, step[1], step[3], step[2], whole=blocks) if step[1] in tables.by_name else None
    if what == "create" and step[1] not in tables.by_name:
        on.adopt_catalog(tables.create(plain_definition(step[1], step[2])))
    elif what == "drop" and step[1] in tables.by_name:
        on.adopt_catalog(tables.drop(step[1]))
    elif what == "truncate" and step[1] in tables.by_name:
        on.adopt_catalog(tables.truncate(step[1]))
    elif what == "add column" and step[1] in tables.by_name:
        column = {"name": f"more{len(tables.by_name[step[1]].columns)}", "type": "INTEGER", "default": 7}
        on.adopt_catalog(tables.add_column(step[1], parse_column(column)))
    elif what == "sweep":
        on.sweep_slice(3)
    elif what == "sweep all":
        while on.sweep_slice(1000):
            pass
    elif what == "build":
        on.build_slice(2)
    elif what == "free":
        on.free_slice(3)
    elif what == "full":
        # As far as reading goes: a member that is full refuses writes, whatever its rows are.
        on.limit_bytes = on.used_bytes + 1 if step[1] else 1 << 62
    return None


def finish(task: Iterator[None]) -> Any:
    while True:
        try:
            next(task)
        except StopIteration as end:
            return end.value


def contents(of: Keyspace) -> dict[bytes, Any]:
    """What clients can see, and no row is thawed by it."""
    of.validate()
    found: dict[bytes, Any] = {}
    for slot, values in enumerate(of.slots):
        if not values:
            continue
        expires = of.expires[slot] or {}
        for key, held in values.items():
            value = of.blocks.record(held) if type(held) is int else held
            if expires.get(key, of.now_ms) < of.now_ms or (type(value) is Record and of.tables.is_stray(value)):
                continue
            form = type(value), dict(value.items()) if type(value) is Hash else bytes(value)
            found[key] = form, expires.get(key)
    return found


def counts(of: Keyspace) -> Any:
    """Of records of tables that there are: when those of dropped ones go is a member's own affair."""
    known = {number: count for number, count in of.tables.counts.items() if number in of.tables.by_id}
    return known, of.key_count - of.tables.strays


def equal(one: Keyspace, other: Keyspace) -> None:
    """Counts are compared where the same keys wait for being expired."""
    assert contents(one) == contents(other)
    assert one.catalog == other.catalog
    if one.expires == other.expires:
        assert counts(one) == counts(other)


def unlimited(on: Keyspace, step: Step) -> bool:
    """Whether a step may be done now: nothing is written where it would be refused for want of room."""
    return on.limit_bytes == 1 << 62 or not isinstance(step[0], bytes) or step[0] in READS


READS = {b"KG.READ", b"JSON.GET", b"HGETALL", b"GET", b"TYPE", b"OBJECT", b"KG.VERSION", b"EXISTS", b"KG.COUNT",
         b"KG.FIND", b"KEYS", b"SCAN"}  # fmt: skip


# -- properties ----------------------------------------------------------------------------------------------------------


@RUNS
@given(
    st.lists(
        st.one_of(steps, steps, steps, steps, flush, st.just(["end"]), st.tuples(st.just("back"), st.integers(1, 3))),
        min_size=15,
        max_size=60,
    )
)
def test_a_store_with_blocks_and_its_backup_equal_stores_that_write_row_by_row(script: list[Any]) -> None:
    by_blocks, by_rows, backup = keyspace(), keyspace(), keyspace(primary=False)
    log: list[tuple[Any, Any]] = []
    for step in script:
        if step[0] in ("end", "back"):
            log.append((by_blocks.take_turn(), by_rows.take_turn()))
            if step[0] == "back":
                for _ in range(min(step[1], len(log))):
                    mine, theirs = log.pop()
                    by_blocks.revert(mine[1])
                    by_rows.revert(theirs[1])
                equal(by_blocks, by_rows)
            elif len(log) > 3:
                backup.apply(log.pop(0)[0][0])
                backup.now_ms = by_blocks.now_ms
                backup.build_slice(3)
                backup.validate()
        elif unlimited(by_blocks, step):
            by_rows.limit_bytes = by_blocks.limit_bytes
            assert step_on(by_blocks, step, blocks=True) == step_on(by_rows, step, blocks=False), step
    equal(by_blocks, by_rows)
    log.append((by_blocks.take_turn(), by_rows.take_turn()))
    backup.now_ms = by_blocks.now_ms
    for mine, _ in log:
        backup.apply(mine[0])
    equal(backup, by_blocks)
    assert backup.record_version <= by_blocks.record_version


@RUNS
@given(scripts, st.lists(st.lists(st.one_of(steps, steps, flush), min_size=1, max_size=8), min_size=1, max_size=4))
def test_what_is_taken_back_leaves_what_was_there_before(before: list[Step], turns: list[list[Step]]) -> None:
    one = keyspace()
    for step in before:
        step_on(one, step, blocks=True)
    one.take_turn()
    one.limit_bytes = 1 << 62
    expected, now_ms, counted = contents(one), one.now_ms, (dict(one.tables.counts), one.key_count)
    undos = []
    for turn in turns:
        for step in turn:
            step_on(one, step, blocks=True)
        undos.append(one.take_turn()[1])
    for undo in reversed(undos):
        one.revert(undo)
    one.now_ms = now_ms
    assert contents(one) == expected
    assert (one.tables.counts, one.key_count) == counted
    del undos
    one.free_slice(10**6)
    assert contents(one) == expected


@RUNS
@given(
    scripts,
    st.lists(st.one_of(steps, steps, flush, st.sampled_from([["slice"]] * 3)), min_size=15, max_size=50),
)
def test_a_joiner_that_gets_a_fuzzy_snapshot_and_the_log_equals_the_primary(
    before: list[Step], script: list[Step]
) -> None:
    primary, joiner = keyspace(), keyspace(primary=False, tables=False)
    for step in before:
        step_on(primary, step, blocks=True)
    primary.take_turn()
    primary.limit_bytes = 1 << 62
    slices, log, payloads = primary.snapshot(), [], []
    for step in script:
        if step == ["slice"]:
            payloads += [payload for payload in [next(slices, None)] if payload is not None]
        else:
            step_on(primary, step, blocks=True)
            log.append(primary.take_turn()[0])
    payloads += slices
    for payload in payloads:
        joiner.load(payload)
        joiner.validate()
    for effects in log:
        joiner.apply(effects)
        joiner.build_slice(2)
    joiner.now_ms = primary.now_ms
    equal(joiner, primary)
    assert joiner.record_version == primary.record_version
    assert counts(joiner) == counts(primary)


@RUNS
@given(scripts)
def test_replaying_a_log_twice_changes_nothing(script: list[Step]) -> None:
    primary, replica = keyspace(), keyspace(primary=False)
    for step in script:
        step_on(primary, step, blocks=True)
    effects = primary.take_turn()[0]
    replica.now_ms = primary.now_ms
    replica.apply(effects)
    equal(replica, primary)
    replica.apply(effects)
    equal(replica, primary)


@RUNS
@given(scripts, predicates, st.lists(st.one_of(steps, flush), max_size=12))
def test_a_search_in_slices_meets_each_record_once_whatever_is_done_between_them(
    before: list[Step], predicate: bytes, between: list[Step]
) -> None:
    one = keyspace()
    for step in before:
        step_on(one, step, blocks=True)
    one.limit_bytes = 1 << 62
    if "trades" not in one.catalog.by_name:
        return
    there = _matching_now(one, predicate)
    reply = COMMANDS[b"KG.FIND"](one, [b"KG.FIND", b"trades", predicate, b"FIELDS", b"2", b"book", b"id"], False)
    todo = list(between)
    steady = set(there)
    while not isinstance(reply, bytes):
        try:
            next(reply)
        except StopIteration as end:
            reply = end.value
            break
        if todo:
            step_on(one, todo.pop(0), blocks=True)
            now = _matching_now(one, predicate) if "trades" in one.catalog.by_name else {}
            steady = {key for key in steady if now.get(key) is not None}
    if reply[:1] == b"-":
        return  # its table was dropped
    found = [line for line in reply.split(b"\r\n") if line.startswith(b"{")]
    assert len(found) == len(set(found))
    expected = {json.dumps({"book": book, "id": number}, separators=(",", ":")).encode() for book, number in steady}
    assert expected <= set(found)
    assert not one.blocks.scans


def _matching_now(of: Keyspace, predicate: bytes) -> dict[tuple[str, int], Record]:
    """By the columns of the key."""
    table = of.tables.by_name[b"trades"]
    asked = table.predicates.parse(predicate.decode())
    found = {}
    for key, ((kind, data), _) in contents(of).items():
        if kind is Record and key.startswith(b"trades:"):
            values = table.codec.decode(Record(data).row)
            if asked.matches(values):
                found[values[0], values[1]] = Record(data)
    return found


# -- what stays columnar, and for how long -------------------------------------------------------------------------------


def rows_of(count: int, book: str = "a") -> list[list[Any]]:
    return [[book, number, 1.5, "x"] for number in range(count)]


@pytest.fixture
def loaded() -> Keyspace:
    """A primary with one block of 10 rows."""
    one = keyspace()
    assert load(one, "trades", rows_of(10)) == b"*3\r\n:1\r\n:10\r\n:0\r\n"
    assert cold(one) == 10
    return one


def records(of: Keyspace) -> list[tuple[bytes, Record]]:
    return [item for values in filter(None, of.slots) for item in values.items() if type(item[1]) is Record]


def cold(of: Keyspace) -> int:
    of.validate()
    return sum(type(value) is int for values in filter(None, of.slots) for value in values.values())


def run(on: Keyspace, *args: bytes) -> Any:
    reply = COMMANDS[args[0]](on, list(args), False)
    return reply if isinstance(reply, bytes) else finish(reply)


def test_a_row_that_is_read_is_kept_as_a_record_while_there_is_room(loaded: Keyspace) -> None:
    first = run(loaded, b"KG.READ", b"trades", b"trades:{a}:3")
    assert cold(loaded) == 9
    used = loaded.limit_bytes = loaded.used_bytes
    assert run(loaded, b"KG.READ", b"trades", b"trades:{a}:3") == first
    assert b"trades" not in run(loaded, b"KG.READ", b"trades", b"trades:{a}:4")
    assert (cold(loaded), loaded.used_bytes) == (9, used)


def test_searching_and_scanning_leave_rows_cold(loaded: Keyspace) -> None:
    assert run(loaded, b"KG.COUNT", b"trades", b"id < 4") == b":4\r\n"
    assert run(loaded, b"EXISTS", b"trades:{a}:3", b"trades:{a}:99") == b":1\r\n"
    assert run(loaded, b"KEYS", b"*").startswith(b"*10")
    assert run(loaded, b"SCAN", b"0", b"COUNT", b"100", b"TYPE", b"record").count(b"trades") == 10
    assert run(loaded, b"RANDOMKEY").startswith(b"$12")
    assert cold(loaded) == 10


def test_a_row_is_what_kg_write_would_have_kept_also_after_its_table_got_a_column(loaded: Keyspace) -> None:
    row = pack(["a", 3, 1.5, "x"])
    step_on(loaded, ["add column", "trades"], blocks=True)
    assert loaded.find(b"trades:{a}:3").row == row
    assert b'"more4":7' in run(loaded, b"JSON.GET", b"trades:{a}:4")
    assert run(loaded, b"KG.COUNT", b"trades", b"more4 = 7") == b":10\r\n"


def test_rows_that_are_kept_or_refused_stay_cold(loaded: Keyspace) -> None:
    assert load(loaded, "trades", rows_of(10), b"KEEP") == b"*3\r\n:0\r\n:0\r\n:10\r\n"
    assert load(loaded, "trades", rows_of(11), b"FAIL").startswith(b"-EXISTS")
    assert cold(loaded) == 10


@pytest.mark.parametrize("twice", [[], [["a", 3]]])  # without it integers are overwritten, with it they are deleted
@pytest.mark.parametrize("tracked", [False, True])
def test_a_row_that_is_replaced_or_removed_is_not_read_and_comes_back_cold(tracked: bool, twice: list[Any]) -> None:
    primary = keyspace()
    load(primary, "trades", rows_of(10))
    load(primary, "trades", rows_of(5, "b"))
    as_it_was = keyspace(primary=False)  # looked at instead of the one that must not read its blocks
    as_it_was.apply(primary.take_turn()[0])
    if tracked:
        primary.tables.changes.start(primary, [1])
    write = [
        b"KG.WRITE",
        b"trades",
        b"0",
        b"REPLACE",
        *[pack(row) for row in [*rows_of(6), *rows_of(5, "b"), *twice]],
    ]
    assert run(primary, *write).startswith(b"*3")
    versions = range(8, 11)
    removed = msgspec.msgpack.encode([[v, f"trades:{{a}}:{v - 1}"] for v in versions])
    assert run(primary, b"KG.REWRITE", b"trades", b"0", removed) == b"*5\r\n:0\r\n:0\r\n:3\r\n:0\r\n:1\r\n"
    assert not any(block.is_open for block in primary.blocks)
    assert cold(primary) == 1
    if tracked:
        [captured] = primary.tables.changes.take().values()
        assert captured.gone == {*range(1, 7), *versions, *range(11, 16)}
        assert {record.row for record in captured.added.values()} == {
            record.row for key, record in records(primary) if key != b"trades:{a}:6"
        }
    primary.revert(primary.take_turn()[1])
    assert cold(primary) == 15
    assert contents(primary) == contents(as_it_was)


def test_a_block_is_thawed_when_more_than_half_of_it_was_touched(loaded: Keyspace) -> None:
    for number in range(5):
        loaded.find(b"trades:{a}:%d" % number)
    assert loaded.build_slice(1000) == 0
    assert cold(loaded) == 5
    loaded.find(b"trades:{a}:9")
    assert loaded.build_slice(6) == 6
    assert cold(loaded) == 2
    while loaded.build_slice(3):
        pass
    assert cold(loaded) == 0
    assert not loaded.blocks.firsts


def test_a_table_that_was_truncated_is_loaded_as_columns_again_and_the_old_rows_are_swept(loaded: Keyspace) -> None:
    backup = keyspace(primary=False)
    backup.apply(loaded.take_turn()[0])
    before = contents(loaded)
    step_on(loaded, ["truncate", "trades"], blocks=True)
    load(loaded, "trades", rows_of(6))
    assert (cold(loaded), loaded.tables.strays, len(contents(loaded))) == (10, 4, 6)
    assert loaded.sweep_slice(1000) == 4
    effects, undo, _ = loaded.take_turn()
    backup.apply(effects)
    equal(backup, loaded)
    assert cold(backup) == 6
    loaded.revert(undo)
    assert contents(loaded) == before
    assert cold(loaded) == 10


def test_a_joiner_gets_blocks_as_blocks(loaded: Keyspace) -> None:
    loaded.find(b"trades:{a}:3")
    joiner = keyspace(primary=False, tables=False)
    for payload in loaded.snapshot():
        joiner.load(payload)
    assert cold(joiner) == 9
    assert contents(joiner) == contents(loaded)


def test_few_rows_and_tables_with_indexes_or_a_time_to_live_are_written_row_by_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = keyspace()
    indexed = definition("indexed", indexes=[{"columns": ["note"]}])
    one.adopt_catalog(one.catalog.create(indexed).create(plain_definition("lives", 5)))
    load(one, "indexed", rows_of(5))
    load(one, "lives", rows_of(5))
    assert (cold(one), one.key_count) == (0, 10)
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS_MIN", 6)
    load(one, "trades", rows_of(5))
    assert cold(one) == 0


def test_a_batch_for_slots_of_others_is_refused_whole() -> None:
    one = Keyspace(TINY, 0, 100, random=Random(7).randrange)
    one.primary = True
    one.adopt_catalog(catalog(plain_definition("trades")))
    assert load(one, "trades", rows_of(5)).startswith(b"-MOVED ")
    assert one.key_count == 0


def test_what_was_watched_or_waited_for_is_told(loaded: Keyspace) -> None:
    class Watcher:
        dirty = False

    watcher = Watcher()
    loaded.watched[b"trades:{b}:1"] = {watcher}
    loaded.waited_tables.add(1)
    load(loaded, "trades", rows_of(2, "b"))
    assert watcher.dirty
    assert loaded.written == [(1, b"trades:{b}:0"), (1, b"trades:{b}:1")]


def test_dictionaries_of_slots_are_known_to_the_collector_before_they_are_large() -> None:
    keyspace = Keyspace(StoreSettings(), 0, 99, random=lambda n: 0)
    assert all(gc.is_tracked(keyspace.slots[slot]) for slot in keyspace.owned)
    keyspace.slots[7][b"key"] = 5  # type: ignore[index]
    keyspace.clear()
    gc.collect(1)
    assert all(gc.is_tracked(keyspace.slots[slot]) for slot in keyspace.owned)
