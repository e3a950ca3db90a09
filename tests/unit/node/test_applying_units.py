"""Catching up is cut by what effects do, not by how many they are: one of them can put thousands of records."""

from random import Random
from typing import Any

from kubegrid.base.settings import StoreSettings
from kubegrid.node.applying import UNITS_PER_TURN, Applying, units_of
from kubegrid.store import COMMANDS, Keyspace
from kubegrid.store.effects import DELETE, HASH_PUT, RECORDS, RESTORE_PIECE, RESTORE_ROWS, SPLICE
from kubegrid.store.string_writes import COPIED_BYTES_PER_UNIT


def test_effects_on_many_keys_or_fields_count_as_many() -> None:
    assert units_of([b"a", b"1", b"b", b"2"], SPLICE) == 2
    assert units_of([RECORDS, [1, 1, None, *[b"key", b"row"] * 500]], SPLICE) > 500
    assert units_of([b"a", b"1", HASH_PUT, [b"h", None, *[b"f", b"v"] * 300]], SPLICE) > 300
    assert units_of([DELETE, [b"k"] * 1000], SPLICE) > 500
    assert units_of([RESTORE_ROWS, [[7] * 1000, range(1, 1001), [], *[b"k"] * 1000]], RESTORE_PIECE) > 500


def test_pieces_of_long_strings_weigh_what_the_strings_do() -> None:
    primary, backup = [Keyspace(StoreSettings(), 0, 16383, random=Random(1).randrange) for _ in range(2)]
    applying = Applying(backup)
    text = [b"a", b"x" * 1_000_000]
    primary.apply(text)
    applying.apply(1, text)
    for _ in range(40):
        COMMANDS[b"APPEND"](primary, [b"APPEND", b"a", b"tail"], False)
    effects, undo, _ = primary.take_turn()
    for work in (lambda: applying.apply(2, effects), lambda: applying.revert(undo)):
        applying.begin_turn()
        work()
        assert applying.units > UNITS_PER_TURN
        assert applying.units < 3 * 40 + 40 * 1_000_160 // COPIED_BYTES_PER_UNIT
    assert backup.find(b"a") == text[1]


def test_large_effects_are_spread_over_turns() -> None:
    keyspace = Keyspace(StoreSettings(), 0, 16383, random=Random(1).randrange)
    applying = Applying(keyspace)
    applying.begin_turn()
    entry: list[Any] = [DELETE, [b"k%d" % number for number in range(2 * UNITS_PER_TURN)]]
    for seq in range(3):
        applying.apply(seq, entry)
    assert applying.busy
    turns = 0
    while applying.busy:
        applying.begin_turn()
        applying.go_on()
        turns += 1
    assert turns == 2
