"""KG.FIND, KG.COUNT and KG.TAKE: with and without indexes, against a plain list of rows, and while records change."""

import json
from collections.abc import Generator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store.record_scripts import catalog, definition

from kubegrid.base.settings import StoreSettings
from kubegrid.store import COMMANDS, Keyspace
from kubegrid.store.candidates import buckets_for
from kubegrid.store.commands_find import compile_predicate
from kubegrid.store.commands_take import take_key
from kubegrid.store.refusals import ANSWERS_MAX

pack = msgspec.msgpack.encode
INDEXES = [
    [],
    [{"columns": ["note"], "kind": "hash"}],
    [{"columns": ["price"], "kind": "ordered"}],
    [{"columns": ["note", "price"], "kind": "ordered"}, {"columns": ["book", "note"], "kind": "hash"}],
]


def made(indexes: Any = INDEXES[3], slice_units: int = 100, **more: Any) -> Keyspace:
    keyspace = Keyspace(StoreSettings(slice_units=slice_units), 0, 16383, random=Random(7).randrange)
    keyspace.primary = True
    keyspace.now_ms = 1_000_000
    keyspace.adopt_catalog(catalog(definition("trades", indexes=indexes, **more)))
    return keyspace


def finish(reply: bytes | Generator[None, None, bytes]) -> bytes:
    while not isinstance(reply, bytes):
        try:
            next(reply)
        except StopIteration as done:
            return done.value
    return reply


def call(keyspace: Keyspace, *args: bytes) -> bytes:
    return finish(COMMANDS[args[0]](keyspace, list(args), False))


def write(keyspace: Keyspace, *rows: list[Any]) -> None:
    reply = call(keyspace, b"KG.WRITE", b"trades", b"0", b"REPLACE", *map(pack, rows))
    assert reply.startswith(b"*3"), reply


def documents(reply: bytes) -> list[Any]:
    assert reply.startswith(b"*"), reply
    return [json.loads(line) for line in reply.split(b"\r\n")[2:-1:2]]


def found_ids(keyspace: Keyspace, predicate: str, *more: bytes) -> list[int]:
    return [each["id"] for each in documents(call(keyspace, b"KG.FIND", b"trades", predicate.encode(), *more))]


prices = st.sampled_from([None, 0.0, 1.5, 2.0, -3.0, float("nan"), float("inf")])
rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 9), prices, st.sampled_from(["x", "y", "z", "", None])).map(list),
    max_size=20,
)
predicates = st.sampled_from(
    [
        "note = 'x'", "note IN ('x', 'y')", "note = 'x' AND price > 1", "note = 'x' AND price >= 1.5 AND price < 2.5",
        "price BETWEEN 0 AND 2", "price > 0", "price < 0", "price <= 1.5 AND note = 'y'", "note IS NULL", "price IS NULL",
        "note = 'x' OR price = 0", "book = 'a' AND note = 'z'", "book IN ('a', 'b') AND note IN ('', 'x')", "note LIKE 'x%'",
        "note = 'x' AND note = 'y'", "NOT (note = 'x')", "id = 3", "note > 'x'", "note >= 'x' AND price = 2",
    ]
)  # fmt: skip


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows, rows, predicates)
def test_every_index_finds_what_no_index_finds(first: list[Any], second: list[Any], predicate: str) -> None:
    expected: Any = None
    for indexes in INDEXES:
        keyspace = made(indexes)
        for batch in (first, second):
            if batch:
                write(keyspace, *batch)
        call(keyspace, b"DEL", b"trades:{a}:3")
        found = sorted(
            (each["book"], each["id"]) for each in documents(call(keyspace, b"KG.FIND", b"trades", predicate.encode()))
        )
        assert len(set(found)) == len(found)
        assert call(keyspace, b"KG.COUNT", b"trades", predicate.encode()) == b":%d\r\n" % len(found)
        if expected is None:
            expected = found
        assert found == expected, indexes


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(rows.filter(bool), min_size=1, max_size=4), predicates, st.sampled_from(INDEXES))
def test_taking_gives_each_match_once_in_the_order_of_the_last_changes(
    batches: list[list[Any]], predicate: str, indexes: Any
) -> None:
    keyspace = made(indexes, slice_units=3)
    last_change: dict[Any, int] = {}
    for batch in batches:
        write(keyspace, *batch)
        for row in batch:
            last_change.pop((row[0], row[1]), None)
            last_change[row[0], row[1]] = len(last_change)
    every = documents(call(keyspace, b"KG.FIND", b"trades", predicate.encode()))
    wanted = {(each["book"], each["id"]) for each in every}
    taken = []
    while (reply := call(keyspace, b"KG.TAKE", b"trades", predicate.encode())) != b"$-1\r\n":
        document = json.loads(reply.split(b"\r\n", 1)[1])
        taken.append((document["book"], document["id"]))
    assert taken == [key for key in last_change if key in wanted]
    keyspace.validate()


