"""The members' links: what they ask of the coordinator and the lookup service, and what is pushed to them.

One session is one link. A session may register only the member that it shook hands as. Next on the path: `grid`, which
knows what registrations and changes mean.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from kubegrid import transport
from kubegrid.base.ids import Member
from kubegrid.coordination import (
    CasResult,
    CoordinatorError,
    EmbeddedCoordinator,
    Outcome,
    StorageFailing,
    TopologySnapshot,
    messages,
)

log = logging.getLogger("kubegrid.manager")

CALLS_MAX = 64
"""Compare-and-swaps of one link under way; more are answered as failed."""
WATCHES_MAX = 16
Answer = messages.CommandAnswer | messages.CatalogTold
SESSIONS_MAX = 20_000


class Registry(Protocol):
    """What a session tells about its member."""

    def registered(self, register: messages.Register) -> None: ...
    def left(self, member: Member) -> None: ...
    def disconnected(self, member: Member) -> None: ...
    def refuse_swap(self, member: Member, swap: messages.Swap) -> str: ...
    def appeared(self, member: Member) -> None: ...
    def catalog_document(self) -> bytes: ...
    async def change_catalog(self, message: messages.ChangeCatalog) -> messages.CatalogAnswer: ...


class Session:
    """One member's link."""

    def __init__(self, sessions: "Sessions", link: transport.Link) -> None:
        self.sessions = sessions
        self.link = link
        self.member = Member(link.peer.name, link.peer.incarnation)
        self.registered = False
        self.watches: set[str] = set()
        self.calls: set[asyncio.Task[None]] = set()

    def send(self, message: messages.FromManager) -> None:
        self.link.send(messages.encode(message))

    def frame(self, link: transport.Link, payload: bytes) -> None:
        message = messages.decode_from_member(payload)
        if isinstance(message, messages.ReadKey):
            self.send(self._read(message))
        elif isinstance(message, messages.Swap):
            self._swap(message)
        elif isinstance(message, messages.Register):
            self._register(message)
        elif isinstance(message, messages.Watch):
            if len(self.watches) < WATCHES_MAX:
                self.watches.add(message.prefix)
        elif isinstance(message, messages.Leave):
            self.registered = False
            self.sessions.registry.left(self.member)
        elif isinstance(message, messages.ChangeCatalog):
            self._change_catalog(message)
        else:
            self.sessions.answered(self, message)

    def closed(self, link: transport.Link, reason: str) -> None:
        self.sessions.ended(self)

    def _read(self, message: messages.ReadKey) -> messages.ReadAnswer:
        try:
            found = self.sessions.coordinator.value(message.key)
        except CoordinatorError as error:
            return messages.ReadAnswer(message.id, None, 0, str(error) or "unknown")
        if found is None:
            return messages.ReadAnswer(message.id, None, 0)
        return messages.ReadAnswer(message.id, found.value, found.token)

    def _swap(self, message: messages.Swap) -> None:
        refusal = self.sessions.registry.refuse_swap(self.member, message)
        if self.link.peer.kind != "member":
            refusal = "only members change configurations"
        if len(self.calls) >= CALLS_MAX:
            refusal = "too many changes of one member under way"
        if refusal:
            self.send(messages.SwapAnswer(message.id, Outcome.UNKNOWN, None, 0, refusal))
            return
        self._run(self._swap_and_answer(message))

    def _run(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    def _change_catalog(self, message: messages.ChangeCatalog) -> None:
        if self.link.peer.kind != "member" or len(self.calls) >= CALLS_MAX:
            refusal = "only members change the catalog, and not too much of it at once"
            self.send(messages.CatalogAnswer(message.id, 0, "ERR", refusal))
        else:
            self._run(self._change_catalog_and_answer(message))

    async def _change_catalog_and_answer(self, message: messages.ChangeCatalog) -> None:
        self.send(await self.sessions.registry.change_catalog(message))

    async def _swap_and_answer(self, message: messages.Swap) -> None:
        try:
            result = await self.sessions.coordinator.compare_and_swap(message.key, message.value, message.token)
        except CoordinatorError as error:
            known = isinstance(error, StorageFailing) and error.outcome_known
            result = CasResult(Outcome.UNKNOWN, None, f"{'not applied: ' if known else ''}{error}")
        value, token = (result.current.value, result.current.token) if result.current else (None, 0)
        self.send(messages.SwapAnswer(message.id, result.outcome, value, token, result.reason))

    def _register(self, message: messages.Register) -> None:
        record = message.record
        if self.link.peer.kind != "member" or record.member != self.member:
            self.link.close(f"registers {record.member}, but shook hands as {self.link.peer}")
            return
        first = not self.registered
        self.registered = True
        self.sessions.registry.registered(message)
        if first:
            self.sessions.push_to(self)


class Sessions:
    """All links. Invariant: `by_member` has the newest link of each incarnation."""

    def __init__(self, coordinator: EmbeddedCoordinator, registry: Registry, topology: Callable[[], TopologySnapshot]):
        self.coordinator = coordinator
        self.registry = registry
        self.all: set[Session] = set()
        self.by_member: dict[Member, Session] = {}
        self._topology = topology
        self._questions: dict[int, tuple[Session, asyncio.Future[Answer]]] = {}
        self._last_question = 0
        coordinator.watch("", self._changed)

    def accept(self, link: transport.Link) -> tuple[transport.link.OnFrame, transport.link.OnClose]:
        """For `transport.listen`."""
        if link.peer.kind == "manager":
            raise transport.Refused("managers do not talk to each other here")
        if len(self.all) >= SESSIONS_MAX:
            raise transport.Refused("too many links to this manager")
        session = Session(self, link)
        self.all.add(session)
        if link.peer.kind == "member":
            old = self.by_member.get(session.member)
            self.by_member[session.member] = session
            if old is not None:
                old.link.close("the member has made a newer link")
            self.registry.appeared(session.member)
        return session.frame, session.closed

    def ended(self, session: Session) -> None:
        self.all.discard(session)
        for number, (known, answer) in list(self._questions.items()):
            if known is session and not answer.done():
                answer.set_result(messages.CommandAnswer(number, False, "the member's link broke"))
        if self.by_member.get(session.member) is session:
            del self.by_member[session.member]
            if session.registered:
                self.registry.disconnected(session.member)

    def drop(self, member: Member) -> None:
        """It is dead: what may still come over its link counts no more."""
        session = self.by_member.get(member)
        if session is not None:
            session.link.close("its death was proven")

    # -- pushing -------------------------------------------------------------------------------------------------

    def push(self) -> None:
        """Tell every registered member who is where; encoded once."""
        payload = messages.encode(messages.Topology(self._topology()))
        for session in self.all:
            if session.registered:
                session.link.send(payload)

    def push_to(self, session: Session) -> None:
        session.send(messages.Topology(self._topology()))
        if self.coordinator.comparable:
            session.send(messages.Catalog(self.registry.catalog_document()))

    def push_catalog(self) -> None:
        """Tell every registered member of the tables; encoded once."""
        payload = messages.encode(messages.Catalog(self.registry.catalog_document()))
        for session in self.all:
            if session.registered:
                session.link.send(payload)

    def _changed(self, key: str) -> None:
        payload = messages.encode(messages.Changed(key))
        for session in self.all:
            if any(key.startswith(prefix) for prefix in session.watches):
                session.link.send(payload)

    # -- asking a member -----------------------------------------------------------------------------------------

    async def hand_over(self, primary: Member, partition: int, to: Member | None, timeout_s: float) -> str:
        """Ask a primary to hand over; empty when it has begun, else why not."""
        told = await self._ask(primary, lambda number: messages.HandOver(number, partition, to), timeout_s)
        if not isinstance(told, messages.CommandAnswer):
            return told if isinstance(told, str) else "a wrong answer"
        return "" if told.accepted else told.reason or "refused"

    async def ask_catalog(self, member: Member, timeout_s: float) -> bytes | None:
        """The newest catalog that a member knows; None when it does not answer."""
        told = await self._ask(member, messages.TellCatalog, timeout_s)
        return told.document if isinstance(told, messages.CatalogTold) else None

    async def _ask(
        self, member: Member, question: Callable[[int], messages.FromManager], timeout_s: float
    ) -> Answer | str:
        """The answer, or why there is none."""
        session = self.by_member.get(member)
        if session is None:
            return f"{member} is not connected to this manager"
        self._last_question += 1
        number = self._last_question
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._questions[number] = session, answer
        try:
            session.send(question(number))
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return f"{member} did not answer within {timeout_s:g} s"
        finally:
            del self._questions[number]

    def answered(self, session: Session, message: Answer) -> None:
        known = self._questions.get(message.id)
        if known is not None and known[0] is session and not known[1].done():
            known[1].set_result(message)
