"""Chores of the serving loop do as much at a time as takes a few milliseconds, whatever a key costs."""

from random import Random

from kubegrid.base.settings import StoreSettings
from kubegrid.node.pace import SLICE_MS, UNITS_MIN, Pace
from kubegrid.store import Keyspace


class Work:
    """Keys to be dealt with, at a cost each; its own clock."""

    def __init__(self, keys: int, key_us: float) -> None:
        self.keys = keys
        self.key_us = key_us
        self.now_s = 0.0
        self.slices_ms: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def __call__(self, units: int) -> int:
        done = min(units, self.keys)
        self.keys -= done
        self.now_s += done * self.key_us / 1e6
        self.slices_ms.append(done * self.key_us / 1e3)
        return done


def test_dear_keys_are_dealt_with_in_slices_of_the_same_time_as_cheap_ones() -> None:
    for key_us in (0.5, 8.0, 15.0, 40.0):
        work = Work(100_000, key_us)
        pace = Pace(4000, work.clock)
        while pace.slice(work):
            pass
        assert max(work.slices_ms) <= SLICE_MS * 2
        assert len(work.slices_ms) < 30 + 2 * 100_000 * max(key_us, SLICE_MS / 4) / 1000 / SLICE_MS


def test_what_suddenly_costs_more_is_met_with_smaller_slices_and_less_with_larger() -> None:
    work = Work(1_000_000, 1.0)
    pace = Pace(4000, work.clock)
    for _ in range(20):
        pace.slice(work)
    large = pace.units
    assert large * work.key_us / 1000 >= SLICE_MS / 2
    work.key_us = 20.0
    pace.slice(work)
    pace.slice(work)
    assert work.slices_ms[-1] <= SLICE_MS
    work.key_us = 1.0
    for _ in range(20):
        pace.slice(work)
    assert large / 2 <= pace.units <= 2 * large


def test_slices_never_touch_more_than_the_settings_allow_nor_less_than_a_few() -> None:
    work = Work(1_000_000, 10_000.0)
    pace = Pace(4000, work.clock)
    for _ in range(5):
        pace.slice(work)
    assert pace.units == UNITS_MIN
    tiny = Pace(5, work.clock)
    tiny.slice(work)
    assert tiny.units == 5


def test_keys_that_live_on_are_looked_at_as_fast_as_time_allows() -> None:
    """What an expired key waits for is a look at all those that have time left."""
    keyspace = Keyspace(StoreSettings(), 0, 16383, random=Random(7).randrange)
    keyspace.primary = True
    for number in range(20_000):
        keyspace.put(b"%d" % number, b"", keyspace.now_ms + 60_000)
    keyspace.take_turn()
    pace = Pace(4000, lambda: 0.0)
    looked = [pace.slice(keyspace.expire_slice) for _ in range(10)]
    assert looked[-1] == pace.units == 4000
    assert sum(looked) > 20_000 and keyspace.expired == 0


def test_a_chore_with_nothing_to_do_does_not_learn_to_do_much() -> None:
    keyspace = Keyspace(StoreSettings(), 0, 16383, random=Random(7).randrange)
    keyspace.primary = True
    pace = Pace(4000)
    for _ in range(20):
        assert pace.slice(keyspace.expire_slice) == 0
    assert pace.units == UNITS_MIN
