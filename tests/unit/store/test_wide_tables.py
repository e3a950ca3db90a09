"""Tables of hundreds of columns: a row of theirs costs more of a slice and of a turn than a narrow one."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
from tests.unit.store.block_scripts import load
from tests.unit.store.record_scripts import catalog

from kubegrid.base.settings import StoreSettings
from kubegrid.base.table_definitions import parse_column, parse_definition
from kubegrid.store import COMMANDS, Keyspace
from kubegrid.store.blocks import Block
from kubegrid.store.commands_records import VALUES_MAX

pack = msgspec.msgpack.encode
WIDE = 500
ROWS = 300


def made(columns: int, **more: Any) -> Keyspace:
    keyspace = Keyspace(StoreSettings(**more), 0, 16383, random=Random(7).randrange)
    keyspace.primary = True
    keyspace.now_ms = 1_000_000
    names = [{"name": "id", "type": "BIGINT"}] + [{"name": f"c{n}", "type": "BIGINT"} for n in range(columns - 1)]
    keyspace.adopt_catalog(catalog(parse_definition("wide", {"columns": names, "key": ["id"]})))
    return keyspace


def loaded(columns: int, rows: int = ROWS, **more: Any) -> Keyspace:
    """The rows are cold."""
    keyspace = made(columns, **more)
    assert load(keyspace, "wide", [[row] * columns for row in range(rows)]).startswith(b"*3")
    return keyspace


def slices(keyspace: Keyspace, *args: bytes) -> tuple[int, bytes]:
    """In how many slices a command answers, and what."""
    reply = COMMANDS[args[0]](keyspace, list(args), False)
    count = 1
    while not isinstance(reply, bytes):
        try:
            next(reply)
            count += 1
        except StopIteration as done:
            reply = done.value
    return count, reply


@pytest.fixture
def rows_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were made at once, each time."""
    sizes: list[int] = []
    many: Callable[..., Any] = Block.records

    def noted(block: Block, places: Any) -> Any:
        sizes.append(len(places))
        return many(block, places)

    monkeypatch.setattr(Block, "records", noted)
    return sizes


def test_cold_rows_are_looked_at_without_being_made(rows_made: list[int]) -> None:
    keyspace = loaded(WIDE)
    assert slices(keyspace, b"KG.COUNT", b"wide", b"c7 >= 100") == (1, b":200\r\n")
    _, reply = slices(keyspace, b"KG.FIND", b"wide", b"c7 = 100", b"FIELDS", b"1", b"c498")
    assert reply == b'*1\r\n$12\r\n{"c498":100}\r\n'
    assert rows_made == [1]


def test_few_wide_rows_are_made_in_one_slice(rows_made: list[int]) -> None:
    for columns, most in ((4, ROWS), (100, 4000 // 25), (WIDE, 4000 // 125)):
        rows_made.clear()
        count, reply = slices(loaded(columns), b"KG.FIND", b"wide", b"c0 >= 0")
        assert reply.startswith(b"*%d\r\n" % ROWS)
        assert (max(rows_made), sum(rows_made)) == (most, ROWS)
        assert count >= ROWS // most


def test_what_matches_is_found_while_rows_leave_their_block_between_slices() -> None:
    keyspace = loaded(WIDE)
    task = COMMANDS[b"KG.FIND"](keyspace, [b"KG.FIND", b"wide", b"c0 >= 0", b"FIELDS", b"1", b"id"], False)
    touched = 0
    while not isinstance(task, bytes):
        try:
            next(task)
        except StopIteration as done:
            task = done.value
            break
        for number in (touched, ROWS - 1 - touched):
            assert keyspace.find(b"wide:%d" % number) is not None
        touched += 1
    found = sorted(msgspec.json.decode(line)["id"] for line in task.split(b"\r\n")[2:-1:2])
    assert touched > 5
    assert found == list(range(ROWS))


def test_a_column_that_came_later_is_its_default_in_what_is_looked_at() -> None:
    keyspace = loaded(4)
    column = parse_column({"name": "late", "type": "INTEGER", "default": 5})
    keyspace.adopt_catalog(keyspace.catalog.add_column("wide", column))
    assert slices(keyspace, b"KG.COUNT", b"wide", b"late = 5")[1] == b":%d\r\n" % ROWS
    assert slices(keyspace, b"KG.COUNT", b"wide", b"late <> 5")[1] == b":0\r\n"


def test_records_are_read_past_many_columns_in_smaller_slices() -> None:
    counts = []
    for column in (b"c0", b"c498"):
        keyspace = made(WIDE, slice_units=200)
        rows = [pack([row] * WIDE) for row in range(ROWS)]
        assert slices(keyspace, b"KG.WRITE", b"wide", b"0", b"REPLACE", *rows)[1].startswith(b"*3")
        count, reply = slices(keyspace, b"KG.COUNT", b"wide", column + b" >= 0")
        assert reply == b":%d\r\n" % ROWS
        counts.append(count)
    assert counts[1] > counts[0] + 5


def test_reading_many_wide_cold_rows_is_cut_and_few_are_read_at_one_moment() -> None:
    keys = [b"wide:%d" % number for number in range(ROWS)]
    count, reply = slices(loaded(WIDE), b"KG.READ", b"wide", *keys)
    assert reply.startswith(b"*%d\r\n" % ROWS)
    assert count > 5
    keyspace = loaded(20)
    assert slices(keyspace, b"KG.READ", b"wide", *keys)[0] == 1
    assert keyspace.answer_bytes == 0


def test_a_reading_that_is_given_up_leaves_nothing_behind() -> None:
    keyspace = loaded(WIDE)
    task = COMMANDS[b"KG.READ"](keyspace, [b"KG.READ", b"wide", *[b"wide:%d" % n for n in range(ROWS)]], False)
    assert not isinstance(task, bytes)
    next(task)
    assert keyspace.answer_bytes > 0
    task.close()
    assert keyspace.answer_bytes == 0


def test_a_batch_of_too_many_values_is_refused_and_changes_nothing() -> None:
    keyspace = made(1000)
    rows = [pack([row] + [None] * 999) for row in range(VALUES_MAX // 1000 + 1)]
    write = [b"KG.WRITE", b"wide", b"0", b"REPLACE"]
    assert slices(keyspace, *write, *rows)[1].startswith(b"-ERR KG.WRITE takes at most 300000 values")
    assert keyspace.key_count == 0
    assert slices(keyspace, *write, *rows[1:])[1].startswith(b"*3")


@pytest.mark.parametrize(
    ("command", "least"),
    [
        ([b"HGET", b"wide:1", b"c3"], 15),
        ([b"HGETALL", b"wide:1"], 250),
        ([b"JSON.GET", b"wide:1", b"$.c3"], 15),
        ([b"KG.CHANGE", b"wide:1", b'{"set": {"c3": 5}}'], 60),
        ([b"KG.WRITE", b"wide", b"0", b"REPLACE", pack([1] * WIDE)], 45),
    ],
)
def test_what_is_done_with_a_wide_record_weighs_more_of_a_turn(command: list[bytes], least: int) -> None:
    units = []
    for columns in (8, WIDE):
        keyspace = made(columns)
        slices(keyspace, b"KG.WRITE", b"wide", b"0", b"REPLACE", pack([1] * columns))
        before = keyspace.units
        request = list(command)
        if command[0] == b"KG.WRITE":
            request[-1] = pack([1] * columns)
        assert not slices(keyspace, *request)[1].startswith(b"-")
        units.append(keyspace.units - before)
    assert units[1] - units[0] >= least
