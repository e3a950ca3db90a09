"""The async client's one connection to a member: thousands of requests on their way, answered in order.

**Hot path**: `send` appends to two queues; one `write` per turn of the loop takes everything to the socket; a reply is a
`popleft` and a `set_result`. No coroutine, task or timer per request.

Invariant: `pending` holds exactly the requests that were sent and not answered, in the order in which they were sent; a
request whose caller has gone (cancelled, or past its deadline) stays in it until its reply came.
Next on the path of the data: `kubegrid.node.connection`, on the other side.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import hiredis

from kubegrid.client.connection import ENDED, RefusedGreetingError, pack_command, reason_of
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.trial import Trial


class Call:
    """One request of the async client, until its future is done."""

    __slots__ = (
        "args",
        "deadline",
        "future",
        "ids",
        "long",
        "once",
        "packed",
        "read",
        "sent_at",
        "seq",
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
        self.deadline = deadline
        self.sent_at = 0.0
        self.packed: bytes | None = None
        self.ids: RequestIds | None = None
        self.seq = 0
        self.trial: Trial | None = None


class Owner(Protocol):
    """Who is told what becomes of the requests."""

    def answered(self, link: "Link") -> None:
        """Replies came in: there is room again."""

    def refused(self, call: Call, text: str, address: str) -> None:
        """The reply is an error."""

    def link_lost(self, link: "Link", calls: list[Call], reason: str) -> None:
        """The connection broke; `calls` were sent and not answered."""

    def settle(self, call: Call, reply: Any) -> None:
        """The reply came."""


class Link(asyncio.Protocol):
    """Made by `open_link`."""

    def __init__(self, address: str, owner: Owner) -> None:
        self.address = address
        self.pending: deque[Call] = deque()
        self.progress_at = 0.0
        """When the last reply came, or the first request was sent: what silence is measured from."""
        self.closed = False
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
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
        if self.closed:
            self._loop.call_soon(self._owner.link_lost, self, [call], "the connection was closed")
            return
        if not self.pending:
            self.progress_at = self._loop.time()
        self.pending.append(call)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.closed:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

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
                call = pending.popleft()
                if type(reply) is hiredis.ReplyError:
                    owner.refused(call, str(reply), self.address)
                else:
                    owner.settle(call, reply)
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
        calls = list(self.pending)
        self.pending.clear()
        self._owner.link_lost(self, calls, reason)


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
