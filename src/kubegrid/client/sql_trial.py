"""A statement that did not succeed at once: whether to ask again, and what to say in the end.

Pure. What `trial` is for commands this is for statements; it leaves the counting to a `Trial`. Every statement carries an id,
so one that changes rows may be sent again when its answer was lost: what was done under the id is not done twice. One that
makes, empties or drops tables is not sent again once it was sent. A question may always
be asked again, unless rows of an answer were given out already: the rest of another answer does not fit them; but not when
pods went away over it one after the other, because it may be what ended them, and the next one has data in memory, too.
Next on the path of the data: `sql_pods`.
"""

from collections.abc import Sequence
from typing import Any

from kubegrid.client import sql_flight, sql_kind
from kubegrid.client.errors import (
    ClientError,
    OutcomeUnknownError,
    SqlCancelledError,
    SqlError,
    SqlLimitError,
    SqlNameError,
    SqlNotSupportedError,
    SqlOutcomeUnknownError,
    SqlPartlyDoneError,
    SqlSyntaxError,
    SqlTimeoutError,
    SqlTypeError,
    SqlWriteRefusedError,
    UnavailableError,
)
from kubegrid.client.options import ClientOptions
from kubegrid.client.trial import Trial
from kubegrid.sql import errors as told
from kubegrid.wire.sql_tickets import PartOutcome

_LATER = (told.Unavailable, told.SchemaMoved)
"""What passes: a partition between two primaries, a table that was altered while the statement was planned."""
PODS_LOST_MAX = 2
"""While they worked for one question. One pod may go away at any time; two, one after the other, are hardly chance."""
_KINDS: dict[type[told.SqlError], type[SqlError]] = {
    told.SyntaxProblem: SqlSyntaxError,
    told.UnknownName: SqlNameError,
    told.TypeProblem: SqlTypeError,
    told.NotSupported: SqlNotSupportedError,
    told.TooMuch: SqlLimitError,
    told.TimedOut: SqlTimeoutError,
    told.Cancelled: SqlCancelledError,
    told.WriteRefused: SqlWriteRefusedError,
}


class SqlTrial:
    """The attempts of one statement so far. Its methods answer how many seconds to wait before the next, or raise."""

    def __init__(
        self, options: ClientOptions, statement: str, statement_id: str, *, started: float, deadline: float
    ) -> None:
        self.statement_id = statement_id
        self.given_out = False
        """Rows of an answer are with the caller."""
        self._defines = sql_kind.defines(statement)
        """It is not done under its id: by the time that it comes again, others may have gone on with the table."""
        self._lost: set[str] = set()
        """Pods that went away while they had the statement."""
        self._trial = Trial(
            options,
            f"`{sql_kind.shown(statement)}`",
            write=sql_kind.writes(statement),
            identified=not self._defines,
            started=started,
            deadline=deadline,
        )

    @property
    def deadline(self) -> float:
        return self._trial.deadline

    @property
    def sent_before(self) -> bool:
        """A pod may have done it, or a part of it."""
        return self._trial.doubtful

    def nobody(self, reason: str, now: float) -> float:
        """No pod is known that could be asked."""
        return self._asking(lambda: self._trial.lost(reason, "the grid", now, sent=False).delay)

    def lost(self, reason: str, address: str, now: float, *, sent: bool, since: float) -> float:
        """The pod did not answer, or not to the end."""
        if self.given_out:
            raise UnavailableError(
                f"{address}: {reason}, in the middle of the answer", "The rows before are no whole answer: ask again."
            )
        if sent and now >= self.deadline and not self._trial.write:
            took = self.deadline - self._trial.started
            raise SqlTimeoutError(f"{self._trial.what} was not answered within {took:.3g} s ({address}: {reason})")
        if sent and reason == sql_flight.CLOSED and not self._trial.write:
            self._lost.add(address)
        delay = self._asking(lambda: self._trial.lost(reason, address, now, sent=sent, since=since).delay)
        if len(self._lost) >= PODS_LOST_MAX:
            raise UnavailableError(
                f"{self._trial.what}: {' and '.join(sorted(self._lost))} went away while they worked for it",
                "It may need more memory than a pod has, so no third one was asked. Ask again if they were stopped.",
            )
        return delay

    def refused(self, error: told.SqlError, address: str, now: float, since: float) -> float:
        """The pod answered with an error."""
        if isinstance(error, _LATER):
            return self.lost(error.message, address, now, sent=not error.outcome_known, since=since)
        if self._trial.doubtful:
            raise self._unknown(
                f"it was sent, and no answer came; sent again, {address} said: {error.message}"
            ) from error
        raise self.to_error(error) from error

    def ended(self, error: ClientError) -> ClientError:
        """What is said when the client can ask nobody any more."""
        return (
            self._unknown(f"it was sent, and no answer came; then {error.message}") if self._trial.doubtful else error
        )

    def to_error(self, error: told.SqlError) -> ClientError:
        """What a pod's error is to who asked."""
        if isinstance(error, told.PartlyDone):
            outcomes = outcomes_of(error.outcomes)
            remedy = error.advice or self._run_again()
            return SqlPartlyDoneError(error.message, remedy, outcomes, self.statement_id)
        if not error.outcome_known and self._trial.write:
            return self._unknown(error.message)
        kind = _KINDS.get(type(error), SqlError)
        return kind(error.message, error.advice, error.code, error.where, error.line, error.column)

    def _asking(self, ask: Any) -> float:
        try:
            delay: float = ask()
        except OutcomeUnknownError as error:
            raise SqlOutcomeUnknownError(error.message, self._run_again(), self.statement_id) from error
        return delay

    def _unknown(self, reason: str) -> SqlOutcomeUnknownError:
        return SqlOutcomeUnknownError(f"{self._trial.what}: {reason}", self._run_again(), self.statement_id)

    def _run_again(self) -> str:
        if self._defines:
            return (
                "Look at what is there (SHOW TABLES, DESCRIBE, count(*)) before running it again; its id does not help."
            )
        return (
            "Run it again within ten minutes with the same id: what was done is not done twice "
            f"(statement_id {self.statement_id})."
        )


def outcomes_of(documents: Sequence[dict[str, Any]]) -> list[PartOutcome]:
    """What an error's JSON tells of each partition."""
    return [
        PartOutcome(
            partition=int(one.get("partition", -1)),
            outcome=str(one.get("outcome") or "unknown"),
            rows=int(one.get("rows") or 0),
            error=str(one.get("error") or one.get("reason") or ""),
        )
        for one in documents
    ]
