"""Statements through the client while data pods fail in every way; what is answered right is in `test_sql_use`."""

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyarrow import flight
from tests.integration.scripted_pod import SCHEMA, Asking, ScriptedPod, batch, done, error, rows

import kubegrid
from kubegrid.base.errors import UsageError
from kubegrid.client.sql_flight import connect
from kubegrid.client.sql_thread import THREAD
from kubegrid.sql import errors as told
from kubegrid.wire.sql_tickets import Statement

Started = Callable[..., ScriptedPod]


@pytest.fixture
def start() -> Iterator[Started]:
    pods: list[ScriptedPod] = []

    def one(*args: Any, **named: Any) -> ScriptedPod:
        pods.append(ScriptedPod(*args, **named))
        for pod in pods:
            pod.others = [other for other in pods if other is not pod]
        return pods[-1]

    yield one
    for pod in pods:
        pod.close()


def until_cancelled(statement: Statement, asking: Asking) -> Any:
    asking.pod.cancel.wait(60)
    raise error(told.Cancelled("it was cancelled"))


# -- what is asked and answered ------------------------------------------------------------------------------------------


def test_a_statement_goes_out_with_its_parameters_and_its_time(start: Started) -> None:
    pod = start()
    with kubegrid.connect(pod.address) as grid:
        assert grid.sql("SELECT ? + $2", [1, 2.5], timeout=5).rows() == [(1,)]
    (statement,) = pod.statements
    assert (statement.sql, statement.parameters) == ("SELECT ? + $2", [1, 2.5])
    assert 4000 < (statement.timeout_ms or 0) <= 5000


def test_what_cannot_be_asked_is_refused_here(start: Started) -> None:
    pod = start()
    with kubegrid.connect(pod.address) as grid:
        with pytest.raises(UsageError, match=r"\[value\]"):
            grid.sql("SELECT ?", "abc")
        for timeout in (0, float("nan"), float("inf"), 10**400, True, "5"):
            with pytest.raises(UsageError, match="timeout is a number of seconds above 0, at most 86400"):
                grid.sql("SELECT 1", timeout=timeout)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="statement id"):
            grid.sql("SELECT 1", statement_id="")
        with pytest.raises(UsageError, match="is a str"):
            grid.sql(b"SELECT 1")  # type: ignore[arg-type]
        with pytest.raises(kubegrid.BadValueError, match="parameter 1 is a object"):
            grid.sql("SELECT ?", [object()])
    assert pod.statements == []


def test_writes_are_numbered_under_one_identity_and_a_given_id_is_used(start: Started) -> None:
    pod = start(lambda statement, asking: done(2))
    with kubegrid.connect(pod.address) as grid:
        for _ in range(3):
            assert grid.sql("DELETE FROM t").rows_changed == 2
        assert grid.sql("DELETE FROM t", statement_id="tonight").statement_id == "tonight"
    *numbered, given = [statement.statement_id or "" for statement in pod.statements]
    assert given == "tonight"
    client = numbered[0].partition("-")[0]
    assert len(client) == 32
    assert numbered == [f"{client}-1-1", f"{client}-2-2", f"{client}-3-3"]


def test_a_number_that_was_never_sent_is_free_again(start: Started) -> None:
    pod = start(lambda statement, asking: done(2) if "DELETE" in statement.sql else rows(1))
    with kubegrid.connect(pod.address, statements=1) as grid:
        with pytest.raises(kubegrid.BadValueError):
            grid.sql("DELETE FROM t WHERE n = ?", [object()])
        with grid.sql_stream("SELECT n FROM t"), pytest.raises(kubegrid.OverloadedError):
            grid.sql("DELETE FROM t", timeout=0.01)
        assert (grid.sql("DELETE FROM t").statement_id or "").endswith("-3-3")


def test_the_password_goes_along_and_a_wrong_one_is_told(start: Started) -> None:
    pod = start(password="open sesame")
    with kubegrid.connect(pod.address, password="open sesame") as grid:
        assert grid.sql("SELECT 1").scalar() == 1
    with kubegrid.connect(pod.address, password="another") as grid, pytest.raises(kubegrid.AccessError):
        grid.sql("SELECT 1")


