"""A statement as a conversation with the data pods: which one is asked, what is asked again, when it ends.

Written once for both clients. `Conversation` yields what must be done next and is sent its result, or thrown its error: a number
is a wait in seconds, `Blocking` is a call that may block, for a thread. `sql` and `async_sql` carry these out.
Next on the path of the data: `sql_pods`, `sql_flight`.
"""

import dataclasses
import functools
import threading
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kubegrid.base.errors import UsageError
from kubegrid.base.table_errors import shown
from kubegrid.client import arguments, clock, sql_kind
from kubegrid.client.connection import LostError
from kubegrid.client.deadline import CURRENT
from kubegrid.client.errors import BadValueError, ClientError, OverloadedError, SqlLimitError
from kubegrid.client.options import STATEMENT_TIMEOUT_MAX_S, ClientOptions
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.sql_flight import SLACK_S, Asked, Attempt
from kubegrid.client.sql_pods import Pod, Pods
from kubegrid.client.sql_result import SqlResult
from kubegrid.client.sql_thread import in_thread
from kubegrid.client.sql_trial import SqlTrial
from kubegrid.client.trial import LATE
from kubegrid.sql.errors import SqlError
from kubegrid.wire.sql_tickets import TicketError

STATEMENT_ID_CHARS_MAX = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blocking:
    """A call for a thread. With `pod` it is watched: a pod that says nothing on its other port either is given up."""

    call: Callable[[], Any]
    pod: Pod | None = None


Steps = Generator[Blocking | float, Any, T]


class Statements:
    """What all statements of a client have in common. For any number of threads."""

    def __init__(self, pods: Pods, options: ClientOptions) -> None:
        self.pods = pods
        self.options = options
        self._ids = RequestIds()
        self._lock = threading.Lock()

    def begin(
        self, statement: str, parameters: Sequence[Any], timeout: float | None, statement_id: str | None
    ) -> "Conversation":
        """UsageError, BadValueError when it cannot be asked at all."""
        if not isinstance(statement, str):
            raise UsageError(f"a statement is a str, not {type(statement).__name__}")
        if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence):
            raise UsageError(
                f"parameters are a list or tuple of values, not {type(parameters).__name__}",
                "One value is written [value]; they stand for ? or $1, $2 … in the statement.",
            )
        if timeout is None:
            timeout = self.options.statement_timeout
        timeout = arguments.seconds(timeout, "timeout", STATEMENT_TIMEOUT_MAX_S)
        started = clock.now()
        limit = CURRENT.get()
        deadline = started + timeout if limit is None else min(limit, started + timeout)
        given = _checked(statement_id)
        ids = None
        if given is None and sql_kind.writes(statement):
            ids, seq, acked = self._take()
            given = f"{ids.client.hex()}-{seq}-{acked}"
        again = statement_id is not None and sql_kind.writes(statement)
        asked = Asked(statement, tuple(parameters), given or uuid.uuid4().hex, again)
        trial = SqlTrial(self.options, statement, asked.statement_id, started=started, deadline=deadline)
        return Conversation(self, asked, trial, (ids, seq) if ids is not None else None)

    def _take(self) -> tuple[RequestIds, int, int]:
        """Numbers under one identity: members remember some thousands of these, each for ten minutes."""
        with self._lock:
            while True:
                taken = self._ids.take()
                if taken is not None:
                    return self._ids, *taken
                self._ids = RequestIds()


