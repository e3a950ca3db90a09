"""What the sync client has of the members: the slot map, and a pool of connections to each of them.

Forks: a child begins with no connections and new request ids, by `os.register_at_fork`, so that it can neither read the parent's
replies nor repeat its ids. Next on the path of the data: `pool`.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable

from hiredis import ReplyError

from kubegrid.client import clock
from kubegrid.client.connection import Connection, LostError, RefusedGreetingError, SilentError, pack_command
from kubegrid.client.errors import AccessError, ClosedError, GridNotReachableError
from kubegrid.client.options import ClientOptions
from kubegrid.client.pool import Pool
from kubegrid.client.refusals import to_error
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.routes import Route, Routes
from kubegrid.client.slots import parse_shards
from kubegrid.client.spinning import Spinning

SHARDS = pack_command(("CLUSTER", "SHARDS"))


class Members:
    """Invariant: the connections and the request ids in `routes` belong to this process alone."""

    def __init__(
        self, seeds: list[str], options: ClientOptions, before_opening: Callable[[], None] | None = None
    ) -> None:
        self.options = options
        self.routes = Routes(seeds)
        self.of_slot = self.routes.of_slot
        self.pools: dict[str | None, Pool] = {}
        self.backup_pools: dict[str, Pool] = {}
        self.closed = False
        self._before_opening = before_opening
        self.map_number = 0
        self._spinning = Spinning(options.busy_wait)
        self._map_lock = threading.Lock()
        self._pools_lock = threading.Lock()
        _members.add(self)
        unreachable = self.read_map(None, clock.now() + options.timeout)
        if unreachable:
            raise GridNotReachableError(unreachable)

    # -- the map -----------------------------------------------------------------------------------------------------

    def read_map(self, troubled: Route | None, deadline: float, number: int | None = None) -> dict[str, str]:
        """Ask one member after the other for the slot map; what went wrong with each of them if none told it."""
        with self._map_lock:
            if number is not None and number != self.map_number:
                return {}
            attempts: dict[str, str] = {}
            for address in self.routes.addresses(troubled):
                left = min(self.options.connect_timeout, max(0.001, deadline - clock.now()))
                try:
                    connection = self._open(address, left)
                except LostError as error:
                    attempts[address] = error.reason
                    continue
                try:
                    reply = connection.call(SHARDS)
                    if type(reply) is ReplyError:
                        attempts[address] = no_map(str(reply))
                        continue
                    self.routes.learn(parse_shards(reply))
                    self.map_number += 1
                    return {}
                except LostError as error:
                    attempts[address] = error.reason
                except SilentError:
                    attempts[address] = f"did not answer within {left:.3g} s"
                except ValueError as error:
                    attempts[address] = str(error)
                finally:
                    connection.close()
            return attempts

    # -- connections -------------------------------------------------------------------------------------------------

    def pool(self, address: str) -> Pool:
        pool = self.pools.get(address)
        if pool is None:
            with self._pools_lock:
                self.check_open()
                pool = self.pools.setdefault(address, Pool(address, self.options, self._spinning))
        return pool

    def backup_pool(self, address: str) -> Pool:
        with self._pools_lock:
            self.check_open()
            return self.backup_pools.setdefault(address, Pool(address, self.options, self._spinning, readonly=True))

    def acquire(self, pool: Pool, deadline: float) -> Connection:
        """A connection of `pool`; LostError when there is none, AccessError when the member does not let us in."""
        if self._before_opening is not None:
            self._before_opening()
        try:
            return pool.acquire(deadline)
        except RefusedGreetingError as error:
            raise not_let_in(str(error)) from error

    def _open(self, address: str, timeout: float) -> Connection:
        if self._before_opening is not None:
            self._before_opening()
        try:
            return Connection(address, self.options.password, False, timeout, timeout)
        except RefusedGreetingError as error:
            raise not_let_in(str(error)) from error

    def check_usable(self) -> None:
        """ClosedError, or what the owner of an embedded grid says, when nothing can be asked here any more."""
        if self._before_opening is not None:
            self._before_opening()
        self.check_open()

    def check_open(self) -> None:
        if self.closed:
            raise ClosedError("this client is closed", "Connect again with kubegrid.connect.")

    def close(self) -> None:
        """Close every idle connection; operations of other threads end with ClosedError. May be called twice."""
        with self._pools_lock:
            self.closed = True
            pools = [*self.pools.values(), *self.backup_pools.values()]
            self.pools = {}
            self.backup_pools = {}
        for pool in pools:
            pool.close()

    def after_fork(self) -> None:
        """In the child: nothing of the parent's is used any more. Its sockets are closed here without a word on them."""
        pools = [*self.pools.values(), *self.backup_pools.values()]
        self.pools = {}
        self.backup_pools = {}
        self._spinning = Spinning(self.options.busy_wait)
        self._map_lock = threading.Lock()
        self._pools_lock = threading.Lock()
        for route in self.routes.all:
            route.ids = RequestIds()
            route.apart = []
        for pool in pools:
            pool.close()


def not_let_in(text: str) -> Exception:
    error = to_error(text)
    return error if isinstance(error, AccessError) else AccessError(f"the member did not let this client in: {text}")


def no_map(text: str) -> str:
    """Why a member told no map; AccessError when it wants a password first."""
    error = to_error(text)
    if isinstance(error, AccessError):
        raise error
    return text


_members: "weakref.WeakSet[Members]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for members in list(_members):
        with contextlib.suppress(Exception):
            members.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