def test_an_answer_beyond_the_limit_is_refused_and_can_be_streamed(start: Started) -> None:
    def many(statement: Statement, asking: Asking) -> Any:
        return flight.GeneratorStream(SCHEMA, (batch(*range(1000)) for _ in range(100)))

    pod = start(many)
    with kubegrid.connect(pod.address, answer_bytes=100_000) as grid:
        with pytest.raises(kubegrid.SqlLimitError, match="100,000 bytes"):
            grid.sql("SELECT n FROM t")
        with grid.sql_stream("SELECT n FROM t") as stream:
            assert stream.schema == SCHEMA
            assert sum(one.num_rows for one in stream) == 100_000
        with grid.sql_stream("SELECT n FROM t") as stream:
            assert next(stream.rows()) == (0,)


def test_streams_that_are_left_open_count_and_closed_ones_do_not(start: Started) -> None:
    with kubegrid.connect(start(lambda statement, asking: rows(1, 2)).address, statements=1) as grid:
        stream = grid.sql_stream("SELECT n FROM t")
        with pytest.raises(kubegrid.OverloadedError, match="1 statements run"):
            grid.sql("SELECT 1", timeout=0.05)
        stream.close()
        stream.close()
        assert len(grid.sql("SELECT 1")) == 2


def test_a_stream_that_was_left_in_the_middle_does_not_look_like_a_whole_one(start: Started) -> None:
    pod = start(lambda statement, asking: flight.GeneratorStream(SCHEMA, (batch(n) for n in range(3))))
    with kubegrid.connect(pod.address) as grid:
        stream = grid.sql_stream("SELECT n FROM t")
        assert next(stream.rows()) == (0,)
        with pytest.raises(kubegrid.ClosedError, match="before it was read to its end"):
            list(stream)
        stream = grid.sql_stream("SELECT n FROM t")
        assert list(stream.rows()) == [(0,), (1,), (2,)]
        assert list(stream) == []

    async def use() -> None:
        async with await kubegrid.connect_async(pod.address) as grid:
            async with await grid.sql_stream("SELECT n FROM t") as stream:
                pass
            with pytest.raises(kubegrid.ClosedError, match="before it was read to its end"):
                [one async for one in stream]

    asyncio.run(use())


# -- failures ------------------------------------------------------------------------------------------------------------


def test_a_pod_that_is_not_there_is_passed_over(start: Started) -> None:
    gone, there = start(), start()
    gone.stop_flight()
    with kubegrid.connect(gone.address) as grid:
        assert [grid.sql("SELECT 1").scalar() for _ in range(4)] == [1] * 4
    assert len(there.statements) == 4


def test_a_question_is_asked_again_when_its_pod_is_lost_in_the_middle(start: Started) -> None:
    """Rows that came before the loss are forgotten: the answer is one pod's whole answer."""
    broken = threading.Event()

    def answer(statement: Statement, asking: Asking) -> Any:
        def batches() -> Iterator[Any]:
            yield batch(1, 2)
            if not broken.is_set():
                broken.set()
                raise error(told.Unavailable("the primary of partition 1 died"))
            yield batch(3)

        return flight.GeneratorStream(SCHEMA, batches())

    pods = [start(answer), start(answer)]
    with kubegrid.connect(pods[0].address) as grid:
        assert grid.sql("SELECT n FROM t").rows() == [(1,), (2,), (3,)]
    assert sum(len(pod.statements) for pod in pods) == 2


def test_a_stream_whose_pod_is_lost_in_the_middle_is_no_whole_answer(start: Started) -> None:
    def answer(statement: Statement, asking: Asking) -> Any:
        def batches() -> Iterator[Any]:
            yield batch(1)
            raise error(told.Unavailable("the primary of partition 1 died"))

        return flight.GeneratorStream(SCHEMA, batches())

    with kubegrid.connect(start(answer).address) as grid, grid.sql_stream("SELECT n FROM t") as stream:
        got = stream.rows()
        assert next(got) == (1,)
        with pytest.raises(kubegrid.UnavailableError, match="no whole answer"):
            next(got)


