"""What SQL gets of a process's memory is what the records leave."""

import pytest

from kubegrid.base.process_memory import ProcessMemory, give_back, process_memory
from kubegrid.base.settings import MIB
from kubegrid.columns import room
from kubegrid.columns.room import ROOM_BYTES_MIN, Room
from kubegrid.sql.errors import TooMuch


def test_what_is_wanted_is_granted_as_far_as_there_is_room() -> None:
    used = process_memory().own_bytes
    wide = Room(4 * used + 2**30)
    assert wide.granted(2**20) == 2**20
    narrow = Room(used + 4 * ROOM_BYTES_MIN)
    assert ROOM_BYTES_MIN <= narrow.granted(2**40) <= 8 * ROOM_BYTES_MIN


def test_a_full_process_grants_nothing_and_says_how_full_it_is() -> None:
    full = Room(ROOM_BYTES_MIN)
    assert full.left_bytes() < ROOM_BYTES_MIN
    with pytest.raises(TooMuch, match=r"of the [0-9]+ bytes that it may have"):
        full.granted(1)


def test_what_is_free_is_given_back_before_a_statement_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own_bytes = 100 * MIB

    def given_back() -> None:
        nonlocal own_bytes
        own_bytes -= 30 * MIB

    monkeypatch.setattr(room, "process_memory", lambda: ProcessMemory(own_bytes, 0))
    monkeypatch.setattr(room, "give_back", given_back)
    assert Room(120 * MIB).granted(2**30) == 20 * MIB
    assert Room(100 * MIB).granted(2**30) == 30 * MIB
    assert Room(100 * MIB).left_bytes() == 30 * MIB


def test_memory_that_was_freed_is_given_back_to_the_system() -> None:
    blocks = [bytearray(100_000) for _ in range(500)]
    kept = blocks[::50]
    full = process_memory().own_bytes
    del blocks
    give_back()
    assert process_memory().own_bytes < full - 20 * MIB
    assert len(kept) == 10
