"""Calls that run, their limits and their end; streams that end their call whatever happens."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import flight

from kubegrid.flight import calls as calls_module
from kubegrid.flight.calls import FRAGMENT, STATEMENT, Calls
from kubegrid.flight.streams import BATCH_BYTES_MAX, AnswerStream, pieces
from kubegrid.sql.errors import Cancelled, SyntaxProblem, Unavailable


class Context:
    """gRPC's view of a client. Whoever asks after the end of the call asks freed memory."""

    def __init__(self) -> None:
        self.gone = False
        self.freed = False

    def is_cancelled(self) -> bool:
        assert not self.freed
        return self.gone


def test_a_call_is_cancelled_when_its_client_is_gone_the_port_closes_or_somebody_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls_module, "LOOK_S", 0.0)
    calls = Calls()
    context = Context()
    call = calls.begin(STATEMENT, context, "name")
    assert not call.cancelled()
    context.gone = True
    assert call.cancelled()
    context.gone = False
    assert calls.cancel("name") and call.cancelled()
    other = calls.begin(STATEMENT, Context())
    assert not other.cancelled()
    calls.closing = True
    assert other.cancelled()
    with pytest.raises(Unavailable, match="about to end"):
        calls.begin(STATEMENT, Context())


def test_whether_a_client_is_gone_is_asked_of_grpc_now_and_then_and_stays_true(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(calls_module, "time", SimpleNamespace(monotonic=lambda: now))
    context = Context()
    call = Calls().begin(STATEMENT, context)
    context.gone = True
    assert not call.cancelled()  # it asked a moment ago
    now += calls_module.LOOK_S
    assert call.cancelled()
    context.gone = False
    now += calls_module.LOOK_S
    assert call.cancelled()


def test_what_ends_because_the_port_closes_was_cancelled_by_nobody() -> None:
    calls = Calls()
    with pytest.raises(Cancelled), calls.call(STATEMENT, Context()):
        raise Cancelled("the statement was cancelled")
    given_up = calls.begin(STATEMENT, Context(), "name")
    calls.cancel("name")
    with pytest.raises(Unavailable, match="about to end") as refused, calls.call(STATEMENT, Context()):
        calls.closing = True
        raise Cancelled("the statement was cancelled", outcome_known=False)
    assert not refused.value.outcome_known
    with pytest.raises(Cancelled):
        given_up.fail(Cancelled("the statement was cancelled"))
    totals = calls.totals[STATEMENT]
    assert (totals.running, totals.cancelled, totals.failed) == (0, 2, 1)


def test_a_stream_that_ends_because_the_port_closes_says_that_another_pod_can_be_asked() -> None:
    def closing() -> Iterator[Any]:
        yield rows(1)
        calls.closing = True
        raise Cancelled("the statement was cancelled")

    answer, calls, _ = stream(closing())
    next(answer)
    with pytest.raises(flight.FlightUnavailableError, match="about to end"):
        next(answer)


def test_after_its_end_a_calls_context_is_not_touched() -> None:
    calls = Calls()
    context = Context()
    call = calls.begin(STATEMENT, context, "name")
    call.end()
    context.freed = True
    assert call.cancelled()
    assert not calls.cancel("name")
    call.end(ValueError())
    totals = calls.totals[STATEMENT]
    assert (totals.running, totals.done, totals.failed) == (0, 1, 0)


def test_too_many_calls_of_a_kind_are_refused_and_leave_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(calls_module.RUNNING_MAX, STATEMENT, 2)
    calls = Calls()
    first = calls.begin(STATEMENT, Context())
    calls.begin(STATEMENT, Context())
    with pytest.raises(Unavailable, match="2 calls of the kind statement"):
        calls.begin(STATEMENT, Context())
    calls.begin(FRAGMENT, Context())
    first.end()
    calls.begin(STATEMENT, Context())
    assert calls.totals[STATEMENT].refused == 1


def rows(count: int, text: str = "x") -> Any:
    return pa.record_batch([pa.array(range(count), pa.int64()), pa.array([text] * count)], names=["n", "text"])


def stream(batches: Iterator[Any]) -> tuple[AnswerStream, Calls, list[str]]:
    calls = Calls()
    closed: list[str] = []
    return AnswerStream(batches, calls.begin(STATEMENT, Context()), lambda: closed.append("closed")), calls, closed


def test_a_stream_that_is_read_ends_its_call_once() -> None:
    answer, calls, closed = stream(iter([rows(3), rows(0), rows(2)]))
    assert [batch.num_rows for batch in answer] == [3, 2]
    answer.close()
    assert closed == ["closed"]
    totals = calls.totals[STATEMENT]
    assert (totals.running, totals.done, totals.cancelled, totals.rows) == (0, 1, 0, 5)


def test_a_stream_that_is_dropped_unread_counts_as_cancelled() -> None:
    answer, calls, closed = stream(iter([rows(3)]))
    del answer
    assert closed == ["closed"]
    assert calls.totals[STATEMENT].cancelled == 1


def test_a_stream_that_fails_tells_flight_and_is_over() -> None:
    def failing() -> Iterator[Any]:
        yield rows(1)
        raise SyntaxProblem("no")

    answer, calls, closed = stream(failing())
    next(answer)
    with pytest.raises(flight.FlightServerError, match="no"):
        next(answer)
    with pytest.raises(StopIteration):
        next(answer)
    assert closed == ["closed"] and calls.totals[STATEMENT].failed == 1


def test_large_batches_are_cut_and_no_row_is_lost() -> None:
    batch = rows(200_000, "x" * 90)
    cut = list(pieces(iter([batch])))
    assert pa.Table.from_batches(cut).equals(pa.Table.from_batches([batch]))
    assert len(cut) > 1 and max(piece.nbytes for piece in cut) <= BATCH_BYTES_MAX * 1.1


def test_a_batch_of_few_long_rows_is_cut_between_them() -> None:
    long = "x" * (3 * BATCH_BYTES_MAX)
    batch = pa.record_batch([pa.array([*["a"] * 1000, long, long, *["b"] * 1000])], names=["text"])
    cut = list(pieces(iter([batch])))
    assert pa.Table.from_batches(cut).equals(pa.Table.from_batches([batch]))
    assert max(piece.nbytes for piece in cut) < 4 * BATCH_BYTES_MAX
