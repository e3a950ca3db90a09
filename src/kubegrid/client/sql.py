"""`grid.sql(…)`: statements of SQL by the sync client.

A call to a data pod is made in a thread of its own, because gRPC hears neither Ctrl-C nor that its machine was suspended: the
calling thread waits where it can be woken, and looks after a while whether the pod still lives.
Next on the path of the data: `sql_calls`.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, Self, TypeVar

from kubegrid.client import clock
from kubegrid.client.errors import ClosedError
from kubegrid.client.options import ClientOptions
from kubegrid.client.sql_calls import Blocking, Conversation, Statements, Steps
from kubegrid.client.sql_pods import Pods
from kubegrid.client.sql_result import SqlResult, rows_of
from kubegrid.client.sql_thread import in_thread

T = TypeVar("T")
CANCEL_WAIT_S = 2.5
"""How long Ctrl-C waits for the pod to be told."""
CLOSED = "this stream was closed before it was read to its end"
ASK_AGAIN = "The rows before are no whole answer: ask again, or read it in one loop."


class SqlCaller:
    """Statements of one `Grid`, from any number of threads."""

    def __init__(self, pods: Pods, options: ClientOptions) -> None:
        self._statements = Statements(pods, options)
        self._options = options
        self._room = BoundedSemaphore(options.statements)

    def run(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> SqlResult:
        conversation = self._begin(statement, parameters, timeout, statement_id)
        try:
            return self._lead(conversation, conversation.whole())
        finally:
            self._room.release()

    def stream(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> "SqlStream":
        conversation = self._begin(statement, parameters, timeout, statement_id)
        try:
            return SqlStream(self, conversation, self._lead(conversation, conversation.first()))
        except BaseException:
            self._room.release()
            raise

    def close(self) -> None:
        self._statements.pods.close()

    def _begin(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> Conversation:
        conversation = self._statements.begin(statement, parameters, timeout, statement_id)
        if not self._room.acquire(timeout=max(0.0, conversation.trial.deadline - clock.now())):
            raise conversation.overloaded()
        return conversation

    def _lead(self, conversation: Conversation, steps: Steps[T]) -> T:
        """Carry out the steps of a conversation."""
        try:
            todo = next(steps)
            while True:
                try:
                    done: Any = None
                    if isinstance(todo, Blocking):
                        done = self._block(conversation, todo)
                    else:
                        time.sleep(todo)
                except Exception as error:
                    todo = steps.throw(error)
                else:
                    todo = steps.send(done)
        except StopIteration as end:
            result: T = end.value
            return result
        except BaseException:
            closing = in_thread(conversation.close)
            wait([closing], CANCEL_WAIT_S)
            raise

    def _block(self, conversation: Conversation, blocking: Blocking) -> Any:
        """The result of a call that runs in a thread; a pod that has fallen silent is not waited for."""
        future = in_thread(blocking.call)
        waited = 0.0
        while not _done(future, self._options.silence):
            waited += self._options.silence
            lost = conversation.silent(blocking, waited)
            if lost is not None and not future.done():
                raise lost
        return future.result()


def _done(future: "Future[Any]", seconds: float) -> bool:
    """By `exception`, which costs half of what `wait` does."""
    try:
        future.exception(seconds)
    except TimeoutError:
        return future.done()
    return True


class SqlStream:
    """An answer that is read batch by batch: iterate over it, or over `rows()`; close it, or use it as a context manager.

    It holds one of the statements that the grid runs at a time until it is read to the end, or closed. Its deadline goes on
    while it is read. When its pod is lost in the middle an UnavailableError says so: what came before is no whole answer.
    """

    def __init__(self, caller: SqlCaller, conversation: Conversation, first: Any) -> None:
        attempt = conversation.attempt
        assert attempt is not None
        self.schema = attempt.schema
        """`pyarrow.Schema` of every batch."""
        self.note = attempt.note
        """Of a statement that writes: rows changed, and what each partition did. None of a question."""
        self._caller = caller
        self._conversation = conversation
        self._first = first
        self._open = True
        self._whole = first is None
        if first is None:
            self.close()

    def __iter__(self) -> Iterator[Any]:
        """Batches, as `pyarrow.RecordBatch`. Each is given once; ClosedError if it was closed, or left, before its end."""
        if not self._open and not self._whole:
            raise ClosedError(CLOSED, ASK_AGAIN)
        try:
            while self._open:
                batch, self._first = self._first, None
                if batch is None:
                    batch = self._caller._lead(self._conversation, self._conversation.next())
                if batch is None:
                    self._whole = True
                    break
                yield batch
        finally:
            self.close()

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows, as tuples of Python's values."""
        for batch in self:
            yield from rows_of(batch)

    def close(self) -> None:
        """End it. Any number of times."""
        if self._open:
            self._open = False
            self._caller._room.release()
            self._conversation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            in_thread(self.close)
