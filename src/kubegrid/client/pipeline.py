"""Many commands at once: they are collected, sent in rounds, and each gives its answer by a handle.

Next on the path of the data: `batch`.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from kubegrid.client import commands
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, NotDoneError, PartlyDoneError
from kubegrid.client.plain import Key
from kubegrid.client.plain_pipeline import PipelineCommands
from kubegrid.client.slots import slot_of

T = TypeVar("T")
_NOT_YET = object()


class Pending(Generic[T]):
    """The answer to one command of a pipeline, once the pipeline was sent."""

    __slots__ = ("_read", "_reply")

    def __init__(self, read: Callable[[Any], T] | None) -> None:
        self._read = read
        self._reply: Any = _NOT_YET

    def result(self) -> T:
        """What the command answered; raises the error it ended with."""
        reply = self._reply
        if reply is _NOT_YET:
            raise NotDoneError(
                "this command was not sent yet", "Read results after the pipeline's `with` block, or `send()`."
            )
        if isinstance(reply, Exception):
            raise reply
        return reply if self._read is None else self._read(reply)


class Pipeline(PipelineCommands):
    """Collects commands; sends them at the end of its `with` block, when many are collected, or when `send` is called.

    After an exception inside the block, what was not sent yet is not sent.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._requests: list[Request] = []
        self._pending: list[Pending[Any]] = []
        self._failures: list[tuple[int, Exception]] = []
        self._sent = 0

    def _do(self, args: tuple[Any, ...], key: Key, write: bool, read: Callable[[Any], Any] | None = None) -> Any:
        args, slot = commands.with_key(args, key)
        return self._add(Request(args, slot, write), read)

    def execute(self, *words: Any) -> Pending[Any]:
        """Any command with a key."""
        command = commands.plan(words)
        if command.key is None:
            raise NotDoneError(f"{command.name} names no key, so a pipeline does not know where to send it")
        return self._add(Request(command.args, slot_of(command.key), command.write), None)

    def _add(self, request: Request, read: Callable[[Any], T] | None) -> Pending[T]:
        pending = Pending(read)
        self._requests.append(request)
        self._pending.append(pending)
        if len(self._requests) >= self._caller.options.in_flight * len(self._caller.routes.all):
            self._send()
        return pending

    def send(self) -> None:
        """Send what is collected, and wait for the answers. PartlyDoneError when commands failed since the last `send`."""
        self._send()
        failures, self._failures = self._failures, []
        sent, self._sent = self._sent, 0
        if failures:
            raise _combined(failures, sent)

    def _send(self) -> None:
        requests, self._requests = self._requests, []
        pending, self._pending = self._pending, []
        for index, (one, reply) in enumerate(zip(pending, run_batch(self._caller, requests), strict=True)):
            one._reply = reply
            if isinstance(reply, ClientError):
                self._failures.append((self._sent + index, reply))
        self._sent += len(requests)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.send()


def _combined(failures: list[tuple[int, Exception]], count: int) -> Exception:
    if count == 1:
        return failures[0][1]
    return PartlyDoneError(
        f"{len(failures)} of {count} commands failed; number {failures[0][0]}: {failures[0][1]}",
        count - len(failures),
        failures,
    )


def raise_failures(replies: Sequence[Any], *, reads: bool = False) -> None:
    """Raise when an error is among `replies`: itself if there was one reply only, else a PartlyDoneError.

    `reads`: of reads nothing is ever done in part, so the first error stands for all.
    """
    failures = [(index, reply) for index, reply in enumerate(replies) if isinstance(reply, ClientError)]
    if failures:
        error = _combined(list(failures), 1 if reads else len(replies))
        raise error from failures[0][1]
