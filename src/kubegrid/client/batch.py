"""Many requests at once through the sync client: one write per member, then all replies, in rounds of a bounded size.

Writes that follow each other to one partition share request ids (`parcel`). What could not be served is asked again in
the next round, in its order, until its deadline; everything else keeps its reply.
Next on the path of the data: `caller`, `connection`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hiredis import ReplyError

from kubegrid.client import clock, parcel, refusals
from kubegrid.client.caller import Arguments, Caller
from kubegrid.client.connection import Connection, LostError, SilentError, pack_command
from kubegrid.client.errors import ClientError, ClosedError
from kubegrid.client.pool import Pool
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.routes import Route
from kubegrid.client.trial import LATE, Again, ForgottenError, Trial

NO_REPLY = "sent what is no reply to several writes"
ROUND_BYTES_MAX = 4 * 1024 * 1024
"""Requests to one member in one round, as bytes: bounds what is packed and kept at a time."""


@dataclass(slots=True)
class Request:
    """One request of a batch: its arguments, a slot of the partition that must serve it, whether it changes anything."""

    args: Arguments
    slot: int
    write: bool
    long: bool = False
    """It may take its time: silence is no fault of the member before the deadline."""
    once: bool = True
    """A write that carries a request id. Commands on all keys of a member (FLUSHALL) cannot."""


class _Parcel:
    """Writes under one request id, by their numbers. Invariant: once it has `ids` it is sent as `packed`, or dissolved."""

    __slots__ = ("ids", "numbers", "packed", "requests", "seq", "size")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.requests: list[bytes] = []
        self.size = 0
        self.ids: RequestIds | None = None
        self.seq = 0
        self.packed = b""


Unit = int | _Parcel
"""What is sent, answered and asked again as one: a request by its number, or a parcel of writes."""


class _Sent:
    """What goes to one member in one round. Invariant: `open` is the last of `units`, if it is not None."""

    __slots__ = (
        "connection",
        "count",
        "failure",
        "open",
        "parts",
        "patient",
        "pool",
        "route",
        "since",
        "size",
        "units",
    )

    def __init__(self, pool: Pool, route: Route) -> None:
        self.pool = pool
        self.route = route
        self.connection: Connection | None = None
        self.units: list[Unit] = []
        self.parts: list[bytes] = []
        self.count = 0
        """Requests in `units`."""
        self.size = 0
        self.open: _Parcel | None = None
        """The parcel that further writes may be added to."""
        self.patient = False
        self.failure: LostError | None = None
        self.since = 0.0
        """When it was sent."""


def run_batch(caller: Caller, requests: Sequence[Request], deadline: float | None = None) -> list[Any]:
    """The reply, or the ClientError, of each request, in order."""
    batch = _Batch(caller, requests, deadline)
    try:
        batch.run()
    finally:
        batch.end()
    return batch.replies


class _Batch:
    """Invariant: every number is in a unit of `todo`, or its reply or error is in `replies`; `todo` is in order."""

    def __init__(self, caller: Caller, requests: Sequence[Request], deadline: float | None) -> None:
        self.caller = caller
        self.requests = requests
        self.deadline = deadline
        self.replies: list[Any] = [None] * len(requests)
        self.todo: list[Unit] = list(range(len(requests)))
        self.trials: dict[Unit, Trial] = {}
        self.parcels: set[_Parcel] = set()
        """Those that hold a request id."""
        self.alone: set[int] = set()
        """Writes that were refused together with others: each has an id of its own from then on."""

    def run(self) -> None:
        try:
            while self.todo:
                self.caller.check_open()
                waits = self._round()
                if waits:
                    self._prepare_again(waits)
        except ClosedError as error:
            self._closed(error)

    def _prepare_again(self, waits: list[tuple[Unit, Again]]) -> None:
        caller = self.caller
        unit, wait = max(waits, key=lambda one: (one[1].moved_to is None, one[1].delay))
        caller.prepare_again(wait, self.requests[_first(unit)].slot, self.trial_of(unit))
        for unit, wait in waits:
            if wait.moved_to is not None:
                caller.of_slot[self.requests[_first(unit)].slot].address = wait.moved_to

    def _closed(self, error: ClosedError) -> None:
        """The client was closed between two rounds: what was done before is told. Raised when nothing was."""
        ended = [(unit, self.trial_of(unit).ended(error)) for unit in self.todo]
        if all(reply is None for reply in self.replies) and all(one is error for _, one in ended):
            raise error
        for unit, one in ended:
            self._settle(unit, one)

    def end(self) -> None:
        """Numbers that are still in use (after Ctrl-C, or an error of the whole batch) are given up."""
        for unit in list(self.parcels):
            self._give_back(unit)

    # -- one round ---------------------------------------------------------------------------------------------------

    def _round(self) -> list[tuple[Unit, Again]]:
        """Send a window's worth to each member and take in the replies; what to wait for before the next round."""
        sent, later, waits = self._choose()
        try:
            for one in sent:
                self._send(one)
            for one in sent:
                failed = self._receive(one)
                later += failed[0]
                waits += failed[1]
        except BaseException:
            for one in sent:
                if one.connection is not None:
                    one.pool.discard(one.connection)
            raise
        later.sort(key=_first)
        self.todo = later
        return waits

    def _choose(self) -> tuple[list[_Sent], list[Unit], list[tuple[Unit, Again]]]:
        caller = self.caller
        of_slot = caller.of_slot
        window = caller.options.in_flight
        requests = self.requests
        identified = caller.options.request_ids
        chosen: dict[str, _Sent] = {}
        later: list[Unit] = []
        waits: list[tuple[Unit, Again]] = []
        for unit in self.todo:
            request = requests[unit if type(unit) is int else unit.numbers[0]]  # type: ignore[union-attr]
            route = of_slot[request.slot]
            address = route.address
            if address is None:
                self._decide(unit, lambda trial: trial.nobody(str(route), clock.now()), later, waits)  # noqa: B023
                continue
            one = chosen.get(address)
            if one is None:
                one = chosen[address] = _Sent(caller.pool(address), route)
            if one.count >= window or one.size >= ROUND_BYTES_MAX:
                later.append(unit)
            elif type(unit) is int and request.write and identified and request.once:
                self._add_write(one, route, unit, request)
            else:
                if one.open is not None:
                    self._close(one, one.open)
                if type(unit) is int:
                    packed = pack_command(request.args)
                    one.count += 1
                else:
                    packed = unit.packed  # type: ignore[union-attr]
                    one.count += len(unit.numbers)  # type: ignore[union-attr]
                one.patient |= request.long
                one.units.append(unit)
                one.parts.append(packed)
                one.size += len(packed)
        sent = list(chosen.values())
        for one in sent:
            if one.open is not None:
                self._close(one, one.open)
        return sent, later, waits

    def _add_write(self, one: _Sent, route: Route, number: int, request: Request) -> None:
        """To the open parcel if it may be there, and there is room; else to a new one."""
        packed = pack_command(request.args)
        size = len(packed)
        shares = size <= parcel.ONE_BYTES_MAX and parcel.may_share(request.args) and number not in self.alone
        into = one.open
        if into is not None and not (
            shares
            and one.route is route
            and len(into.numbers) < parcel.COMMANDS_MAX
            and into.size + size <= parcel.BYTES_MAX
        ):
            self._close(one, into)
            into = None
        if into is None:
            into = one.open = _Parcel()
            one.route = route
            one.units.append(into)
        into.numbers.append(number)
        into.requests.append(packed)
        into.size += size
        one.count += 1
        one.size += size
        if not shares:
            one.patient |= request.long
            self._close(one, into)

    def _close(self, one: _Sent, unit: _Parcel) -> None:
        """Give the open parcel its request id."""
        unit.ids, unit.seq, acked = one.route.take()
        self.parcels.add(unit)
        unit.packed = parcel.pack(unit.ids, unit.seq, acked, unit.requests, self.requests[unit.numbers[0]].args)
        unit.requests = []
        one.parts.append(unit.packed)
        one.open = None

    def _send(self, one: _Sent) -> None:
        trial_deadline = self.trial_of(one.units[0]).deadline
        try:
            one.connection = self.caller.acquire(one.pool, trial_deadline)
            one.since = clock.now()
            if one.since >= trial_deadline:
                raise LostError(LATE, sent=False)
            one.connection.set_silence(min(self.caller.options.patience, trial_deadline - one.since))
            one.connection.replies.clear()
            one.connection.send(b"".join(one.parts))
        except LostError as error:
            one.failure = error

    def _receive(self, one: _Sent) -> tuple[list[Unit], list[tuple[Unit, Again]]]:
        later: list[Unit] = []
        waits: list[tuple[Unit, Again]] = []
        connection = one.connection
        if connection is not None and one.failure is None:
            one.failure = self._take_in(one, connection)
        replies: list[Any] = []
        if connection is not None:
            replies, connection.replies = connection.replies, []
            if one.failure is None:
                one.pool.release(connection)
            else:
                one.pool.discard(connection)
            one.connection = None
        now = clock.now()
        address = one.pool.address
        found = self.replies
        for unit, reply in zip(one.units, replies, strict=False):
            if type(reply) is ReplyError:
                self._refused(unit, str(reply), address, now, later, waits)
            elif type(unit) is int:
                found[unit] = reply
            elif len(unit.numbers) == 1:  # type: ignore[union-attr]
                self._settle(unit, reply)
            elif type(reply) is list and len(reply) == len(unit.numbers):  # type: ignore[union-attr]
                self._answered(unit, reply, address, now, later, waits)  # type: ignore[arg-type]
            else:
                self._decide(unit, lambda trial: trial.lost(NO_REPLY, address, now, sent=True), later, waits)
        failure = one.failure
        if failure is not None:
            for unit in one.units[len(replies) :]:
                self._decide(
                    unit,
                    lambda trial: trial.lost(failure.reason, address, now, sent=failure.sent, since=one.since),
                    later,
                    waits,
                )
        return later, waits

    def _take_in(self, one: _Sent, connection: Connection) -> LostError | None:
        """Read all replies of a round; None when they came."""
        deadline = self.trial_of(one.units[0]).deadline
        silence = self.caller.options.patience
        while True:
            left = deadline - clock.now()
            if left <= 0:
                return LostError(LATE, sent=True)
            before = len(connection.replies)
            connection.set_silence(min(silence, left))
            try:
                connection.receive(len(one.units))
            except LostError as error:
                return error
            except SilentError:
                if not one.patient and len(connection.replies) == before and left > silence:
                    return LostError(f"was silent for {silence:g} s", sent=True)
                continue
            connection.set_silence(silence)
            return None

    # -- outcomes ----------------------------------------------------------------------------------------------------

    def trial_of(self, unit: Unit) -> Trial:
        trial = self.trials.get(unit)
        if trial is None:
            request = self.requests[_first(unit)]
            args = request.args
            if type(unit) is _Parcel:
                args = (parcel.name_of([self.requests[number].args for number in unit.numbers]),)
            trial = self.trials[unit] = self.caller.trial(args, request.write, self.deadline, request.once)
        return trial

    def _answered(
        self,
        unit: _Parcel,
        found: list[Any],
        address: str,
        now: float,
        later: list[Unit],
        waits: list[tuple[Unit, Again]],
    ) -> None:
        """Each write of a parcel has its reply. An error in the place of one says that this one was not done."""
        self._give_back(unit)
        replies = self.replies
        for number, reply in zip(unit.numbers, found, strict=True):
            if type(reply) is ReplyError:
                self.alone.add(number)
                self._refused(number, str(reply), address, now, later, waits)
            else:
                replies[number] = reply

    def _refused(
        self, unit: Unit, text: str, address: str, now: float, later: list[Unit], waits: list[tuple[Unit, Again]]
    ) -> None:
        """An error is the reply. A member that knows no parcels gets each write by itself."""
        if (
            type(unit) is _Parcel
            and len(unit.numbers) > 1
            and not refusals.passes(text)
            and not self.trial_of(unit).doubtful
        ):
            self._dissolve(unit, later)
            self.alone.update(unit.numbers)
            return
        self._decide(unit, lambda trial: trial.refused(text, address, now), later, waits)

    def _decide(self, unit: Unit, ask: Any, later: list[Unit], waits: list[tuple[Unit, Again]]) -> None:
        """Let the trial of `unit` decide what follows from what happened to it."""
        try:
            wait: Again = ask(self.trial_of(unit))
        except ForgottenError:
            if type(unit) is int:  # a KG.ONCE under an identity of the caller's own
                self._settle(unit, refusals.answered_before())
                return
            assert type(unit) is _Parcel and unit.ids is not None
            route = self.caller.of_slot[self.requests[_first(unit)].slot]
            route.forget(unit.ids)
            self._dissolve(unit, later)
            return
        except ClientError as error:
            self._settle(unit, error)
            return
        later.append(unit)
        waits.append((unit, wait))

    def _dissolve(self, unit: _Parcel, later: list[Unit]) -> None:
        """Nothing of it was or will be executed: its writes are packed anew."""
        self._give_back(unit)
        later += unit.numbers

    def _settle(self, unit: Unit, reply: Any) -> None:
        found = self.replies
        if type(unit) is int:
            found[unit] = reply
            return
        assert type(unit) is _Parcel
        self._give_back(unit)
        for number in unit.numbers:
            found[number] = reply

    def _give_back(self, unit: _Parcel) -> None:
        self.parcels.discard(unit)
        if unit.ids is not None:
            unit.ids.done(unit.seq)
            unit.ids = None


def _first(unit: Unit) -> int:
    return unit if type(unit) is int else unit.numbers[0]  # type: ignore[union-attr]