def test_a_write_whose_answer_was_lost_is_sent_again_under_its_id(start: Started) -> None:
    lost = threading.Event()

    def answer(statement: Statement, asking: Asking) -> Any:
        if not lost.is_set():
            lost.set()
            raise flight.FlightUnavailableError("Socket closed")
        return done(5)

    pods = [start(answer), start(answer)]
    with kubegrid.connect(pods[0].address) as grid:
        assert grid.sql("UPDATE t SET n = 1").rows_changed == 5
    ids = [statement.statement_id for pod in pods for statement in pod.statements]
    assert sorted(statement.again for pod in pods for statement in pod.statements) == [False, True]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_truncation_whose_answer_was_lost_is_not_sent_again(start: Started) -> None:
    """Others may have written meanwhile what a second one would remove."""

    def answer(statement: Statement, asking: Asking) -> Any:
        raise flight.FlightUnavailableError("Socket closed")

    pods = [start(answer), start(answer)]
    with kubegrid.connect(pods[0].address) as grid, pytest.raises(kubegrid.SqlOutcomeUnknownError, match="Look at"):
        grid.sql("TRUNCATE t")
    assert [statement.sql for pod in pods for statement in pod.statements] == ["TRUNCATE t"]


def test_a_write_that_nobody_answers_is_in_doubt_and_keeps_its_number(start: Started) -> None:
    def answer(statement: Statement, asking: Asking) -> Any:
        if statement.sql.startswith("UPDATE"):
            raise flight.FlightUnavailableError("Socket closed")
        return done(1)

    pod = start(answer)
    with kubegrid.connect(pod.address) as grid:
        with pytest.raises(kubegrid.SqlOutcomeUnknownError) as raised:
            grid.sql("UPDATE t SET n = 1", timeout=2.0)
        grid.sql("DELETE FROM t")
    in_doubt, later = raised.value.statement_id, pod.statements[-1].statement_id or ""
    assert in_doubt.endswith("-1-1")
    assert later.endswith("-2-1")  # as long as acked stays at 1 the members keep what became of number 1


def test_a_pod_that_fell_silent_is_left_for_another(start: Started) -> None:
    """A frozen process keeps its connections: only the silence of its other port tells it from a long statement."""

    def answer(statement: Statement, asking: Asking) -> Any:
        if asking.pod.frozen:
            asking.pod.cancel.wait(60)
        return rows(7)

    frozen, there = start(answer), start(answer)
    with kubegrid.connect(there.address, silence=0.5) as grid:
        frozen.frozen = True
        started = time.monotonic()
        assert [grid.sql("SELECT 1").scalar() for _ in range(2)] == [7, 7]
        assert time.monotonic() - started < 30
    assert len(frozen.statements) == 1


def test_a_long_statement_is_waited_for(start: Started) -> None:
    def answer(statement: Statement, asking: Asking) -> Any:
        time.sleep(2.5)
        return rows(7)

    pod = start(answer)
    with kubegrid.connect(pod.address, silence=1.0) as grid:
        assert grid.sql("SELECT 1").scalar() == 7
    assert len(pod.statements) == 1


def test_a_statement_that_is_never_answered_ends_with_its_time(start: Started) -> None:
    def never(statement: Statement, asking: Asking) -> Any:
        while not asking.gone():
            time.sleep(0.01)
        raise error(told.Cancelled("it was cancelled"))

    with kubegrid.connect(start(never).address) as grid:
        with pytest.raises(kubegrid.SqlTimeoutError, match=r"not answered within 1\.5 s"):
            grid.sql("SELECT 1", timeout=1.5)
        with pytest.raises(kubegrid.SqlOutcomeUnknownError), kubegrid.deadline(1.5):
            grid.sql("DELETE FROM t")


def test_errors_keep_their_kind_and_place(start: Started) -> None:
    def answer(statement: Statement, asking: Asking) -> Any:
        problem = told.UnknownName(
            "there is no column 'carier'", line=1, column=8, text=statement.sql, remedy="did you mean 'carrier'?"
        )
        raise error(problem)

    with kubegrid.connect(start(answer).address) as grid, pytest.raises(kubegrid.SqlNameError) as raised:
        grid.sql("SELECT carier FROM flights")
    assert str(raised.value).splitlines() == [
        "there is no column 'carier'",
        "    SELECT carier FROM flights",
        "           ^",
        "did you mean 'carrier'?",
    ]


def test_without_any_pod_that_is_said(start: Started) -> None:
    pod = start()
    pod.stop_flight()
    with kubegrid.connect(pod.address) as grid, pytest.raises(kubegrid.UnavailableError, match="connection refused"):
        grid.sql("SELECT 1", timeout=1.0)


