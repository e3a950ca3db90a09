"""What the async client has of the members: the slot map, and one link to each of them.

A link is opened when it is first wanted; several that want it wait for the same opening. Next on the path of the data: `link`.
"""

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

from hiredis import ReplyError

from kubegrid.client.connection import RefusedGreetingError, reason_of
from kubegrid.client.errors import ClosedError
from kubegrid.client.link import Call, Link, Owner, Parcel, Unit, open_link
from kubegrid.client.members import SHARDS, no_map, not_let_in
from kubegrid.client.options import ClientOptions
from kubegrid.client.routes import Route, Routes
from kubegrid.client.slots import parse_shards, split_address

CONNECT_HERE = (
    "A client serves the tasks of the loop that it was made in: call kubegrid.connect_async in this one, "
    "or put everything into one asyncio.run."
)


def closed_error() -> ClosedError:
    return ClosedError("this client is closed", "Connect again with kubegrid.connect_async.")


class AsyncMembers:
    """Invariant: a link in `_links` is open, or has just been lost and `forget` is about to be called."""

    def __init__(self, routes: Routes, options: ClientOptions, owner: Owner, learned: Callable[[], None]) -> None:
        self.routes = routes
        self.options = options
        self.closed = False
        self.map_number = 0
        self._owner = owner
        self._learned = learned
        self._links: dict[tuple[str, bool], Link] = {}
        self._opening: dict[tuple[str, bool], asyncio.Task[Link]] = {}
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._thread = threading.get_ident()
        self._map_lock = asyncio.Lock()

    def links(self) -> list[Link]:
        return list(self._links.values())

    def forget(self, link: Link) -> None:
        """The link was lost."""
        for key, known in list(self._links.items()):
            if known is link:
                del self._links[key]

    def check_open(self) -> None:
        """ClosedError when this client cannot be used here or any more."""
        if os.getpid() != self._pid:
            raise ClosedError("this async client belongs to the parent of this process", "Connect anew after the fork.")
        if self.closed:
            raise closed_error()

    @property
    def left_behind(self) -> bool:
        """Whether the loop with all that was under way in it is over, or is that of the parent of this process."""
        return self._loop.is_closed() or os.getpid() != self._pid

    def check_here(self) -> None:
        """`check_open`, and ClosedError outside of the loop that this client was made in: its connections live there.

        A request may be put on its way before that loop runs, in its thread.
        """
        self.check_open()
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = not self._loop.is_closed() and threading.get_ident() == self._thread
        if not here:
            ended = ", which has ended" if self._loop.is_closed() else ""
            raise ClosedError(f"this async client belongs to another event loop{ended}", CONNECT_HERE)

    async def link(self, address: str, readonly: bool = False) -> Link:
        """The link to a member; several that ask at the same time get the same. OSError, TimeoutError, AccessError."""
        key = (address, readonly)
        known = self._links.get(key)
        if known is not None and not known.closed:
            return known
        self.check_here()
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = self._loop.create_task(self._open(address, readonly))
            task.add_done_callback(functools.partial(self._opened, key))
        return await asyncio.shield(task)

    def _opened(self, key: tuple[str, bool], task: "asyncio.Task[Link]") -> None:
        self._opening.pop(key, None)
        if not task.cancelled():
            task.exception()  # who waited for it may be gone, and then asyncio would print it

    async def _open(self, address: str, readonly: bool) -> Link:
        password = self.options.password
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                link = await open_link(split_address(address), address, self._owner, password, readonly)
        except RefusedGreetingError as error:
            raise not_let_in(str(error)) from error
        if self.closed:
            link.lose("the client was closed")
            raise closed_error()
        if link.closed:
            raise ConnectionResetError("the connection was closed")
        self._links[address, readonly] = link
        return link

    async def read_map(self, troubled: Route | None, number: int) -> dict[str, str]:
        """Ask one member after the other for the slot map; what went wrong with each of them if none told it."""
        async with self._map_lock:
            if number != self.map_number:
                return {}
            attempts: dict[str, str] = {}
            for address in self.routes.addresses(troubled):
                try:
                    async with asyncio.timeout(self.options.connect_timeout):
                        asking = await open_link(
                            split_address(address), address, _Nobody(), self.options.password, False
                        )
                        try:
                            reply = await asking.ask(SHARDS)
                        finally:
                            asking.lose("done")
                    if type(reply) is ReplyError:
                        attempts[address] = no_map(str(reply))
                        continue
                    shards = parse_shards(reply)
                except (OSError, TimeoutError, ValueError) as error:
                    attempts[address] = reason_of(error)
                    continue
                except RefusedGreetingError as error:
                    raise not_let_in(str(error)) from error
                self.routes.learn(shards)
                self.map_number += 1
                self._learned()
                return {}
            return attempts


class _Nobody:
    """The owner of a link on which no requests are sent."""

    def answered(self, link: Link) -> None: ...

    def refused(self, unit: Unit, text: str, address: str) -> None: ...

    def link_lost(self, link: Link, units: list[Unit], reason: str) -> None: ...

    def settle(self, call: Call, reply: Any) -> None: ...

    def unpack(self, unit: Parcel, reply: Any, address: str) -> None: ...
