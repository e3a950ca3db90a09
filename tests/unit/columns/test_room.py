"""What SQL gets of a process's memory is what the records leave."""

import pytest

from kubegrid.base.process_memory import process_memory
from kubegrid.columns.room import ROOM_BYTES_MIN, Room
from kubegrid.sql.errors import TooMuch


def test_what_is_wanted_is_granted_as_far_as_there_is_room() -> None:
    used = process_memory().own_bytes
    wide = Room(4 * used + 2**30)
    assert wide.granted(2**20) == 2**20
    narrow = Room(used + 4 * ROOM_BYTES_MIN)
    assert ROOM_BYTES_MIN <= narrow.granted(2**40) <= 8 * ROOM_BYTES_MIN


def test_a_full_process_grants_nothing_and_says_how_full_it_is() -> None:
    full = Room(process_memory().own_bytes)
    assert full.left_bytes() < ROOM_BYTES_MIN
    with pytest.raises(TooMuch, match=r"of the [0-9]+ bytes that it may have"):
        full.granted(1)
