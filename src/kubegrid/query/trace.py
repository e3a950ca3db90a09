"""Where a statement's time went, and what it moved: counted always, shown by EXPLAIN ANALYZE."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Asked:
    """What became of one fragment in one partition. Written by one thread at a time."""

    fragment: str
    partition: int
    begun_s: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    rows: int = 0
    bytes: int = 0
    """Of Arrow, as it came."""
    attempts: int = 0


@dataclass(slots=True)
class Trace:
    steps: dict[str, float] = field(default_factory=dict)
    """Step → seconds: plan, marks, final."""
    begun_s: float = field(default_factory=time.monotonic)
    asked: list[Asked] = field(default_factory=list)
    spilled_bytes: int = 0
    """Of what was gathered, what went into DuckDB's tables instead of staying Arrow."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + time.monotonic() - begun

    def rows_of(self, fragment: str) -> int:
        """How many a fragment yielded, in all partitions."""
        return sum(each.rows for each in self.asked if each.fragment == fragment)

    def forget(self, fragment: str) -> None:
        """It is asked again."""
        self.asked[:] = [each for each in self.asked if each.fragment != fragment]

    def all_seconds(self) -> float:
        """Since the statement began."""
        return time.monotonic() - self.begun_s
