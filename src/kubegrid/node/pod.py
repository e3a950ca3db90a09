"""A data pod put together: store, replication, links, its ports and the registration with the managers.

`DataPod` is everything of `kubegrid node` but the process: several can live in one loop, which is what the integration
tests do. `main` adds the process: signals, files, exit status. Nothing is decided here; the parts are made, introduced
to each other, started in order, and stopped in the opposite one.

Next on the path of the data: `server` (clients) and `peers` (members).
"""

import asyncio
import logging
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from kubegrid.base.ids import Member, slots_of_partition
from kubegrid.base.settings import MIB, NodeConfig
from kubegrid.coordination import HandOver, ManagerClient, Managers, MemoryManagers, catalog
from kubegrid.coordination.catalog import Change
from kubegrid.coordination.messages import CatalogAnswer
from kubegrid.node import description
from kubegrid.node.catalog import CatalogFollower
from kubegrid.node.context import NodeContext
from kubegrid.node.coordinator_link import CoordinatorLink
from kubegrid.node.first_news import FirstNews
from kubegrid.node.flight_port import FlightPort
from kubegrid.node.housekeeping import Housekeeping
from kubegrid.node.idle_clients import IdleClients
from kubegrid.node.member import MemberDriver
from kubegrid.node.memory_watch import MemoryBudget, MemoryWatch
from kubegrid.node.metrics import NodeMetrics
from kubegrid.node.peers import Peers
from kubegrid.node.server import RespServer
from kubegrid.node.sql_capture import SqlCapture
from kubegrid.node.sql_service import SqlService
from kubegrid.node.topology import Topology, node_id
from kubegrid.node.turn import Turn
from kubegrid.replication import Gate, Replica, Role
from kubegrid.store import Keyspace
from kubegrid.transport import Hello

if TYPE_CHECKING:
    from kubegrid.node.http import HttpPort

log = logging.getLogger("kubegrid.node")

STOP_DEADLINE_S = 20.0
"""How long a member that was told to stop tries to hand over and leave before it ends anyway."""
LAST_REPLIES_S = 0.25
"""After leaving, replies that were written have this long to reach their clients."""
LEFT_POLL_S = 0.01
REGISTER_INTERVAL_S = 0.5
LOG_PART = 16
"""The log kept for members that return is at most 1/16 of the memory by its count, and about twice that in fact."""
REPLY_PART = 16
"""One command's reply is at most 1/16 of the memory: while it is put together it is there twice."""
RESERVE_PART = 6
"""Kept free of records for the log, frames on their way and replies nobody has read (1/6 of the memory)."""


