"""Calls in threads that wait for the next one, and keep nothing of the one before."""

import gc
import multiprocessing
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from kubegrid.client import sql_thread
from kubegrid.client.deadline import CURRENT
from kubegrid.client.sql_thread import IDLE_MAX, THREAD, in_thread

WAIT_S = 10


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sql_thread, "IDLE_S", 0.2)
    monkeypatch.setattr(sql_thread, "_idle", sql_thread._Idle())
    yield


def settled(count: int) -> None:
    """Returns when so many threads wait."""
    waited = threading.Event()
    for _ in range(WAIT_S * 100):
        if len(sql_thread._idle._waiting) == count:
            return
        waited.wait(0.01)
    raise AssertionError(f"{len(sql_thread._idle._waiting)} threads wait, not {count}")


def test_one_that_is_done_takes_the_next_call() -> None:
    first = in_thread(threading.current_thread).result(WAIT_S)
    settled(1)
    assert in_thread(threading.current_thread).result(WAIT_S) is first
    settled(1)
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0).result(WAIT_S)
    settled(1)
    assert in_thread(threading.current_thread).result(WAIT_S) is first
    assert first.daemon


def test_calls_at_once_have_a_thread_each_and_few_of_them_stay() -> None:
    count = IDLE_MAX + 5
    barrier = threading.Barrier(count)

    def meet() -> str:
        barrier.wait(WAIT_S)
        return threading.current_thread().name

    assert {each.result(WAIT_S) for each in [in_thread(meet) for _ in range(count)]} == {THREAD}
    settled(IDLE_MAX)


def test_one_that_has_nothing_to_do_ends_and_nothing_is_lost_to_it() -> None:
    first = in_thread(threading.current_thread).result(WAIT_S)
    settled(1)
    settled(0)
    first.join(WAIT_S)
    assert not first.is_alive()
    assert in_thread(threading.current_thread).result(WAIT_S) is not first


def test_a_call_that_comes_when_its_thread_is_about_to_end_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_thread, "IDLE_S", 0.0)
    assert [in_thread(lambda: number).result(WAIT_S) for number in range(2000)] == list(range(2000))  # noqa: B023


def test_a_call_that_was_cancelled_before_it_began_is_not_done() -> None:
    done: list[int] = []
    future: Future[Any] = in_thread(lambda: done.append(1))
    if future.cancel():
        settled(1)
        assert not done


def test_it_keeps_nothing_of_the_call_before() -> None:
    class Held:
        pass

    held = Held()
    reference = weakref.ref(held)

    def call(one: Held) -> float | None:
        CURRENT.set(7.0)
        return CURRENT.get()

    future = in_thread(lambda one=held: call(one))
    assert future.result(WAIT_S) == 7.0
    settled(1)
    del held, future
    gc.collect()
    assert reference() is None
    assert in_thread(CURRENT.get).result(WAIT_S) is None


def test_a_forked_child_has_threads_of_its_own() -> None:
    in_thread(lambda: None).result(WAIT_S)
    settled(1)
    process = multiprocessing.get_context("fork").Process(target=lambda: in_thread(lambda: None).result(WAIT_S))
    process.start()
    process.join(WAIT_S)
    assert process.exitcode == 0


def test_at_the_end_those_that_wait_end_and_those_that_work_are_waited_for() -> None:
    let_go, reached = threading.Event(), threading.Event()

    def work() -> threading.Thread:
        reached.set()
        let_go.wait(WAIT_S)
        return threading.current_thread()

    waiting = in_thread(threading.current_thread).result(WAIT_S)
    settled(1)
    pair = [in_thread(work), in_thread(lambda: threading.current_thread())]
    other = pair[1].result(WAIT_S)
    settled(1)
    assert reached.wait(WAIT_S)
    idle = sql_thread._idle
    idle.end(0.0)
    let_go.set()
    idle.end(WAIT_S)
    assert idle._threads == 0
    for thread in (waiting, other, pair[0].result(WAIT_S)):
        thread.join(WAIT_S)
        assert not thread.is_alive()


PROGRAM = """
import atexit, threading
def left():
    print([each.name for each in threading.enumerate() if each.name.startswith("kubegrid")])
atexit.register(left)  # done after what is registered from here on
from kubegrid.client.sql_thread import in_thread
working = threading.Event()
release = threading.Event()
in_thread(lambda: 1).result()
in_thread(lambda: (working.set(), release.wait(FOR)))
working.wait()
ENDS
"""


@pytest.mark.parametrize("ends", ["", "raise SystemExit(0)", "release.set()"])
def test_a_process_ends_without_threads_that_wait_or_are_about_to_be_done(ends: str) -> None:
    program = PROGRAM.replace("FOR", "0.05").replace("ENDS", ends)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_process_ends_though_a_call_does_not() -> None:
    program = PROGRAM.replace("FOR", "3600").replace("ENDS", "")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"['{THREAD}']\n"
