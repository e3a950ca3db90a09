"""Errors on their way through Flight: out as Flight's kinds with the whole error as JSON beside it, and back.

What leaves a call must be a `FlightError`: of any other exception Flight shows the caller our stack. The text is for
people with any driver; `extra_info` is the error itself, for our client and for the other pods (`sql.errors`).
"""

import logging
import traceback
from typing import Any
from urllib.parse import quote

from pyarrow import flight

from kubegrid.base.errors import KubegridError
from kubegrid.base.table_errors import TableError
from kubegrid.sql import errors
from kubegrid.wire.sql_tickets import TicketError, decode_error, encode_error

log = logging.getLogger("kubegrid.flight")

INTERNAL = "a mistake in KubeGrid's own code stopped this call; the member's log has the details"
TEXT_BYTES_MAX = 1500
"""Of an error's text as HTTP/2 headers carry it, each byte beyond ASCII as three; the whole text is in `extra_info`."""

_KINDS: dict[str, Any] = {
    errors.Unavailable.code: flight.FlightUnavailableError,
    errors.TimedOut.code: flight.FlightTimedOutError,
    errors.Cancelled.code: flight.FlightCancelledError,
}


def outgoing(error: BaseException) -> Any:
    """The FlightError that tells of `error`."""
    if isinstance(error, flight.FlightError):
        return error
    sql_error = as_sql_error(error)
    kind = _KINDS.get(sql_error.code, flight.FlightServerError)
    return kind(_text(sql_error), encode_error(sql_error.to_json()))


def let_go(error: BaseException | None) -> None:
    """Forget what the calls hold that `error` and its causes came through.

    They refer to it as it does to them, and a member's collector looks at nothing old: a batch of rows that was refused after
    some seconds would stay for ever.
    """
    if error is not None and error.__traceback__ is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        let_go(error.__cause__)
        let_go(error.__context__)


def as_sql_error(error: BaseException) -> errors.SqlError:
    """`error` as one of the tree that travels. What nobody expected is logged here, and told without details."""
    if isinstance(error, errors.SqlError):
        return error
    if isinstance(error, TicketError | TableError):
        return errors.NotSupported(error.message, remedy=error.remedy)
    if isinstance(error, KubegridError):
        return errors.SqlError(error.message, remedy=error.remedy, outcome_known=error.outcome_known)
    if isinstance(error, MemoryError):
        return errors.TooMuch("the member has not the memory for this call", remedy="Ask for less at once.")
    log.error("a call of Arrow Flight failed", exc_info=error)
    return errors.SqlError(INTERNAL)


def after(rows: int, error: BaseException) -> errors.SqlError:
    """The same error, where it is not the whole truth: what the same call sent before is written."""
    told = as_sql_error(error)
    if not rows:
        return told
    return errors.PartlyDone(
        f"{rows} row{'s' if rows > 1 else ''} of this call {'were' if rows > 1 else 'was'} written before: {told.message}",
        remedy=told.advice,
        where=told.where,
        outcomes=told.outcomes,
        outcome_known=told.outcome_known,
    )


def incoming(error: BaseException, peer: str) -> errors.SqlError:
    """The error that a call to `peer` met: its own, if it told one; else what became of the call."""
    if isinstance(error, errors.SqlError):
        return error
    document = decode_error(getattr(error, "extra_info", None))
    if document is not None:
        return errors.SqlError.from_json(document)
    text = str(error).split(". gRPC client debug context", 1)[0]
    if isinstance(error, flight.FlightTimedOutError):
        return errors.TimedOut(
            f"{peer} did not answer in time",
            remedy=f"Ask again, for less or with more time; the log of {peer} tells what it was busy with.",
        )
    if isinstance(error, flight.FlightCancelledError):
        return errors.Cancelled(f"the call to {peer} was cancelled")
    if isinstance(error, flight.FlightUnauthenticatedError | flight.FlightUnauthorizedError):
        return errors.SqlError(f"{peer} refuses this member: {text}")
    return errors.Unavailable(f"{peer} does not answer: {text}")


def _text(error: errors.SqlError) -> str:
    text = str(error).removesuffix(".")  # Flight puts a period and words of its own behind it
    return text if len(quote(text)) <= TEXT_BYTES_MAX else text[: TEXT_BYTES_MAX // 4] + "…"
