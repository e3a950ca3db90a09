"""All threads of one bulk write: who fails, who gives up waiting, and what is in doubt then."""

import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from kubegrid.client.bulk.batches import Batch, BlockState
from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.client.bulk.sending import BatchQueue, Sending
from kubegrid.client.errors import OutcomeUnknownError, RecordExistsError
from kubegrid.client.routes import Route, Routes

ROWS = pa.record_batch({"id": pa.array(range(10))})


class Grid:
    """As much of a caller as is looked at: two partitions."""

    def __init__(self) -> None:
        self.routes = Routes([])
        self.routes.all = [Route(0), Route(8192)]
        self.of_slot = [self.routes.all[0]] * 8192 + [self.routes.all[1]] * 8192


class Carrying:
    """Answers what it takes as `answer` says, and counts it."""

    def __init__(self, answer: Callable[[Batch], None]) -> None:
        self.taken = 0
        self._answer = answer

    def run(self, batches: BatchQueue, sending: Sending) -> None:
        while sending.failure is None:
            batch = batches.next(wait=True)
            if batch is not None:
                self.taken += 1
                self._answer(batch)
                sending.answered(batch, len(batch.rows), 0)
            elif batches.ended:
                return


def begun(*carriers: Carrying) -> Sending:
    of_slot = dict(zip((0, 8192), carriers, strict=True))
    return Sending(Grid(), of_slot.__getitem__, lambda rows, share: None)  # type: ignore[arg-type]


def block(sending: Sending, *numbers: int) -> BlockState:
    state = BlockState(Position(1, 1), Counts(), maybe_there=False)
    sending.begin_block(state)
    for number in numbers:
        sending.put(number, Batch(state, ROWS, 0.0))
    sending.end_block(state)
    return state


def nothing(batch: Batch) -> None:
    pass


def refuse(error: Exception) -> Callable[[Batch], None]:
    def raised(batch: Batch) -> None:
        raise error

    return raised


def test_what_is_refused_for_sure_leaves_nothing_in_doubt() -> None:
    sending = begun(Carrying(refuse(RecordExistsError("it is there"))), Carrying(nothing))
    block(sending, 0)
    with pytest.raises(RecordExistsError):
        sending.finish(lambda: None)
    assert not sending.in_doubt


def test_an_outcome_that_nobody_knows_is_in_doubt() -> None:
    sending = begun(Carrying(nothing), Carrying(refuse(OutcomeUnknownError("no reply came"))))
    block(sending, 0, 1)
    with pytest.raises(OutcomeUnknownError):
        sending.finish(lambda: None)
    assert sending.in_doubt


def test_who_stops_waiting_stops_the_threads_as_well() -> None:
    going, wait = threading.Event(), threading.Event()

    def slowly(batch: Batch) -> None:
        going.set()
        wait.wait()

    slow, other = Carrying(slowly), Carrying(nothing)
    sending = begun(slow, other)
    block(sending, 0, 0, 0)

    def ctrl_c() -> None:
        assert going.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sending.finish(ctrl_c)
    wait.set()
    for thread in threading.enumerate():
        if thread.name.startswith("kubegrid-bulk-"):
            thread.join(10)
    assert slow.taken == 1, "what waited in the queue is not sent any more"
    assert sending.abandoned and sending.in_doubt
