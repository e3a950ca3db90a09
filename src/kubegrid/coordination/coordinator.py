"""The coordinator: three calls on small versioned values, and nothing else.

Read a value, replace it if it is still the one that was read, and be told that it may have changed. What the values mean
is the business of those who call. Implementations: `embedded` (in the single manager) and, seen from a member, `remote`.

    CoordinatorError
    ├── CoordinatorUnavailable   nobody answered; ask again
    ├── StorageFailing           the disk does not take it (full, broken); nothing was changed unless `outcome_known` is false
    └── DataLost                 the data are gone, older than what is known, or another grid's; a person has to rebuild them
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol


class CoordinatorError(Exception):
    """Base of this package's errors. A caller that gets one knows nothing about the value."""


class CoordinatorUnavailable(CoordinatorError):
    """No answer: not reachable, too slow, or the connection broke."""


class StorageFailing(CoordinatorError):
    """The change could not be made durable, so it was not answered as made."""

    def __init__(self, message: str, *, outcome_known: bool = True) -> None:
        super().__init__(message)
        self.outcome_known = outcome_known
        """True: it was not applied. False: it may be there after a restart."""


class DataLost(CoordinatorError):
    """The coordinator's data can't be trusted; it neither reads nor writes until it was rebuilt (R5)."""


class Outcome(StrEnum):
    """What became of a compare-and-swap."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    """Not applied: the value is not the one that was expected."""
    UNKNOWN = "unknown"
    """It may have been applied, now or later (R1)."""


class Versioned(NamedTuple):
    """A value, and the token that a compare-and-swap of it needs. Tokens are opaque and never used twice."""

    value: bytes
    token: int


class CasResult(NamedTuple):
    """`current` is what is stored: after APPLIED the new value, after CONFLICT what was found (None: nothing)."""

    outcome: Outcome
    current: Versioned | None
    reason: str = ""


class Coordinator(Protocol):
    """The small strongly consistent store. An answer APPLIED is durable (R5)."""

    async def read(self, key: str) -> Versioned | None:
        """What is stored now. Raises CoordinatorError when it can't be known."""
        ...

    async def compare_and_swap(self, key: str, value: bytes, token: int | None) -> CasResult:
        """Store `value` if what is stored still has `token` (None: if nothing is stored)."""
        ...

    def watch(self, prefix: str, callback: Callable[[str], None]) -> None:
        """Call back with the key when one that begins with `prefix` may have changed: a hint, which may be missed."""
        ...


GRID_KEY = "grid"
CLOSING_KEY = "closing"
DEATHS_KEY = "deaths"
CATALOG_KEY = "catalog"


def partition_key(partition: int) -> str:
    """Where the configuration of a partition is kept."""
    return f"partition/{partition}"
