"""A member's link to one manager: made again and again, and the calls on it matched with their answers.

Next on the path: `remote`, which is all managers of a grid together.
"""

import asyncio
import logging
from typing import Protocol

from kubegrid import transport
from kubegrid.coordination import messages
from kubegrid.coordination.coordinator import CoordinatorUnavailable
from kubegrid.coordination.messages import HandOver
from kubegrid.coordination.settings import ManagerClientSettings

log = logging.getLogger("kubegrid.coordination")

Call = messages.ReadKey | messages.Swap | messages.ChangeCatalog
Answered = messages.ReadAnswer | messages.SwapAnswer | messages.CatalogAnswer
Pushed = messages.Topology | messages.Changed | messages.Catalog | messages.TellCatalog | HandOver


class Client(Protocol):
    """What a link needs of `remote.ManagerClient`."""

    hello: transport.Hello
    secret: bytes | None
    settings: ManagerClientSettings

    def connected_to(self, manager: "ManagerLink") -> None: ...
    def pushed(self, link: transport.Link, message: Pushed) -> None: ...


class ManagerLink:
    """The connection to one manager, made again and again. Invariant: `calls` are only of the link that is there."""

    def __init__(self, client: "Client", host: str, port: int) -> None:
        self.client = client
        self.host, self.port = host, port
        self.link: transport.Link | None = None
        self.calls: dict[int, asyncio.Future[Answered]] = {}
        self.last_frame_s = 0.0
        self.last_error = "not tried yet"
        self._broken = asyncio.Event()

    async def run(self) -> None:
        """Keep a link, for ever."""
        settings = self.client.settings
        backoff_s = settings.backoff_min_s
        while True:
            self._broken.clear()
            try:
                link = await transport.connect(
                    self.host,
                    self.port,
                    self.client.hello,
                    self.client.secret,
                    self._frame,
                    self._closed,
                    timeout_s=settings.connect_timeout_s,
                )
                if link.peer.kind != "manager":
                    link.close("not a manager")
                    raise transport.Refused(f"{self.host}:{self.port} is {link.peer}, not a manager")
            except transport.TransportError as error:
                if str(error) != self.last_error:
                    log.warning("manager %s:%d: %s", self.host, self.port, error)
                self.last_error = str(error)
                await asyncio.sleep(backoff_s)
                backoff_s = min(settings.backoff_max_s, 2 * backoff_s)
                continue
            if not link.closed:
                self.last_error = ""
                self.link = link
                self.last_frame_s = asyncio.get_running_loop().time()
                self.client.connected_to(self)
                backoff_s = settings.backoff_min_s
                try:
                    await self._broken.wait()
                except asyncio.CancelledError:
                    link.close("the member ends")
                    raise
            await asyncio.sleep(backoff_s)

    def send(self, message: messages.FromMember) -> None:
        if self.link is not None:
            self.link.send(messages.encode(message))

    async def call(self, message: Call, timeout_s: float | None = None) -> Answered:
        """Raises CoordinatorUnavailable when there was no answer."""
        settings = self.client.settings
        if len(self.calls) >= settings.calls_max:
            raise CoordinatorUnavailable("too many calls wait for the manager")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answered] = loop.create_future()
        self.calls[message.id] = answer
        try:
            self.send(message)
            async with asyncio.timeout(timeout_s or settings.call_timeout_s):
                return await answer
        except TimeoutError:
            if self.link is not None and loop.time() - self.last_frame_s > settings.silence_s:
                self.link.close("the manager does not answer")
            raise CoordinatorUnavailable(f"no answer from {self.host}:{self.port}") from None
        finally:
            self.calls.pop(message.id, None)

    def _closed(self, link: transport.Link, reason: str) -> None:
        if self.link is link:
            self.link = None
            self.last_error = reason
            for answer in self.calls.values():
                if not answer.done():
                    answer.set_exception(CoordinatorUnavailable(f"the manager's connection broke: {reason}"))
            log.warning("manager %s:%d: %s", self.host, self.port, reason)
        self._broken.set()

    def _frame(self, link: transport.Link, payload: bytes) -> None:
        self.last_frame_s = asyncio.get_running_loop().time()
        message = messages.decode_from_manager(payload)
        if isinstance(message, messages.ReadAnswer | messages.SwapAnswer | messages.CatalogAnswer):
            answer = self.calls.get(message.id)
            if answer is not None and not answer.done():
                answer.set_result(message)
        else:
            self.client.pushed(link, message)
