"""The primaries of all partitions, as the engine of this pod reaches them: itself directly, the others by Flight.

Who is primary is asked anew for every fragment. What is known may be old: then the member that is asked refuses, or does
not answer at all. As soon as another primary is known the call is given up, and the engine asks that one.

Next on the path of the data: `fragment_call`, and `fragments` of the pod that is asked.
"""

import contextlib
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import pyarrow as pa
from pyarrow import flight

from kubegrid.columns import requests
from kubegrid.columns.requests import FragmentRequest
from kubegrid.flight import fragment_call, tickets
from kubegrid.flight.access import Access
from kubegrid.flight.failures import incoming
from kubegrid.flight.fragment_call import FragmentStream
from kubegrid.flight.lookout import Lookout
from kubegrid.flight.service import Fragments
from kubegrid.query.partitions import Cancelled as Gone
from kubegrid.sql.errors import Cancelled, SqlError, TimedOut, Unavailable

MARGIN_S = 2.0
"""Beyond the time of a fragment, which ends by itself when it is over: for the answer's way."""
CANCEL_TIMEOUT_S = 1.0
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # a new client is a new connection
    ("grpc.initial_reconnect_backoff_ms", 100),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the primary of a partition is, as far as is known."""

    name: str
    address: str | None
    """`host:port` of its Flight port; None: it does not listen."""


class Places(Protocol):
    """What the pod knows of the grid. Called from any thread."""

    @property
    def count(self) -> int: ...
    def place(self, partition: int) -> Place | None:
        """None: no primary is known."""

    def own(self, partition: int) -> bool:
        """Whether this very member is its primary."""


class GridPartitions:
    """`query.partitions.Partitions` for a real grid. Invariant: one client for each address, closed with this."""

    def __init__(self, places: Places, access: Access, fragments: Callable[[], Fragments]) -> None:
        self._places = places
        self._access = access
        self._fragments = fragments
        self._clients: dict[str, Any] = {}
        self._guard = threading.Lock()
        self._lookout = Lookout()
        self._closed = False

    @property
    def count(self) -> int:
        return self._places.count

    def run(self, partition: int, request: FragmentRequest, cancelled: Gone) -> Any:
        """See `query.partitions.Partitions`."""
        if self._places.own(partition):
            try:
                return self._fragments().run(request, cancelled)
            except (Cancelled, TimedOut) as error:
                raise _named(error, self._places.place(partition)) from error
        place, client = self._reach(partition)
        name = uuid.uuid4().hex
        ticket = flight.Ticket(self._ticket(partition, request, name))
        options = self._options(request.timeout_ms / 1000 + MARGIN_S)

        def over() -> bool:
            return cancelled() or self._places.place(partition) != place

        def told(error: BaseException) -> SqlError:
            return self._failed(error, place, partition)

        try:
            stream = fragment_call.wait(lambda: client.do_get(ticket, options), over)
        except fragment_call.GivenUp as error:
            threading.Thread(target=self._cancel, args=(client, name), name="kubegrid-cancel", daemon=True).start()
            raise self._given_up(place, partition) from error
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            raise told(error) from error
        return FragmentStream(stream, self._lookout, over, told).as_reader()

    def close(self) -> None:
        """End every call."""
        with self._guard:
            self._closed = True
            clients = list(self._clients.values())
            self._clients.clear()
        self._lookout.close()
        for client in clients:
            client.close()

    # -- calls -----------------------------------------------------------------------------------------------------

    def _ticket(self, partition: int, request: FragmentRequest, name: str) -> bytes:
        body = requests.encode(request)
        seal = self._access.seal(tickets.sealed_text(partition, body))
        return msgspec.json.encode(
            tickets.FragmentTicket(fragment=msgspec.Raw(body), partition=partition, name=name, seal=seal)
        )

    def _cancel(self, client: Any, name: str) -> None:
        body = msgspec.json.encode(tickets.CancelRequest(statement_id=name))
        with contextlib.suppress(flight.FlightError, pa.ArrowException, OSError):
            list(client.do_action(flight.Action(tickets.CANCEL, body), self._options(CANCEL_TIMEOUT_S)))

    def _options(self, timeout_s: float) -> Any:
        return flight.FlightCallOptions(timeout=timeout_s, headers=self._access.headers())

    # -- clients ---------------------------------------------------------------------------------------------------

    def _reach(self, partition: int) -> tuple[Place, Any]:
        place = self._places.place(partition)
        if place is None:
            raise Unavailable(f"partition {partition} has no primary now", remedy="Ask again in a moment.")
        if place.address is None:
            raise Unavailable(f"{place.name} does not listen for Arrow Flight", remedy="Ask again in a moment.")
        with self._guard:
            if self._closed:
                raise Unavailable("this member is about to end", remedy="Ask another one.")
            client = self._clients.get(place.address)
            if client is None:
                client = self._clients[place.address] = flight.connect(
                    f"grpc://{place.address}", generic_options=_OPTIONS
                )
        return place, client

    def _failed(self, error: BaseException, place: Place, partition: int) -> SqlError:
        """What to tell of it. A client whose peer does not answer is forgotten: the next call connects anew at once,
        instead of sharing in gRPC's growing pauses."""
        told = incoming(error, place.name)
        if isinstance(told, Unavailable) and place.address is not None:
            with self._guard:
                self._clients.pop(place.address, None)
        if isinstance(told, Cancelled | TimedOut):
            return _named(told, place) if self._places.place(partition) == place else self._given_up(place, partition)
        return told

    def _given_up(self, place: Place, partition: int) -> SqlError:
        if self._places.place(partition) != place:
            return Unavailable(f"{place.name} is not the primary of partition {partition} any more")
        return Cancelled(f"nobody waits for the answer of {place.name} any more")


def _named(error: SqlError, place: Place | None) -> SqlError:
    """With the name of the member that had not ended: it leaves that out itself."""
    if place is None or place.name in error.message:
        return error
    return type(error)(f"{place.name}: {error.message}", remedy=error.advice)
