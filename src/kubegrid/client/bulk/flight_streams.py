"""Streams of Arrow Flight to the primaries: where they listen, opening one, and what its errors mean.

Of pyarrow and gRPC this module knows alone. Next on the path of the data: `flight.puts`, on the other side.
"""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from kubegrid.client import clock, sql_flight
from kubegrid.client.caller import Caller
from kubegrid.client.deadline import CURRENT
from kubegrid.client.errors import AccessError, ClientError, ClosedError, RejectedError
from kubegrid.sql.errors import Cancelled, SqlError, Unavailable
from kubegrid.wire import row_streams, sql_tickets

STREAM_S = 5.0
"""A stream takes no more batches after this; another one is opened."""
DEADLINE_S = 12.0
"""Of a stream, from its opening, at most: a member that stands still is found out by it."""
DEADLINE_MIN_S = 0.1
ENDPOINTS_S = 15.0
"""For a member to say where the Flight ports are; one that has just started opens its own first."""
_NOT_SENT = ("failed to connect", "connection refused", "no route to host")


class StreamLost(Exception):
    """No answer will come from this stream. `sent`: whether something may have arrived."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class FlightStreams:
    """Opens streams to the primaries of a grid, on connections that it keeps. Any thread may ask."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._lock = threading.Lock()
        self._flight_of: dict[str, str | None] = {}
        self._clients: dict[str, Any] = {}
        self._closed = False

    def there(self) -> bool:
        """Whether the members serve Arrow Flight, and this process can use it."""
        if sql_flight.is_inherited():
            return False
        try:
            until = CURRENT.get()
            self._look(clock.now() + ENDPOINTS_S if until is None else until)
        except RejectedError:  # an older version, which does not know KG.ENDPOINTS
            return False
        return any(self._flight_of.values())

    def open(self, path: tuple[str, ...], address: str, deadline: float) -> "Stream":
        """A stream to the member with this RESP address. `path`: table, mode, number of the schema.

        Raises StreamLost, ClientError.
        """
        place = self._flight_of.get(address)
        if place is None:
            self._look(deadline)
            place = self._flight_of.get(address)
            if place is None:
                raise StreamLost("does not serve Arrow Flight yet", sent=False)
        with self._lock:
            if self._closed:
                raise ClosedError("the write was given up")
            client = self._clients.get(place)
            if client is None:
                client = self._clients[place] = sql_flight.connect(place)
        left = min(DEADLINE_S, max(DEADLINE_MIN_S, deadline - clock.now()))
        return Stream(client, path, self._caller.options.password, left, lambda: self._forget(address))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _forget(self, address: str) -> None:
        """A stream was lost: the member may have been started anew, with another port; and a connection that found nobody
        would share in gRPC's growing pauses."""
        with self._lock:
            place = self._flight_of.pop(address, None)
            if place is not None:
                self._clients.pop(place, None)

    def _look(self, deadline: float) -> None:
        slot = self._caller.routes.all[0].first_slot
        until = min(deadline, clock.now() + ENDPOINTS_S)
        told = msgspec.json.decode(self._caller.call_long((b"KG.ENDPOINTS",), slot, False, until))
        self._flight_of = {one["resp"]: one["flight"] for one in told}


class Stream:
    """One DoPut. Not for several threads."""

    def __init__(
        self, client: Any, path: tuple[str, ...], password: str | None, timeout_s: float, lost: Callable[[], None]
    ) -> None:
        """`lost` is called when it breaks."""
        from pyarrow import flight

        self._flight = flight
        self._client = client
        self._descriptor = flight.FlightDescriptor.for_path(row_streams.ROWS, *path)
        headers = [] if password is None else [(b"authorization", b"Bearer " + password.encode())]
        self._options = flight.FlightCallOptions(timeout=timeout_s, headers=headers)
        self._timeout_s = timeout_s
        self._lost = lost
        self._opened = clock.now()
        self._writer: Any = None
        self._reader: Any = None

    @property
    def old(self) -> bool:
        return clock.now() - self._opened > STREAM_S

    def write(self, rows: pa.RecordBatch, metadata: bytes) -> None:
        """Raises StreamLost, ClientError."""
        try:
            if self._writer is None:
                self._writer, self._reader = self._client.do_put(self._descriptor, rows.schema, self._options)
            self._writer.write_with_metadata(rows, pa.py_buffer(metadata))
        except Exception as error:
            raise self._told(error) from error

    def read(self) -> tuple[int, bytes]:
        """The next answer. Raises the same."""
        try:
            answer = self._reader.read()
        except Exception as error:
            raise self._told(error) from error
        if answer is None:
            try:
                self._writer.close()
            except Exception as error:
                raise self._told(error) from error
            raise StreamLost("ended the stream", sent=True)
        return row_streams.decode_answer(answer.to_pybytes())

    def close(self) -> None:
        """Never raises: whatever has an answer has it already."""
        if self._writer is None:
            return
        try:
            self._writer.done_writing()
            self._writer.close()
        except Exception:
            return

    def _told(self, error: Exception) -> Exception:
        told = self._meaning(error)
        if isinstance(told, StreamLost):
            self._lost()
        return told

    def _meaning(self, error: Exception) -> Exception:
        """What an exception of Flight is for who writes."""
        document = sql_tickets.decode_error(getattr(error, "extra_info", None))
        if document is not None:
            said = SqlError.from_json(document)
            if isinstance(said, Unavailable | Cancelled):
                return StreamLost(said.message, sent=True)
            return RejectedError(said.message, said.remedy)
        reason = str(error).partition(". gRPC client debug context")[0].strip() or type(error).__name__
        if isinstance(error, self._flight.FlightUnauthenticatedError | self._flight.FlightUnauthorizedError):
            return AccessError(f"the member did not let these rows in: {reason}")
        if isinstance(error, ClientError):
            return error
        if isinstance(error, self._flight.FlightTimedOutError):
            return StreamLost(f"did not answer within {self._timeout_s:.3g} s", sent=True)
        sent = not any(words in reason.lower() for words in _NOT_SENT)
        return StreamLost("closed the connection" if sent else "connection refused", sent=sent)
