"""The nemesis: what happens to a partition until the network heals, drawn from the scenario's mixture.

Aimed faults ("the primary", "a backup") look at the coordinator's record, as an unlucky world would. Lengths are drawn
around the times that matter, the lease and the grace. A crash spares the last in-sync member that lives, unless the
seed is reckless: most seeds must keep every write. Next on the path: `world` carries the faults out.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

    from kubegrid.base.configuration import Configuration

LENGTHS = (0.2, 0.5, 0.8, 0.95, 1.05, 1.3, 1.8, 3.0)
"""Of a fault, in graces."""


class Nemesis:
    """Invariant: it acts only until `stop`; every fault it begins ends by itself or by `World.heal`."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.stopped = False
        self.baited: Machine | None = None
        faults = world.scenario.faults
        self.kinds = list(faults)
        self.weights = list(faults.values())

    def act(self) -> None:
        if self.stopped:
            return
        world = self.world
        kind = world.rng.choices(self.kinds, self.weights)[0]
        if getattr(self, kind.replace("-", "_"))():
            world.counts[f"fault {kind}"] += 1
            if world.tracing:
                world.trace(f"nemesis: {kind}")
        calm_us = world.scenario.calm_ms * 1000
        world.after(world.rng.randrange(calm_us // 4, calm_us * 2), self.act)

    def moment(self, machine: "Machine") -> None:
        """Something decisive is happening at this member: a fault that comes just then finds what chance alone misses."""
        world = self.world
        if self.stopped or world.rng.random() >= world.scenario.ambush:
            return
        world.after(world.rng.choice((0, 0, 1000, 10_000, 40_000)), self._ambush, machine)

    def lost_at_work(self, machine: "Machine", kind: str) -> None:
        """A primary that has just added a member, or begins a snapshot, is lost to the in-sync set with writes in hand."""
        world, rng = self.world, self.world.rng
        others = [world.machines[m] for m in world.coordinator.current.in_sync if m in world.machines]
        others = [other for other in others if other is not machine]
        if self.stopped or not others:
            return
        spared = rng.random() >= 2 * world.scenario.ambush
        if spared and not (world.retrying and world.later_rng.random() < 0.3):
            return
        length_us = self._length_us() + world.scenario.settings.grace_ms * 1000
        for other in others:
            self._part(machine.address, other.address, length_us)
        world.cut_coordinator(machine, length_us)
        for _ in range(rng.randrange(1, 8)):
            world.after(rng.randrange(rng.choice((2000, 20_000, 100_000))), world.stray_write, machine)
        world.counts[f"ambush {kind}"] += 1
        if world.tracing:
            world.trace(f"nemesis: {machine.member} is lost {kind}")

    def keep_ignorant(self, machine: "Machine") -> None:
        """A primary has just been deposed and does not know: nobody tells it for a while."""
        world = self.world
        if self.stopped or world.rng.random() >= 2 * world.scenario.ambush:
            return
        length_us = self._length_us()
        self._strand(machine, length_us)
        world.cut_coordinator(machine, length_us)
        world.counts["ambush kept ignorant"] += 1
        if world.tracing:
            world.trace(f"nemesis: {machine.member} is not told")

    def bait(self) -> None:
        """In some seeds: a primary is out of reach until a backup acts, whose swap takes long, and in reach again meanwhile:
        the backups may acknowledge it once more before they learn that one of them has won."""
        world, rng = self.world, self.world.later_rng
        if self.stopped:
            return
        machine, grace_us = self._primary(), world.scenario.settings.grace_ms * 1000
        if machine is not None and machine.replica.serving:
            self.baited = machine
            self._strand(machine, 2 * grace_us)
            world.cut_coordinator(machine, 3 * grace_us)
            world.counts["fault bait"] += 1
            if world.tracing:
                world.trace("nemesis: bait")
        world.after(rng.randrange(3 * grace_us, 6 * grace_us), self.bait)

    def lose_one_heir(self) -> None:
        """In some seeds: one in-sync backup is cut off from all others, who are cut off from the coordinator: it takes over
        and goes on alone, while a primary and a backup that know nothing of it still hear each other."""
        world, rng = self.world, self.world.later_rng
        if self.stopped:
            return
        primary, grace_us = self._primary(), world.scenario.settings.grace_ms * 1000
        in_sync = [world.machines[m] for m in world.coordinator.current.in_sync if m in world.machines]
        heirs = [machine for machine in in_sync if machine is not primary]
        if primary is not None and len(heirs) > 1:
            heir = rng.choice(heirs)
            self._strand(heir, 5 * grace_us)
            for other in self._others(heir):
                world.cut_coordinator(other, 5 * grace_us)
            for delay_us in range(2 * grace_us, 3 * grace_us, 20_000):
                world.after(delay_us, world.stray_write, heir)
            world.counts["fault lose one heir"] += 1
            if world.tracing:
                world.trace(f"nemesis: {heir.member} is lost to the others")
        world.after(rng.randrange(2 * grace_us, 5 * grace_us), self.lose_one_heir)

    def delay_of_swap_us(self, proposed: "Configuration") -> int:
        """A swap is on its way to the coordinator: how long it takes, beyond what it takes anyway."""
        machine, world = self.baited, self.world
        if machine is None or not machine.alive or proposed.primary == machine.member:
            return 0
        others = self._others(machine)
        world.network.mend(machine.address, [other.address for other in others])
        return world.later_rng.randrange(20_000, 200_000)

    def end_of_winners(self, won: "Configuration") -> None:
        """The swap has applied, and all that are in sync end, perhaps before they learn of it: whom they gave leases to may
        still answer, and nobody who is left knows (R20)."""
        world = self.world
        if self.stopped or self.baited is None:
            return
        self.baited = None
        for member in won.in_sync:
            if member in world.machines:
                world.after(world.later_rng.choice((0, 0, 3000)), self._end, world.machines[member])
        world.counts["ambush winners end"] += 1
        if world.tracing:
            world.trace("nemesis: the winners end")

    def _end(self, machine: "Machine") -> None:
        world = self.world
        if machine.alive and not machine.ghost:
            world.crash(machine)
            world.after(world.later_rng.randrange(2000, 60_000), world.restart, machine.address)

    def _ambush(self, machine: "Machine") -> None:
        world = self.world
        if self.stopped or not machine.alive:
            return
        kind = world.rng.choice(("isolate", "isolate", "cut-off", "cut-off", "crash", "pause"))
        if kind == "isolate":
            self._isolate(machine)
        elif kind == "cut-off":
            others = [world.machines[m] for m in world.coordinator.current.in_sync if m in world.machines]
            others = [other for other in others if other is not machine] or self._others(machine)
            if others:
                self._cut_off(machine, world.rng.choice(others))
        elif kind == "crash":
            self._crash(machine)
        else:
            self._pause(machine)
        world.counts[f"ambush {kind}"] += 1
        if world.tracing:
            world.trace(f"nemesis: ambush, {kind} {machine.member}")

    # -- whom and how long

    def _length_us(self) -> int:
        grace_us = self.world.scenario.settings.grace_ms * 1000
        return int(grace_us * self.world.rng.choice(LENGTHS) * self.world.rng.uniform(0.9, 1.1))

    def _anyone(self) -> "Machine | None":
        machines = [machine for machine in self.world.machines.values() if not machine.leaving and not machine.ghost]
        return self.world.rng.choice(machines) if machines else None

    def _primary(self) -> "Machine | None":
        return self.world.machines.get(self.world.coordinator.current.primary)

    def _backup(self) -> "Machine | None":
        current = self.world.coordinator.current
        backups = [self.world.machines[m] for m in current.in_sync if m != current.primary and m in self.world.machines]
        return self.world.rng.choice(backups) if backups else None

    def _others(self, machine: "Machine") -> list["Machine"]:
        return [other for other in self.world.machines.values() if other is not machine]

    # -- wires

    def _isolate(self, machine: "Machine | None") -> bool:
        if machine is None:
            return False
        rng, length_us = self.world.rng, self._length_us()
        directions = rng.choice(("both", "both", "in", "out"))
        wires = []
        for other in self._others(machine):
            if directions != "in":
                wires.append((machine.address, other.address))
            if directions != "out":
                wires.append((other.address, machine.address))
        self.world.network.cut(wires, length_us)
        if rng.random() < 0.4:
            self.world.cut_coordinator(machine, length_us)
        return bool(wires)

    def _cut_off(self, machine: "Machine", other: "Machine") -> None:
        """From one other member, and perhaps from the coordinator."""
        rng, length_us = self.world.rng, self._length_us()
        wires = [(machine.address, other.address), (other.address, machine.address)]
        self.world.network.cut(rng.choice((wires, wires, wires[:1], wires[1:])), length_us)
        if rng.random() < 0.5:
            self.world.cut_coordinator(machine, length_us)

    def _strand(self, machine: "Machine", length_us: int) -> None:
        """No member hears it, nor it them; its clients may be with it."""
        if machine.alive and not self.stopped:
            wires = [(machine.address, other.address) for other in self._others(machine)]
            self.world.network.cut(wires + [(b, a) for a, b in wires], length_us)

    def strand_primary(self) -> bool:
        """A primary's host drops off the network, perhaps with clients that go on writing what nobody else will have."""
        machine, rng = self._primary(), self.world.rng
        if machine is None:
            return False
        length_us = int(self.world.scenario.settings.grace_ms * 1000 * rng.choice((1.1, 1.3, 1.8, 3.0)))
        self._strand(machine, length_us)
        self.world.cut_coordinator(machine, length_us)
        if rng.random() < 0.5:
            for _ in range(rng.randrange(12)):
                self.world.after(rng.randrange(200_000), self.world.stray_write, machine)
        return True

    def flap(self) -> bool:
        """A primary is out of reach until about when its backups act, in reach for a moment, and out of reach again."""
        machine, world, rng = self._primary(), self.world, self.world.rng
        if machine is None:
            return False
        grace_us = world.scenario.settings.grace_ms * 1000
        first_us, gap_us = int(grace_us * rng.uniform(1.0, 1.3)), rng.randrange(10_000, 80_000)
        self._strand(machine, first_us)
        world.after(first_us + gap_us, self._strand, machine, int(grace_us * rng.uniform(0.5, 1.5)))
        world.cut_coordinator(machine, 3 * grace_us)
        if rng.random() < 0.7:
            self.coordinator_slow(3 * grace_us)
        return True

    def strand_in_steps(self) -> bool:
        """A primary loses the coordinator, then one backup after the other."""
        machine, world, rng = self._primary(), self.world, self.world.rng
        if machine is None:
            return False
        grace_us = world.scenario.settings.grace_ms * 1000
        world.cut_coordinator(machine, 3 * grace_us)
        others = self._others(machine)
        rng.shuffle(others)
        for number, other in enumerate(others):
            delay_us = int(grace_us * rng.uniform(0.5, 1.15)) if number else 0
            world.after(delay_us, self._part, machine.address, other.address, 2 * grace_us)
        return True

    def _part(self, one: str, other: str, length_us: int) -> None:
        if not self.stopped:
            self.world.network.cut([(one, other), (other, one)], length_us)

    def pause_and_cut(self) -> bool:
        """A primary stands still, and when it goes on nobody hears it."""
        machine = self._primary()
        if machine is None:
            return False
        length_us = self._length_us()
        machine.freeze(length_us)
        wires = [(machine.address, other.address) for other in self._others(machine)]
        self.world.network.cut(wires, length_us + self._length_us())
        if self.world.rng.random() < 0.7:
            self.world.cut_coordinator(machine, length_us + self._length_us())
        return True

    def isolate_backup(self) -> bool:
        return self._isolate(self._backup())

    def isolate_primary(self) -> bool:
        return self._isolate(self._primary())

    def _pair(self) -> tuple[str, str] | None:
        addresses = [machine.address for machine in self.world.machines.values()]
        if len(addresses) < 2:
            return None
        one, other = self.world.rng.sample(addresses, 2)
        return one, other

    def cut_pair(self) -> bool:
        machine = self._primary() if self.world.rng.random() < 0.5 else self._anyone()
        if machine is None or not self._others(machine):
            return False
        self._cut_off(machine, self.world.rng.choice(self._others(machine)))
        return True

    def cut_one_way(self) -> bool:
        pair = self._pair()
        if pair is None:
            return False
        self.world.network.cut([pair], self._length_us())
        return True

    def split(self) -> bool:
        world = self.world
        if len(world.machines) < 3:
            return False
        here = {machine.address for machine in world.machines.values() if world.rng.random() < 0.5}
        there = {machine.address for machine in world.machines.values()} - here
        wires = [(a, b) for a in sorted(here) for b in sorted(there)]
        world.network.cut(wires + [(b, a) for a, b in wires], self._length_us())
        return bool(wires)

    def clog(self) -> bool:
        pair = self._pair()
        if pair is None:
            return False
        self.world.network.clog(pair, self._length_us())
        return True

    def disconnect(self) -> bool:
        """A connection breaks and is made again; both sides notice."""
        pair = self._pair()
        if pair is None:
            return False
        one, other = (self.world.process_at(address) for address in pair)
        self.world.disconnect(one, other, self.world.rng.randrange(1000, 100_000))
        return True

    # -- processes

    def _crash(self, machine: "Machine | None") -> bool:
        world = self.world
        if machine is None or machine.ghost or not (world.scenario.reckless or world.spared(machine)):
            return False
        world.crash(machine)
        fast = world.rng.random() < 0.5
        world.after(world.rng.randrange(2000, 60_000) if fast else self._length_us(), world.restart, machine.address)
        return True

    def crash(self) -> bool:
        return self._crash(self._anyone())

    def crash_primary(self) -> bool:
        return self._crash(self._primary())

    def replace(self) -> bool:
        """A process that is out of everybody's reach is replaced while it lives on, a ghost, and comes back into reach."""
        world = self.world
        machine = self._anyone()
        if machine is None or machine.ghost or not world.spared(machine):
            return False
        world.replace(machine, self._length_us())
        return True

    def _pause(self, machine: "Machine | None") -> bool:
        if machine is None:
            return False
        machine.freeze(self._length_us())
        return True

    def pause(self) -> bool:
        return self._pause(self._anyone())

    def pause_primary(self) -> bool:
        return self._pause(self._primary())

    def stall_in_turn(self) -> bool:
        machine = self._primary()
        if machine is None:
            return False
        machine.stall_next_us = self._length_us()
        return True

    def suspend_all(self) -> bool:
        length_us = self.world.rng.randrange(300_000, 3_000_000)
        for machine in self.world.machines.values():
            machine.freeze(length_us + self.world.rng.randrange(5000))
        return True

    def wall_clock_jump(self) -> bool:
        machine = self._anyone()
        if machine is not None:
            machine.wall_ms += self.world.rng.randrange(-1_000_000, 1_000_000)
        return machine is not None

    # -- coordinator

    def coordinator_outage(self) -> bool:
        coordinator = self.world.coordinator
        coordinator.out += 1
        self.world.after(self._length_us(), self._outage_ends)
        return True

    def _outage_ends(self) -> None:
        self.world.coordinator.out = max(0, self.world.coordinator.out - 1)

    def coordinator_slow(self, length_us: int = 0) -> bool:
        self.world.coordinator.slow += 1
        self.world.after(length_us or self._length_us(), self._slowness_ends)
        return True

    def _slowness_ends(self) -> None:
        self.world.coordinator.slow = max(0, self.world.coordinator.slow - 1)

    def coordinator_cut(self) -> bool:
        machine = self._primary() if self.world.rng.random() < 0.5 else self._anyone()
        if machine is not None:
            self.world.cut_coordinator(machine, self._length_us())
        return machine is not None

    # -- orderly changes

    def hand_over(self) -> bool:
        machine, target = self._primary(), self._backup()
        if machine is None:
            return False
        to = target.member if target is not None and self.world.rng.random() < 0.5 else None
        machine.input(machine.replica.hand_over, to)
        return True

    def leave(self) -> bool:
        machine = self._primary() if self.world.rng.random() < 0.5 else self._anyone()
        if machine is None or machine.leaving or machine.ghost or len(self.world.addresses) == 1:
            return False
        self.world.leave(machine)
        return True

    def burst(self) -> bool:
        """Every client asks at once."""
        for client in self.world.clients:
            self.world.after(self.world.rng.randrange(500), client.act)
        return True
