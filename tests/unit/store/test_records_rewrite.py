"""KG.REWRITE: what a SQL statement makes of a partition's records, all of it or nothing."""

from random import Random
from typing import Any

import msgspec
import pytest
from tests.unit.store.record_scripts import catalog, definition

from kubegrid.store import Keyspace, slot_of
from kubegrid.store.commands_rewrite import ANY, KEEP, MISSING, RECORDS_MAX

pack = msgspec.msgpack.encode


@pytest.fixture(autouse=True)
def trades(keyspace: Keyspace) -> None:
    keyspace.adopt_catalog(catalog(definition("trades"), definition("quotes", ttl=60)))


def row(number: int, note: str | None = None, book: str = "FX") -> bytes:
    return pack([book, number, 1.5, note])


def key(number: int, book: str = "FX", table: str = "trades") -> str:
    return f"{table}:{{{book}}}:{number}"


def rewrite(
    call: Any, *operations: Any, table: bytes = b"trades", schema: bytes = b"1", more: tuple[bytes, ...] = ()
) -> Any:
    """The numbers of the reply, or the error as text."""
    reply = call(b"KG.REWRITE", table, schema, pack(operations), *more)
    if reply[:1] == b"-":
        return reply[1:-2].decode()
    return tuple(int(line[1:]) for line in reply.split(b"\r\n")[1:-1])


def note_of(call: Any, number: int, table: str = "trades") -> bytes:
    return call(b"HGET", key(number, table=table).encode(), b"note")


def version_of(call: Any, number: int) -> int:
    return int(call(b"KG.VERSION", key(number).encode())[1:-2])


def test_rows_are_written_and_records_removed_in_one_go(call: Any, keyspace: Keyspace) -> None:
    assert rewrite(call, [MISSING, row(1)], [MISSING, row(2)], [ANY, row(3)]) == (1, 3, 0, 0, 1)
    assert rewrite(call, [2, row(2, "new")], [1, key(1)], [MISSING, row(4)]) == (4, 2, 1, 0, 1)
    assert note_of(call, 2) == b"$3\r\nnew\r\n"
    assert [version_of(call, number) for number in (1, 2, 3, 4)] == [0, 4, 3, 5]
    keyspace.validate()


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ([MISSING, row(1, "other")], "EXISTS 'trades:{FX}:1' exists already"),
        ([7, row(1, "other")], "CONFLICT 'trades:{FX}:1': version is 1, not 7"),
        ([7, key(1)], "CONFLICT 'trades:{FX}:1': version is 1, not 7"),
        ([7, row(9)], "CONFLICT 'trades:{FX}:9' is missing, and was at version 7"),
        ([7, key(9)], "CONFLICT 'trades:{FX}:9': version is 0, not 7"),
    ],
)
def test_one_record_that_is_not_as_expected_makes_all_of_it_do_nothing(
    call: Any, keyspace: Keyspace, operation: list[Any], error: str
) -> None:
    rewrite(call, [MISSING, row(1, "old")], [MISSING, row(2)])
    keyspace.take_turn()
    assert rewrite(call, [MISSING, row(5)], [2, key(2)], operation) == error
    assert keyspace.take_turn() == ([], [], 0)
    assert note_of(call, 1) == b"$3\r\nold\r\n"
    keyspace.validate()


def test_rows_that_keep_what_is_there_are_counted(call: Any) -> None:
    rewrite(call, [MISSING, row(1, "old")])
    assert rewrite(call, [KEEP, row(1, "new")], [KEEP, row(2, "new")]) == (2, 1, 0, 1, 1)
    assert (note_of(call, 1), note_of(call, 2)) == (b"$3\r\nold\r\n", b"$3\r\nnew\r\n")
    assert rewrite(call, [KEEP, row(1)], [KEEP, row(2)]) == (0, 0, 0, 2, 1)


def test_what_may_be_anything_is_written_or_removed_as_it_is(call: Any) -> None:
    rewrite(call, [MISSING, row(1, "old")])
    assert rewrite(call, [ANY, row(1, "new")], [ANY, key(8)]) == (2, 1, 0, 0, 1)
    assert rewrite(call, [ANY, key(1)]) == (0, 0, 1, 0, 1)


def test_a_change_keeps_the_expiry_of_its_record_and_a_write_begins_a_new_life(call: Any, keyspace: Keyspace) -> None:
    def ends(number: int) -> int | None:
        return keyspace.expiry_of(key(number, table="quotes").encode())

    rewrite(call, *([MISSING, row(number)] for number in (1, 2, 3)), table=b"quotes")
    assert {ends(1), ends(2), ends(3)} == {1_060_000}
    keyspace.now_ms += 5_000
    rewrite(call, [1, row(1, "changed")], [ANY, row(2)], [MISSING, row(4)], table=b"quotes")
    assert [ends(number) for number in (1, 2, 3, 4)] == [1_060_000, 1_065_000, 1_060_000, 1_065_000]
    call(b"PERSIST", key(3, table="quotes").encode())
    rewrite(call, [3, row(3)], [4, row(1)], table=b"quotes")
    assert (ends(3), ends(1)) == (None, 1_060_000)
    keyspace.validate()


