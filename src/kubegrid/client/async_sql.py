"""`await grid.sql(…)`: statements of SQL by the async client. The loop never waits: calls to data pods are made in threads.

Next on the path of the data: `sql_calls`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from kubegrid.client import clock
from kubegrid.client.errors import ClosedError
from kubegrid.client.options import ClientOptions
from kubegrid.client.sql import ASK_AGAIN, CLOSED
from kubegrid.client.sql_calls import Blocking, Conversation, Statements, Steps
from kubegrid.client.sql_pods import Pods
from kubegrid.client.sql_result import SqlResult, rows_of
from kubegrid.client.sql_thread import in_thread

T = TypeVar("T")


class AsyncSqlCaller:
    """Statements of one `AsyncGrid`."""

    def __init__(self, pods: Pods, options: ClientOptions, check_here: Callable[[], None]) -> None:
        self._check_here = check_here
        self._statements = Statements(pods, options)
        self._options = options
        self._room = asyncio.Semaphore(options.statements)

    async def run(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> SqlResult:
        conversation = await self._begin(statement, parameters, timeout, statement_id)
        try:
            return await self._lead(conversation, conversation.whole())
        finally:
            self._room.release()

    async def stream(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> "AsyncSqlStream":
        conversation = await self._begin(statement, parameters, timeout, statement_id)
        try:
            return AsyncSqlStream(self, conversation, await self._lead(conversation, conversation.first()))
        except BaseException:
            self._room.release()
            raise

    async def close(self) -> None:
        await asyncio.wrap_future(in_thread(self._statements.pods.close))

    async def _begin(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> Conversation:
        self._check_here()
        conversation = self._statements.begin(statement, parameters, timeout, statement_id)
        try:
            async with asyncio.timeout(max(0.0, conversation.trial.deadline - clock.now())):
                await self._room.acquire()
        except TimeoutError:
            raise conversation.overloaded() from None
        return conversation

    async def _lead(self, conversation: Conversation, steps: Steps[T]) -> T:
        """Carry out the steps of a conversation. Cancelled, it tells the pod, and does not wait for that."""
        try:
            todo = next(steps)
            while True:
                try:
                    done: Any = None
                    if isinstance(todo, Blocking):
                        done = await self._block(conversation, todo)
                    else:
                        await asyncio.sleep(todo)
                except Exception as error:
                    todo = steps.throw(error)
                else:
                    todo = steps.send(done)
        except StopIteration as end:
            result: T = end.value
            return result
        except BaseException:
            in_thread(conversation.close)
            raise

    async def _block(self, conversation: Conversation, blocking: Blocking) -> Any:
        future = asyncio.wrap_future(in_thread(blocking.call))
        future.add_done_callback(_heard)
        waited = 0.0
        while not (await asyncio.wait([future], timeout=self._options.silence))[0]:
            waited += self._options.silence
            lost = await asyncio.wrap_future(in_thread(lambda: conversation.silent(blocking, waited)))  # noqa: B023
            if lost is not None and not future.done():
                raise lost
        return future.result()


def _heard(future: "asyncio.Future[Any]") -> None:
    """Of a call that nobody waits for any more the error is no news; asyncio would print it."""
    if not future.cancelled():
        future.exception()


class AsyncSqlStream:
    """An answer that is read batch by batch, by `async for`; see `SqlStream`."""

    def __init__(self, caller: AsyncSqlCaller, conversation: Conversation, first: Any) -> None:
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
            self._close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Batches, as `pyarrow.RecordBatch`. Each is given once; ClosedError if it was closed before its end."""
        if not self._open and not self._whole:
            raise ClosedError(CLOSED, ASK_AGAIN)
        try:
            while self._open:
                batch, self._first = self._first, None
                if batch is None:
                    batch = await self._caller._lead(self._conversation, self._conversation.next())
                if batch is None:
                    self._whole = True
                    break
                yield batch
        finally:
            self._close()

    async def rows(self) -> AsyncIterator[tuple[Any, ...]]:
        """Rows, as tuples of Python's values."""
        async for batch in self:
            for row in rows_of(batch):
                yield row

    async def close(self) -> None:
        """End it. Any number of times."""
        self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._caller._room.release()
            in_thread(self._conversation.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()
