"""The simulated world of one seed: virtual time, a heap of events, and everybody in it.

One seed decides everything: all chance comes from one `random.Random`, no set or hash order is ever iterated, time is
an integer of microseconds that jumps from event to event. A run has three parts: chaos, in which the nemesis acts;
healing, after which the partition must serve with full redundancy within a bound; and judgement. `World.run` returns
what happened; a `Violation` escapes with the world as it was. Next on the path: `machine`.
"""

import heapq
import random
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from tests.sim.clients import Client
from tests.sim.coordinator import Coordinator
from tests.sim.faults import Nemesis
from tests.sim.machine import Machine
from tests.sim.manager import Manager
from tests.sim.network import Network
from tests.sim.observer import Observer, Violation
from tests.sim.operations import KEYS, Operation
from tests.sim.scenario import Scenario, draw
from tests.sim.switches import WHOLE, Switches
from tests.sim.trace import shown

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member, member_name
from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication import Replica, Role

GRID = "grid"
HEAL_US = 8_000_000
"""Within this after healing the partition must serve with full redundancy: some twenty-five graces."""
QUIET_US = 4_000_000
"""Within this the last requests must be answered and all replicas be equal."""
LEAVE_US = 1_500_000
"""A stop deadline: a process that cannot leave in this time is killed."""
CRASHES: tuple[type[Exception], ...] = (AssertionError, LookupError, TypeError, ValueError, AttributeError)


