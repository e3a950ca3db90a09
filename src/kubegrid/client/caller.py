"""The sync client's engine: takes packed requests to the member that serves their slot, and brings back replies.

**Hot path**: `ask` is a list index, a dictionary look-up, `free.pop`, two system calls, `free.append`. Everything that is not
a reply at the first attempt goes to `_persist`, which asks again within the deadline (`trial` decides).

Threads: any number may call; each uses a connection of its own for the time of one call. Forks: a child begins with no
connections and a new client id, by `os.register_at_fork`, so that it can neither read the parent's replies nor repeat its
ids. Next on the path of the data: `connection`.
"""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from hiredis import ReplyError

from kubegrid.client.connection import Connection, LostError, RefusedGreetingError, SilentError, pack_command
from kubegrid.client.deadline import CURRENT
from kubegrid.client.errors import AccessError, ClosedError, GridNotReachableError
from kubegrid.client.options import ClientOptions
from kubegrid.client.pool import Pool
from kubegrid.client.refusals import to_error
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.routes import Route, Routes
from kubegrid.client.slots import parse_shards
from kubegrid.client.trial import Again, ForgottenError, Trial

SHARDS = pack_command(("CLUSTER", "SHARDS"))
ONCE = b"KG.ONCE"
Arguments = tuple[Any, ...]


