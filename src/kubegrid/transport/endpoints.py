"""Making links: `connect` to somebody, or `listen` for whoever comes. Next on the path of the data: `link`."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from ssl import SSLContext

from kubegrid.transport.errors import Refused, TimedOut, Unreachable
from kubegrid.transport.handshake import Handshake, Hello, refusal
from kubegrid.transport.link import Link, OnClose, OnFrame
from kubegrid.transport.settings import TransportSettings

log = logging.getLogger("kubegrid.transport")

DEFAULTS = TransportSettings()


async def connect(
    host: str,
    port: int,
    hello: Hello,
    secret: bytes | None,
    on_frame: OnFrame,
    on_close: OnClose,
    *,
    timeout_s: float,
    ssl: SSLContext | None = None,
    settings: TransportSettings = DEFAULTS,
) -> Link:
    """A link to whoever listens there; check `link.peer` for who it is. Raises a TransportError when there is none.

    Frames may arrive, and the link may even close, before the caller runs again: both calls get the link as argument.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Future[None] = loop.create_future()
    handshake = Handshake(hello, secret, connecting=True)

    def ended(link: Link, reason: str) -> None:
        if not made.done():
            made.set_exception(Unreachable(f"{host}:{port} ended the handshake: {reason}"))

    def shake(link: Link, payload: bytes) -> None:
        try:
            answer = handshake.receive(payload)
        except Refused as error:
            if not error.by_peer:
                link.send(refusal(error.reason))
            if not made.done():
                made.set_exception(error)
            link.close(error.reason)
            return
        if answer is not None:
            link.send(answer)
        if handshake.done:
            assert handshake.peer is not None
            link.establish(handshake.peer, handshake.version, on_frame, on_close)
            if not made.done():
                made.set_result(None)

    link = Link(settings, ended)
    link.on_frame = shake
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(lambda: link, host, port, ssl=ssl)
            first = handshake.begin()
            assert first is not None
            link.send(first)
            await made
    except TimeoutError as error:
        if link.established and not link.closed:
            return (
                link  # time ran out in the turn of the loop in which it was done: the caller may have had frames of it
            )
        link.on_close = None
        link.close("the handshake took too long")
        raise TimedOut(f"{host}:{port} did not finish the handshake within {timeout_s} s") from error
    except OSError as error:
        raise Unreachable(f"{host}:{port}: {error}") from error
    except asyncio.CancelledError:
        link.close("given up")
        raise
    finally:
        if made.done() and not made.cancelled():
            made.exception()
    return link


class Listener:
    """Links from whoever connects.

    Invariant: a link is in `handshaking` or in `links`, never in both, and in none of them once it is closed.
    """

    def __init__(
        self,
        hello: Hello,
        secret: bytes | None,
        accept: Callable[[Link], tuple[OnFrame, OnClose]],
        settings: TransportSettings,
    ) -> None:
        self.hello = hello
        self.secret = secret
        self.host = ""
        self.port = 0
        self.refused = 0
        self.last_refusal = ""
        self.handshaking: dict[Link, asyncio.TimerHandle] = {}
        self.links: set[Link] = set()
        self._accept = accept
        self._settings = settings
        self._server: asyncio.Server | None = None

    def close(self) -> None:
        """Listen no more, and close every link that was accepted here."""
        if self._server is not None:
            self._server.close()
        for link in [*self.handshaking, *self.links]:
            link.close("the listener was closed")

    def _new(self) -> Link:
        if len(self.handshaking) >= self._settings.handshakes_max:
            next(iter(self.handshaking)).close("too many unfinished handshakes")
        link = Link(self._settings, self._ended)
        handshake = Handshake(self.hello, self.secret, connecting=False)
        link.on_frame = lambda link, payload: self._shake(link, handshake, payload)
        self.handshaking[link] = asyncio.get_running_loop().call_later(
            self._settings.handshake_timeout_s, link.close, "the handshake took too long"
        )
        return link

    def _shake(self, link: Link, handshake: Handshake, payload: bytes) -> None:
        try:
            answer = handshake.receive(payload)
            if answer is not None:
                link.send(answer)
            if handshake.done:
                assert handshake.peer is not None
                link.peer = handshake.peer
                link.version = handshake.version
                with link.holding_back():
                    on_frame, on_close = self._accept(link)
                if link.closed:
                    return
                self.handshaking.pop(link).cancel()
                self.links.add(link)
                link.send(handshake.finish())
                link.establish(handshake.peer, handshake.version, on_frame, on_close)
                for early in link.held_back:
                    link.send(early)
        except Refused as error:
            self.refused += 1
            if error.reason != self.last_refusal:  # somebody who keeps trying does not fill the log
                log.warning("connection from %s refused: %s", link.remote, error)
            self.last_refusal = error.reason
            if not error.by_peer:
                link.send(refusal(error.reason))
            link.close(error.reason)

    def _ended(self, link: Link, reason: str) -> None:
        timer = self.handshaking.pop(link, None)
        if timer is not None:
            timer.cancel()
        self.links.discard(link)


async def listen(
    host: str,
    port: int,
    hello: Hello,
    secret: bytes | None,
    accept: Callable[[Link], tuple[OnFrame, OnClose]],
    *,
    ssl: SSLContext | None = None,
    settings: TransportSettings = DEFAULTS,
) -> Listener:
    """Listen on `host:port` (0: any free port, see `.port`). Raises Unreachable when the address cannot be had.

    `accept` sees a link whose peer is known and proven, and returns what to call for its frames and its end; it may
    raise Refused, which the peer is told.
    """
    listener = Listener(hello, secret, accept, settings)
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(listener._new, host, port, ssl=ssl, backlog=256)
    except OSError as error:
        raise Unreachable(f"cannot listen on {host}:{port}: {error}") from error
    listener._server = server
    with contextlib.suppress(IndexError):
        listener.host, listener.port = server.sockets[0].getsockname()[:2]
    return listener
