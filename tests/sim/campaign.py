"""Many seeds, over several processes: what happened in them, how often, and which of them found something.

`run_seed` is the one way to run a seed; campaigns, tests of switches and replays all use it, with the same generator.
A seed is a pure function of its number and the rules, so a failure is replayed by its number alone.
"""

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
from tests.sim.observer import Violation
from tests.sim.switches import WHOLE, Switches
from tests.sim.world import World

SLOW_KINDS = ("not healed", "not quiet")
"""Violations that say "nothing happens any more" and not "something wrong happened"."""


@dataclass
class Outcome:
    """What one seed came to."""

    seed: int
    hash: int = 0
    failovers: int = 0
    operations: int = 0
    losses: int = 0
    violation: str | None = None
    kind: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    stats: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


def without(rule: str) -> Switches:
    """All rules but one. Raises ValueError with the names there are."""
    if rule not in RULES:
        raise ValueError(f"no rule {rule!r}; there are: {', '.join(RULES)}")
    return msgspec.structs.replace(WHOLE, **{rule: False})


RULES: tuple[str, ...] = Switches.__struct_fields__


def run_seed(seed: int, rules: Switches = WHOLE, tracing: bool = False) -> Outcome:
    world = World(seed, rules, tracing)
    outcome = Outcome(seed)
    try:
        world.run()
    except Violation as error:
        outcome.violation, outcome.kind = str(error), error.kind
    except AssertionError as error:
        outcome.violation, outcome.kind = f"the core's own assertion: {error!r}", "assertion"
    except Exception as error:
        if tracing:
            raise
        outcome.violation, outcome.kind = f"{type(error).__name__}: {error}", "exception"
    outcome.hash, outcome.failovers, outcome.operations = world.hash, world.failovers, world.operations
    outcome.losses, outcome.counts, outcome.stats, outcome.lines = world.losses, world.counts, world.stats, world.lines
    return outcome


def _run(job: tuple[int, Switches]) -> Outcome:
    return run_seed(*job)


def run_seeds(seeds: Iterable[int], rules: Switches = WHOLE, jobs: int = 1) -> Iterator[Outcome]:
    """Outcomes in the order of the seeds."""
    work = ((seed, rules) for seed in seeds)
    if jobs == 1:
        yield from map(_run, work)
        return
    # Ctrl-C is the parent's to answer, with what was found until then.
    ignoring = (signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.get_context("spawn").Pool(jobs, signal.signal, ignoring) as pool:
        yield from pool.imap(_run, work, chunksize=20)


def first_find(rule: str, seeds: Iterable[int]) -> Outcome | None:
    """The first seed in which the world goes wrong (not merely slow) without this rule."""
    rules = without(rule)
    for seed in seeds:
        outcome = run_seed(seed, rules)
        if outcome.kind is not None and outcome.kind not in SLOW_KINDS:
            return outcome
    return None


class Totals:
    """The sums of a campaign. Invariant: every outcome is counted once."""

    def __init__(self) -> None:
        self.seeds = self.failovers = self.operations = self.losses = 0
        self.violations: list[Outcome] = []
        self.counts: Counter[str] = Counter()
        self.stats: Counter[str] = Counter()
        self.began = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.failovers += outcome.failovers
        self.operations += outcome.operations
        self.losses += outcome.losses > 0
        self.counts.update(outcome.counts)
        self.stats.update(outcome.stats)
        if outcome.violation is not None:
            self.violations.append(outcome)

    def report(self) -> Iterator[str]:
        took_s = time.monotonic() - self.began
        yield "faults and what came of them"
        for name, count in sorted(self.counts.items()):
            yield f"  {count:>10,}  {name}"
        yield "rules and events in the replicas"
        for name, count in sorted(self.stats.items()):
            yield f"  {count:>10,}  {name}"
        share = 100 * self.losses / max(1, self.seeds)
        yield f"seeds in which the whole in-sync set lost its memory: {self.losses} ({share:.1f} %)"
        yield f"{took_s:.1f} s, {1000 * took_s / max(1, self.seeds):.1f} ms per seed"
        kinds = Counter(outcome.kind for outcome in self.violations)
        for kind, count in kinds.most_common():
            seeds = [outcome.seed for outcome in self.violations if outcome.kind == kind]
            yield f"{kind}: {count} seeds, first {seeds[:8]}"

    def last_line(self) -> str:
        return (
            f"seeds {self.seeds}, failovers {self.failovers}, operations {self.operations}, "
            f"violations {len(self.violations)}"
        )
