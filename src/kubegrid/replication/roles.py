"""The small vocabulary of states that the core shows to its driver."""

import enum


class Role(enum.Enum):
    """What a member is in the configuration that it knows."""

    IDLE = "idle"
    """Not in the configuration (or none is known): it asks to be let in."""
    JOINING = "joining"
    BACKUP = "backup"
    PRIMARY = "primary"


class Gate(enum.Enum):
    """Whether commands may be executed now."""

    OPEN = "open"
    CLOSED = "closed"
    """Not the primary (-MOVED), or a primary that must not answer now (-CLUSTERDOWN)."""
    HOLD = "hold"
    """A hand-over is under way, here or from another member to here: keep new commands, unexecuted, for its milliseconds."""
    READS = "reads"
    """Reads only. Never returned while the rule `handover_stops_reads` holds."""


class CasOutcome(enum.Enum):
    """What the coordinator said to a compare-and-swap."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    """The version differed; the current configuration may come with it. By itself it proves nothing (R1)."""
    UNKNOWN = "unknown"
    """The answer was lost or late."""
