"""The wires between members: late, lossy, doubling, out of order, cut in one direction or both, clogged; then healed.

Members are addressed by name, as by host and port: what was meant for a process that is gone reaches the one that has
taken its place, unless both live at once. A cut wire loses what is sent meanwhile; a clogged one keeps it and delivers
all of it, late. Next on the path: `machine.deliver`.
"""

from typing import TYPE_CHECKING

from kubegrid.base.ids import Member

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World


class Network:
    """Invariant: `cuts` counts, per direction, the faults that are open now; at zero messages pass."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.cuts: dict[tuple[str, str], int] = {}
        self.clogs: dict[tuple[str, str], list[tuple[Machine, Member, bytes]]] = {}
        self.arrival_us: dict[tuple[str, str], int] = {}
        self.healed = False

    def send(self, sender: "Machine", to: Member, payload: bytes) -> None:
        world, scenario, rng = self.world, self.world.scenario, self.world.rng
        wire = (sender.address, self.world.address_of(to))
        if wire in self.clogs:
            self.clogs[wire].append((sender, to, payload))
            return
        if self.cuts.get(wire, 0) > 0:
            world.counts["lost: cut"] += 1
            return
        low, high = scenario.delay_us
        delay_us = low + int((high - low) * rng.random())
        if not self.healed:
            if scenario.loss and rng.random() < scenario.loss:
                world.counts["lost"] += 1
                return
            if scenario.reordering and rng.random() < scenario.reordering:
                world.counts["delayed"] += 1
                delay_us += rng.randrange(100_000)
            if scenario.duplication and rng.random() < scenario.duplication:
                world.counts["doubled"] += 1
                world.after(delay_us + rng.randrange(200_000), self._arrive, sender.member, wire, to, payload)
        arrival_us = world.now_us + delay_us
        if scenario.ordered:
            arrival_us = max(arrival_us, self.arrival_us.get(wire, 0) + 1)
            self.arrival_us[wire] = arrival_us
        world.at(arrival_us, self._arrive, sender.member, wire, to, payload)

    def _arrive(self, sender: Member, wire: tuple[str, str], to: Member, payload: bytes) -> None:
        if self.cuts.get(wire, 0) > 0 and self.world.rng.random() < 0.5:
            return
        self.world.digest(payload)
        machine = self.world.machine_at(to)
        if machine is not None:
            machine.deliver(sender, payload)

    def cut(self, wires: list[tuple[str, str]], duration_us: int) -> None:
        for wire in wires:
            self.cuts[wire] = self.cuts.get(wire, 0) + 1
        self.world.after(duration_us, self._mend, wires)

    def _mend(self, wires: list[tuple[str, str]]) -> None:
        for wire in wires:
            self.cuts[wire] = max(0, self.cuts[wire] - 1)

    def mend(self, one: str, others: list[str]) -> None:
        """Whatever cut these off from each other is over."""
        for other in others:
            self.cuts[(one, other)] = self.cuts[(other, one)] = 0

    def clog(self, wire: tuple[str, str], duration_us: int) -> None:
        if wire not in self.clogs:
            self.clogs[wire] = []
            self.world.after(duration_us, self._unclog, wire)

    def _unclog(self, wire: tuple[str, str]) -> None:
        for sender, to, payload in self.clogs.pop(wire, []):
            self.world.after(self.world.rng.randrange(500), self._arrive, sender.member, wire, to, payload)

    def passes(self, one: str | None, other: str) -> bool:
        """Whether a client that stands beside member `one` reaches the other."""
        if one is None or one == other:
            return True
        return not self.cuts.get((one, other)) and not self.cuts.get((other, one))

    def heal(self) -> None:
        self.healed = True
        for wire in list(self.clogs):
            self._unclog(wire)
        for wire in self.cuts:
            self.cuts[wire] = 0
