"""Links to the other members of the partition: one duplex link per pair, made again whenever it breaks.

Both members of a pair may dial. The one with the smaller name dials at once, the other only after `DIAL_LATER_MS`, for
the case that the first one does not know its address. Should two links exist, both sides send on the one that the
smaller dialled, and the other is closed after `DUPLICATE_LINGER_MS`: not at once, because one side learns of a link
before the other does, and a member that sees its only link close takes its peer for dead.

A link belongs to one incarnation. A peer that does not read is cut when `BACKLOG_BYTES_MAX` wait for it; a peer that is
frozen with its connection open is none of our business: the protocol's silence handles it.

Messages may be lost and reordered when links break and change; the protocol expects both. Next on the path of the data:
`member`.
"""

import asyncio
import logging
from collections.abc import Callable

from kubegrid.base.ids import Member
from kubegrid.base.settings import MIB
from kubegrid.transport import FrameTooLarge, Hello, Link, Listener, Refused, TransportError, connect, listen

log = logging.getLogger("kubegrid.node.peers")

BACKLOG_BYTES_MAX = 128 * MIB
"""Bytes that may wait for one peer to read them: twice the largest frame. Beyond it the link is cut."""
IDLE_BYTES = 64 * 1024
"""Less than this on its way to a peer is as good as nothing: half a second of a link of one megabit a second."""
DIAL_TIMEOUT_S = 1.0
DIAL_BACKOFF_MS = (20, 50, 100, 200)
"""Pauses between attempts to reach a peer; the last one repeats."""
DIAL_LATER_MS = 400
"""How long the member with the greater name waits for the other one to dial."""
DUPLICATE_LINGER_MS = 1000
"""How long a second link to the same peer stays open unused."""
LINKS_MAX = 64
"""Incoming links of one partition; a partition has at most four members, and each may reconnect."""

Address = tuple[str, int]
OnFrame = Callable[[Link, bytes], None]
OnClose = Callable[[Link, str], None]