def test_a_closed_client_says_that_it_is_closed(start: Started) -> None:
    grid = kubegrid.connect(start().address)
    grid.sql("SELECT 1")
    grid.close()
    with pytest.raises(kubegrid.ClosedError):
        grid.sql("SELECT 1")


# -- interruptions -------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_the_statement_on_its_pod(start: Started) -> None:
    def interrupting(statement: Statement, asking: Asking) -> Any:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return until_cancelled(statement, asking)

    pod = start(interrupting)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with kubegrid.connect(pod.address) as grid, pytest.raises(KeyboardInterrupt):
            grid.sql("SELECT 1", timeout=30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pod.cancelled == [pod.statements[0].statement_id]


def test_a_child_of_a_process_that_used_sql_is_refused_instead_of_hanging(start: Started) -> None:
    pod = start()
    with kubegrid.connect(pod.address) as grid:
        grid.sql("SELECT 1")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                grid.sql("SELECT 1")
            except Exception as problem:
                os.write(writing, str(problem).encode())
            finally:
                grid.close()
                del grid
                gc.collect()  # freeing what gRPC has in the parent would wait for ever
                os._exit(0)
        assert b"forked" in os.read(reading, 1000)
        assert os.waitpid(child, 0)[1] == 0
        assert grid.sql("SELECT 1").scalar() == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(kubegrid.ClosedError, match="spawn"):
            connect(pod.address)


# -- threads and tasks ---------------------------------------------------------------------------------------------------


def test_threads_share_a_client(start: Started) -> None:
    pod = start(lambda statement, asking: rows(*statement.parameters))
    answers: dict[int, Any] = {}
    with kubegrid.connect(pod.address) as grid:
        threads = [
            threading.Thread(target=lambda n=n: answers.update({n: grid.sql("SELECT ?", [n]).scalar()}))  # type: ignore[misc]
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {n: n for n in range(20)}


async def test_the_loop_goes_on_while_a_statement_runs(start: Started) -> None:
    released = threading.Event()

    def answer(statement: Statement, asking: Asking) -> Any:
        released.wait(20)
        return rows(*statement.parameters)

    async with await kubegrid.connect_async(start(answer).address) as grid:
        asked = [asyncio.create_task(grid.sql("SELECT ?", [n])) for n in range(5)]
        for _ in range(100):  # the loop turns although nothing is answered
            await asyncio.sleep(0)
        assert not any(task.done() for task in asked)
        released.set()
        assert [(await task).scalar() for task in asked] == [0, 1, 2, 3, 4]


async def test_a_cancelled_task_ends_its_statement_on_the_pod_and_says_nothing_else(start: Started) -> None:
    told_to_the_loop: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told_to_the_loop.append(context))
    pod = start(until_cancelled)
    async with await kubegrid.connect_async(pod.address) as grid:
        asked = asyncio.create_task(grid.sql("SELECT 1"))
        while not pod.statements:
            await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await asyncio.to_thread(pod.cancel.wait, 10)
        while any(thread.name == THREAD for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
    assert pod.cancelled == [pod.statements[0].statement_id]
    gc.collect()
    await asyncio.sleep(0)
    assert told_to_the_loop == []


async def test_the_async_client_streams_and_tells_errors(start: Started) -> None:
    def answer(statement: Statement, asking: Asking) -> Any:
        if "wrong" in statement.sql:
            raise error(told.SyntaxProblem("that is wrong"))
        return flight.GeneratorStream(SCHEMA, iter([batch(1, 2), batch(3)]))

    async with await kubegrid.connect_async(start(answer).address) as grid:
        async with await grid.sql_stream("SELECT n FROM t") as stream:
            assert [one.num_rows async for one in stream] == [2, 1]
        async with await grid.sql_stream("SELECT n FROM t") as stream:
            assert [row async for row in stream.rows()] == [(1,), (2,), (3,)]
        with pytest.raises(kubegrid.SqlSyntaxError, match="that is wrong"):
            await grid.sql("wrong")
        with pytest.raises(kubegrid.SqlSyntaxError):
            await grid.sql_stream("wrong")


async def test_the_async_client_leaves_a_lost_pod_too(start: Started) -> None:
    gone, there = start(), start(lambda statement, asking: rows(3))
    gone.stop_flight()
    async with await kubegrid.connect_async(there.address) as grid:
        assert [(await grid.sql("SELECT 1")).scalar() for _ in range(3)] == [3, 3, 3]
