"""The manager's view of its grid, and the few things it does to it: begin partitions, note deaths, hand over, rebuild.

Everything that is decided is decided by `beginning` and `rebuild`; here it is looked up, carried out and told. The data
path does not depend on any of it: with no manager at all the members go on (R3, R4).

A member that follows a newer configuration than the coordinator has, or another one of the same epoch, shows that the
coordinator's data are an older copy, or not its own: every configuration that a member follows was answered only when
it was durable (R5). From then on the coordinator answers nobody, until a person has it rebuilt.
"""

import asyncio
import logging
import time
from typing import Any

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import ManagerConfig
from kubegrid.base.table_errors import DefinitionError
from kubegrid.coordination import (
    CATALOG_KEY,
    CLOSING_KEY,
    DEATHS_KEY,
    GRID_KEY,
    CasResult,
    Closing,
    CoordinatorError,
    Death,
    EmbeddedCoordinator,
    GridRecord,
    Lookup,
    LookupFull,
    MemberRecord,
    Outcome,
    TopologySnapshot,
    messages,
    partition_key,
    records,
)
from kubegrid.manager import beginning, reports
from kubegrid.manager.catalog import CatalogKeeper
from kubegrid.manager.deaths import Deaths
from kubegrid.manager.sessions import Sessions

log = logging.getLogger("kubegrid.manager")

PUSH_DELAY_S = 0.005
"""Changes within this are told together."""
EXPIRY_INTERVAL_S = 0.1
CHECK_INTERVAL_S = 0.5
"""How often the coordinator's file and every partition are looked at without an event."""
STORE_ATTEMPTS = 5
SETTLE_S = 2.0
"""After a loss, members have this long to register before one is chosen, unless all are there sooner."""
NOTES_KEY = "notes"