def _limit_by_memory(config: NodeConfig) -> None:
    """A reply, and the log that is kept, are less in a small member. Requests are not: statements that write come in
    parts of up to 8 MiB whatever the member's size."""
    store, replication, memory_bytes = config.store, config.replication, config.memory_bytes
    reply_bytes_max = min(store.reply_bytes_max, memory_bytes // REPLY_PART)
    config.store = msgspec.structs.replace(store, reply_bytes_max=reply_bytes_max)
    log_bytes_max = min(replication.log_bytes_max, memory_bytes // LOG_PART)
    config.replication = msgspec.structs.replace(replication, log_bytes_max=log_bytes_max)


class DataPod:
    """One member, running. Invariant: parts are stopped in the opposite order of their start; `stop` may be called twice."""

    def __init__(self, config: NodeConfig, secret: bytes | None = None, embedded: MemoryManagers | None = None) -> None:
        """`embedded`: the managers of a grid that lives in a process of somebody else. Then nothing but the Redis port
        listens, and the Flight port once it is asked for; the resident size of the process is not looked at, and the
        garbage collector is left alone."""
        _limit_by_memory(config)
        self.config = config
        self.secret = secret
        self.me = Member(config.name, uuid.uuid4().hex)
        self.started_at = time.time()
        self.resp_port = 0
        self.http_port = 0
        self.replication_port = 0
        first, last = slots_of_partition(config.partition, config.partitions)
        self.keyspace = Keyspace(config.store, first, last, random=secrets.randbelow)
        self.replica = Replica(
            self.me,
            config.partition,
            config.replication,
            grid=config.grid_id,
            preferred=config.preferred and config.failback,
        )
        self.member = MemberDriver(config, self.replica, self.me, self.keyspace)
        self.loop: asyncio.AbstractEventLoop
        self.turn: Turn
        self.topology: Topology
        self.context: NodeContext
        self.server: RespServer
        self.housekeeping: Housekeeping
        self.client: Managers
        self.catalog: CatalogFollower
        self.coordinator: CoordinatorLink
        self.peers: Peers
        self.http: HttpPort | None = None
        self.capture: SqlCapture
        self.sql: SqlService
        self.flight: FlightPort
        self.first_news: FirstNews
        self.metrics: NodeMetrics
        self._embedded = embedded
        self._register_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    @property
    def embedded(self) -> bool:
        """Whether it lives in a process of somebody else."""
        return self._embedded is not None

    # -- starting --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen everywhere, register, begin. Raises OSError or TransportError when an address cannot be had."""
        config = self.config
        loop = self.loop = asyncio.get_running_loop()
        hello = Hello(kind="member", grid=config.grid_id, name=config.name, incarnation=self.me.incarnation)
        member = self.member
        self.turn = Turn(loop, self.keyspace, member, config.clients)
        self.peers = Peers(
            self.me,
            config.partition,
            hello,
            self.secret,
            member.frame_received,
            member.peer_connected,
            member.peer_disconnected,
            self.turn.end_early,
        )
        self.client = self._embedded or ManagerClient(
            config.managers, hello, self.secret, self._topology_pushed, self._commanded
        )
        self.coordinator = CoordinatorLink(self.client, config.grid_id, config.partition)
        member.wire(self.turn, self.peers, self.coordinator)
        self.catalog = CatalogFollower(self.keyspace, self.turn, self._register, lambda: self.client.connected)
        self.client.on_catalog = self.catalog.pushed
        self.client.newest_catalog = lambda: catalog.encoded(self.catalog.newest)
        watch = MemoryWatch if self._embedded is None else MemoryBudget
        memory = watch(config.memory_bytes, config.memory_bytes // RESERVE_PART)
        self.housekeeping = Housekeeping(
            self.keyspace,
            self.turn,
            config.store,
            memory,
            config.clients.request_timeout_ms,
            lambda: list(self.context.sessions.values()),
            tidies_collector=self._embedded is None,
        )
        self.housekeeping.listeners.append(self.catalog.follow)
        self.capture = SqlCapture(loop, self.turn, self.keyspace, self.me.incarnation, config.sql)
        self.housekeeping.listeners.append(self.capture.tidy)
        self.sql = SqlService(self)
        memory.sql_at_work = self.sql.at_work
        memory.when_short = self.sql.make_room
        self.flight = FlightPort(self.sql, config.bind, config.flight_port, self._flight_opened)
        self.topology = Topology(config.grid_id, config.partitions, description.member_record(self))
        self.context = self._make_context()
        self.server = RespServer(self.turn, self.context)
        self.metrics = NodeMetrics(
            member, self.turn, self.context, self.server, self.housekeeping, self.flight, self.sql
        )
        self.first_news = FirstNews(loop, self.turn)
        self.first_news.hold()
        try:
            self.resp_port = await self.server.listen(config.bind, config.resp_port)
            if self._embedded is None:
                self.replication_port = await self.peers.listen(config.bind, config.replication_port)
                self.http_port = await self._listen_for_http()
        except BaseException:
            await self.stop()
            raise
        self.topology.learn_me(description.member_record(self))
        member.role_listeners.append(self._role_changed)
        member.primary_listeners.append(self.context.role_changed)
        self.housekeeping.listeners.append(self.context.look_at_rates)
        self.housekeeping.listeners.append(IdleClients(self.context).look)
        member.primary_listeners.append(self.capture.role_changed)
        self.client.start()
        self.coordinator.watch(member.configuration_hint)
        self._register()
        self.housekeeping.start()
        member.start()
        log.info(
            "member started name=%s incarnation=%s resp=%s:%d http=%d replication=%d limit_mib=%d",
            config.name,
            self.me.incarnation,
            config.bind,
            self.resp_port,
            self.http_port,
            self.replication_port,
            memory.limit_bytes // MIB,
        )

    async def _listen_for_http(self) -> int:
        from kubegrid.node.http import HttpPort  # not for an embedded grid: a web server is long to import

        self.http = HttpPort(self, self.secret)
        return await self.http.listen(self.config.bind, self.config.http_port)

    def _make_context(self) -> NodeContext:
        config = self.config
        context = NodeContext(
            keyspace=self.keyspace,
            replica=self.replica,
            topology=self.topology,
            name=config.name,
            grid=config.grid,
            run_id=node_id(config.grid_id, self.me),
            secret=self.secret,
            memory_bytes=config.memory_bytes,
            client_settings=config.clients,
            store_settings=config.store,
        )
        context.catalog = self
        context.flight = self.flight
        return context

    # -- registration and topology ---------------------------------------------------------------------------------

    def _register(self) -> None:
        """Tell the managers, now and every `REGISTER_INTERVAL_S`."""
        if self._register_timer is not None:
            self._register_timer.cancel()
        if not self._stopped:
            self.client.register(description.member_record(self), self.replica.configuration)
            self._register_timer = asyncio.get_running_loop().call_later(REGISTER_INTERVAL_S, self._register)

    def _role_changed(self) -> None:
        self.coordinator.know(self.replica.epoch)
        self.topology.learn_me(description.member_record(self))
        if self.replica.configuration is not None:
            self.topology.learn_configuration(self.replica.configuration)
        if self.replica.role is Role.PRIMARY:
            self.first_news.came()
        self._register()

    def _flight_opened(self) -> None:
        self.topology.learn_me(description.member_record(self))
        self._register()

    def _topology_pushed(self, snapshot: Any) -> None:
        self.topology.learn_snapshot(snapshot)
        self.first_news.came()
        self.peers.set_addresses(self.topology.addresses(self.config.partition))

    def ask(self, change: Change) -> "asyncio.Future[CatalogAnswer]":
        """For commands: have the managers change the catalog; the answer comes in bounded time, whatever happens."""
        return asyncio.ensure_future(self.client.change_catalog(change))

    # -- commands from outside -------------------------------------------------------------------------------------

    def _commanded(self, command: HandOver, answer: Any) -> None:
        """A manager asks for a hand-over on behalf of a person."""

        async def carry_out() -> None:
            refusal = await self._hand_over(command.to)
            answer(not refusal, refusal)

        task = asyncio.ensure_future(carry_out())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, to: Member | None) -> str:
        if self.replica.role is not Role.PRIMARY:
            return f"{self.me.name} is not the primary of partition {self.config.partition}"
        if await self.member.hand_over(to):
            log.info("hand-over begun to=%s", to or "any backup")
            return ""
        return (
            f"{self.me.name} cannot hand over to {to.name if to else 'any backup'} now: "
            "it does not serve, the target is not in sync, or another change is under way"
        )

    async def hand_over(self, to: str | None) -> str:
        """For HTTP: begin a hand-over; empty, or why not."""
        configuration = self.replica.configuration
        if to is None or configuration is None:
            return await self._hand_over(None)
        target = next((member for member in configuration.in_sync if member.name == to), None)
        if target is None:
            return f"{to!r} is not in the in-sync set of partition {self.config.partition}"
        return await self._hand_over(target)

    def not_ready_because(self) -> str:
        return self.member.not_ready_because()

    def metrics_text(self) -> bytes:
        return self.metrics.text()

    def describe(self) -> dict[str, Any]:
        return description.described(self)

    # -- stopping --------------------------------------------------------------------------------------------------

    async def leave(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Hand over and get out of the in-sync set while serving goes on; whether that was done in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        self.member.leave()
        while not self.replica.left and loop.time() < until:
            await asyncio.sleep(LEFT_POLL_S)
        if not self.replica.left:
            log.warning("left without handing over deadline_s=%.0f", deadline_s)
            return False
        # What was confirmed before is on its way to the clients; new requests are told where to go.
        while self.turn.pending and loop.time() < until:
            await asyncio.sleep(LEFT_POLL_S)
        await asyncio.sleep(LAST_REPLIES_S)
        return True

    async def stop(self) -> None:
        """Close everything, in the opposite order of `start`."""
        if self._stopped:
            return
        self._stopped = True
        if self._register_timer is not None:
            self._register_timer.cancel()
            self.client.leave()
        self.first_news.stop()
        self.capture.close()
        await self.flight.close()
        await self.server.close()
        if self.http is not None:
            await self.http.close()
        self.member.stop()
        self.coordinator.close()
        self.peers.close()
        self.housekeeping.stop()
        await self.client.close()

    def serving(self) -> bool:
        """Whether commands are executed here now."""
        return self.member.gate(self.member.now_ms()) is Gate.OPEN
