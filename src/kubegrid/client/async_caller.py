"""The async client's engine: keeps one link to each member, a window of requests on each, and a queue per partition.

**Hot path**: `submit` packs a request and hands it to the link of its slot; the future that it returns is all there is per
request. Requests wait in their partition's queue, in order, while its window is full, or while no primary is known: one
repair at a time finds the new primary and then sends what waits.

Not for several threads or loops: a client belongs to the loop that made it. Next on the path of the data: `link`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hiredis import ReplyError

from kubegrid.client import clock, parcel, refusals
from kubegrid.client.async_apart import CallersApart
from kubegrid.client.async_members import AsyncMembers, closed_error
from kubegrid.client.batch import Request
from kubegrid.client.connection import pack_command, reason_of
from kubegrid.client.deadline import CURRENT
from kubegrid.client.errors import ClientError, GridNotReachableError, OverloadedError
from kubegrid.client.link import Call, Link, Parcel, Unit
from kubegrid.client.options import ClientOptions
from kubegrid.client.routes import Route, Routes
from kubegrid.client.trial import LATE, Again, ForgottenError, Trial

WINDOWS_AT_ONCE = 4
"""Windows' worth of requests that one call with many requests puts on their way at a time."""
SWEEP_S = 0.05
"""How often deadlines and silent members are looked for: by how much a time-out may be late."""


class AsyncRoute:
    """What the async client keeps of one partition beside its `Route`.

    `again` holds requests that were sent before, in the order in which they were sent; they go before those of `waiting`, which
    were not. Invariant: both are empty, or their head waits for room on `link`, or `repair` runs.
    """

    __slots__ = ("again", "link", "moved", "repair", "route", "waiting")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.link: Link | None = None
        self.again: deque[Unit] = deque()
        self.waiting: deque[Call] = deque()
        self.repair: asyncio.Task[None] | None = None
        self.moved: str | None = None