class Grid:
    """Invariant: `stored` is what the coordinator has, decoded, whenever the loop runs anything else."""

    def __init__(self, config: ManagerConfig, coordinator: EmbeddedCoordinator) -> None:
        self.config = config
        self.coordinator = coordinator
        self.lookup = Lookup(config.lookup_lease_ms)
        self.deaths = Deaths()
        self.catalog = CatalogKeeper(coordinator, self.lookup, self.deaths, self.configurations)
        self.sessions = Sessions(coordinator, self, self.topology)
        self.stored: dict[int, Configuration] = {}
        self.closing: Closing | None = None
        self.closing_now = False
        self.waits: dict[int, beginning.Wait] = {}
        self.notes: dict[int, str] = {}
        """Of each partition, how it last began again: kept after later configurations have no note any more."""
        self._loss_seen_s: dict[int, float] = {}
        self.changed = asyncio.Event()
        """Set, and replaced by a fresh one, at each change of a configuration."""
        self._number = 0
        self._began_ms = _monotonic_ms()
        self._push: asyncio.TimerHandle | None = None
        self._proposing: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keeping = asyncio.Lock()
        coordinator.watch("", self._stored_changed)

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self.coordinator.open()
        self._load()
        await self._begin_grid()
        self._run(self._tend())

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.coordinator.close()

    def _run(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tend(self) -> None:
        next_check = 0.0
        last_ms = _monotonic_ms()
        while True:
            await asyncio.sleep(EXPIRY_INTERVAL_S)
            try:
                now_ms = _monotonic_ms()
                if now_ms - last_ms > self.config.lookup_lease_ms // 3:
                    self.lookup.extend(now_ms)  # this process stood still: renewals may wait to be read
                last_ms = now_ms
                if self.lookup.expire(now_ms):
                    self.push_soon()
                if time.monotonic() >= next_check:
                    next_check = time.monotonic() + CHECK_INTERVAL_S
                    state = self.coordinator.state
                    await self.coordinator.check()
                    if state == "new":
                        await self._begin_grid()
                    if state != self.coordinator.state:
                        self._load()
                        if self.coordinator.comparable:
                            self.sessions.push_catalog()
                    self._compare_reports()
                    self.evaluate_all()
            except Exception:
                log.exception("looking after the grid failed; it is tried again")

    async def _begin_grid(self) -> None:
        if self.coordinator.state != "new":
            return
        try:
            await self.coordinator.begin(self.first_values())
            log.info("the grid %s (%s) begins", self.config.grid, self.config.grid_id)
        except CoordinatorError as error:
            self.coordinator.reason = str(error)
            log.error("the grid cannot begin: %s", error)

    def first_values(self) -> dict[str, bytes]:
        config = self.config
        record = GridRecord(config.grid_id, config.grid, config.partitions, config.copies, config.spec)
        return {GRID_KEY: records.encode(record)}

    def _load(self) -> None:
        """Everything from the coordinator, at the start and after it came back."""
        for key in self.coordinator.values(""):
            self._decode(key)

    def _stored_changed(self, key: str) -> None:
        self._decode(key)
        if key.startswith("partition/"):
            self.changed.set()
            self.changed = asyncio.Event()
            self.push_soon()
            self.evaluate(int(key.partition("/")[2]))
        elif key == CATALOG_KEY:
            self.sessions.push_catalog()

    def _decode(self, key: str) -> None:
        value = self.coordinator.values(key).get(key)
        if value is None:
            return
        try:
            if key.startswith("partition/"):
                configuration = records.decode_configuration(value)
                self.stored[configuration.partition] = configuration
            elif key == DEATHS_KEY:
                self.deaths.load(value)
            elif key == CLOSING_KEY:
                self.closing = msgspec.json.decode(value, type=Closing | None)
            elif key == NOTES_KEY:
                self.notes = msgspec.json.decode(value, type=dict[int, str])
            elif key == CATALOG_KEY:
                self.catalog.load(value)
        except (msgspec.MsgspecError, DefinitionError) as error:
            self.coordinator.lose(f"the record {key} makes no sense: {error}")

    # -- what members tell (sessions.Registry) -------------------------------------------------------------------

    def registered(self, register: messages.Register) -> None:
        record, configuration = register.record, register.configuration
        if configuration is not None and configuration.grid != self.config.grid_id:
            configuration = None
        try:
            changed = self.lookup.renew(_monotonic_ms(), record, configuration)
        except LookupFull as error:
            log.error("%s is not registered: %s", record.member, error)
            return
        if configuration is not None:
            self._compare(record.member, configuration)
        self._compare_catalog(record)
        self.catalog.heard()
        if changed:
            self.push_soon()
            self.evaluate(record.partition)

    def appeared(self, member: Member) -> None:
        if self.deaths.withdraw(member):
            log.error("%s was said to be dead, but lives: the proof is withdrawn", member)
            self._run(self.keep_deaths())

    def left(self, member: Member) -> None:
        if self.lookup.remove(member):
            self.push_soon()

    def disconnected(self, member: Member) -> None:
        if self.lookup.disconnected(member):
            self.push_soon()

    def catalog_document(self) -> bytes:
        return self.catalog.document()

    async def change_catalog(self, message: messages.ChangeCatalog) -> messages.CatalogAnswer:
        return await self.catalog.answer(message)

    def refuse_swap(self, member: Member, swap: messages.Swap) -> str:
        """Why a member's change is not even tried; empty when it is."""
        if len(swap.key) > messages.KEY_LENGTH_MAX or len(swap.value) > messages.VALUE_BYTES_MAX:
            return "too large for the coordinator"
        try:
            proposed = records.decode_configuration(swap.value)
        except msgspec.MsgspecError as error:
            return f"not a configuration: {error}"
        if swap.key != partition_key(proposed.partition) or proposed.grid != self.config.grid_id:
            return f"{swap.key} of grid {self.config.grid_id} is not what this configuration is of"
        current = self.stored.get(proposed.partition)
        if current is None:
            return f"partition {proposed.partition} has not begun; only the manager begins it"
        if self._token(swap.key) != swap.token:
            return ""  # a conflict, which tells more than a refusal
        if proposed.epoch != current.epoch + 1:
            return f"epoch {proposed.epoch} does not follow epoch {current.epoch}"
        if member not in current.in_sync:
            return f"{member} is not in sync as of epoch {current.epoch}: it may not change the configuration"
        return self._others_may_know_more(current)

    def _others_may_know_more(self, current: Configuration) -> str:
        """With all data set back, markers and all, a primary that was deposed since would find its swap applied; who deposed
        it will have registered, and shown that the data are an older copy, before that."""
        if _monotonic_ms() - self._began_ms < self.config.arrival_ms:
            connected = self.lookup.connected()
            missing = [str(member) for member in current.in_sync if member not in connected]
            if missing:
                return f"this manager has just started, and {', '.join(missing)} may know more than it"
        return ""

    def _token(self, key: str) -> int | None:
        try:
            found = self.coordinator.value(key)
        except CoordinatorError:
            return None
        return found.token if found else None

    def _compare(self, member: Member, configuration: Configuration) -> None:
        """Does this member know more than the coordinator? (R5)"""
        if not self.coordinator.comparable or not 0 <= configuration.partition < self.config.partitions:
            return
        partition = configuration.partition
        if reports.contradiction(member, configuration, self.stored.get(partition)):
            self._decode(partition_key(partition))  # a write whose outcome was in doubt may have come to light
            what = reports.contradiction(member, configuration, self.stored.get(partition))
            if what:
                self.coordinator.lose(what)

    def _compare_catalog(self, record: MemberRecord) -> None:
        """The same of the catalog: members were told of a version only when it was durable."""
        if self.coordinator.comparable and record.catalog_known > self.catalog.stored.version:
            self._decode(CATALOG_KEY)
            what = reports.contradiction_of_catalog(record, self.catalog.stored.version)
            if what:
                self.coordinator.lose(what)

    def _compare_reports(self) -> None:
        for member, configuration in self.lookup.configurations():
            self._compare(member, configuration)

    # -- telling members -----------------------------------------------------------------------------------------

    def push_soon(self) -> None:
        if self._push is None:
            self._push = asyncio.get_running_loop().call_later(PUSH_DELAY_S, self._push_now)

    def _push_now(self) -> None:
        self._push = None
        self.sessions.push()

    def configurations(self) -> dict[int, Configuration]:
        """The newest that is known of each partition: a hint, also while the coordinator has lost its data."""
        known = dict(self.stored)
        for _, configuration in self.lookup.configurations():
            stored = known.get(configuration.partition)
            if stored is None or configuration.epoch > stored.epoch:
                known[configuration.partition] = configuration
        return known

    def topology(self) -> TopologySnapshot:
        self._number += 1
        return TopologySnapshot(
            self.config.grid_id, self._number, self.configurations(), self.lookup.find(), self.closing_now
        )

    # -- beginning partitions ------------------------------------------------------------------------------------

    def view(self, partition: int, members: list[MemberRecord] | None = None) -> beginning.View:
        if members is None:
            members = self.lookup.find(matching=lambda record: record.partition == partition)
        stored = self.stored.get(partition)
        if stored is not None and members and all(member in self.deaths.proofs for member in stored.in_sync):
            lost_s = time.monotonic() - self._loss_seen_s.setdefault(partition, time.monotonic())
        else:
            self._loss_seen_s.pop(partition, None)
            lost_s = 0.0
        closed = self.closing is not None and stored is not None and set(stored.in_sync) <= set(self.closing.members)
        return beginning.View(
            grid=self.config.grid_id,
            name=self.config.grid,
            partition=partition,
            stored=stored,
            records=members,
            dead=self.deaths.proofs,
            on_loss=self.config.on_loss,
            first_primary=self.config.first_primaries.get(str(partition), f"p{partition}-0"),
            copies=self.config.copies,
            settled=lost_s >= SETTLE_S,
            closed_at=self.closing.at if closed and self.closing is not None else None,
            now=time.time(),
        )

    def evaluate_all(self) -> None:
        members = self.members_by_partition()
        for partition in range(self.config.partitions):
            self.evaluate(partition, members[partition])

    def members_by_partition(self) -> list[list[MemberRecord]]:
        result: list[list[MemberRecord]] = [[] for _ in range(self.config.partitions)]
        for record in self.lookup.find():
            if 0 <= record.partition < len(result):
                result[record.partition].append(record)
        return result

    def evaluate(self, partition: int, members: list[MemberRecord] | None = None) -> None:
        """Decide about one partition, and begin to carry it out."""
        if not 0 <= partition < self.config.partitions:
            return
        decision = beginning.decide(self.view(partition, members))
        if isinstance(decision, beginning.Wait):
            old = self.waits.get(partition)
            self.waits[partition] = decision
            if decision.explanation and (old is None or old.explanation != decision.explanation):
                log.warning("%s", decision.explanation)
        elif self.coordinator.state == "ok" and partition not in self._proposing:
            self._proposing[partition] = task = self._run(self._propose_by_itself(decision.configuration))
            task.add_done_callback(lambda _: self._proposing.pop(partition, None))

    async def _propose_by_itself(self, configuration: Configuration) -> None:
        try:
            result = await self.propose(configuration)
            if result.outcome is Outcome.APPLIED:
                log.info("partition %d epoch %d: %s", configuration.partition, configuration.epoch, configuration.note)
        except CoordinatorError as error:
            log.warning("partition %d cannot begin: %s", configuration.partition, error)

    async def propose(self, configuration: Configuration) -> CasResult:
        """Store the successor of what `stored` has. Raises CoordinatorError."""
        key = partition_key(configuration.partition)
        found = self.coordinator.value(key)
        if (records.decode_configuration(found.value).epoch if found else 0) != configuration.epoch - 1:
            return CasResult(Outcome.CONFLICT, found)
        token = found.token if found else None
        result = await self.coordinator.compare_and_swap(key, records.encode(configuration), token)
        if result.outcome is Outcome.APPLIED and found is not None:
            note = configuration.note.removeprefix(f"partition {configuration.partition}: ")
            self.notes[configuration.partition] = f"epoch {configuration.epoch}: {note}"
            await self.keep(NOTES_KEY, records.encode(self.notes))
        return result

    # -- deaths and closing --------------------------------------------------------------------------------------

    async def note_death(self, death: Death) -> None:
        """Raises CoordinatorError when it is known now but could not be kept."""
        self.sessions.drop(death.member)
        self.lookup.remove(death.member)
        if self.deaths.add(death):
            log.info("%s is dead: %s", death.member, death.how)
            self.push_soon()
            self.catalog.heard()
        try:
            await self.keep_deaths()
        finally:
            self.evaluate_all()

    async def keep_deaths(self) -> None:
        needed = {m for stored in self.stored.values() for m in (*stored.in_sync, *stored.joining)}
        self.deaths.forget(needed, time.time())
        await self.keep(DEATHS_KEY, self.deaths.encode())

    async def close_in_order(self, cancel: bool) -> None:
        """An orderly down begins, or does not take place after all. Raises CoordinatorError."""
        members = set(self.lookup.entries)
        for stored in self.stored.values():
            members.update(stored.in_sync, stored.joining)
        closing = None if cancel else Closing(time.time(), sorted(members))
        await self.keep(CLOSING_KEY, records.encode(closing))
        self.closing, self.closing_now = closing, not cancel
        self.push_soon()

    async def keep(self, key: str, value: bytes) -> None:
        """Store what only this manager writes. Raises CoordinatorError."""
        async with self._keeping:
            for _ in range(STORE_ATTEMPTS):
                found = self.coordinator.value(key)
                if found is not None and found.value == value:
                    return
                result = await self.coordinator.compare_and_swap(key, value, found.token if found else None)
                if result.outcome is Outcome.APPLIED:
                    return
            raise CoordinatorError(f"{key} is changed by somebody else all the time")


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
