"""What the top-ks of a statement found when it ran last, so that partitions look through less when it is asked again.

Each of the partitions looks for the first k rows of its own, and all of them together for many times k. Who knows one value
that k rows reach need not look at what comes after it: DuckDB passes over whole row groups by their bounds then. The value is
a guess, for rows change: only if k rows reach it still, those that came are the answer, and else the partitions are asked
again, for all. So a wrong guess costs time, never an answer.
"""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kubegrid.sql import parameters
from kubegrid.sql.plans import Fragment

MISSES_MAX = 3
"""So many wrong guesses one after the other, and a fragment is asked as it is from then on."""
_KINDS = (int, float, Decimal, date, datetime)
"""Types whose order in Python and DuckDB is the same."""


class Thresholds:
    """Of one prepared statement, for all who run it. Thread-safe: what one forgets the other learns again."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        """Name of the fragment → the value as SQL."""
        self._misses: dict[str, int] = {}

    def applied(self, fragment: Fragment) -> Fragment:
        """The fragment, or one that asks for less."""
        literal = self._known.get(fragment.name)
        if literal is None or fragment.threshold is None:
            return fragment
        return replace(fragment, sql=fragment.threshold.sql(literal))

    def enough(self, fragment: Fragment, rows: int) -> bool:
        """Whether so many rows of what `applied` gave are the answer."""
        assert fragment.threshold is not None
        name = fragment.name
        if rows >= fragment.threshold.rows:
            self._misses.pop(name, None)
            return True
        self._misses[name] = self._misses.get(name, 0) + 1
        self._known.pop(name, None)
        return False

    def learn(self, fragment: Fragment, values: list[Any]) -> None:
        """`values` of its column are in what all partitions yielded."""
        threshold = fragment.threshold
        assert threshold is not None
        there = [value for value in values if value is not None]
        ordered = all(type(value) in _KINDS and value == value for value in there)  # NaN is unlike itself
        if len(there) < threshold.rows or not ordered or self._misses.get(fragment.name, 0) >= MISSES_MAX:
            self._known.pop(fragment.name, None)
            return
        there.sort(reverse=threshold.descending)
        self._known[fragment.name] = parameters.literal(there[threshold.rows - 1])