class World:
    """Invariant: events run in the order of (time, order of scheduling); `hash` is a function of the seed alone."""

    def __init__(
        self, seed: int, rules: Switches = WHOLE, tracing: bool = False, scenario: Scenario | None = None
    ) -> None:
        self.seed = seed
        self.rules = rules
        self.rng = random.Random(seed)
        self.later_rng = random.Random(f"{seed} other")
        """For what was added to the simulator since: older seeds keep the runs that they are known for."""
        self.scenario = scenario or draw(self.rng)
        self.baiting = self.later_rng.random() < (0.6 if self.scenario.reckless else 0.08)
        """Whether the whole in-sync set may end just when one of it has won (see `Nemesis.bait`)."""
        self.retrying = self.later_rng.random() < 0.5
        """Whether clients number their writes and send them again until they learn what became of them (R22)."""
        if self.later_rng.random() < 0.1:
            limits = {"log_bytes_max": 300, "join_log_bytes_max": 500}
            self.scenario.settings = msgspec.structs.replace(self.scenario.settings, **limits)
        self.now_us = 0
        self.step = 0
        self.heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.scheduled = 0
        self.hash = 0
        self.tracing = tracing
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self.stats: Counter[str] = Counter()
        self.failovers = 0
        self.losses = 0
        self.operations = 0
        self.healed = False
        self.validating = rules == WHOLE
        self.crashes: tuple[type[Exception], ...] = () if rules == WHOLE else CRASHES
        """With a rule switched off an assertion of the core stops its process, as it would in production, and proves nothing."""
        self.history: dict[str, list[Operation]] = {key: [] for key in KEYS}
        self.addresses = [member_name(0, i) for i in range(self.scenario.members)]
        self.machines: dict[Member, Machine] = {}
        self.holders: dict[str, Machine] = {}
        self.network = Network(self)
        self.observer = Observer(self)
        self.writers_home = self.rng.choice(self.addresses) if self.rng.random() < 0.5 else None
        """Where all writers stand, in some seeds: so that readers are alone with a primary that is cut off."""
        count = self.scenario.clients
        self.clients = [Client(self, i, roams=i >= count) for i in range(count + self.scenario.roamers)]
        self.auditor = Client(self, len(self.clients))
        self.stranger = Client(self, len(self.clients) + 1)
        """Writes what it never asks about again."""
        self.clients += (self.auditor, self.stranger)
        self.stranger.stopped = True
        """Reads every key at the end."""
        self.auditor.stopped, self.auditor.home = True, None
        members = [Member(address, self._incarnation()) for address in self.addresses]
        first = Configuration(
            grid=GRID,
            partition=0,
            epoch=1,
            primary=members[0],
            in_sync=tuple(members) if self.scenario.all_in_sync else (members[0],),
            proposer="manager",
        )
        self.coordinator = Coordinator(self, first)
        self.manager = Manager(self)
        self.nemesis = Nemesis(self)
        for member in members:
            self.after(self.rng.randrange(50_000), self._start, member)

    # -- time

    def at(self, moment_us: int, call: Callable[..., None], *arguments: Any) -> None:
        self.scheduled += 1
        heapq.heappush(self.heap, (moment_us, self.scheduled, call, arguments))

    def after(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now_us + delay_us, call, *arguments)

    def _run_until(self, moment_us: int, done: Callable[[], bool] | None = None, look_us: int = 20_000) -> bool:
        heap = self.heap
        look_at_us = self.now_us
        while heap and heap[0][0] <= moment_us:
            if done is not None and heap[0][0] >= look_at_us:
                if done():
                    return True
                look_at_us = heap[0][0] + look_us
            self.now_us, order, call, arguments = heapq.heappop(heap)
            self.step += 1
            self.hash = zlib.crc32(b"%d %d" % (self.now_us, order), self.hash)
            call(*arguments)
        self.now_us = max(self.now_us, moment_us)
        return done is not None and done()

    def digest(self, payload: bytes) -> None:
        self.hash = zlib.crc32(payload, self.hash)

    def trace(self, line: str) -> None:
        self.lines.append(f"{self.now_us / 1000:10.3f} ms  {line}")

    # -- the three parts of a run

    def run(self) -> None:
        self.after(0, self.manager.look)
        for client in self.clients:
            self.after(self.rng.randrange(60_000), client.act)
        self.after(100_000, self._sweep)
        self.after(self.rng.randrange(50_000, 300_000), self.nemesis.act)
        if self.scenario.members > 2 and self.later_rng.random() < 0.15:
            self.after(self.later_rng.randrange(200_000, 600_000), self.nemesis.lose_one_heir)
        if self.baiting:
            self.after(self.later_rng.randrange(200_000, 600_000), self.nemesis.bait)
        self._run_until(self.scenario.chaos_ms * 1000)
        self.heal()
        if not self._run_until(self.now_us + HEAL_US, self._whole):
            raise Violation("not healed", self.describe())
        self._quieten()
        for machine in self.machines.values():
            self.stats.update(machine.replica.stats)
        self.observer.finish(list(self.machines.values()))

    def heal(self) -> None:
        self.healed = True
        self.step += 1  # What is called before and answered by this is not called and answered at one moment.
        self.nemesis.stopped = True
        if self.tracing:
            self.trace("everything heals")
        self.network.heal()
        self.coordinator.heal()
        plenty = ReplicationSettings().join_log_bytes_max
        self.scenario.settings = msgspec.structs.replace(self.scenario.settings, join_log_bytes_max=plenty)
        for machine in list(self.machines.values()):
            # One entry can be longer than the log may be for a joiner here: as long as clients write, it would never end.
            machine.replica._state.settings = self.scenario.settings
            machine.stall_next_us = 0
            if machine.frozen:
                machine.frozen = 1
                machine.thaw()
        for address in self.addresses:
            self.after(self.rng.randrange(100_000), self.restart, address)

    def _whole(self) -> bool:
        """One primary that serves, everybody in sync, and everybody knows."""
        current = self.coordinator.current
        if set(current.in_sync) != set(self.machines) or len(current.in_sync) != len(self.addresses) or current.joining:
            return False
        for machine in self.machines.values():
            replica = machine.replica
            role = Role.PRIMARY if machine.member == current.primary else Role.BACKUP
            if replica.role is not role or replica.configuration != current or machine.leaving:
                return False
        return self.machines[current.primary].replica.serving if current.primary else False

    def _quieten(self) -> None:
        for client in self.clients:
            client.stopped = True
        end_us = self.now_us + QUIET_US
        self._run_until(end_us, lambda: all(client.open is None for client in self.clients))
        left = list(KEYS)

        def read_all() -> bool:
            if self.auditor.open is None:
                history = self.history[left[0]]
                if history and history[-1].client == self.auditor.number and history[-1].state == "done":
                    left.pop(0)
                if left:
                    self.auditor.read(left[0])
            return not left

        if not self._run_until(end_us, read_all, 2000):
            raise Violation("not quiet", f"keys {left} could not be read; {self.describe()}")
        if not self._run_until(end_us, self._settled):
            raise Violation("not quiet", f"replicas do not reach the same commit point; {self.describe()}")

    def _settled(self) -> bool:
        replicas = [machine.replica for machine in self.machines.values()]
        return self._whole() and all(replica.commit == replica.last == replicas[0].commit for replica in replicas)

    def _sweep(self) -> None:
        """Clients lose patience; someone reads on a backup."""
        for client in self.clients:
            client.lose_patience()
        if self.machines:
            self.rng.choice(
                list(self.machines.values())
            )  # it once chose one; seeds keep the runs that they are known for
            for machine in self.machines.values():
                self.observer.read_on_backup(machine)
        self.after(20_000, self._sweep)

    def describe(self) -> str:
        current = self.coordinator.current
        lines = [shown(current)]
        for machine in self.machines.values():
            replica = machine.replica
            lines.append(
                f"{shown(machine.member)} {replica.role.name} serving={replica.serving} epoch={replica.epoch} "
                f"commit={shown(replica.commit)} last={shown(replica.last)} frozen={machine.frozen} leaving={machine.leaving}"
            )
        return "\n    ".join(lines)

    # -- processes

    def _incarnation(self) -> str:
        return f"{self.rng.getrandbits(32):08x}"

    def make_replica(self, member: Member, address: str) -> Replica:
        preferred = self.scenario.failback and address == self.addresses[0]
        return Replica(member, 0, self.scenario.settings, grid=GRID, preferred=preferred, rules=self.rules)

    def _start(self, member: Member) -> None:
        drift = self.scenario.clock_drift
        rate = 1_000_000 + int(1_000_000 * self.rng.choice((-drift, drift, self.rng.uniform(-drift, drift))))
        machine = Machine(self, member, member.name, rate, self.rng.randrange(10**9))
        self.machines[member] = machine
        self.holders[member.name] = machine
        if self.tracing:
            self.trace(f"{shown(member)} starts, clock rate {rate}")
        machine.start()
        for other in list(self.machines.values()):
            if other is not machine:
                self._connect(machine, other)

    def restart(self, address: str) -> None:
        if address not in self.holders or not self.holders[address].alive:
            self._start(Member(address, self._incarnation()))

    def crash(self, machine: Machine) -> None:
        if not machine.alive:
            return
        if self.tracing:
            self.trace(f"{shown(machine.member)} ends")
        self.stats.update(machine.replica.stats)
        machine.stop()
        del self.machines[machine.member]
        self.manager.reaped()
        for other in self.machines.values():
            if self.rng.random() < self.scenario.notices:
                self.after(self.rng.randrange(200, 5000), other.input, other.replica.disconnected, machine.member)

    def own_assertion(self, machine: Machine) -> None:
        self.counts["stopped by its own assertion"] += 1
        self.crash(machine)
        self.after(self.rng.randrange(5000, 60_000), self.restart, machine.member.name)

    def spared(self, machine: Machine) -> bool:
        """Whether the partition keeps its memory without this process."""
        in_sync = self.coordinator.current.in_sync
        if machine.member not in in_sync:
            return True
        return any(member in self.machines and member != machine.member for member in in_sync)

    def leave(self, machine: Machine) -> None:
        """SIGTERM: the process goes when it may, or is killed at its stop deadline."""
        machine.leaving = True
        machine.input(machine.replica.leave)
        self.after(LEAVE_US, self._stop_deadline, machine)

    def left(self, machine: Machine) -> None:
        if machine.alive:
            self.counts["left in order"] += 1
            self.crash(machine)
            self.after(self.rng.randrange(10_000, 500_000), self.restart, machine.member.name)

    def _stop_deadline(self, machine: Machine) -> None:
        if not machine.alive:
            return
        if not self.spared(machine):
            self.after(LEAVE_US, self._stop_deadline, machine)
            return
        self.counts["stopped at its deadline"] += 1
        self.crash(machine)
        self.after(self.rng.randrange(10_000, 500_000), self.restart, machine.member.name)

    def replace(self, machine: Machine, length_us: int) -> None:
        """Out of reach, replaced under its name, and back in reach under an address of its own; then it is killed."""
        ghost = f"{machine.address}-ghost-{self.step}"
        address, machine.address, machine.ghost = machine.address, ghost, True
        del self.holders[address]
        wires = [(ghost, other) for other in self.addresses] + [(other, ghost) for other in self.addresses]
        self.network.cut(wires, length_us)
        self.cut_coordinator(machine, length_us)
        self.after(self.rng.randrange(10_000, 200_000), self.restart, address)
        self.after(length_us + self.rng.randrange(500_000), self._end_ghost, machine)

    def _end_ghost(self, machine: Machine) -> None:
        if self.spared(machine):
            self.crash(machine)
        else:
            self.after(100_000, self._end_ghost, machine)

    # -- connections

    def process_at(self, address: str) -> Machine:
        return next(machine for machine in self.machines.values() if machine.address == address)

    def address_of(self, member: Member) -> str:
        machine = self.machines.get(member)
        return machine.address if machine is not None else member.name

    def machine_at(self, member: Member) -> Machine | None:
        """The process that a message meant for `member` reaches: itself, or the one that holds its place."""
        machine = self.machines.get(member)
        if machine is None:
            machine = self.holders.get(member.name)
        return machine if machine is not None and machine.alive else None

    def _connect(self, one: Machine, other: Machine) -> None:
        for here, there in ((one, other), (other, one)):
            self.after(self.rng.randrange(200, 20_000), here.input, here.replica.connected, there.member)

    def disconnect(self, one: Machine, other: Machine, length_us: int) -> None:
        for here, there in ((one, other), (other, one)):
            if self.rng.random() < self.scenario.notices:
                self.after(self.rng.randrange(200, 5000), here.input, here.replica.disconnected, there.member)
                self.after(length_us + 5000, here.input, here.replica.connected, there.member)

    def cut_coordinator(self, machine: Machine, length_us: int) -> None:
        cut = self.coordinator.unreachable_from
        cut[machine.address] = cut.get(machine.address, 0) + 1
        self.after(length_us, self._mend_coordinator, machine.address)

    def _mend_coordinator(self, address: str) -> None:
        cut = self.coordinator.unreachable_from
        cut[address] = max(0, cut.get(address, 0) - 1)

    # -- what clients are told, and what the record shows

    def answer(self, operation: Operation) -> None:
        if operation.state == "pending":
            origin = operation.origin or operation
            operation.state, operation.returned = "done", self.step
            origin.state, origin.returned, origin.result = "done", self.step, operation.result
            if self.tracing:
                self.trace(f"client {operation.client} is answered: {operation!r}")
            self._client(operation).answered(origin)

    def refuse(self, operation: Operation) -> None:
        """Not executed, for certain: it leaves the history."""
        if operation.state == "pending":
            operation.state = "refused"
            self._client(operation).failed(operation)

    def unknown(self, operation: Operation) -> None:
        if operation.state == "pending":
            operation.state = "unknown"
            self.counts["outcome unknown"] += 1
            if self.tracing:
                self.trace(f"client {operation.client} does not learn of {operation!r}")
            self._client(operation).failed(operation)

    def forgotten(self, operation: Operation, reason: bytes) -> None:
        """The store does not know this client any more, which is as it should be only after an accepted loss."""
        if not self.losses:
            raise Violation("forgotten", f"{operation!r}: {reason.decode()}")
        if operation.state == "pending":
            operation.state = "refused"
            self._client(operation).forgotten(operation)

    def greet(self, machine: Machine) -> None:
        """This member has begun to serve."""
        if not self.healed and self.rng.random() < self.scenario.eager:
            for _ in range(self.rng.randrange(1, 5)):
                self.after(self.rng.randrange(60_000), self.stray_write, machine)

    def stray_write(self, machine: Machine) -> None:
        """A write of a client that does not wait for the answer."""
        if machine.alive and not self.healed:
            self.stranger.write_and_forget(machine)

    def _client(self, operation: Operation) -> Client:
        return self.clients[operation.client]

    def configured(self, before: Configuration, after: Configuration, machine: Machine) -> None:
        """A compare-and-swap was applied."""
        if self.tracing:
            self.trace(f"coordinator: {shown(machine.member)} makes {shown(after)} ({after.proposer})")
        if after.primary != before.primary and after.primary == machine.member:
            self.failovers += 1
        deposed = self.machines.get(before.primary) if before.primary is not None else None
        if deposed is not None and deposed is not machine:
            self.nemesis.keep_ignorant(deposed)
            self.nemesis.end_of_winners(after)
        self.nemesis.moment(machine)
        joined = set(after.in_sync) - set(before.in_sync)
        self.counts["joined"] += len(joined)
        if joined:
            self.nemesis.lost_at_work(machine, "as it adds a member")
        removed = set(before.in_sync) - set(after.in_sync)
        self.counts["removed"] += len(removed)
        self.counts["removed alive"] += len(removed & set(self.machines))

    def loss_accepted(self, epoch: int) -> None:
        self.losses += 1
        self.observer.loss_accepted(epoch)