class Caller:
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
        self._map_number = 0
        self._map_lock = threading.Lock()
        self._pools_lock = threading.Lock()
        _callers.add(self)
        unreachable = self._read_map(None, time.monotonic() + options.timeout)
        if unreachable:
            raise GridNotReachableError(unreachable)

    # -- one request -------------------------------------------------------------------------------------------------

    def call(self, args: Arguments, slot: int, write: bool) -> Any:
        """The reply to a short command on one slot. Raises ClientError."""
        if not (write and self.options.request_ids):
            return self._ask(pack_command(args), slot, write, args)
        while True:
            route = self.of_slot[slot]
            ids = route.ids
            seq, acked = ids.take()
            try:
                return self._ask(pack_command((ONCE, ids.client, seq, acked, *args)), slot, True, args)
            except ForgottenError:
                route.forget(ids)
            finally:
                ids.done(seq)

    def _ask(self, packed: bytes, slot: int, write: bool, args: Arguments) -> Any:
        if CURRENT.get() is None:
            address = self.of_slot[slot].address
            pool = self.pools.get(address)
            if pool is not None:
                try:
                    connection = pool.free.pop()
                except IndexError:
                    return self._persist(packed, slot, self.trial(args, write))
                try:
                    reply = connection.call(packed)
                except LostError as error:
                    pool.discard(connection)
                    return self._persist(packed, slot, self.trial(args, write), error, str(address))
                except SilentError:
                    pool.discard(connection)
                    lost = LostError(f"was silent for {self.options.silence:g} s", sent=True)
                    return self._persist(packed, slot, self.trial(args, write), lost, str(address))
                except BaseException:  # Ctrl-C between request and reply: the reply belongs to nobody
                    pool.discard(connection)
                    raise
                pool.free.append(connection)
                if pool.waiting:
                    pool.wake()
                if type(reply) is ReplyError:
                    return self._persist(packed, slot, self.trial(args, write), reply, str(address))
                return reply
        return self._persist(packed, slot, self.trial(args, write))

    def call_long(self, args: Arguments, slot: int, write: bool, deadline: float | None) -> Any:
        """The reply to a command that may take its time (a search, a take that waits): silence alone is no fault of it."""
        trial = self.trial(args, write, deadline)
        if not (write and self.options.request_ids):
            return self._persist(pack_command(args), slot, trial, long=True)
        while True:
            route = self.of_slot[slot]
            ids = route.ids
            seq, acked = ids.take()
            try:
                return self._persist(pack_command((ONCE, ids.client, seq, acked, *args)), slot, trial, long=True)
            except ForgottenError:
                route.forget(ids)
            finally:
                ids.done(seq)

    def trial(self, args: Arguments, write: bool, deadline: float | None = None, once: bool = True) -> Trial:
        now = time.monotonic()
        if deadline is None:
            limit = CURRENT.get()
            deadline = now + self.options.timeout if limit is None else limit
        name = args[0] if isinstance(args[0], str) else args[0].decode(errors="replace")
        identified = once and self.options.request_ids
        return Trial(self.options, name, write=write, identified=identified, started=now, deadline=deadline)

    # -- asking again ------------------------------------------------------------------------------------------------

    def _persist(
        self,
        packed: bytes,
        slot: int,
        trial: Trial,
        problem: LostError | ReplyError | None = None,
        address: str = "",
        *,
        long: bool = False,
    ) -> Any:
        """Ask until there is a reply or the deadline has passed. `problem`: what came of the first attempt, at `address`."""
        again: Again | None = None
        if isinstance(problem, LostError):
            again = trial.lost(problem.reason, address, time.monotonic(), sent=problem.sent)
        elif problem is not None:
            again = trial.refused(str(problem), address, time.monotonic())
        while True:
            if again is not None:
                self.prepare_again(again, slot, trial)
            self.check_open()
            seen = self.of_slot[slot].address
            if seen is None:
                again = trial.nobody(str(self.of_slot[slot]), time.monotonic())
                continue
            pool = self.pool(seen)
            try:
                connection = self.acquire(pool, trial.deadline)
            except LostError as error:
                again = trial.lost(error.reason, seen, time.monotonic(), sent=False)
                continue
            try:
                reply = self._exchange(connection, packed, slot, trial, long)
            except LostError as error:
                pool.discard(connection)
                again = trial.lost(error.reason, seen, time.monotonic(), sent=True)
                continue
            except BaseException:
                pool.discard(connection)
                raise
            pool.release(connection)
            if type(reply) is not ReplyError:
                return reply
            again = trial.refused(str(reply), seen, time.monotonic())

    def _exchange(self, connection: Connection, packed: bytes, slot: int, trial: Trial, long: bool) -> Any:
        """One attempt. A silent member is given up; in a long command only when it is not the primary any more."""
        silence = self.options.silence
        ask: Callable[[], Any] = lambda: connection.call(packed)  # noqa: E731
        while True:
            left = trial.deadline - time.monotonic()
            if left <= 0:
                raise LostError("did not answer in time", sent=True)
            connection.set_silence(min(silence, left))
            try:
                reply = ask()
            except SilentError:
                if left <= silence:
                    continue
                if not long:
                    raise LostError(f"was silent for {silence:g} s", sent=True) from None
                self._read_map(self.of_slot[slot], trial.deadline)
                if self.of_slot[slot].address != connection.address:
                    raise LostError("is not the primary any more, and was silent", sent=True) from None
                ask = connection.wait
                continue
            connection.set_silence(silence)
            return reply

    def prepare_again(self, again: Again, slot: int, trial: Trial) -> None:
        """Wait as long as told, then learn where to ask."""
        number = self._map_number
        if again.delay:
            time.sleep(again.delay)
        if again.moved_to is not None:
            self.of_slot[slot].address = again.moved_to
        elif number == self._map_number:
            trial.unreachable = self._read_map(self.of_slot[slot], trial.deadline, number)

    # -- the map -----------------------------------------------------------------------------------------------------

    def _read_map(self, troubled: Route | None, deadline: float, number: int | None = None) -> dict[str, str]:
        """Ask one member after the other for the slot map; what went wrong with each of them if none told it."""
        with self._map_lock:
            if number is not None and number != self._map_number:
                return {}
            attempts: dict[str, str] = {}
            for address in self.routes.addresses(troubled):
                left = min(self.options.connect_timeout, max(0.001, deadline - time.monotonic()))
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
                    self._map_number += 1
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
                pool = self.pools.setdefault(address, Pool(address, self.options))
        return pool

    def backup_pool(self, address: str) -> Pool:
        with self._pools_lock:
            self.check_open()
            return self.backup_pools.setdefault(address, Pool(address, self.options, readonly=True))

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
        self._map_lock = threading.Lock()
        self._pools_lock = threading.Lock()
        for route in self.routes.all:
            route.ids = RequestIds()
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


_callers: "weakref.WeakSet[Caller]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for caller in list(_callers):
        with contextlib.suppress(Exception):
            caller.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
