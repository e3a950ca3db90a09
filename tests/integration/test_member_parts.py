"""Parts of a data pod, alone: the bounded queue in front of the store, the memory limit, the HTTP port."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.process_memory import ProcessMemory
from kubegrid.base.settings import MIB, StoreSettings
from kubegrid.node.applying import UNITS_PER_TURN, Applying
from kubegrid.node.handover_hold import HandoverHold
from kubegrid.node.housekeeping import LoopWatch
from kubegrid.node.http import HttpPort
from kubegrid.node.memory_watch import FULL_MARK, HARD_MARK, SQL_BYTES, STEP_BYTES, MemoryWatch
from kubegrid.node.snapshots import SnapshotStreams
from kubegrid.store import Keyspace

A, B, C = (Member(f"p0-{number}", "a") for number in range(3))


def keyspace() -> Keyspace:
    return Keyspace(StoreSettings(), 0, 16383, random=lambda n: 0)


# -- applying --------------------------------------------------------------------------------------------------------


def test_a_long_log_is_applied_over_several_turns_and_in_order() -> None:
    store = keyspace()
    applying = Applying(store)
    entries = [[item for i in range(1000) for item in (b"k%d" % i, b"%d" % seq)] for seq in range(100)]
    for seq, effects in enumerate(entries):
        applying.apply(seq, effects)
    assert applying.busy
    turns = 0
    while applying.busy:
        assert applying.units <= UNITS_PER_TURN + 1000
        applying.begin_turn()
        applying.go_on()
        turns += 1
    assert turns >= 100 * 1000 // (UNITS_PER_TURN + 1000)
    assert store.key_count == 1000
    assert store.find(b"k7") == b"99"
    store.validate()


def test_emptying_the_store_makes_what_was_queued_for_it_moot() -> None:
    store = keyspace()
    applying = Applying(store)
    for seq in range(30):
        applying.apply(seq, [item for i in range(1000) for item in (b"k%d" % i, b"old")])
    assert applying.busy
    applying.reset()
    assert not applying.busy
    assert store.key_count == 0
    applying.begin_turn()
    applying.go_on()
    assert store.key_count == 0


def test_what_comes_while_the_queue_is_not_empty_waits_behind_it() -> None:
    store = keyspace()
    applying = Applying(store)
    applying.apply(1, [item for i in range(UNITS_PER_TURN) for item in (b"k%d" % i, b"a")])
    applying.apply(2, [b"k0", b"b"])
    applying.begin_turn()
    applying.revert([b"k0", b"a"])
    assert applying.busy
    assert store.find(b"k0") == b"a"
    applying.go_on()
    assert store.find(b"k0") == b"a"
    assert not applying.busy


# -- snapshots -------------------------------------------------------------------------------------------------------


class Joiner:
    """Where slices go: as the state machine does, it grants a window and takes what was cut."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.slices: list[tuple[bytes, bool]] = []

    def snapshot_window(self, to: Member) -> int:
        return self.window - len(self.slices)

    def snapshot_slice(self, now: int, to: Member, snapshot: int, payload: bytes, last: bool) -> None:
        self.slices.append((payload, last))