def test_an_expired_record_is_missing(call: Any, keyspace: Keyspace) -> None:
    rewrite(call, [MISSING, row(1)], table=b"quotes")
    keyspace.now_ms += 60_001
    assert rewrite(call, [1, row(1)], table=b"quotes").startswith("CONFLICT")
    assert rewrite(call, [MISSING, row(1)], table=b"quotes") == (2, 1, 0, 0, 1)
    keyspace.validate()


def test_a_bad_row_is_refused_with_its_number_and_column(call: Any) -> None:
    bad = pack(["FX", 2, "much", None])
    assert rewrite(call, [MISSING, row(1)], [MISSING, bad]) == (
        "BADVALUE table trades, column price: row 2 of the batch: 'much' is not a DOUBLE"
    )
    assert version_of(call, 1) == 0


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        ([[MISSING, row(1)], [ANY, key(1)]], "ERR 'trades:{FX}:1' stands there twice"),
        ([[MISSING, key(1)]], "ERR expected is the version"),
        ([[KEEP, key(1)]], "ERR expected is the version"),
        ([[-3, row(1)]], "ERR expected is the version"),
        ([[1, 2]], "ERR the payload of KG.REWRITE"),
        ([[1]], "ERR the payload of KG.REWRITE"),
        ([[ANY, "quotes:{FX}:1"]], "BADKEY"),
        ([[ANY, key(1)]] * (RECORDS_MAX + 1), f"ERR KG.REWRITE takes at most {RECORDS_MAX} records"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, operations: list[Any], error: str) -> None:
    assert rewrite(call, *operations).startswith(error)


def test_other_arguments_are_checked(call: Any) -> None:
    assert rewrite(call, table=b"trade").startswith("NOTABLE no table 'trade'; did you mean 'trades'?")
    assert rewrite(call, schema=b"2") == "SCHEMA table trades is at 1, not 2"
    assert rewrite(call, schema=b"x").startswith("ERR the number of the schema")
    assert rewrite(call, more=(b"PARTS", b"3")) == (0, 0, 0, 0, 3)
    assert rewrite(call, more=(b"PARTS", b"0")).startswith("ERR PARTS")
    assert rewrite(call, more=(b"PART", b"1")).startswith("ERR syntax")
    assert call(b"KG.REWRITE", b"trades", b"1", b"\xc1").startswith(b"-ERR the payload of KG.REWRITE")


def test_a_string_from_before_the_table_is_not_overwritten(keyspace: Keyspace, call: Any) -> None:
    keyspace.put(b"trades:{FX}:1", b"text")
    assert rewrite(call, [ANY, row(1)]).startswith("WRONGTYPE")
    assert rewrite(call, [ANY, key(1)]).startswith("WRONGTYPE")


def test_a_full_member_writes_nothing_more_and_still_removes(keyspace: Keyspace, call: Any) -> None:
    rewrite(call, [MISSING, row(1)])
    keyspace.limit_bytes = keyspace.used_bytes
    assert rewrite(call, [1, row(1)]).startswith("OOM")
    assert rewrite(call, [1, key(1)]) == (0, 0, 1, 0, 1)


def test_a_slot_of_another_partition_is_told(keyspace: Keyspace, call: Any) -> None:
    rewrite(call, [MISSING, row(1)])
    slot = int(rewrite_slot(call, keyspace))
    assert rewrite(call, [ANY, row(1, book="EQ")], [1, row(1)]) == f"MOVED {slot}"
    assert version_of(call, 1) == 1


def rewrite_slot(call: Any, keyspace: Keyspace) -> int:
    """Give the slot of book EQ away."""
    slot = slot_of(key(1, "EQ").encode())
    keyspace.slots[slot] = None
    keyspace.list_plain()
    return slot


def test_who_watches_or_waits_for_a_record_is_told(keyspace: Keyspace, call: Any) -> None:
    class Watcher:
        dirty = False

    rewrite(call, [MISSING, row(1)], [MISSING, row(2)])
    written, removed = Watcher(), Watcher()
    keyspace.watched = {key(1).encode(): {written}, key(2).encode(): {removed}}
    keyspace.waited_tables = {keyspace.tables.by_name[b"trades"].id}
    rewrite(call, [1, row(1)], [2, key(2)])
    assert written.dirty and removed.dirty
    assert keyspace.written == [(1, key(1).encode())]


def test_what_it_did_can_be_taken_back_and_said_again_elsewhere(keyspace: Keyspace, call: Any) -> None:
    rewrite(call, [MISSING, row(1, "a")], [MISSING, row(2, "b")])
    before, _, _ = keyspace.take_turn()
    rewrite(call, [1, row(1, "c")], [2, key(2)], [MISSING, row(3, "d")])
    effects, undo, _ = keyspace.take_turn()
    backup = Keyspace(keyspace.settings, 0, 16383, random=Random(1).randrange)
    for entry in (before, effects):
        backup.apply(entry)
    assert backup.slots == keyspace.slots
    backup.validate()
    keyspace.revert(undo)
    keyspace.validate()
    assert (note_of(call, 1), note_of(call, 2), version_of(call, 3)) == (b"$1\r\na\r\n", b"$1\r\nb\r\n", 0)
