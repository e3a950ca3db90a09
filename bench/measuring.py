"""Two things measured in turn (A B A B …), so that a machine whose speed drifts hits both; the median of the ratios counts."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

HEADING = "| what | KubeGrid/s | peer/s | ratio (median) | range | at least |\n|---|---|---|---|---|---|"


@dataclass(slots=True)
class Comparison:
    """Rates of one pairing, a pair for each round."""

    what: str
    ours: list[float]
    theirs: list[float]
    at_least: float | None

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def reached(self) -> bool:
        return self.at_least is None or statistics.median(self.ratios) >= self.at_least

    def row(self) -> str:
        ratios = self.ratios
        return (
            f"| {self.what} | {statistics.median(self.ours):,.0f} | {statistics.median(self.theirs):,.0f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} | {self.at_least or ''} |"
        )


def processor_s(pid: int) -> float:
    """Processor seconds of all threads of a process so far, to the nanosecond: `psutil` tells hundredths of a second, of which
    a short measurement has none. The number is what `clock_getcpuclockid(3)` makes of a pid on Linux."""
    return time.clock_gettime((~pid << 3) | 2)


def rate(work: Callable[[int], int], seconds: float) -> float:
    """Operations per second of `work(n)`, called with n = 0, 1, 2 … for about `seconds`; it says how many it did."""
    done = calls = 0
    started = time.perf_counter()
    end = started + seconds
    while (now := time.perf_counter()) < end:
        done += work(calls)
        calls += 1
    return done / (now - started)


def compare(
    what: str,
    ours: Callable[[int], int],
    theirs: Callable[[int], int],
    *,
    rounds: int,
    seconds: float,
    at_least: float | None,
) -> Comparison:
    """`rounds` rounds of both in turn, after one that warms both up; the row is printed."""
    found = Comparison(what, [], [], at_least)
    for number in range(rounds + 1):
        theirs_rate = rate(theirs, seconds)
        ours_rate = rate(ours, seconds)
        if number:
            found.ours.append(ours_rate)
            found.theirs.append(theirs_rate)
    print(found.row(), flush=True)
    return found