class Turns:
    """Where inputs are queued, to be run one turn at a time."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def input(self, function: Any) -> None:
        self.inputs.append(function)

    async def next(self) -> int:
        """Run one turn; how many inputs it had."""
        await asyncio.sleep(0)
        inputs, self.inputs = self.inputs, []
        for function in inputs:
            function()
        return len(inputs)


async def test_a_snapshot_is_cut_one_slice_a_turn_and_no_more_than_the_window() -> None:
    source = keyspace()
    for number in range(20_000):
        source.put(b"key:%d" % number, bytes(100))
    joiner = Joiner(window=3)
    turns = Turns()
    applying = Applying(source)
    streams = SnapshotStreams(source, joiner, turns, applying, lambda: 0)  # type: ignore[arg-type]
    streams.start(B, 1)
    copy = keyspace()
    cut = 0
    while streams.streams:
        streams.schedule()
        before = len(joiner.slices)
        ran = await turns.next()
        assert len(joiner.slices) - before <= 1
        if not ran:
            assert len(joiner.slices) == joiner.window
            joiner.slices.clear()
            continue
        payload, last = joiner.slices[-1]
        assert len(payload) <= 2 * StoreSettings().slice_bytes
        cut += 1
        if not last:
            copy.load(payload)
            source.put(b"key:%d" % cut, b"changed while it was cut")
    assert cut > 5
    assert copy.key_count == source.key_count
    copy.validate()


async def test_nothing_is_cut_from_a_store_that_is_behind() -> None:
    source = keyspace()
    applying = Applying(source)
    applying.apply(1, [item for i in range(UNITS_PER_TURN) for item in (b"k%d" % i, b"a")])
    applying.apply(2, [b"k0", b"b"])
    assert applying.busy
    joiner = Joiner(window=3)
    turns = Turns()
    streams = SnapshotStreams(source, joiner, turns, applying, lambda: 0)  # type: ignore[arg-type]
    streams.start(B, 1)
    streams.schedule()
    assert await turns.next() == 0
    applying.begin_turn()
    applying.go_on()
    streams.schedule()
    assert await turns.next() == 1
    assert joiner.slices


# -- memory ----------------------------------------------------------------------------------------------------------


class ToldSize(MemoryWatch):
    """A memory watch that is told the size of the process; `files` of it are mapped from files."""

    told = 50 * MIB
    files = 0

    def _seen(self) -> ProcessMemory:
        return ProcessMemory(self.told, self.files)


def test_records_get_what_the_process_and_its_reserve_leave() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    assert watch.limit_bytes == int(500 * MIB * FULL_MARK) - 150 * MIB


def test_resident_bytes_above_the_counted_ones_lower_the_limit() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    before = watch.limit_bytes
    watch.told = (50 + 100 + 150) * MIB
    assert watch.look(used_bytes=100 * MIB) == int(before / 1.5)


def test_memory_that_was_freed_may_be_used_again() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = (50 + 100 + 240) * MIB
    full = watch.look(used_bytes=200 * MIB)
    assert watch.look(used_bytes=20 * MIB) == full


def test_past_the_hard_mark_nothing_may_grow_whatever_the_count_says() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = int(500 * MIB * HARD_MARK) + MIB
    assert watch.look(used_bytes=5 * MIB) <= 5 * MIB
    watch.told = 150 * MIB
    assert watch.look(used_bytes=5 * MIB) > 100 * MIB


def test_libraries_that_come_after_the_start_are_no_cost_of_records() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = (50 + 30) * MIB
    before = watch.limit_bytes
    assert watch.look(used_bytes=0) == before - 30 * MIB
    watch.told = (50 + 30 + 60 + 100) * MIB
    assert watch.look(used_bytes=60 * MIB) == before - 30 * MIB


def test_what_a_statement_took_before_anything_was_stored_is_room_again_when_it_ends() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    before = watch.limit_bytes
    watch.told = (50 + 200) * MIB
    assert watch.look(used_bytes=0) == before - 200 * MIB
    watch.told = 50 * MIB
    assert watch.look(used_bytes=0) == before


def test_what_a_statement_took_when_records_came_is_room_again_when_it_ends() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    before = watch.limit_bytes
    watch.told = (50 + 200) * MIB
    watch.look(used_bytes=0)
    watch.look(used_bytes=20 * MIB)
    watch.told = (50 + 20) * MIB
    assert watch.look(used_bytes=20 * MIB) == before


def test_what_a_statement_had_at_a_peak_is_room_again_when_it_ends() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    before = watch.limit_bytes
    watch.told = (50 + 100 + 200) * MIB
    assert watch.look(used_bytes=100 * MIB) == before // 2
    watch.told = (50 + 100) * MIB
    assert watch.look(used_bytes=95 * MIB) == before


def test_while_sql_is_at_work_what_it_has_is_no_cost_of_records() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    before = watch.limit_bytes
    watch.sql_at_work = lambda: True
    watch.told = (50 + 100 + 250) * MIB
    assert watch.look(used_bytes=100 * MIB) == before - SQL_BYTES


def test_past_the_full_mark_sql_gives_way_and_only_then_nothing_may_grow() -> None:
    gave_way = []
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.sql_at_work = lambda: True
    watch.when_short = lambda: gave_way.append(watch.told)
    watch.told = 440 * MIB
    watch.look(used_bytes=100 * MIB)
    assert not gave_way
    watch.told = 460 * MIB
    assert watch.look(used_bytes=100 * MIB) > 200 * MIB
    assert gave_way == [460 * MIB]
    watch.told = 480 * MIB
    assert watch.look(used_bytes=100 * MIB) == 100 * MIB


def test_libraries_that_sql_maps_do_not_count_and_others_do() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told, watch.files = (50 + 40) * MIB, 40 * MIB
    before = watch.limit_bytes
    assert watch.look(used_bytes=0) == before - 40 * MIB
    watch.sql_at_work = lambda: True
    watch.look(used_bytes=0)
    watch.sql_at_work = lambda: False
    watch.told, watch.files = (50 + 40 + 100 + 100 + 80) * MIB, (40 + 80) * MIB
    assert watch.look(used_bytes=100 * MIB) == before - SQL_BYTES
    assert watch.rss_bytes == watch.told


def test_an_emptied_member_whose_allocator_keeps_everything_is_not_shut_for_good() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = int(500 * MIB * HARD_MARK) + MIB
    watch.look(used_bytes=200 * MIB)
    watch.told += 50 * MIB
    for _ in range(3):
        assert watch.look(used_bytes=0) == 5 * MIB
        assert watch.look(used_bytes=5 * MIB) == 5 * MIB


def test_a_member_that_cannot_shrink_takes_records_again_as_long_as_it_does_not_grow() -> None:
    """Most records were deleted, one of each page was not."""
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = 450 * MIB
    watch.look(used_bytes=280 * MIB)
    watch.told = 476 * MIB
    used = 10 * MIB
    for _ in range(100):
        limit = watch.look(used)
        assert used < limit <= used + STEP_BYTES
        used = limit
    for _ in range(1000):
        grown = watch.look(used) - used
        used += grown
        watch.told += 2 * grown
    assert watch.told <= watch.last_bytes < 490 * MIB, "it grows, and stops half-way to the end"


def test_a_small_member_whose_libraries_came_when_it_was_full_takes_records_again_when_half_is_deleted() -> None:
    watch = ToldSize(128 * MIB, 16 * MIB)
    watch.told = 113 * MIB
    watch.look(used_bytes=8 * MIB)
    watch.told = 116 * MIB
    assert watch.look(used_bytes=4 * MIB) > 4 * MIB


def test_what_is_deleted_past_the_hard_mark_is_room_for_as_much() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = 476 * MIB
    full = watch.look(used_bytes=200 * MIB)
    assert full < 200 * MIB
    assert watch.look(used_bytes=150 * MIB) == full


def test_a_member_that_was_emptied_and_filled_again_has_no_room_left_by_what_was_there_before() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = 470 * MIB
    watch.look(used_bytes=300 * MIB)
    watch.freed()
    watch.told = watch.baseline_bytes
    watch.look(used_bytes=0)
    watch.told = 480 * MIB
    assert watch.look(used_bytes=200 * MIB) <= 200 * MIB
    assert watch.look(used_bytes=200 * MIB) <= 200 * MIB


def test_a_member_that_cannot_give_back_what_was_freed_moves_together_what_is_left() -> None:
    begun = 0

    def begin() -> None:
        nonlocal begun
        begun += 1

    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.when_sparse = begin
    watch.told = int(500 * MIB * FULL_MARK) + MIB
    watch.look(used_bytes=200 * MIB)
    assert begun == 0, "it is full of records"
    watch.look(used_bytes=150 * MIB)
    watch.look(used_bytes=140 * MIB)
    assert begun == 1, "not too often"
    watch.look(used_bytes=100 * MIB)
    assert begun == 2, "much was deleted since"


def test_past_the_whole_memory_nothing_may_grow_even_in_the_same_place() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = 480 * MIB
    watch.look(used_bytes=280 * MIB)
    watch.told = 600 * MIB
    watch.look(used_bytes=200 * MIB)
    assert watch.look(used_bytes=150 * MIB) == 150 * MIB


def test_near_the_limit_freed_memory_is_given_back_and_not_asked_for_too_often() -> None:
    asked = 0

    class Trimming(ToldSize):
        def _give_back(self) -> None:
            nonlocal asked
            asked += 1

    watch = Trimming(500 * MIB, 100 * MIB)
    watch.told = int(500 * MIB * FULL_MARK) + MIB
    watch.look(used_bytes=200 * MIB)
    assert asked == 0, "nothing was freed"
    for _ in range(10):
        watch.look(used_bytes=100 * MIB)
    assert asked == 1


def test_what_was_freed_before_the_member_was_near_its_limit_is_given_back_too() -> None:
    """Small records fill it, all are deleted, and big ones need other pages than those that the allocator kept."""

    class Trimming(ToldSize):
        def _give_back(self) -> None:
            self.told -= 150 * MIB

    watch = Trimming(500 * MIB, 100 * MIB)
    watch.told = 300 * MIB
    watch.look(used_bytes=200 * MIB)
    watch.look(used_bytes=0)
    watch.told = int(500 * MIB * FULL_MARK) + MIB
    watch.look(used_bytes=60 * MIB)
    assert watch.told < 350 * MIB
    watch.told = int(500 * MIB * FULL_MARK) + MIB
    watch.look(used_bytes=210 * MIB)
    assert watch.told > 400 * MIB, "nothing was freed since"


def test_beyond_the_hard_mark_memory_is_given_back_though_no_record_was_deleted() -> None:
    """It may be requests and replies that are gone by now."""

    class Trimming(ToldSize):
        def _give_back(self) -> None:
            self.told -= 100 * MIB

    watch = Trimming(500 * MIB, 100 * MIB)
    watch.told = int(500 * MIB * FULL_MARK) + MIB
    watch.look(used_bytes=60 * MIB)
    assert watch.told > 400 * MIB
    watch.told = int(500 * MIB * HARD_MARK) + MIB
    watch.look(used_bytes=60 * MIB)
    assert watch.told < 400 * MIB


def test_clients_may_hold_what_is_left_and_always_a_part_of_the_reserve() -> None:
    watch = ToldSize(500 * MIB, 100 * MIB)
    watch.told = 200 * MIB
    watch.look(used_bytes=90 * MIB)
    assert not watch.nearly_full
    watch.told = 425 * MIB
    watch.look(used_bytes=90 * MIB)
    assert watch.nearly_full and watch.clients_bytes == 50 * MIB
    watch.told = 490 * MIB
    watch.look(used_bytes=90 * MIB)
    assert watch.clients_bytes == 25 * MIB


def test_even_the_smallest_member_accepts_its_first_keys() -> None:
    assert ToldSize(40 * MIB, 10 * MIB).limit_bytes == 4 * MIB


def test_the_longest_turn_is_remembered_for_a_while() -> None:
    watch = LoopWatch()
    for turn_ms in (1.0, 30.0, 2.0):
        watch.note(turn_ms)
    assert watch.longest_ms == watch.longest_ever_ms == 30.0


# -- HTTP ------------------------------------------------------------------------------------------------------------


class Answers:
    """A member that is ready or not."""

    reason = ""

    def not_ready_because(self) -> str:
        return self.reason

    def metrics_text(self) -> bytes:
        return b"kubegrid_epoch 3.0\n"

    def describe(self) -> dict[str, Any]:
        return {"name": "p0-0", "configuration": None}

    async def hand_over(self, to: str | None) -> str:
        await asyncio.sleep(0)
        return "" if to == "p0-1" else f"{to} is not in sync"


@pytest.fixture
async def answers() -> Answers:
    return Answers()


async def test_probes_metrics_and_the_members_record(answers: Answers) -> None:
    port = HttpPort(answers, None)
    number = await port.listen("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{number}") as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        answers.reason = "joining"
        refused = await client.get("/readyz")
        assert (refused.status_code, refused.text) == (503, "joining\n")
        assert "kubegrid_epoch 3.0" in (await client.get("/metrics")).text
        assert json.loads((await client.get("/v1/member")).text)["name"] == "p0-0"
        assert (await client.post("/v1/hand-over?to=p0-1")).status_code == 202
        assert (await client.post("/v1/hand-over?to=p0-9")).json() == {"error": "p0-9 is not in sync"}
        assert (await client.get("/v1/hand-over")).status_code == 405
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.head("/livez")).status_code == 200
    await port.close()


async def test_with_a_secret_only_its_bearer_reads_the_record(answers: Answers) -> None:
    port = HttpPort(answers, b"s3cret")
    number = await port.listen("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{number}") as client:
        assert (await client.get("/v1/member")).status_code == 401
        assert (await client.get("/v1/member", headers={"Authorization": "Bearer wrong"})).status_code == 401
        assert (await client.get("/v1/member", headers={"Authorization": "Bearer s3cret"})).status_code == 200
        assert (await client.post("/v1/hand-over?to=p0-1")).status_code == 401
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
    await port.close()


async def test_a_taken_port_is_an_error_at_once(answers: Answers) -> None:
    port = HttpPort(answers, None)
    number = await port.listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await HttpPort(answers, None).listen("127.0.0.1", number)
    await port.close()


# -- holding commands during a hand-over -------------------------------------------------------------------------------


def configured(epoch: int, primary: Member | None, *in_sync: Member) -> Configuration:
    return Configuration("grid", 0, epoch, primary, in_sync)


def test_the_old_primary_keeps_commands_until_the_new_one_has_spoken() -> None:
    hold = HandoverHold(A, 400)
    hold.learn(1000, configured(1, A, A, B))
    assert not hold.holds(1000)
    hold.learn(2000, configured(2, B, A, B))
    assert hold.holds(2399)
    assert not hold.holds(2400)
    hold.heard(B, configured(1, A, A, B))
    hold.heard(C, configured(2, B, A, B))
    assert hold.holds(2001)
    hold.heard(B, configured(2, B, A, B))
    assert not hold.holds(2001)


def test_a_primary_that_was_replaced_without_a_hand_over_keeps_nothing() -> None:
    hold = HandoverHold(A, 400)
    hold.learn(1000, configured(1, A, A, B))
    hold.learn(2000, configured(2, B, B))
    assert not hold.holds(2001)


def test_nothing_is_kept_when_it_was_the_new_primary_that_told_of_the_hand_over() -> None:
    hold = HandoverHold(A, 400)
    hold.learn(1000, configured(1, A, A, B))
    hold.latest = (B, 2)
    hold.learn(2000, configured(2, B, A, B))
    assert not hold.holds(2001)


@pytest.mark.parametrize("me", [B, C])
def test_others_keep_nothing_here(me: Member) -> None:
    hold = HandoverHold(me, 400)
    hold.learn(1000, configured(1, A, A, B, C))
    hold.learn(2000, configured(2, B, A, B, C))
    assert not hold.holds(2001)
