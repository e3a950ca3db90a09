"""The data pods that a client may ask for SQL: found by KG.ENDPOINTS, asked in turns, passed over for a while after a failure.

Any data pod can answer any statement. Shared by all threads of a client; its methods block and are called in threads.
Next on the path of the data: `sql_flight`.
"""

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from hiredis import ReplyError

from kubegrid.client import clock, sql_flight
from kubegrid.client.connection import Connection, LostError, RefusedGreetingError, SilentError, pack_command
from kubegrid.client.members import not_let_in
from kubegrid.client.options import ClientOptions
from kubegrid.client.refusals import to_error
from kubegrid.client.routes import Routes

ENDPOINTS = pack_command(("KG.ENDPOINTS",))
PING = pack_command(("PING",))
OPENING_S = 12.0
"""A pod that has just started opens its Flight port first, and then tells it: that may take ten seconds."""
PASSED_OVER_S = 2.0
"""A pod that failed is asked after all others for so long."""


@dataclass(frozen=True, slots=True)
class Pod:
    """`resp` and `flight` are its addresses."""

    name: str
    primary: bool
    resp: str
    flight: str


class Pods:
    """Invariant: a FlightClient in `_clients` was made by this process."""

    def __init__(self, routes: Routes, options: ClientOptions, check: Callable[[], None]) -> None:
        self._routes = routes
        self._options = options
        self._check = check
        self._lock = threading.Lock()
        self._pods: list[Pod] = []
        self._clients: dict[str, Any] = {}
        self._failed_at: dict[str, float] = {}
        """By both addresses of a pod: neither a statement nor the list of pods is asked of one in trouble first."""
        self._turn = 0
        _all.add(self)

    @property
    def known(self) -> bool:
        """Whether `choose` answers at once; it has to ask members first otherwise."""
        return bool(self._pods)

    def choose(self) -> Pod:
        """The pod to ask next. LostError when none is known; AccessError."""
        self._check()
        sql_flight.check_fork()
        if not self._pods:
            self.look()
        with self._lock:
            self._turn += 1
            turn, pods, late = self._turn, self._pods, self._passed_over()
        if not pods:
            raise LostError("no member serves Arrow Flight", sent=False)
        count = len(pods)

        def rank(index: int) -> tuple[bool, bool, int]:
            pod = pods[index]
            return pod.flight in late, not pod.primary, (index - turn) % count

        return pods[min(range(count), key=rank)]

    def _passed_over(self) -> set[str]:
        """Addresses that failed a moment ago; the others are forgotten."""
        now = clock.now()
        self._failed_at = {address: at for address, at in self._failed_at.items() if now - at < PASSED_OVER_S}
        return set(self._failed_at)

    def failed(self, pod: Pod) -> None:
        """It is asked last for a while, and the list is read anew."""
        with self._lock:
            self._failed_at[pod.flight] = self._failed_at[pod.resp] = clock.now()
            self._clients.pop(pod.flight, None)
            self._pods = []

    def client(self, pod: Pod) -> Any:
        """Its FlightClient."""
        with self._lock:
            client = self._clients.get(pod.flight)
            if client is None:
                client = self._clients[pod.flight] = sql_flight.connect(pod.flight)
            return client

    def look(self) -> None:
        """Ask one member after the other who is there; LostError with what went wrong when none says."""
        reasons: list[str] = []
        with self._lock:
            late = self._passed_over()
        for address in sorted(self._routes.addresses(), key=late.__contains__):
            try:
                told = self._ask(address, ENDPOINTS, OPENING_S)
            except LostError as error:
                reasons.append(f"{address}: {error.reason}")
                continue
            pods = [
                Pod(one["name"], one["role"] == "primary", one["resp"], one["flight"])
                for one in msgspec.json.decode(told)
                if one["flight"] is not None and one["role"] != "joining"
            ]
            with self._lock:
                self._pods = pods
            return
        raise LostError("; ".join(reasons) or "there was no address to try", sent=False)

    def answers(self, pod: Pod) -> bool:
        """Whether a pod that is silent about a statement still says a word on its other port."""
        try:
            self._ask(pod.resp, PING, self._options.connect_timeout)
        except LostError:
            return False
        return True

    def _ask(self, address: str, packed: bytes, patience_s: float) -> Any:
        """One reply; a member that does not even answer PING within `connect_timeout` is not waited for."""
        options = self._options
        try:
            connection = Connection(address, options.password, False, options.connect_timeout, options.connect_timeout)
        except RefusedGreetingError as error:
            raise not_let_in(str(error)) from error
        try:
            reply = connection.call(PING)
            if packed is not PING:
                connection.set_silence(patience_s)
                reply = connection.call(packed)
        except SilentError:
            raise LostError("was silent", sent=True) from None
        finally:
            connection.close()
        if type(reply) is ReplyError:
            raise to_error(str(reply))
        return reply

    def close(self) -> None:
        if sql_flight.is_inherited():
            return
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()


def _in_child() -> None:
    for pods in list(_all):
        sql_flight.never_free(*pods._clients.values())


_all: "weakref.WeakSet[Pods]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_in_child)
