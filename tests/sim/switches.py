"""The core's switches and the simulator's own: what a campaign may take away to see whether anybody notices."""

from kubegrid.replication import Rules


class Switches(Rules, frozen=True):
    """All true: the protocol, and a store that keeps R22."""

    deduplication: bool = True
    """R22. Off: the store executes a request again that its client sends again."""


WHOLE = Switches()
