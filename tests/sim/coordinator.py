"""The coordinator as members see it: a versioned register that is linearizable inside and unreliable from outside.

A reading may be old or never come. A compare-and-swap takes effect when it arrives, which may be long after the member
was told "unknown", and its answer may be lost. Nothing is ever lost inside (the embedded one answers when durable).
Watches are hints: some changes are announced, some not. Next on the path: `machine`, which asks and is answered.
"""

from typing import TYPE_CHECKING

from kubegrid.base.configuration import Configuration
from kubegrid.replication import ANY_TOKEN, CasOutcome

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

ANSWER_TIMEOUT_US = 120_000


class Coordinator:
    """Invariant: `versions` is every value the register ever had, each with the next higher epoch; the last one counts."""

    def __init__(self, world: "World", first: Configuration) -> None:
        self.world = world
        self.versions = [first]
        self.out = 0
        self.slow = 0
        self.unreachable_from: dict[str, int] = {}

    @property
    def current(self) -> Configuration:
        return self.versions[-1]

    @property
    def token(self) -> int:
        return len(self.versions)

    def reachable(self, machine: "Machine") -> bool:
        return not self.out and not self.unreachable_from.get(machine.address, 0)

    def _delay_us(self) -> int:
        rng = self.world.rng
        if self.slow and rng.random() < 0.7:
            return rng.randrange(20_000, 400_000)
        return rng.randrange(500, 5000)

    def read(self, machine: "Machine") -> None:
        self.world.after(self._delay_us(), self._read, machine)

    def _read(self, machine: "Machine") -> None:
        if not self.reachable(machine):
            return
        world = self.world
        token = self.token
        if not world.healed and world.rng.random() < world.scenario.stale_reads:
            world.counts["stale read"] += 1
            token = max(0, token - world.rng.randrange(1, 4))
        configuration = self.versions[token - 1] if token else None
        world.after(self._delay_us(), self._answer_read, machine, configuration, token)

    def _answer_read(self, machine: "Machine", configuration: Configuration | None, token: int) -> None:
        if self.reachable(machine):
            machine.input(machine.replica.configuration_read, configuration, token)

    def compare_and_swap(self, machine: "Machine", attempt: int, token: int, proposed: Configuration) -> None:
        world = self.world
        delay_us = self._delay_us()
        if not world.healed and world.rng.random() < world.scenario.late_cas:
            world.counts["late CAS"] += 1
            delay_us += world.rng.randrange(600_000)
        delay_us += world.nemesis.delay_of_swap_us(proposed)
        asked = {"open": True}
        world.after(delay_us, self._apply, machine, attempt, token, proposed, asked)
        world.after(ANSWER_TIMEOUT_US, self._give_up, machine, attempt, asked)

    def _apply(
        self, machine: "Machine", attempt: int, token: int, proposed: Configuration, asked: dict[str, bool]
    ) -> None:
        world = self.world
        if not self.reachable(machine):
            return
        if token in (self.token, ANY_TOKEN):
            before = self.current
            self.versions.append(proposed)
            world.configured(before, proposed, machine)
            outcome, answer = CasOutcome.APPLIED, proposed
            self._announce()
        else:
            world.counts["CAS conflict"] += 1
            outcome, answer = CasOutcome.CONFLICT, self.current
        if not world.healed and world.rng.random() < world.scenario.lost_answers:
            world.counts["CAS answer lost"] += 1
            return
        world.after(self._delay_us(), self._answer_cas, machine, attempt, outcome, answer, self.token, asked)

    def _answer_cas(
        self,
        machine: "Machine",
        attempt: int,
        outcome: CasOutcome,
        answer: Configuration,
        token: int,
        asked: dict[str, bool],
    ) -> None:
        if self.reachable(machine) and asked["open"]:
            asked["open"] = False
            machine.input(machine.replica.cas_answered, attempt, outcome, answer, token)

    def _give_up(self, machine: "Machine", attempt: int, asked: dict[str, bool]) -> None:
        if asked["open"]:
            asked["open"] = False
            self.world.counts["CAS unknown"] += 1
            machine.input(machine.replica.cas_answered, attempt, CasOutcome.UNKNOWN, None, 0)

    def write(self, configuration: Configuration) -> None:
        """By the manager (R20), which stands beside the coordinator."""
        self.versions.append(configuration)
        self._announce()

    def _announce(self) -> None:
        world = self.world
        for machine in world.machines.values():
            if world.rng.random() < 0.7:
                world.after(self._delay_us(), self._hint, machine)

    def _hint(self, machine: "Machine") -> None:
        if self.reachable(machine):
            machine.input(machine.replica.changed_hint)

    def heal(self) -> None:
        self.out = self.slow = 0
        self.unreachable_from.clear()
