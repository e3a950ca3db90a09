"""The sync client's engine: takes packed requests to the member that serves their slot, and brings back replies.

**Hot path**: `ask` is a list index, a dictionary look-up, `free.pop`, two system calls, `free.append`. Everything that is not
a reply at the first attempt goes to `_persist`, which asks again within the deadline (`trial` decides).

Threads: any number may call; each uses a connection of its own for the time of one call. Which members there are, and the
connections to them, is in `members`. Next on the path of the data: `connection`.
"""

import time
from collections.abc import Callable
from typing import Any

from hiredis import ReplyError

from kubegrid.client import clock, parcel
from kubegrid.client.connection import Connection, LostError, SilentError, pack_command
from kubegrid.client.deadline import CURRENT
from kubegrid.client.errors import ClientError
from kubegrid.client.members import Members
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.trial import LATE, Again, ForgottenError, Trial

ONCE = parcel.ONCE
Arguments = tuple[Any, ...]


class Caller(Members):
    """Asks members. One for a whole process."""

    # -- one request -------------------------------------------------------------------------------------------------

    def call(self, args: Arguments, slot: int, write: bool) -> Any:
        """The reply to a short command on one slot. Raises ClientError."""
        if not (write and self.options.request_ids):
            return self._ask(pack_command(args), slot, write, args)
        while True:
            route = self.of_slot[slot]
            ids, seq, acked = route.take()
            try:
                return self._ask(pack_command((ONCE, ids.client, seq, acked, *args)), slot, True, args)
            except ForgottenError:
                route.forget(ids)
            finally:
                ids.done(seq)

    def _ask(self, packed: bytes, slot: int, write: bool, args: Arguments) -> Any:
        if CURRENT.get() is None:
            started = clock.now()
            address = self.of_slot[slot].address
            pool = self.pools.get(address)
            if pool is not None:
                try:
                    connection = pool.free.pop()
                except IndexError:
                    return self._persist(packed, slot, self.trial(args, write))
                try:
                    reply = connection.call(packed, write)
                except LostError as error:
                    pool.discard(connection)
                    return self._persist(packed, slot, self.trial(args, write, started=started), error, str(address))
                except SilentError:
                    pool.discard(connection)
                    lost = LostError(f"was silent for {self.options.patience:g} s", sent=True)
                    return self._persist(packed, slot, self.trial(args, write, started=started), lost, str(address))
                except BaseException:  # Ctrl-C between request and reply: the reply belongs to nobody
                    pool.discard(connection)
                    raise
                if connection.broken:
                    pool.discard(connection)
                else:
                    pool.free.append(connection)
                    if pool.waiting:
                        pool.wake()
                if type(reply) is ReplyError:
                    return self._persist(packed, slot, self.trial(args, write, started=started), reply, str(address))
                return reply
        return self._persist(packed, slot, self.trial(args, write))

    def call_long(self, args: Arguments, slot: int, write: bool, deadline: float | None) -> Any:
        """The reply to a command that may take its time (a search, a take that waits): silence alone is no fault of it."""
        trial = self.trial(args, write, deadline)
        if not (write and self.options.request_ids):
            return self._persist(pack_command(args), slot, trial, long=True)
        route = self.of_slot[slot]
        while True:
            try:
                ids = route.apart.pop()
            except IndexError:
                ids = RequestIds()
            seq, acked = ids.take() or (1, 1)
            forgotten = False
            try:
                return self._persist(pack_command((ONCE, ids.client, seq, acked, *args)), slot, trial, long=True)
            except ForgottenError:
                forgotten = True
            finally:  # also what was given up: members remember few thousand identities, so each is used again
                ids.done(seq)
                if not forgotten:
                    route.apart.append(ids)

    def trial(
        self,
        args: Arguments,
        write: bool,
        deadline: float | None = None,
        once: bool = True,
        started: float | None = None,
    ) -> Trial:
        """The attempts of a request. `started`: when the first one was made, if that was before now."""
        now = clock.now() if started is None else started
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
            again = trial.lost(problem.reason, address, clock.now(), sent=problem.sent, since=trial.started)
        elif problem is not None:
            again = trial.refused(str(problem), address, clock.now())
        while True:
            try:
                if again is not None:
                    self.prepare_again(again, slot, trial)
                self.check_open()
                seen = self.of_slot[slot].address
                pool = None if seen is None else self.pool(seen)
                connection = None if pool is None else self.acquire(pool, trial.deadline)
            except LostError as error:
                again = trial.lost(error.reason, str(seen), clock.now(), sent=False)
                continue
            except ClientError as error:
                raise trial.ended(error) from error
            if seen is None or pool is None or connection is None:
                again = trial.nobody(str(self.of_slot[slot]), clock.now())
                continue
            since = clock.now()
            try:
                reply = self._exchange(connection, packed, slot, trial, long)
            except LostError as error:
                pool.discard(connection)
                again = trial.lost(error.reason, seen, clock.now(), sent=error.sent, since=since)
                continue
            except BaseException:
                pool.discard(connection)
                raise
            if connection.broken:
                pool.discard(connection)
            else:
                pool.release(connection)
            if type(reply) is not ReplyError:
                return reply
            again = trial.refused(str(reply), seen, clock.now())

    def _exchange(self, connection: Connection, packed: bytes, slot: int, trial: Trial, long: bool) -> Any:
        """One attempt. A silent member is given up; in a long command only when it is not the primary any more."""
        silence = self.options.patience
        ask: Callable[[], Any] = lambda: connection.call(packed)  # noqa: E731
        asked = False
        while True:
            left = trial.deadline - clock.now()
            if left <= 0:
                raise LostError(LATE, sent=asked)
            connection.set_silence(min(silence, left))
            asked = True
            try:
                reply = ask()
            except SilentError:
                if left <= silence:
                    continue
                if not long:
                    raise LostError(f"was silent for {silence:g} s", sent=True) from None
                if self.closed:
                    raise LostError("was waited for until this client was closed", sent=True) from None
                self.read_map(self.of_slot[slot], trial.deadline)
                if self.of_slot[slot].address != connection.address:
                    raise LostError("is not the primary any more, and was silent", sent=True) from None
                ask = connection.wait
                continue
            if not connection.broken:
                connection.set_silence(silence)
            return reply

    def prepare_again(self, again: Again, slot: int, trial: Trial) -> None:
        """Wait as long as told, then learn where to ask."""
        number = self.map_number
        if again.delay:
            time.sleep(again.delay)
        if again.moved_to is not None:
            self.of_slot[slot].address = again.moved_to
        elif number == self.map_number:
            trial.unreachable = self.read_map(self.of_slot[slot], trial.deadline, number)
