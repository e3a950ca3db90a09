"""Members that die, are stopped, hand over, or fall asleep, while applications read and write."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
from bench.failover import Application
from demo.writers import outage_ms
from tests.e2e.live_grid import LiveGrid, RawConnection, live_grid, runs, wait_until

OUTAGE_MAX_MS = 10_000
"""About 1000, on a machine that has the time; that is for `bench.failover`."""
SHORT_STOP_S = 0.15


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    # Fail-back would move primaries between two tests; it has its own test.
    with live_grid(tmp_path_factory.mktemp("members"), failback="manual") as grid:
        yield grid


@pytest.fixture
def grid(running: LiveGrid) -> LiveGrid:
    """The same grid for all: whole again before each test."""
    running.wait_whole()
    return running


@contextlib.contextmanager
def applications(grid: LiveGrid, count: int = 2) -> Iterator[list[Application]]:
    """redis-py with its defaults; at the end of the block no request may have failed."""
    owners = grid.owners()
    started = [Application(number, grid.port, owners) for number in range(count)]
    for application in started:
        application.start()
    try:
        wait_until(
            lambda: all(application.done > 50 for application in started), what="the applications' first requests"
        )
        yield started
        done = [application.done for application in started]
        wait_until(lambda: all(a.done > n + 50 for a, n in zip(started, done, strict=True)), what="requests afterwards")
    finally:
        for application in started:
            application.stopping.set()
        for application in started:
            application.join(30)
    failed = [failure for application in started for failure in application.failed]
    assert not failed, f"{len(failed)} failed requests, the first: {failed[:3]}"


def test_a_primary_that_is_killed_under_load_costs_no_acknowledged_write_and_comes_back(grid: LiveGrid) -> None:
    victim = grid.primary(1)
    epoch = grid.partition(1)["epoch"]
    with grid.writers(4) as writers:
        killed_at = time.monotonic()
        old_pid = grid.kill(victim)
        wait_until(lambda: outage_ms(writers, 1, killed_at) is not None, what="writes of partition 1")
        assert grid.wait_new_primary(1, victim) != victim
        grid.wait_whole()
        counts = [len(writer.acknowledged) for writer in writers]
        wait_until(
            lambda: all(len(w.acknowledged) > n + 50 for w, n in zip(writers, counts, strict=True)), what="more writes"
        )
    pauses = [
        end - killed_at
        for writer in writers
        for start, end in writer.gaps[1]
        if start <= killed_at + 0.05 and end > killed_at
    ]
    assert pauses
    assert min(pauses) * 1000 <= OUTAGE_MAX_MS
    assert grid.partition(1)["epoch"] > epoch
    assert victim in grid.partition(1)["in_sync"]
    assert grid.pid(victim) != old_pid
    assert grid.lost(writers) == []


def test_a_backup_that_is_killed_under_load_interrupts_nobody_for_long_and_comes_back(grid: LiveGrid) -> None:
    victim, primary = grid.backup(0), grid.primary(0)
    with grid.writers(2) as writers:
        killed_at = time.monotonic()
        grid.kill(victim)
        counts = [len(writer.acknowledged) for writer in writers]
        wait_until(
            lambda: all(len(w.acknowledged) > n + 50 for w, n in zip(writers, counts, strict=True)), what="more writes"
        )
        assert time.monotonic() - killed_at < 30
        grid.wait_whole()
    assert grid.primary(0) == primary
    assert all(end - start < OUTAGE_MAX_MS / 1000 for writer in writers for start, end in writer.gaps[0])
    assert grid.lost(writers) == []


def test_the_returned_copy_alone_holds_every_acknowledged_write(grid: LiveGrid) -> None:
    """Kill the primary, let it return, kill the other: what is read then comes from the copy that was filled up."""
    first = grid.primary(2)
    with grid.writers(2) as writers:
        grid.kill(first)
        second = grid.wait_new_primary(2, first)
        grid.wait_whole()
        grid.kill(second)
        assert grid.wait_new_primary(2, second) == first
        grid.wait_whole()
    assert grid.lost(writers) == []


def test_a_primary_that_is_asked_to_stop_fails_no_request(grid: LiveGrid) -> None:
    victim = grid.primary(0)
    pid = grid.pid(victim)
    with applications(grid):
        grid.signal(victim, signal.SIGTERM)
        wait_until(lambda: not runs(pid), what="the end of the stopped primary")
        assert grid.wait_new_primary(0, victim) != victim
        grid.wait_whole()


def test_a_hand_over_fails_no_request(grid: LiveGrid) -> None:
    with applications(grid):
        for number in range(grid.partitions):
            grid.wait_whole()
            old, target = grid.primary(number), grid.backup(number)
            answer = json.loads(grid.run("partition", "hand-over", str(number), "--to", target, "--json").stdout)
            assert answer["primary"] == target
            assert grid.wait_new_primary(number, old) == target
    grid.wait_whole()


def test_a_hand_over_to_nobody_in_sync_is_refused(grid: LiveGrid) -> None:
    primary = grid.primary(0)
    done = grid.run("partition", "hand-over", "0", "--to", primary, check=False)
    assert done.returncode in (0, 4)  # it is that already, or is told so
    assert grid.primary(0) == primary
    done = grid.run("partition", "hand-over", "0", "--to", "p1-0", check=False)
    assert done.returncode in (2, 4)
    assert "p1-0" in done.stderr
    done = grid.run("partition", "hand-over", "77", check=False)
    assert done.returncode == 2
    assert "77" in done.stderr


def test_a_primary_that_slept_for_ten_seconds_never_answers_from_its_old_state(grid: LiveGrid) -> None:
    sleeper = grid.primary(0)
    key = grid.key_of(0, "asleep")
    with grid.raw(sleeper, timeout_s=30) as before, grid.raw(sleeper, timeout_s=30) as during:
        assert before.call("SET", key, "old") == b"OK"
        assert during.call("GET", key) == b"old"
        with grid.writers(2) as writers:
            pid = grid.signal(sleeper, signal.SIGSTOP)
            stopped_at = time.monotonic()
            try:
                winner = grid.wait_new_primary(0, sleeper)
                with grid.raw(winner) as raw:
                    wait_until(lambda: raw.call("SET", key, "new") == b"OK", what="a write to the new primary")
                during.send("GET", key)
                during.send("SET", key, "stale")
                during.send("GET", key)
                fresh = socket_that_waits(grid, sleeper, key)
                wait_until(lambda: time.monotonic() - stopped_at > 10, what="ten seconds")
            finally:
                os.kill(pid, signal.SIGCONT)
            for connection in (during, fresh):
                answers = list(replies(connection, 3 if connection is during else 1))
                assert all(_is_no_answer(answer) for answer in answers), answers
            fresh.close()
            wait_until(lambda: sleeper in grid.partition(0)["in_sync"], what=f"{sleeper} in sync again")
            wait_until(lambda: grid.member(sleeper)["role"] == "backup", what=f"{sleeper} a backup")
            assert grid.pid(sleeper) == pid
        before.send("GET", key)
        with contextlib.suppress(EOFError):
            assert _is_no_answer(before.reply())
    with contextlib.closing(grid.client()) as client:
        assert client.get(key) == b"new"
    assert grid.lost(writers) == []


def socket_that_waits(grid: LiveGrid, name: str, key: str) -> RawConnection:
    """A connection made while its member sleeps (the kernel takes it), with a read sent."""
    raw = grid.raw(name, timeout_s=30)
    raw.send("GET", key)
    return raw


def replies(connection: RawConnection, count: int) -> Iterator[object]:
    """The next replies, fewer if the member closes the connection."""
    with contextlib.suppress(EOFError):
        for _ in range(count):
            yield connection.reply()


def _is_no_answer(reply: object) -> bool:
    """MOVED or CLUSTERDOWN: the member said that it may not answer."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(("MOVED", "CLUSTERDOWN"))


