"""A member filled to the brim: writes are refused, reads go on, and the process lives."""

from collections.abc import Iterator
from pathlib import Path

import hiredis
import psutil
import pytest
from tests.e2e.live_grid import LiveGrid, RawConnection, live_grid, wait_until

MIB = 2**20
MEMORY_BYTES = 256 * MIB
"""A process that holds nothing takes about 100 of them: Arrow and its Flight are half of that."""
BATCH = 200


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("memory"), partitions=1, backups=1, memory="256Mi") as grid:
        yield grid


@pytest.fixture
def grid(running: LiveGrid) -> Iterator[LiveGrid]:
    """The same grid for all, emptied before each test. Its primary has to survive every one."""
    running.wait_whole()
    primary = running.primary()
    before = running.pid(primary)
    with running.raw(running.primary(), timeout_s=60) as raw:
        wait_until(lambda: raw.call("FLUSHALL") == b"OK", what="the grid emptied")
        wait_until(lambda: raw.call("SET", "room", "1") == b"OK", what="room again")
    yield running
    assert running.primary() == primary
    assert running.pid(primary) == before


def fill(raw: RawConnection, requests: Iterator[tuple[str | bytes, ...]]) -> int:
    """Send batches until one write is refused for want of memory; how many were accepted."""
    accepted = 0
    for _ in range(20_000):
        batch = [next(requests) for _ in range(BATCH)]
        raw.socket.sendall(b"".join(hiredis.pack_command(request) for request in batch))
        answers = [raw.reply() for _ in batch]
        refused = [answer for answer in answers if isinstance(answer, hiredis.ReplyError)]
        accepted += len(answers) - len(refused)
        if refused:
            assert all(str(error).startswith("OOM command not allowed") for error in refused), refused[0]
            return accepted
    raise AssertionError(f"{accepted} writes were accepted, and none was refused")


def sets() -> Iterator[tuple[str | bytes, ...]]:
    number = 0
    while True:
        yield "SET", f"small:{number}", b"x" * 100
        number += 1


def hashes() -> Iterator[tuple[str | bytes, ...]]:
    number = 0
    while True:
        yield "HSET", f"hash:{number // 500}", f"field:{number}", b"y" * 60, f"more:{number}", b"z" * 20
        number += 1


def big_values() -> Iterator[tuple[str | bytes, ...]]:
    number = 0
    while True:
        yield "SET", f"big:{number}", b"v" * 50_000
        number += 1


@pytest.mark.parametrize("kind", [sets, hashes, big_values])
def test_a_member_filled_to_the_brim_refuses_writes_goes_on_reading_and_lives(grid: LiveGrid, kind: object) -> None:
    requests = kind()  # type: ignore[operator]
    epoch = grid.partition()["epoch"]
    pids = [grid.pid(name) for name in grid.names()]
    with grid.raw(grid.primary(), timeout_s=60) as raw:
        accepted = fill(raw, requests)
        assert accepted * (50_000 if kind is big_values else 80) > MEMORY_BYTES // 20
        for _ in range(5):  # insisting does not get the process killed
            raw.socket.sendall(b"".join(hiredis.pack_command(next(requests)) for _ in range(BATCH)))
            for _ in range(BATCH):
                raw.reply()
        for name in grid.names():
            assert psutil.Process(grid.pid(name)).memory_info().rss < MEMORY_BYTES, f"{name} outgrew its memory"
        sample = {sets: ("GET", "small:5"), hashes: ("HGET", "hash:0", "field:5"), big_values: ("GET", "big:5")}[kind]  # type: ignore[index]
        assert raw.call(*sample)
        assert raw.call("DBSIZE") > 10
        assert str(raw.call("SET", "one more", b"x" * 100)).startswith("OOM")
        assert str(raw.call("APPEND", "room", b"x" * 100)).startswith("OOM")
        # What takes nothing is still done, and deleting makes room again.
        assert raw.call("DEL", "room") == 1
        assert raw.call("FLUSHALL") == b"OK"
        wait_until(lambda: raw.call("SET", "one more", b"x" * 100) == b"OK", what="writes accepted again")
        assert raw.call("GET", "one more") == b"x" * 100
        wait_until(lambda: b"lazyfree_pending_objects:0\r" in raw.call("INFO", "memory"), what="the room to be there")
    grid.wait_whole()
    assert grid.partition()["epoch"] == epoch, "a full member is no reason for a failover"
    assert [grid.pid(name) for name in grid.names()] == pids


def test_deleting_some_of_it_makes_room_for_as_much(grid: LiveGrid) -> None:
    with grid.raw(grid.primary(), timeout_s=60) as raw:
        accepted = fill(raw, big_values())
        for number in range(accepted // 2):
            assert raw.call("DEL", f"big:{number}") == 1
        again = 0

        def fits() -> bool:
            nonlocal again
            for _ in range(20):
                if raw.call("SET", f"again:{again}", b"v" * 50_000) != b"OK":
                    return False
                again += 1
            return again >= accepted // 4

        wait_until(fits, what="room for as much as was deleted")


def test_a_full_backup_that_is_killed_joins_again(grid: LiveGrid) -> None:
    """A snapshot of everything, into a member that has no more memory than the one it comes from."""
    with grid.raw(grid.primary(), timeout_s=60) as raw:
        fill(raw, sets())
        size = raw.call("DBSIZE")
        victim = grid.backup()
        epoch = grid.partition()["epoch"]
        grid.kill(victim)
        # Removed, joining, in sync: until the removal the status still lists the dead one as in sync.
        wait_until(lambda: grid.partition()["epoch"] >= epoch + 3, 90, "the killed backup to be removed and back")
        grid.wait_whole(90)
        assert psutil.Process(grid.pid(victim)).memory_info().rss < MEMORY_BYTES
        assert raw.call("DBSIZE") == size
    with grid.raw(victim, timeout_s=60) as copy:
        assert copy.call("READONLY") == b"OK"
        assert copy.call("DBSIZE") == size


def test_a_grid_whose_memory_is_smaller_than_the_process_still_serves_something(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1, backups=0, memory="64Mi") as grid, grid.raw("p0-0") as raw:
        assert raw.call("SET", "key", "value") == b"OK"
        assert raw.call("GET", "key") == b"value"
