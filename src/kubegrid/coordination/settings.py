"""Times and limits of the conversation between members and managers."""

import msgspec


class ManagerClientSettings(msgspec.Struct, frozen=True):
    """The member's side."""

    connect_timeout_s: float = 2.0
    """For TCP and the handshake."""
    call_timeout_s: float = 1.0
    """A coordinator call without an answer for this long: a read fails, a compare-and-swap's outcome is unknown. Longer
    than a commit on a slow disk, shorter than two of the protocol's own repetitions would take."""
    catalog_timeout_s: float = 7.0
    """The same for a change of the catalog, which the manager answers within `catalog.ADOPTION_TIMEOUT_S`."""
    backoff_min_s: float = 0.05
    """Wait before the first new attempt to connect; doubled with each that fails."""
    backoff_max_s: float = 0.5
    """So a manager that is back is found within half a second."""
    renew_interval_s: float = 1.0
    """A third of the lease (`ManagerConfig.lookup_lease_ms`): two renewals may be lost."""
    silence_s: float = 5.0
    """A link over which calls time out for this long, without a single answer, is given up and made anew."""
    calls_max: int = 1024
    """Calls waiting for an answer."""
