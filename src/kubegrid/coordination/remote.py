"""A member's way to the managers: the coordinator's calls, registration with the lookup service, pushes and commands.

How a member uses it:

    client = ManagerClient(["127.0.0.1:7101"], hello, secret, on_topology, on_command)
    client.start()                                          # needs a running loop; connects and reconnects for ever
    client.register(record, configuration)                  # at every change, and about once a second
    configuration, token = await client.read_configuration(partition)
    outcome, current, token = await client.swap_configuration(proposed, token)
    client.watch("partition/3", callback)                   # a hint, also after each reconnect
    client.on_catalog = adopt                               # the catalog of tables, whole, at each change
    answer = await client.change_catalog(change)            # never raises
    await client.close()

It never gives up and never blocks its caller: with all managers dead a read raises CoordinatorUnavailable at once, a
compare-and-swap is UNKNOWN at once, `register` keeps the newest record for later, and the last topology stays. A
compare-and-swap never raises, because for whoever proposed one, every trouble means the same: unknown (R1). All
callbacks are plain calls on the loop.

A member registers with every manager of the list, and calls whichever is connected. Members don't trust what they
read: a configuration of another grid or of a lower epoch is theirs to refuse (R5).
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from kubegrid import transport
from kubegrid.base.configuration import Configuration
from kubegrid.coordination import messages, records
from kubegrid.coordination.catalog import IN_DOUBT, NO_MANAGER, Change
from kubegrid.coordination.coordinator import CasResult, CoordinatorUnavailable, Outcome, Versioned, partition_key
from kubegrid.coordination.manager_link import ManagerLink, Pushed
from kubegrid.coordination.messages import HandOver
from kubegrid.coordination.records import MemberRecord, TopologySnapshot
from kubegrid.coordination.settings import ManagerClientSettings

Answer = Callable[..., None]
"""`answer(accepted: bool, reason: str = "")`"""


class SwapResult(NamedTuple):
    """`current` is what is stored and `token` its token; None and 0 when that is not known, or nothing is stored."""

    outcome: Outcome
    current: Configuration | None
    token: int


class ManagerClient:
    """All managers of one grid, from a member's point of view (see the module)."""

    def __init__(
        self,
        addresses: list[str],
        hello: transport.Hello,
        secret: bytes | None,
        on_topology: Callable[[TopologySnapshot], None],
        on_command: Callable[[HandOver, Answer], None],
        *,
        settings: ManagerClientSettings | None = None,
    ) -> None:
        self.hello = hello
        self.secret = secret
        self.settings = settings or ManagerClientSettings()
        self.topology: TopologySnapshot | None = None
        self.on_catalog: Callable[[bytes], None] = lambda document: None
        self.newest_catalog: Callable[[], bytes] = lambda: b""
        """What the member knows of the catalog, for a manager whose coordinator has lost it."""
        self._on_topology = on_topology
        self._on_command = on_command
        self._watches: dict[str, list[Callable[[str], None]]] = {}
        self._registration: messages.Register | None = None
        self._managers = [ManagerLink(self, *_address(text)) for text in addresses]
        self._tasks: list[asyncio.Task[None]] = []
        self._last_id = 0

    def start(self) -> None:
        """Begin to connect; call once, on the running loop."""
        assert not self._tasks
        self._tasks = [asyncio.create_task(manager.run()) for manager in self._managers]
        self._tasks.append(asyncio.create_task(self._renew()))

    async def close(self) -> None:
        """End all links; calls that wait fail."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def connected(self) -> bool:
        """Whether any manager can be asked now."""
        return any(manager.link is not None for manager in self._managers)

    @property
    def trouble(self) -> str:
        """Why no manager is connected, for people; empty when one is."""
        return "" if self.connected else "; ".join(f"{m.host}:{m.port}: {m.last_error}" for m in self._managers)

    # -- the lookup service --------------------------------------------------------------------------------------

    def register(self, record: MemberRecord, configuration: Configuration | None) -> None:
        """The newest record: sent at once when others have to know, else with the next renewal."""
        old = self._registration
        self._registration = messages.Register(record, configuration)
        if old is None or old.configuration != configuration or records.urgently_different(old.record, record):
            self._send_all(self._registration)

    def leave(self, reason: str = "") -> None:
        """The member ends in order: it is not looked up any more."""
        self._registration = None
        self._send_all(messages.Leave(reason))

    # -- the coordinator -----------------------------------------------------------------------------------------

    async def read(self, key: str) -> Versioned | None:
        """Raises CoordinatorUnavailable when it is not known what is stored."""
        answer = await self._manager().call(messages.ReadKey(self._next_id(), key))
        if not isinstance(answer, messages.ReadAnswer) or answer.error:
            raise CoordinatorUnavailable(getattr(answer, "error", "") or "a wrong answer")
        return None if answer.value is None else Versioned(answer.value, answer.token)

    async def compare_and_swap(self, key: str, value: bytes, token: int | None) -> CasResult:
        """Never raises: without an answer the outcome is UNKNOWN, and `reason` says why."""
        try:
            answer = await self._manager().call(messages.Swap(self._next_id(), key, value, token))
        except CoordinatorUnavailable as error:
            return CasResult(Outcome.UNKNOWN, None, str(error))
        if not isinstance(answer, messages.SwapAnswer):
            return CasResult(Outcome.UNKNOWN, None, "a wrong answer")
        current = None if answer.value is None else Versioned(answer.value, answer.token)
        return CasResult(Outcome(answer.outcome), current, answer.reason)

    def watch(self, prefix: str, callback: Callable[[str], None]) -> None:
        """Call back with a key that may have changed, and with the prefix itself after each reconnect."""
        self._watches.setdefault(prefix, []).append(callback)
        self._send_all(messages.Watch(prefix))

    async def read_configuration(self, partition: int) -> tuple[Configuration | None, int]:
        """The stored configuration and its token; (None, 0) when there is none. Raises CoordinatorUnavailable."""
        found = await self.read(partition_key(partition))
        return (None, 0) if found is None else (_configuration(found), found.token)

    async def swap_configuration(self, proposed: Configuration, token: int | None) -> SwapResult:
        """Replace the configuration that `token` belongs to. Never raises."""
        key = partition_key(proposed.partition)
        result = await self.compare_and_swap(key, records.encode(proposed), token)
        if result.outcome is Outcome.UNKNOWN or result.current is None:
            return SwapResult(result.outcome, None, 0)
        try:
            return SwapResult(result.outcome, _configuration(result.current), result.current.token)
        except CoordinatorUnavailable:
            return SwapResult(Outcome.UNKNOWN, None, 0)

    # -- the catalog of tables -----------------------------------------------------------------------------------

    async def change_catalog(self, change: Change) -> messages.CatalogAnswer:
        """Have the manager change the catalog. Never raises; see `CatalogAnswer`."""
        number = self._next_id()
        try:
            manager = self._manager()
        except CoordinatorUnavailable as error:
            return messages.CatalogAnswer(number, 0, NO_MANAGER, f"nothing was changed: {error}")
        try:
            answer = await manager.call(messages.ChangeCatalog(number, change), self.settings.catalog_timeout_s)
        except CoordinatorUnavailable as error:
            return messages.CatalogAnswer(number, 0, IN_DOUBT, f"whether it was changed is not known: {error}")
        return answer if isinstance(answer, messages.CatalogAnswer) else messages.CatalogAnswer(number, 0, IN_DOUBT)

    # -- inside --------------------------------------------------------------------------------------------------

    def _manager(self) -> ManagerLink:
        for manager in self._managers:
            if manager.link is not None:
                return manager
        raise CoordinatorUnavailable(f"no manager can be reached: {self.trouble}")

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _send_all(self, message: messages.FromMember) -> None:
        for manager in self._managers:
            manager.send(message)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.settings.renew_interval_s)
            if self._registration is not None:
                self._send_all(self._registration)

    def connected_to(self, manager: ManagerLink) -> None:
        if self._registration is not None:
            manager.send(self._registration)
        for prefix, callbacks in self._watches.items():
            manager.send(messages.Watch(prefix))
            for callback in callbacks:
                callback(prefix)

    def pushed(self, link: transport.Link, message: Pushed) -> None:
        if isinstance(message, messages.Topology):
            if message.snapshot.grid == self.hello.grid:
                self.topology = message.snapshot
                self._on_topology(message.snapshot)
        elif isinstance(message, messages.Catalog):
            self.on_catalog(message.document)
        elif isinstance(message, messages.TellCatalog):
            link.send(messages.encode(messages.CatalogTold(message.id, self.newest_catalog())))
        elif isinstance(message, messages.Changed):
            for prefix, callbacks in self._watches.items():
                if message.key.startswith(prefix):
                    for callback in callbacks:
                        callback(message.key)
        else:
            number = message.id

            def answer(accepted: bool, reason: str = "") -> None:
                link.send(messages.encode(messages.CommandAnswer(number, accepted, reason)))

            self._on_command(message, answer)


def _configuration(found: Versioned) -> Configuration:
    try:
        return records.decode_configuration(found.value)
    except msgspec.MsgspecError as error:
        raise CoordinatorUnavailable(f"what is stored is no configuration: {error}") from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
