"""One statement on one data pod, over Arrow Flight: sent, its answer read batch by batch, cancelled.

Its methods block and are called in threads of `sql_calls`; `cancel` from any thread at any time. What goes wrong comes out as
three kinds: `LostError` (no answer, the pod or the way to it is in trouble), `SqlError` of `kubegrid.sql.errors` (the pod's
own words), AccessError. pyarrow.flight is imported by the first statement of a process.

Forks: gRPC, below Flight, does not survive one. A child of a process that used it is refused by `check_fork` instead of
hanging in its first call, and what it inherited is never freed: freeing waits for threads that the child has not.
Next on the path of the data: `kubegrid.flight.server`, on the other side.
"""

import ctypes
import os
import weakref
from dataclasses import dataclass
from typing import Any

import msgspec

from kubegrid.client.connection import LostError
from kubegrid.client.errors import AccessError, ClosedError
from kubegrid.client.trial import LATE
from kubegrid.sql.errors import Cancelled, SqlError
from kubegrid.wire import sql_tickets

CANCEL_ACTION = "kubegrid.cancel"
CANCEL_S = 2.0
"""How long the word that a statement is not wanted any more may take."""
SLACK_S = 2.0
"""The pod ends a statement at its deadline and says why (which partition did not answer); the call itself ends this much later
at most, if the pod does not: half a second and a tenth of the statement's time."""
_NOT_SENT = ("failed to connect", "connection refused", "no route to host", "name resolution")
_BROKE = ("socket closed", "connection reset", "stream removed", "rst_stream", "goaway", "end of file", "eof")
CLOSED = "closed the connection"
"""The reason of a LostError when the pod is gone, or the way to it, while it had the statement."""
_NOISE = ". gRPC client debug context"


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement as it travels."""

    statement: str
    parameters: tuple[Any, ...]
    statement_id: str
    again: bool = False
    """It may have been sent before under this id."""


class Attempt:
    """One statement on one pod. `open`, then `read` until None; `cancel` ends it."""

    def __init__(self, client: Any, password: str | None, asked: Asked, timeout_s: float) -> None:
        from pyarrow import flight

        _attempts.add(self)
        self._flight = flight
        self._client = client
        self._asked = asked
        self._reader: Any = None
        self._timeout_s = timeout_s
        self._headers = [] if password is None else [(b"authorization", b"Bearer " + password.encode())]
        self._cancelled = False
        self.schema: Any = None
        self.note: sql_tickets.Note | None = None

    def open(self) -> None:
        """Send it; returns when the pod begins to answer. A statement that writes is done then."""
        asked = self._asked
        ticket = sql_tickets.encode(
            asked.statement,
            asked.parameters,
            statement_id=asked.statement_id,
            timeout_ms=max(1, int(self._timeout_s * 1000)),
            again=asked.again,
        )
        slack_s = min(SLACK_S, 0.5 + self._timeout_s / 10)
        options = self._flight.FlightCallOptions(timeout=self._timeout_s + slack_s, headers=self._headers)
        try:
            reader = self._client.do_get(self._flight.Ticket(ticket), options)
            schema = reader.schema
        except Exception as error:
            raise self._told(error) from error
        self._reader = reader
        self.note = sql_tickets.note_of(schema.metadata)
        if self.note is None and not len(schema):
            self.note = sql_tickets.Note()  # it defined something: there is no number to tell
        rest = {key: value for key, value in (schema.metadata or {}).items() if key != sql_tickets.NOTE}
        self.schema = schema.with_metadata(rest or None)
        if self._cancelled:
            reader.cancel()

    def whole(self, bytes_max: int) -> list[Any] | None:
        """Send it, and all batches; None when they are more than `bytes_max`."""
        self.open()
        batches: list[Any] = []
        size = 0
        while (batch := self.read()) is not None:
            batches.append(batch)
            size += batch.nbytes
            if size > bytes_max:
                return None
        return batches

    def read(self) -> Any:
        """The next batch; None at the end."""
        while True:
            try:
                batch = self._reader.read_chunk().data
            except StopIteration:
                return None
            except Exception as error:
                raise self._told(error) from error
            if batch is not None:
                return batch.replace_schema_metadata(self.schema.metadata)

    def cancel(self) -> None:
        """Nobody wants the answer any more. Never raises."""
        self._cancelled = True
        if is_inherited():
            return
        reader = self._reader
        try:
            if reader is not None:
                reader.cancel()
                return
            body = msgspec.json.encode({"statement_id": self._asked.statement_id})
            options = self._flight.FlightCallOptions(timeout=CANCEL_S, headers=self._headers)
            list(self._client.do_action(self._flight.Action(CANCEL_ACTION, body), options))
        except Exception:  # it will be noticed by the pod that nobody reads
            return

    def _told(self, error: Exception) -> Exception:
        """What an exception of Flight means."""
        document = sql_tickets.decode_error(getattr(error, "extra_info", None))
        if document is not None:
            return SqlError.from_json(document)
        flight = self._flight
        reason = str(error).partition(_NOISE)[0].strip() or type(error).__name__
        lower = reason.lower()
        if self._cancelled:
            return Cancelled("the statement was cancelled by this client", outcome_known=False)
        if isinstance(error, flight.FlightUnauthenticatedError | flight.FlightUnauthorizedError):
            return AccessError(f"the data pod did not let this client in: {reason}")
        if isinstance(error, flight.FlightTimedOutError):
            return LostError(LATE, sent=True)
        if any(words in lower for words in _NOT_SENT):
            return LostError("connection refused", sent=False)
        if isinstance(error, flight.FlightUnavailableError | flight.FlightCancelledError) or any(
            words in lower for words in _BROKE
        ):
            return LostError(CLOSED, sent=True)
        return SqlError(f"the data pod failed: {reason}", outcome_known=False)


# -- one process -------------------------------------------------------------------------------------------------------

_used_by: int | None = None
"""The process whose gRPC this is."""
_attempts: "weakref.WeakSet[Attempt]" = weakref.WeakSet()


def connect(address: str) -> Any:
    """A `FlightClient`; it connects with its first call, and threads may share it. ClosedError after a fork."""
    global _used_by
    check_fork()
    from pyarrow import flight

    _used_by = os.getpid()
    return flight.FlightClient(f"grpc://{address}")


def is_inherited() -> bool:
    """Whether this process was forked from the one that used Flight: nothing of it may be touched here."""
    return _used_by is not None and _used_by != os.getpid()


def never_free(*inherited: Any) -> None:
    """In a forked child: keep these for ever."""
    for one in inherited:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _in_child() -> None:
    for attempt in list(_attempts):
        never_free(attempt._client, attempt._reader)


os.register_at_fork(after_in_child=_in_child)


def check_fork() -> None:
    """ClosedError in a process whose parent had used Flight before it forked."""
    if is_inherited():
        raise ClosedError(
            "the parent of this process used SQL before it forked, and gRPC does not survive that",
            "Start workers by `multiprocessing.get_context('spawn')` (or forkserver), or fork before the first statement.",
        )