def test_indexes_are_used_where_they_help() -> None:
    keyspace = made([{"columns": ["note"], "kind": "hash"}, {"columns": ["price", "note"], "kind": "ordered"}])
    write(keyspace, *(["a", i, float(i), "xyz"[i % 3]] for i in range(30)))
    table = keyspace.tables.by_name[b"trades"]

    def looked_at(text: str) -> int | None:
        predicate = compile_predicate(keyspace, table, text.encode())
        assert not isinstance(predicate, bytes)
        buckets = buckets_for(table, predicate)
        return None if buckets is None else sum(map(len, buckets))

    assert looked_at("note = 'x'") == 10
    assert looked_at("note IN ('x', 'w')") == 10
    assert looked_at("price > 26 AND note = 'x'") == 4
    assert looked_at("price >= 3 AND price < 5") == 3  # an index of several columns looks at both ends as well
    assert looked_at("price = 3") == 1
    assert looked_at("price = 3 AND note = 'x'") == 1
    assert looked_at("note LIKE 'x%'") is None, "a hash index knows no ranges"
    assert looked_at("id = 3") is None
    assert looked_at("note = 'x' OR price = 3") is None
    assert looked_at("note = 'x' AND note = 'y'") == 0


def test_a_question_has_fields_a_limit_and_versions() -> None:
    keyspace = made()
    write(keyspace, ["a", 1, 1.0, "x"], ["a", 2, 2.0, "x"], ["a", 3, 3.0, "y"])
    reply = call(keyspace, b"KG.FIND", b"trades", b"note = 'x'", b"FIELDS", b"2", b"price", b"id", b"WITHVERSIONS")
    assert reply == b'*4\r\n$20\r\n{"price":1.0,"id":1}\r\n:1\r\n$20\r\n{"price":2.0,"id":2}\r\n:2\r\n'
    assert found_ids(keyspace, "note = 'x'", b"LIMIT", b"1") == [1]
    assert found_ids(keyspace, "price > 0", b"LIMIT", b"0") == []


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((b"trade", b"id = 1"), b"-NOTABLE no table 'trade'; did you mean 'trades'?"),
        ((b"trades", b"idd = 1"), b"-PREDICATE "),
        ((b"trades", b"id = = 1"), b"-PREDICATE "),
        ((b"trades", b"\xff"), b"-PREDICATE "),
        ((b"trades", b"id = 1", b"LIMIT"), b"-ERR syntax error"),
        ((b"trades", b"id = 1", b"LIMIT", b"x"), b"-ERR value is not an integer"),
        ((b"trades", b"id = 1", b"LIMIT", b"-1"), b"-ERR value is out of range"),
        ((b"trades", b"id = 1", b"FIELDS", b"2", b"id"), b"-ERR syntax error"),
        (
            (b"trades", b"id = 1", b"FIELDS", b"1", b"ids"),
            b"-NOCOLUMN table trades has no column 'ids'; did you mean 'id'?",
        ),
        ((b"trades", b"id = 1", b"ORDER"), b"-ERR syntax error"),
    ],
)
def test_a_bad_question_is_refused(args: tuple[bytes, ...], error: bytes) -> None:
    assert call(made(), b"KG.FIND", *args).startswith(error)


def test_long_questions_are_cut_into_slices() -> None:
    for indexes, predicate in (([], b"price >= 0"), (INDEXES[2], b"price >= 0")):
        keyspace = made(indexes)
        write(keyspace, *(["a", i, float(i), "x"] for i in range(1000)))
        task = COMMANDS[b"KG.FIND"](keyspace, [b"KG.FIND", b"trades", predicate], False)
        assert not isinstance(task, bytes)
        slices = 0
        while True:
            try:
                next(task)
            except StopIteration as done:
                reply = done.value
                break
            slices += 1
        assert len(documents(reply)) == 1000
        assert 20 <= slices <= 80


def test_replies_that_are_put_together_at_once_are_bounded_together() -> None:
    keyspace = made()
    keyspace.settings = StoreSettings(slice_units=20, reply_bytes_max=8000)
    write(keyspace, *(["a", i, 0.0, "x" * 50] for i in range(60)))
    ask = [b"KG.FIND", b"trades", b"id >= 0"]
    whole = call(keyspace, *ask)
    assert len(documents(whole)) == 60
    tasks = [COMMANDS[b"KG.FIND"](keyspace, ask, False) for _ in range(8)]
    replies: list[bytes] = []
    while tasks:
        for task in list(tasks):
            assert not isinstance(task, bytes)
            try:
                next(task)
            except StopIteration as done:
                replies.append(done.value)
                tasks.remove(task)
            assert keyspace.answer_bytes <= ANSWERS_MAX * 8000
    assert 2 <= replies.count(whole) < 8
    assert {reply[:9] for reply in replies if reply != whole} == {b"-TRYAGAIN"}
    left = COMMANDS[b"KG.FIND"](keyspace, ask, False)
    while not keyspace.answer_bytes:
        next(left)  # type: ignore[arg-type]
    del left
    assert keyspace.answer_bytes == 0
    assert call(keyspace, *ask) == whole