class Conversation:
    """One statement: `whole`, or `first` and then `next` until None. `close` at any time, from any thread."""

    def __init__(
        self, statements: Statements, asked: Asked, trial: SqlTrial, number: tuple[RequestIds, int] | None
    ) -> None:
        self.trial = trial
        self.attempt: Attempt | None = None
        self._statements = statements
        self._asked = asked
        self._number = number
        self._pod: Pod | None = None
        self._since = 0.0
        self._ended = False

    # -- steps -------------------------------------------------------------------------------------------------------

    def whole(self) -> Steps[SqlResult]:
        """The answer with all its rows. Those that came before a failure are forgotten, and it is asked again."""
        limit = self._statements.options.answer_bytes
        batches, attempt = yield from self._until_answered(lambda attempt: attempt.whole(limit))
        if batches is None:
            raise SqlLimitError(
                f"the answer is larger than {limit:,} bytes",
                "Ask for less, read it by sql_stream, or raise `answer_bytes` of the client.",
                "LIMIT",
            )
        self._end()
        return SqlResult(attempt.schema, batches, attempt.note, self._asked.statement_id)

    def first(self) -> Steps[Any]:
        """The first batch, or None: until here a failure is repaired without a word."""

        def first(attempt: Attempt) -> Any:
            attempt.open()
            return attempt.read()

        batch, _ = yield from self._until_answered(first)
        self.trial.given_out = True
        if batch is None:
            self._end()
        return batch

    def _until_answered(self, ask: Callable[[Attempt], T]) -> Steps[tuple[T, Attempt]]:
        """What `ask` gives, and by whom: asked of one pod after the other. Raises ClientError."""
        pods = self._statements.pods
        trial = self.trial
        while True:
            try:
                pod: Pod = pods.choose() if pods.known else (yield Blocking(pods.choose))
            except LostError as error:
                yield trial.nobody(error.reason, clock.now())
                continue
            except ClientError as error:  # it was closed, or the password is another one now
                raise trial.ended(error) from error
            self._pod = pod
            self._since = clock.now()
            left = max(0.001, trial.deadline - self._since)
            asked = dataclasses.replace(self._asked, again=True) if trial.sent_before else self._asked
            attempt = self.attempt = Attempt(pods.client(pod), self._statements.options.password, asked, left)
            try:
                answer: T = yield Blocking(functools.partial(ask, attempt), pod)
            except TicketError as error:
                self._end()  # it was never sent
                raise BadValueError(error.message, error.remedy) from error
            except (LostError, SqlError) as error:
                yield self._failed(error)
                continue
            except ClientError as error:
                raise trial.ended(error) from error
            if attempt.note is not None:
                self._settled()
            return answer, attempt

    def next(self) -> Steps[Any]:
        """The next batch; None at the end. UnavailableError when the pod is lost: what came before is no whole answer."""
        attempt = self.attempt
        assert attempt is not None
        if self._ended:
            return None
        try:
            batch = yield Blocking(attempt.read, self._pod)
        except (LostError, SqlError) as error:
            self._failed(error)
            raise
        if batch is None:
            self._end()
        return batch

    # -- what becomes of it ------------------------------------------------------------------------------------------

    def _failed(self, error: LostError | SqlError) -> float:
        """How long to wait before the next attempt; raises when there is none."""
        pod = self._pod
        assert pod is not None
        now = clock.now()
        try:
            if isinstance(error, LostError):
                self._statements.pods.failed(pod)
                if self.attempt is not None and error.sent:
                    in_thread(self.attempt.cancel)
                return self.trial.lost(error.reason, pod.flight, now, sent=error.sent, since=self._since)
            return self.trial.refused(error, pod.flight, now, self._since)
        except Exception as final:
            self._ended = True
            if getattr(final, "outcome_known", True) and not getattr(final, "failures", None):
                self._settled()
            raise

    def _end(self) -> None:
        self._ended = True
        self._settled()

    def _settled(self) -> None:
        """The outcome is known: its number will not be sent again."""
        number, self._number = self._number, None
        if number is not None:
            number[0].done(number[1])

    def silent(self, blocking: Blocking, waited_s: float) -> LostError | None:
        """After a while without a word: why not to wait any longer; asked in a thread."""
        if blocking.pod is None:
            return None
        if clock.now() > self.trial.deadline + SLACK_S:
            return LostError(LATE, sent=True)
        if not self._statements.pods.answers(blocking.pod):
            return LostError(f"was silent for {waited_s:.3g} s", sent=True)
        return None

    def close(self) -> None:
        """Nobody reads it any further. Blocks for a moment when it still runs."""
        if not self._ended:
            self._ended = True
            if self.attempt is not None:
                self.attempt.cancel()
            else:
                self._settled()

    def overloaded(self) -> OverloadedError:
        """Until its deadline it found no room among the client's other statements."""
        self.close()
        return OverloadedError(
            f"{self._statements.options.statements} statements run in this client already",
            "Close streams that are not read any more, or raise `statements` of the client.",
        )


def _checked(statement_id: str | None) -> str | None:
    if statement_id is None:
        return None
    if (
        not isinstance(statement_id, str)
        or not 0 < len(statement_id) <= STATEMENT_ID_CHARS_MAX
        or not (statement_id.isascii() and statement_id.isprintable())
    ):
        raise UsageError(
            f"a statement id is a text of 1 to {STATEMENT_ID_CHARS_MAX} printable ASCII characters, not {shown(statement_id)}",
            "Take something that names this piece of work and nothing else, or str(uuid.uuid4()).",
        )
    return statement_id
