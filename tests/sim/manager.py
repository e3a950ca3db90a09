"""The manager's part in R20: when the whole in-sync set has lost its memory, a person accepts the loss.

It has proof of death, because it is the world: an incarnation without a process is dead for good. The survivor of the
highest position, or an empty member, becomes primary of the next epoch. What clients saw before and after is judged
separately from then on. In some seeds it learns of each death at once, as a supervisor does that reaps its processes, and
waits for nobody that is cut off. Next on the path: `coordinator.write`.
"""

from typing import TYPE_CHECKING

from tests.sim.trace import shown

from kubegrid.base.configuration import Configuration

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

LOOK_US = 100_000


class Manager:
    """Invariant: it writes only configurations of partitions of which no in-sync incarnation lives."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.patience_us = world.rng.randrange(400_000)
        self.mourned_since_us: int | None = None
        self.prompt = world.baiting
        if self.prompt:
            self.patience_us = 0

    def reaped(self) -> None:
        """A process has ended."""
        if self.prompt:
            for delay_us in (1000, 2000):
                self.world.after(delay_us, self._judge)

    def look(self) -> None:
        self._judge()
        self.world.after(LOOK_US, self.look)

    def _judge(self) -> None:
        world = self.world
        current = world.coordinator.current
        if any(member in world.machines for member in current.in_sync):
            self.mourned_since_us = None
        elif self.mourned_since_us is None:
            self.mourned_since_us = world.now_us
        elif self._survivors() and world.now_us - self.mourned_since_us > self.patience_us:
            self.mourned_since_us = None
            self._accept_loss(current)

    def _survivors(self) -> "list[Machine]":
        """No ghosts: their place has been given to a successor, and there is no way back for them."""
        world = self.world
        survivors = [machine for machine in world.machines.values() if not machine.ghost]
        return [m for m in survivors if world.coordinator.reachable(m)] if self.prompt else survivors

    def _accept_loss(self, current: Configuration) -> None:
        world = self.world
        survivor = max(self._survivors(), key=lambda machine: (machine.replica.last, machine.member.name))
        accepted = Configuration(
            grid=current.grid,
            partition=current.partition,
            epoch=current.epoch + 1,
            primary=survivor.member,
            in_sync=(survivor.member,),
            proposer="manager",
            note="accept-loss",
        )
        if world.tracing:
            survived = f"{shown(survivor.member)} at {shown(survivor.replica.last)}"
            world.trace(f"manager accepts the loss of {shown(current)}; {survived} goes on")
        world.loss_accepted(accepted.epoch)
        world.coordinator.write(accepted)
