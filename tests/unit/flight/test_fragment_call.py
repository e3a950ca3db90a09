"""A call to another member: waited for, read, and given up at any moment, with nothing left behind."""

import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from kubegrid.flight import fragment_call
from kubegrid.flight.fragment_call import FragmentStream, GivenUp
from kubegrid.flight.lookout import Lookout
from kubegrid.sql.errors import Unavailable

BATCH = pa.record_batch([pa.array([1, 2], pa.int64())], names=["n"])
WAIT_S = 10


class Stream:
    """What Flight's client gives: blocks in `read_chunk` until there is a batch, an end or a cancellation."""

    schema = BATCH.schema

    def __init__(self, *batches: Any, endless: bool = False) -> None:
        self.batches = list(batches)
        self.endless = endless
        self.cancelled = threading.Event()
        self.reading = threading.Event()

    def read_chunk(self) -> Any:
        if self.batches:
            return type("Chunk", (), {"data": self.batches.pop(0)})
        if not self.endless:
            raise StopIteration
        self.reading.set()
        assert self.cancelled.wait(WAIT_S)
        raise OSError("cancelled")

    def cancel(self) -> None:
        self.cancelled.set()


def never() -> bool:
    return False


def told(error: BaseException) -> BaseException:
    return Unavailable(str(error))


def test_an_answer_that_comes_is_given_and_an_error_raised() -> None:
    stream = Stream()
    assert fragment_call.wait(lambda: stream, never) is stream

    def fails() -> Any:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        fragment_call.wait(fails, never)


def test_a_call_nobody_wants_is_left_and_what_comes_too_late_is_cancelled() -> None:
    may_answer = threading.Event()
    late = Stream()

    def slow() -> Any:
        assert may_answer.wait(WAIT_S)
        return late

    with pytest.raises(GivenUp):
        fragment_call.wait(slow, lambda: True)
    assert not late.cancelled.is_set()
    may_answer.set()
    assert late.cancelled.wait(WAIT_S)


def test_a_stream_is_read_to_its_end_as_a_reader() -> None:
    lookout = Lookout()
    stream = Stream(BATCH, BATCH)
    assert FragmentStream(stream, lookout, never, told).as_reader().read_all().num_rows == 4
    assert not stream.cancelled.is_set()
    lookout.close()


@pytest.mark.parametrize("leave", [lambda reader: reader.close(), lambda reader: None], ids=["closed", "dropped"])
def test_a_reader_that_is_closed_or_dropped_unread_cancels_its_stream(leave: Callable[[Any], None]) -> None:
    lookout = Lookout()
    stream = Stream(BATCH, endless=True)
    reader = FragmentStream(stream, lookout, never, told).as_reader()
    leave(reader)
    del reader
    assert stream.cancelled.wait(WAIT_S)
    lookout.close()


def test_who_waits_for_a_batch_is_freed_when_nobody_wants_it_any_more() -> None:
    lookout = Lookout()
    unwanted = threading.Event()
    stream = Stream(endless=True)
    answer = FragmentStream(stream, lookout, unwanted.is_set, told)
    threading.Thread(target=lambda: stream.reading.wait(WAIT_S) and unwanted.set(), daemon=True).start()
    with pytest.raises(Unavailable):
        next(answer)
    with pytest.raises(StopIteration):
        next(answer)
    lookout.close()


def test_closing_the_lookout_ends_every_call_and_trouble_with_one_does_not_spare_the_others() -> None:
    lookout = Lookout()
    ended = threading.Event()

    def trouble() -> bool:
        raise ValueError("trouble")

    lookout.watch(trouble, lambda: None)
    lookout.watch(never, ended.set)
    assert not ended.is_set()
    lookout.close()
    assert ended.wait(WAIT_S)
