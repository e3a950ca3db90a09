"""The coordinator of a scenario: one versioned configuration, and the ways in which it may be slow, deaf or gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubegrid import replication
from kubegrid.base.configuration import Configuration
from kubegrid.replication import CasOutcome

if TYPE_CHECKING:
    from tests.unit.replication.actor import Actor
    from tests.unit.replication.conversation import Stage


@dataclass
class Cas:
    """A compare-and-swap on its way to the coordinator."""

    asker: Actor
    instruction: replication.CompareAndSwap


class Coordinator:
    """Holds one versioned configuration. It can be cut off, swallow answers, or keep requests back until told."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.value: Configuration | None = None
        self.token = 0
        self.reachable = True
        self.loses_answers = False
        self.holds_requests = False
        """Requests stay on the way until `release`; with `loses_answers` too, the asker hears "unknown" meanwhile."""
        self.holds_adding = ""
        """Only swaps that add this letter to the in-sync set are kept back."""
        self.deaf_to: set[str] = set()
        """Letters of members that can't reach it."""
        self.stale: tuple[Configuration | None, int] | None = None
        self.held: list[Cas] = []

    def put(self, configuration: Configuration | None) -> None:
        self.value = configuration
        self.token += 1

    def read(self, asker: Actor) -> None:
        if self._hears(asker):
            value, token = self.stale or (self.value, self.token)
            self._stage.later(1, lambda: asker.input(lambda r, now: r.configuration_read(now, value, token)))

    def _hears(self, asker: Actor) -> bool:
        return self.reachable and asker.letter not in self.deaf_to

    def swap(self, cas: Cas) -> None:
        known = {m.name for m in self.value.in_sync} if self.value else set()
        added = {m.name for m in cas.instruction.proposed.in_sync} - known
        if self.holds_requests or self.holds_adding in added:
            self.held.append(cas)
            if self.loses_answers:
                self._answer(cas, CasOutcome.UNKNOWN, None, 0)
        elif self._hears(cas.asker):
            self._stage.later(1, lambda: self.carry_out(cas))
        else:
            self._answer(cas, CasOutcome.UNKNOWN, None, 0)

    def release(self) -> None:
        """Carry out, now, the requests that were kept back."""
        held, self.held = self.held, []
        self.holds_requests = False
        self.holds_adding = ""
        for cas in held:
            self.carry_out(cas)

    def carry_out(self, cas: Cas) -> None:
        token = cas.instruction.token
        if token in (self.token, replication.ANY_TOKEN):
            self.put(cas.instruction.proposed)
            outcome, value = CasOutcome.APPLIED, None
        else:
            outcome, value = CasOutcome.CONFLICT, self.value
        if self.loses_answers:
            outcome, value = CasOutcome.UNKNOWN, None
        self._answer(cas, outcome, value, self.token)

    def _answer(self, cas: Cas, outcome: CasOutcome, value: Configuration | None, token: int) -> None:
        attempt = cas.instruction.attempt
        self._stage.later(
            1, lambda: cas.asker.input(lambda r, now: r.cas_answered(now, attempt, outcome, value, token))
        )