@pytest.mark.parametrize("indexes", INDEXES)
def test_a_record_is_found_at_most_once_and_not_missed_while_everything_changes(indexes: Any) -> None:
    random = Random(3)
    keyspace = made(indexes, slice_units=20)
    write(keyspace, *(["ab"[i % 2], i, float(i), "x"] for i in range(300)))
    task = COMMANDS[b"KG.FIND"](keyspace, [b"KG.FIND", b"trades", b"note = 'x' AND price >= 0"], False)
    gone = set()
    while True:
        try:
            next(task)  # type: ignore[arg-type]
        except StopIteration as done:
            reply = done.value
            break
        for _ in range(20):
            i = random.randrange(200)
            write(keyspace, ["ab"[i % 2], i, random.random() * 1000, "x"])
        victim = random.randrange(200, 250)
        call(keyspace, b"DEL", b"trades:{%s}:%d" % (b"ab"[victim % 2 : victim % 2 + 1], victim))
        gone.add(victim)
    ids = [each["id"] for each in documents(reply)]
    assert len(set(ids)) == len(ids)
    assert set(range(300)) - gone <= set(ids)
    keyspace.validate()


def test_a_table_that_is_dropped_while_it_is_searched_is_no_longer_found() -> None:
    keyspace = made([])
    write(keyspace, *(["a", i, float(i), "x"] for i in range(500)))
    task = COMMANDS[b"KG.COUNT"](keyspace, [b"KG.COUNT", b"trades", b"id >= 0"], False)
    next(task)  # type: ignore[arg-type]
    keyspace.adopt_catalog(keyspace.catalog.drop("trades"))
    assert finish(task).startswith(b"-NOTABLE no table 'trades'")


def test_expired_records_are_neither_found_nor_taken() -> None:
    for indexes in INDEXES:
        keyspace = made(indexes)
        write(keyspace, ["a", 1, 1.0, "x"], ["a", 2, 2.0, "x"])
        call(keyspace, b"PEXPIRE", b"trades:{a}:1", b"5")
        keyspace.now_ms += 6
        assert json.loads(call(keyspace, b"KG.TAKE", b"trades", b"note = 'x'").split(b"\r\n")[1])["id"] == 2
        assert found_ids(keyspace, "note = 'x'") == []
        assert call(keyspace, b"KG.COUNT", b"trades", b"note = 'x'") == b":0\r\n"


def test_a_change_moves_a_record_to_the_end_of_its_queue() -> None:
    keyspace = made()
    write(keyspace, *(["a", i, 1.0, "x"] for i in range(4)))
    call(keyspace, b"KG.CHANGE", b"trades:{a}:0", b'{"set": {"price": 2}}')
    taken = [json.loads(call(keyspace, b"KG.TAKE", b"trades", b"note = 'x'").split(b"\r\n")[1])["id"] for _ in range(4)]
    assert taken == [1, 2, 3, 0]
    assert call(keyspace, b"KG.TAKE", b"trades", b"note = 'x'") == b"$-1\r\n"
    assert call(keyspace, b"KG.TAKE", b"trades", b"note = 'x'", b"BLOCK", b"5") == b"-ERR syntax error\r\n"


def test_the_order_of_taking_survives_a_snapshot_and_a_log() -> None:
    keyspace = made()
    random = Random(5)
    for _ in range(40):
        write(keyspace, ["ab"[random.randrange(2)], random.randrange(30), 1.0, "x"])
    copy = made()
    for payload in keyspace.snapshot():
        copy.load(payload)
    orders = []
    for each in (keyspace, copy):
        each.primary = True
        order = []
        while (reply := call(each, b"KG.TAKE", b"trades", b"note = 'x'")) != b"$-1\r\n":
            order.append(reply)
        orders.append(order)
    assert orders[0] == orders[1]
    assert len(orders[0]) > 20


def test_who_waits_for_records_is_told_their_keys_and_takes_them() -> None:
    keyspace = made()
    write(keyspace, ["a", 1, 1.0, "x"])
    assert keyspace.written == []
    table = keyspace.tables.by_name[b"trades"]
    keyspace.waited_tables.add(table.id)
    write(keyspace, ["a", 2, 1.0, "y"], ["a", 3, 1.0, "x"])
    call(keyspace, b"KG.CHANGE", b"trades:{a}:1", b'{"set": {"price": 2}}')
    assert keyspace.written == [(table.id, b"trades:{a}:2"), (table.id, b"trades:{a}:3"), (table.id, b"trades:{a}:1")]
    predicate = compile_predicate(keyspace, table, b"note = 'x'")
    assert not isinstance(predicate, bytes)
    assert take_key(keyspace, b"trades", predicate, b"trades:{a}:2", False) is None
    reply = take_key(keyspace, b"trades", predicate, b"trades:{a}:3", False)
    assert reply is not None
    assert json.loads(reply.split(b"\r\n")[1])["id"] == 3
    assert take_key(keyspace, b"trades", predicate, b"trades:{a}:3", False) is None
    assert take_key(keyspace, b"none", predicate, b"trades:{a}:1", False) is None