class AsyncCaller:
    """Made by `open_caller`. All methods are for the loop that it was made in."""

    def __init__(self, routes: Routes, options: ClientOptions) -> None:
        self.options = options
        self.routes = routes
        self.waiting = 0
        self._of: dict[int, AsyncRoute] = {}
        self._of_slot: list[AsyncRoute] = []
        self.members = AsyncMembers(self.routes, options, self, self._learned)
        self._loop = asyncio.get_running_loop()
        self._sweeper: asyncio.TimerHandle | None = None
        self._apart = CallersApart(self, lambda routes: AsyncCaller(routes, options))

    # -- requests ----------------------------------------------------------------------------------------------------

    def submit(
        self,
        args: tuple[Any, ...],
        slot: int,
        write: bool,
        read: Callable[[Any], Any] | None = None,
        long: bool = False,
        deadline: float | None = None,
        once: bool = True,
    ) -> "asyncio.Future[Any]":
        """Put a request on its way. The future gets what `read` makes of the reply, or a ClientError."""
        self.members.check_here()
        loop = self._loop
        now = clock.now()
        if deadline is None:
            deadline = CURRENT.get()
        if deadline is None:
            deadline = now + self.options.timeout
        call = Call(loop.create_future(), args, slot, write, read, long, once and self.options.request_ids, deadline)
        call.asked_at = now
        if deadline <= now:
            call.future.set_exception(self.trial(call).give_up())
            return call.future
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        at = self._of_slot[slot]
        link = at.link
        idle = not at.again and not at.waiting
        if link is not None and idle and link.in_flight < self.options.in_flight:
            self._send(call, at, link, now)
        else:
            if self.waiting >= self.options.waiting:
                raise OverloadedError(
                    f"{self.waiting} requests wait in this client already", "Await some of them before asking for more."
                )
            self._wait(call, at)
        return call.future

    async def run(self, requests: Sequence[Request], deadline: float | None = None) -> list[Any]:
        """The reply, or the error, of each request, in order. Any number: they are put on their way in parts.

        What finds no room waits for those before it; when others than these fill all the room it is an OverloadedError in
        its place, as is a ClosedError when the client is closed meanwhile: what was done before is told. Raised when nothing was.
        """
        submit = self.submit
        replies: list[Any] = []
        part = min(self.options.waiting, WINDOWS_AT_ONCE * self.options.in_flight)
        while len(replies) < len(requests):
            futures: list[asyncio.Future[Any]] = []
            refused: ClientError | None = None
            for one in requests[len(replies) : len(replies) + part]:
                try:
                    futures.append(submit(one.args, one.slot, one.write, None, one.long, deadline, one.once))
                except ClientError as error:
                    refused = error
                    break
            replies += await asyncio.gather(*futures, return_exceptions=True)
            if refused is not None and not (futures and isinstance(refused, OverloadedError)):
                if not replies:
                    raise refused
                replies += [refused] * (len(requests) - len(replies))
        return replies

    def apart(self) -> "contextlib.AbstractAsyncContextManager[AsyncCaller]":
        """A caller of its own for what may wait at the member: it would hold up everything behind it on its connection.

        When it is given up before its end its connections are closed, so that the member forgets it, too.
        """
        self.members.check_here()
        return self._apart.one()

    def backups_of(self, slot: int) -> tuple[str, ...]:
        return self._of_slot[slot].route.backups

    def _send(self, call: Call, at: AsyncRoute, link: Link, now: float) -> bool:
        """False when it cannot be sent by anybody: it ends then, and those that wait behind it have nothing to do with it."""
        try:
            packed = pack_command(call.args)
        except (TypeError, ValueError) as error:
            self.settle(call, error)
            return False
        if call.once and call.write:
            link.send_write(call, packed, at.route, now)
        else:
            link.send(call, packed, now)
        return True

    def _wait(self, call: Call, at: AsyncRoute) -> None:
        at.waiting.append(call)
        self.waiting += 1
        if at.link is None and at.repair is None:
            self._repair(at, 0.0)

    # -- what becomes of them (called by Link) -----------------------------------------------------------------------

    def settle(self, call: Call, reply: Any) -> None:
        """The reply came, or the request is given up with an error."""
        future = call.future
        if not future.done():
            if isinstance(reply, BaseException):
                future.set_exception(reply)
            elif call.read is None:
                future.set_result(reply)
            else:
                try:
                    future.set_result(call.read(reply))
                except Exception as error:
                    future.set_exception(error)

    def unpack(self, unit: Parcel, reply: Any, address: str) -> None:
        """Each write of a parcel has its reply. An error in the place of one says that this one was not done."""
        unit.give_back()
        calls = unit.calls
        if len(calls) == 1:
            self.settle(calls[0], reply)
            return
        for call, each in zip(calls, reply, strict=True):
            if type(each) is ReplyError:
                call.alone = True
                self.refused(call, str(each), address)
            else:
                self.settle(call, each)

    def _give_up(self, unit: Unit, error: ClientError) -> None:
        """The end of all that is not answered in it."""
        if type(unit) is Parcel:
            unit.give_back()
        for call in unit.calls:
            self.settle(call, error)

    def answered(self, link: Link) -> None:
        if not self.waiting:
            return
        for at in self._of.values():
            if at.link is link and at.repair is None and (at.again or at.waiting):
                self._drain(at, link)

    def _drain(self, at: AsyncRoute, link: Link) -> None:
        now = clock.now()
        room = self.options.in_flight - link.in_flight
        while room > 0 and (at.again or at.waiting):
            unit = at.again.popleft() if at.again else at.waiting.popleft()
            count = len(unit.calls)
            self.waiting -= count
            if not self._still_wanted(unit, now):
                continue
            if type(unit) is Parcel:
                link.send_again(unit, now)
            elif not self._send(unit, at, link, now):  # type: ignore[arg-type]
                continue
            room -= count

    def _still_wanted(self, unit: Unit, now: float) -> bool:
        """Whether somebody waits for it; those whose deadline has passed end here (the machine was suspended, perhaps)."""
        wanted = False
        for call in unit.calls:
            if not call.future.done():
                if call.deadline > now:
                    wanted = True
                else:
                    self.settle(call, self.trial(unit).give_up())
        if not wanted and type(unit) is Parcel:
            unit.give_back()
        return wanted

    def refused(self, unit: Unit, text: str, address: str) -> None:
        """An error is the reply. A member that knows no parcels gets each write by itself."""
        if type(unit) is Parcel and len(unit.calls) > 1 and not refusals.passes(text) and not self.trial(unit).doubtful:
            unit.give_back()
            for call in unit.calls:
                call.alone = True
            at = self._of_slot[unit.calls[0].slot]
            self._queue_again(at, unit.calls, Again(0.0, at.route.address))
            return
        self._decide(unit, lambda trial: trial.refused(text, address, clock.now()))

    def link_lost(self, link: Link, units: list[Unit], reason: str) -> None:
        self.members.forget(link)
        for at in self._of.values():
            if at.link is link:
                at.link = None
        now = clock.now()
        for unit in units:
            since = unit.sent_at
            self._decide(unit, lambda trial: trial.lost(reason, link.address, now, sent=True, since=since))  # noqa: B023

    def _decide(self, unit: Unit, ask: Callable[[Trial], Again]) -> None:
        """Let the trial decide what follows from what happened to a request, or to a parcel of them."""
        at = self._of_slot[unit.calls[0].slot]
        kept: Sequence[Unit] = (unit,)
        calls = [call for call in unit.calls if not call.future.done()]
        try:
            if not calls:
                if type(unit) is Parcel:
                    unit.give_back()
                return
            if self.closed:
                raise closed_error()
            trial = self.trial(unit)
            again = ask(trial)
        except ForgottenError:
            if type(unit) is Call:  # a KG.ONCE under an identity of the caller's own
                self._give_up(unit, refusals.answered_before())
                return
            assert type(unit) is Parcel and unit.ids is not None
            at.route.forget(unit.ids)
            unit.give_back()
            kept, again = calls, Again(0.0, at.route.address)
        except ClientError as error:
            self._give_up(unit, error)
            return
        else:
            for call in calls:
                call.deadline = min(call.deadline, trial.deadline)
            if type(unit) is Parcel and not trial.doubtful:
                # Not executed, nor will it be: its writes need not stay together, and may end one by one.
                unit.give_back()
                for call in calls:
                    call.trial = trial.of_one(call.deadline)
                kept = calls
        self._queue_again(at, kept, again)

    def _queue_again(self, at: AsyncRoute, units: Sequence[Unit], again: Again) -> None:
        at.again.extend(units)
        self.waiting += sum([len(unit.calls) for unit in units])
        if again.moved_to is not None:
            at.moved = again.moved_to
        if at.repair is None:
            self._repair(at, again.delay)

    def trial(self, unit: Unit) -> Trial:
        trial = unit.trial
        if trial is None:
            first = unit.calls[0]
            deadline = max([call.deadline for call in unit.calls])
            if first.trial is not None:
                trial = first.trial.of_one(deadline)
            else:
                name = parcel.name_of([call.args for call in unit.calls])
                trial = Trial(
                    self.options,
                    name,
                    write=first.write,
                    identified=first.once,
                    started=first.asked_at,
                    deadline=deadline,
                )
            unit.trial = trial
        return trial

    # -- repair ------------------------------------------------------------------------------------------------------

    def _repair(self, at: AsyncRoute, delay: float) -> None:
        at.link = None
        at.repair = self._loop.create_task(self._find_primary(at, delay))

    async def _find_primary(self, at: AsyncRoute, delay: float) -> None:
        """Until there is a link to the partition's primary: wait, learn, connect. Then send what waits, in its order."""
        wait = self.options.retry_first
        unreachable: dict[str, str] = {}
        try:
            while (at.again or at.waiting) and not self.closed:
                number = self.members.map_number
                if delay:
                    await asyncio.sleep(delay)
                if at.moved is not None:
                    at.route.address, at.moved = at.moved, None
                elif delay and number == self.members.map_number:
                    unreachable = await self.members.read_map(at.route, number)
                delay = wait
                wait = min(wait * 1.6, self.options.retry_max)
                address = at.route.address
                if address is None:
                    self._note(at, str(at.route), "has no primary", unreachable)
                    continue
                try:
                    link = await self.members.link(address)
                except (OSError, TimeoutError) as error:
                    self._note(at, address, reason_of(error), unreachable)
                    continue
                if link.closed:  # it broke between its greeting and now
                    self._note(at, address, "the connection was closed", unreachable)
                    continue
                at.link = link
                break
        except ClientError as error:  # the password is wrong now, or the client was closed
            while at.again or at.waiting:
                unit = at.again.popleft() if at.again else at.waiting.popleft()
                self.waiting -= len(unit.calls)
                self._give_up(unit, error)
        finally:
            at.repair = None
        if at.link is not None:
            self._drain(at, at.link)

    def _note(self, at: AsyncRoute, where: str, reason: str, unreachable: dict[str, str]) -> None:
        for unit in (*at.again, *at.waiting):
            trial = self.trial(unit)
            trial.reasons[where] = reason
            trial.unreachable = unreachable

    def _sweep(self) -> None:
        """Requests past their deadline end here; a member that answers nothing is given up."""
        self._sweeper = None
        now = clock.now()
        awake = self._loop.time()
        busy = bool(self.waiting)
        for at in self._of.values():
            self._drop_late(at, now)
        for link in self.members.links():
            if not link.pending:
                continue
            busy = True
            for unit in link.pending:
                for call in unit.calls:
                    if call.deadline <= now and not call.future.done():
                        self._expire(call, link.address)
            head = link.pending[0].calls
            if awake - link.progress_at > self.options.silence and not any(call.long for call in head):
                link.lose(f"was silent for {self.options.silence:g} s")
            elif all(call.future.done() and call.deadline + self.options.silence < now for call in head):
                link.lose(LATE)
        if busy and not self.closed:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _drop_late(self, at: AsyncRoute, now: float) -> None:
        """Requests that wait end when their deadline has passed."""
        if not all(call.deadline > now for unit in at.again for call in unit.calls):
            count = sum([len(unit.calls) for unit in at.again])
            at.again = deque([unit for unit in at.again if self._still_wanted(unit, now)])
            self.waiting -= count - sum([len(unit.calls) for unit in at.again])
        if not all(call.deadline > now for call in at.waiting):
            count = len(at.waiting)
            at.waiting = deque([call for call in at.waiting if self._still_wanted(call, now)])
            self.waiting -= count - len(at.waiting)

    def _expire(self, call: Call, address: str) -> None:
        """Its deadline passed with the reply owed. The number stays in use until the reply or the link's end comes."""
        trial = self.trial(call)
        trial.reasons.setdefault(address, LATE)
        trial.doubtful = trial.doubtful or call.write
        call.future.set_exception(trial.give_up())

    def _learned(self) -> None:
        """There is a new slot map."""
        for route in self.routes.all:
            if route.first_slot not in self._of:
                self._of[route.first_slot] = AsyncRoute(route)
        self._of_slot = [self._of[route.first_slot] for route in self.routes.of_slot]
        for at in self._of.values():
            if at.link is not None and at.link.address != at.route.address and at.repair is None:
                at.link = None
                self._repair(at, 0.0)

    async def begin(self) -> None:
        """Read the map; GridNotReachableError when nobody tells it."""
        unreachable = await self.members.read_map(None, 0)
        if unreachable:
            raise GridNotReachableError(unreachable)

    # -- the end -----------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self.members.closed

    async def close(self) -> None:
        """Close all links; what is on its way ends with ClosedError, or OutcomeUnknownError for a write. May be called twice."""
        if self.closed:
            return
        if self.members.left_behind:
            self.members.closed = True
            return
        self.members.check_here()
        self.members.closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for at in self._of.values():
            if at.repair is not None:
                at.repair.cancel()
            for unit in (*at.again, *at.waiting):
                self._give_up(unit, self._ended(unit))
            at.again.clear()
            at.waiting.clear()
        for link in self.members.links():
            for unit in list(link.pending):
                if unit.calls[0].write:
                    self.trial(unit).doubtful = True
                    self._give_up(unit, self._ended(unit))
            link.lose("the client was closed")
        await self._apart.close()
        await asyncio.sleep(0)

    def _ended(self, unit: Unit) -> ClientError:
        """What becomes of a request when the client is closed before its reply came."""
        if unit.trial is None or not unit.trial.doubtful:
            return closed_error()
        unit.trial.reasons["this client"] = "was closed"
        return unit.trial.give_up()


async def open_caller(seeds: list[str], options: ClientOptions) -> AsyncCaller:
    """A caller that knows the grid."""
    caller = AsyncCaller(Routes(seeds), options)
    await caller.begin()
    return caller