def test_writes_of_a_short_stop_below_the_lease_go_on_without_a_failover(grid: LiveGrid) -> None:
    """150 ms of silence are less than anything waits for: no epoch changes."""

    def stopped_s() -> float:
        """How long it was: a busy machine may wake this process late, and then a failover is right."""
        grid.wait_whole()
        before = grid.partition(1)
        with applications(grid):
            begun = time.monotonic()
            pid = grid.signal(before["primary"], signal.SIGSTOP)
            time.sleep(SHORT_STOP_S)
            os.kill(pid, signal.SIGCONT)
            took = time.monotonic() - begun
        after = grid.partition(1)
        assert took > SHORT_STOP_S * 4 / 3 or (after["epoch"], after["primary"]) == (before["epoch"], before["primary"])
        return took

    wait_until(lambda: stopped_s() <= SHORT_STOP_S * 4 / 3, what="a stop as short as it was meant to be")


def test_a_primary_goes_back_to_its_preferred_member(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1, failback="auto", failbackAfter="1s") as grid:
        assert grid.primary() == "p0-0"
        with applications(grid, 1):
            grid.run("partition", "hand-over", "0", "--to", "p0-1")
            wait_until(lambda: grid.primary() == "p0-0", what="p0-0 primary again")
        grid.wait_whole()


def test_writes_are_refused_below_min_in_sync_and_reads_go_on(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1, minInSync=2) as grid, grid.raw("p0-0") as raw:
        assert raw.call("SET", "key", "value") == b"OK"
        pid = grid.signal("p0-1", signal.SIGSTOP)
        try:
            wait_until(lambda: grid.partition()["in_sync"] == ["p0-0"], what="p0-1 removed")
            answer = wait_until(lambda: raw.call("SET", "key", "other"), what="an answer")
            assert isinstance(answer, hiredis.ReplyError)
            assert str(answer).startswith("NOREPLICAS")
            assert raw.call("GET", "key") == b"value"
        finally:
            os.kill(pid, signal.SIGCONT)
        grid.wait_whole()
        wait_until(lambda: raw.call("SET", "key", "other") == b"OK", what="writes accepted again")
