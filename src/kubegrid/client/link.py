"""The async client's one connection to a member: thousands of requests on their way, answered in order.

**Hot path**: `send` appends to two queues; one `write` per turn of the loop takes everything to the socket; a reply is a
`popleft` and a `set_result`. No coroutine, task or timer per request. Writes of one turn of the loop share request ids
(`parcel`), as long as no other request comes between them.

Invariant: `pending` holds exactly the requests that were sent and not answered, in the order in which they were sent; a
request whose caller has gone (cancelled, or past its deadline) stays in it until its reply came.
Next on the path of the data: `kubegrid.node.connection`, on the other side.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import hiredis

from kubegrid.client import keepalive, parcel
from kubegrid.client.connection import ENDED, RefusedGreetingError, pack_command, reason_of
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.routes import Route
from kubegrid.client.trial import Trial


class Call:
    """One request of the async client, until its future is done."""

    __slots__ = (
        "alone",
        "args",
        "asked_at",
        "deadline",
        "future",
        "long",
        "once",
        "read",
        "sent_at",
        "slot",
        "trial",
        "write",
    )

    def __init__(
        self,
        future: "asyncio.Future[Any]",
        args: tuple[Any, ...],
        slot: int,
        write: bool,
        read: Callable[[Any], Any] | None,
        long: bool,
        once: bool,
        deadline: float,
    ) -> None:
        self.future = future
        self.args = args
        self.slot = slot
        self.write = write
        self.read = read
        self.long = long
        self.once = once
        """A write that travels under a request id."""
        self.deadline = deadline
        self.alone = False
        """It was refused together with others: it has an id of its own from then on."""
        self.asked_at = 0.0
        self.sent_at = 0.0
        self.trial: Trial | None = None

    @property
    def calls(self) -> "tuple[Call, ...]":
        return (self,)


class Parcel:
    """Writes under one request id. Invariant: once it has `ids` it is sent as `packed`, or its writes are packed anew."""

    __slots__ = ("calls", "ids", "packed", "requests", "route", "sent_at", "seq", "size", "trial")

    def __init__(self, route: Route, now: float) -> None:
        self.route = route
        self.calls: list[Call] = []
        self.requests: list[bytes] = []
        self.size = 0
        self.sent_at = now
        self.ids: RequestIds | None = None
        self.seq = 0
        self.packed = b""
        self.trial: Trial | None = None

    def close(self) -> None:
        """No more writes: it gets its id."""
        self.ids, self.seq, acked = self.route.take()
        self.packed = parcel.pack(self.ids, self.seq, acked, self.requests, self.calls[0].args)
        self.requests = []

    def give_back(self) -> None:
        """It will never be sent again."""
        if self.ids is not None:
            self.ids.done(self.seq)
            self.ids = None


Unit = Call | Parcel
"""What is sent, answered and sent again as one."""


class Owner(Protocol):
    """Who is told what becomes of the requests."""

    def answered(self, link: "Link") -> None:
        """Replies came in: there is room again."""

    def refused(self, unit: Unit, text: str, address: str) -> None:
        """The reply is an error."""

    def link_lost(self, link: "Link", units: list[Unit], reason: str) -> None:
        """The connection broke; `units` were sent and not answered."""

    def settle(self, call: Call, reply: Any) -> None:
        """The reply came."""

    def unpack(self, unit: Parcel, reply: Any, address: str) -> None:
        """The reply to a parcel came."""


class Link(asyncio.Protocol):
    """Made by `open_link`."""

    def __init__(self, address: str, owner: Owner) -> None:
        self.address = address
        self.pending: deque[Unit] = deque()
        self.in_flight = 0
        """Requests in `pending`."""
        self.progress_at = 0.0
        """When the last reply came, or the first request was sent: what silence is measured from."""
        self.closed = False
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._open: Parcel | None = None
        """The last of `pending`, when further writes may be added to it."""
        self._flushing = False
        self._transport: Any = None
        self._greeting: deque[asyncio.Future[Any]] = deque()

    # -- greeting ----------------------------------------------------------------------------------------------------

    async def greet(self, password: str | None, readonly: bool) -> None:
        """AUTH and READONLY as needed; RefusedGreetingError when the member says no."""
        words: list[tuple[str, ...]] = [("AUTH", password)] if password is not None else []
        if readonly:
            words.append(("READONLY",))
        for one in words:
            reply = await self.ask(pack_command(one))
            if isinstance(reply, hiredis.ReplyError):
                raise RefusedGreetingError(str(reply))

    async def ask(self, packed: bytes) -> Any:
        """One request before any other (greeting, slot map)."""
        future = self._loop.create_future()
        self._greeting.append(future)
        self._transport.write(packed)
        return await future

    # -- requests ----------------------------------------------------------------------------------------------------

    def send(self, call: Call, packed: bytes, now: float) -> None:
        """Put a request on its way; it leaves at the end of the loop's turn, together with the others of the turn.

        `now` is `clock.now()`; silence is counted by the loop's time, which stands still while nothing could be answered.
        """
        call.sent_at = now
        self._enqueue(call, 1)
        self._out.append(packed)

    def send_write(self, call: Call, packed: bytes, route: Route, now: float) -> None:
        """The same for a write under a request id, which it shares with those before and after it if it may."""
        size = len(packed)
        shares = size <= parcel.ONE_BYTES_MAX and not call.alone and parcel.may_share(call.args)
        into = self._open
        if (
            into is None
            or not shares
            or into.route is not route
            or len(into.calls) >= parcel.COMMANDS_MAX
            or into.size + size > parcel.BYTES_MAX
        ):
            into = Parcel(route, now)
            self._enqueue(into, 0)
            self._open = into
        into.calls.append(call)
        into.requests.append(packed)
        into.size += size
        self.in_flight += 1
        if not shares:
            self._close_parcel(into)

    def send_again(self, unit: Parcel, now: float) -> None:
        """Send a parcel as it was sent before."""
        unit.sent_at = now
        self._enqueue(unit, len(unit.calls))
        self._out.append(unit.packed)

    def _enqueue(self, unit: Unit, count: int) -> None:
        if self._open is not None:
            self._close_parcel(self._open)
        if not self.pending:
            self.progress_at = self._loop.time()
        self.pending.append(unit)
        self.in_flight += count
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _close_parcel(self, into: Parcel) -> None:
        self._open = None
        into.close()
        self._out.append(into.packed)

    def _flush(self) -> None:
        self._flushing = False
        if self._open is not None:
            self._close_parcel(self._open)
        out, self._out = self._out, []
        if not self.closed:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        else:
            self._fail("the connection was closed")

    def _fail(self, reason: str) -> None:
        """Whatever was sent gets no reply any more."""
        if self._open is not None:
            self._close_parcel(self._open)
        units = list(self.pending)
        self.pending.clear()
        self.in_flight = 0
        self._owner.link_lost(self, units, reason)

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        keepalive.keep(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not False and self._greeting:
                future = self._greeting.popleft()
                if not future.done():
                    future.set_result(reply)
                reply = reader.gets()
            pending = self.pending
            owner = self._owner
            while reply is not False:
                unit = pending.popleft()
                count = len(unit.calls) if type(unit) is Parcel else 1
                if count > 1 and type(reply) is not hiredis.ReplyError and not _fits(reply, count):
                    pending.appendleft(unit)
                    raise IndexError("another number of replies than of writes")
                self.in_flight -= count
                if type(reply) is hiredis.ReplyError:
                    owner.refused(unit, str(reply), self.address)
                elif type(unit) is Parcel:
                    owner.unpack(unit, reply, self.address)
                else:
                    owner.settle(unit, reply)  # type: ignore[arg-type]
                reply = reader.gets()
        except (hiredis.ProtocolError, IndexError) as error:
            self.lose(f"sent what is no reply: {error}")
            return
        self.progress_at = self._loop.time()
        owner.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose(ENDED if exc is None else reason_of(exc))

    def lose(self, reason: str) -> None:
        """Close at once; whatever was sent gets no reply any more."""
        if self.closed:
            return
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        for future in self._greeting:
            if not future.done():
                future.set_exception(ConnectionError(reason))
        self._fail(reason)


def _fits(reply: Any, count: int) -> bool:
    return type(reply) is list and len(reply) == count


async def open_link(address: tuple[str, int], name: str, owner: Owner, password: str | None, readonly: bool) -> Link:
    """Connect and greet. OSError, or RefusedGreetingError."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: Link(name, owner), *address)
    try:
        await link.greet(password, readonly)
    except BaseException:
        link.lose("the greeting failed")
        raise
    return link