class Peers:
    """The links of one member.

    Invariant: `links[m]` is never empty; `on_connected(m)` was called once since it appeared, and `on_disconnected(m)`
    is called once when it goes.
    """

    def __init__(
        self,
        me: Member,
        partition: int,
        hello: Hello,
        secret: bytes | None,
        on_message: Callable[[Member, bytes], None],
        on_connected: Callable[[Member], None],
        on_disconnected: Callable[[Member], None],
        on_read: Callable[[], None],
    ) -> None:
        self.me = me
        self.links: dict[Member, list[Link]] = {}
        self.refused = 0
        self._prefix = f"p{partition}-"
        self._hello = hello
        self._secret = secret
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_read = on_read
        self._addresses: dict[Member, Address] = {}
        self._dialers: dict[Member, asyncio.Task[None]] = {}
        self._dialled: set[Link] = set()
        self._member_of: dict[Link, Member] = {}
        """Of links that were taken up and are not closed."""
        self._wake: dict[Member, asyncio.Event] = {}
        self._listener: Listener | None = None
        self._complained: dict[Address, str] = {}
        self._closed = False

    async def listen(self, host: str, port: int) -> int:
        """Accept links on `host:port`; the port, chosen by the kernel when 0 was asked."""
        self._listener = await listen(host, port, self._hello, self._secret, self._accept)
        return self._listener.port

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, to: tuple[Member, ...], payload: bytes, *, urgent: bool = False) -> None:
        """Send one encoded message to each of `to` that is linked; the others miss it. An urgent one overtakes."""
        for member in to:
            links = self.links.get(member)
            if links:
                link = links[0]
                try:
                    link.send(payload, urgent=urgent)
                except FrameTooLarge as error:
                    # It can never get this: better removed from the in-sync set than awaited for ever.
                    self.cut(member, str(error))
                    continue
                if link.backlog_bytes > BACKLOG_BYTES_MAX:
                    log.warning(
                        "peer cut member=%s reason='does not read' backlog_bytes=%d", member, link.backlog_bytes
                    )
                    link.close("it does not read what it is sent")

    def idle(self, member: Member) -> bool:
        """Whether little is on its way to `member`: over a slow link what was sent is late, not lost, and saying it again
        would fill the link with what is there already."""
        links = self.links.get(member)
        return links is not None and links[0].underway_bytes < IDLE_BYTES

    def connected(self, member: Member) -> bool:
        return member in self.links

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait in all links for their peers to read them."""
        return sum(link.backlog_bytes for links in self.links.values() for link in links)

    # -- who to reach --------------------------------------------------------------------------------------------

    def set_addresses(self, addresses: dict[Member, Address]) -> None:
        """The members of the partition that may be dialled, with where they listen (without this member)."""
        if self._closed or addresses == self._addresses:
            return
        for member in list(self._dialers):
            if addresses.get(member) != self._addresses.get(member):
                self._dialers.pop(member).cancel()
        self._addresses = dict(addresses)
        for member, address in addresses.items():
            if member not in self._dialers:
                self._dialers[member] = asyncio.ensure_future(self._keep(member, address))

    async def _keep(self, member: Member, address: Address) -> None:
        """Dial `member` whenever no link to it exists, for as long as it is known at `address`."""
        wake = self._wake.setdefault(member, asyncio.Event())
        attempt = 0
        while True:
            wake.clear()
            if member in self.links:
                attempt = 0
                await wake.wait()
                continue
            if attempt == 0 and self.me > member:
                await asyncio.sleep(DIAL_LATER_MS / 1000)
                if member in self.links:
                    continue
            if not await self._dial(member, address):
                await asyncio.sleep(DIAL_BACKOFF_MS[min(attempt, len(DIAL_BACKOFF_MS) - 1)] / 1000)
            attempt += 1

    async def _dial(self, member: Member, address: Address) -> bool:
        """One attempt; whether a link to somebody came of it."""
        try:
            link = await connect(
                *address, self._hello, self._secret, self._first_frame, self._link_closed, timeout_s=DIAL_TIMEOUT_S
            )
        except (TransportError, OSError) as error:
            self._complain(address, member, str(error))
            return False
        self._complained.pop(address, None)
        return not link.closed and (self._admitted(link) or self._admit_dialled(link))

    def _complain(self, address: Address, member: Member, reason: str) -> None:
        """Log why a peer cannot be reached, once per reason and address."""
        if self._complained.get(address) != reason:
            self._complained[address] = reason
            log.warning("peer unreachable member=%s address=%s:%d reason=%r", member, *address, reason)

    # -- links coming and going ------------------------------------------------------------------------------------

    def _accept(self, link: Link) -> tuple[OnFrame, OnClose]:
        refusal = self._admit(link)
        if refusal:
            raise Refused(refusal)
        return self._frame, self._link_closed

    def _admit_dialled(self, link: Link) -> bool:
        self._dialled.add(link)
        refusal = self._admit(link)
        if refusal:
            self._dialled.discard(link)
            log.warning("peer refused member=%s reason=%r", link.peer.name, refusal)
            link.close(refusal)
        return not refusal

    def _admitted(self, link: Link) -> bool:
        return link in self.links.get(Member(link.peer.name, link.peer.incarnation), ())

    def _first_frame(self, link: Link, payload: bytes) -> None:
        """The peer may speak before the task that dialled it runs again."""
        if self._admitted(link) or self._admit_dialled(link):
            link.on_frame = self._frame
            self._frame(link, payload)

    def _admit(self, link: Link) -> str:
        """Take up a link whose handshake is done; or why not, if it leads to no other member of this partition."""
        peer = link.peer
        member = Member(peer.name, peer.incarnation)
        refusal = ""
        if self._closed:
            refusal = f"{self.me.name} is stopping"
        elif peer.kind != "member":
            refusal = f"{self.me.name} links to members only, not to a {peer.kind}"
        elif not peer.name.startswith(self._prefix) or not peer.incarnation:
            refusal = f"{peer.name!r} is not of the partition of {self.me.name}"
        elif peer.name == self.me.name:
            refusal = f"{peer.name} is this member's own name"
        elif sum(map(len, self.links.values())) >= LINKS_MAX:
            refusal = f"{self.me.name} has {LINKS_MAX} links already"
        if refusal:
            self.refused += 1
            return refusal
        link.on_read = self._on_read
        self._member_of[link] = member
        links = self.links.setdefault(member, [])
        links.insert(0, link)
        # The one that the smaller member dialled comes first; among equals the newest.
        links.sort(key=lambda each: (each in self._dialled) != (self.me < member))
        if len(links) > 1:
            if self.me < member:
                loop = asyncio.get_running_loop()
                loop.call_later(DUPLICATE_LINGER_MS / 1000, self._settle, member)
        else:
            log.info("peer connected member=%s dialled=%s", member, link in self._dialled)
            self._on_connected(member)
        if member in self._wake:
            self._wake[member].set()
        return ""

    def _settle(self, member: Member) -> None:
        """Close all links to `member` but the one in use."""
        for link in self.links.get(member, [])[1:]:
            link.close("another link between the two is in use")

    def _frame(self, link: Link, payload: bytes) -> None:
        self._on_message(self._member_of[link], payload)

    def _link_closed(self, link: Link, reason: str) -> None:
        self._dialled.discard(link)
        self._member_of.pop(link, None)
        member = Member(link.peer.name, link.peer.incarnation)
        links = self.links.get(member)
        if links is None or link not in links:
            return
        links.remove(link)
        if links:
            return
        del self.links[member]
        if not self._closed:
            log.info("peer disconnected member=%s reason=%r", member, reason)
            self._on_disconnected(member)
            if member in self._wake:
                self._wake[member].set()

    def cut(self, member: Member, reason: str) -> None:
        """Close every link to `member`: it sent something that no member of this version sends."""
        log.warning("peer cut member=%s reason=%r", member, reason)
        for link in list(self.links.get(member, [])):
            link.close(reason)

    def close(self) -> None:
        """Stop listening and dialling, and close every link."""
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        for dialer in self._dialers.values():
            dialer.cancel()
        self._dialers.clear()
        for links in list(self.links.values()):
            for link in list(links):
                link.close(f"{self.me.name} is stopping")
