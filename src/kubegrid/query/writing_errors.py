"""What the client's errors mean for a statement that writes, and what is said when not every partition did its part."""

from collections.abc import Sequence
from typing import Any

from kubegrid.client import errors
from kubegrid.query.result import PartitionOutcome
from kubegrid.query.writing_work import ANSWERED_BEFORE, DONE, NOT_DONE, UNKNOWN, Work
from kubegrid.sql.errors import PartlyDone, SchemaMoved, SqlError, TypeProblem, Unavailable, UnknownName, WriteRefused

_KINDS: tuple[tuple[type[errors.ClientError], type[SqlError]], ...] = (
    (errors.SchemaChangedError, SchemaMoved),
    (errors.BadValueError, TypeProblem),
    (errors.UnknownTableError, UnknownName),
    (errors.UnknownColumnError, UnknownName),
    (errors.RejectedError, WriteRefused),
    (errors.NoManagerError, SqlError),  # it was waited for, and another member knows of no other manager
)
RUN_AGAIN = "Run the statement again with the same statement id: what was done is not done twice."
NOT_KEPT = "Its answer is not kept any more: look at what is there. A statement that is new needs an id of its own."
LOOK_FIRST = "Look at what is there before running it again: it had no statement id."


def sql_error(error: errors.ClientError) -> SqlError:
    """The error of one request, as the statement's."""
    if isinstance(error, errors.ClosedError):  # the pod's own client, which nobody else knows of
        return Unavailable("this member is stopping", remedy="Ask another member.")
    kind = next((sql for client, sql in _KINDS if isinstance(error, client)), Unavailable)
    return kind(error.message, remedy=error.remedy, outcome_known=error.outcome_known)


def failure(table: str, works: Sequence[Work], repeatable: bool) -> SqlError:
    """Why the statement is not done as a whole."""
    outcomes = [work.outcome(lambda error: error.message) for work in works]
    documents = [document(outcome) for outcome in outcomes]
    failed = [outcome for outcome in outcomes if outcome.outcome != DONE]
    first = failed[0]
    if all(outcome.outcome == NOT_DONE for outcome in outcomes):
        work = next(work for work in works if work.partition == first.partition)
        if work.error is None:
            return Unavailable(f"the time was over before table {table} was written", outcomes=documents)
        error = sql_error(work.error)
        return type(error)(error.message, remedy=error.advice, outcomes=documents)
    known = not any(outcome.outcome == UNKNOWN for outcome in outcomes)
    where = ", ".join(
        f"{outcome.partition} ({outcome.outcome}: {outcome.error or 'its time was over'})" for outcome in failed
    )
    done = [str(outcome.partition) for outcome in outcomes if outcome.outcome == DONE]
    which = f"partition {', '.join(done)} did its part" if done else "no partition is known to have done its part"
    remedy = RUN_AGAIN if repeatable else LOOK_FIRST
    if any(outcome.error == ANSWERED_BEFORE for outcome in failed):
        remedy = NOT_KEPT
    return PartlyDone(
        f"table {table}: {which}, partition {where}",
        remedy=remedy,
        outcomes=documents,
        outcome_known=known,
    )


def document(outcome: PartitionOutcome) -> dict[str, Any]:
    said: dict[str, Any] = {"partition": outcome.partition, "outcome": outcome.outcome, "rows": outcome.rows}
    return said | ({"reason": outcome.error} if outcome.error else {})
