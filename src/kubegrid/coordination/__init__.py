"""Who is where, and who may be primary: the coordinator and the lookup service.

`coordinator` states the three calls; `embedded` keeps them in a single manager (on `database`, watched over by
`marker`); `remote` is a member's way to the managers, and also registers it with the `lookup` service. `memory` stands
in for both where a grid lives in somebody else's process. `catalog` is what can be done to the catalog of tables.
"""

from kubegrid.coordination.coordinator import (
    CATALOG_KEY,
    CLOSING_KEY,
    DEATHS_KEY,
    GRID_KEY,
    CasResult,
    Coordinator,
    CoordinatorError,
    CoordinatorUnavailable,
    DataLost,
    Outcome,
    StorageFailing,
    Versioned,
    partition_key,
)
from kubegrid.coordination.embedded import EmbeddedCoordinator
from kubegrid.coordination.lookup import Lookup, LookupFull
from kubegrid.coordination.memory import MemoryManagers
from kubegrid.coordination.messages import HandOver
from kubegrid.coordination.records import Closing, Death, GridRecord, MemberRecord, TopologySnapshot
from kubegrid.coordination.remote import ManagerClient, SwapResult
from kubegrid.coordination.settings import ManagerClientSettings

Managers = ManagerClient | MemoryManagers
"""A member's way to its managers."""

__all__ = [
    "CATALOG_KEY",
    "CLOSING_KEY",
    "DEATHS_KEY",
    "GRID_KEY",
    "CasResult",
    "Closing",
    "Coordinator",
    "CoordinatorError",
    "CoordinatorUnavailable",
    "DataLost",
    "Death",
    "EmbeddedCoordinator",
    "GridRecord",
    "HandOver",
    "Lookup",
    "LookupFull",
    "ManagerClient",
    "ManagerClientSettings",
    "Managers",
    "MemberRecord",
    "MemoryManagers",
    "Outcome",
    "StorageFailing",
    "SwapResult",
    "TopologySnapshot",
    "Versioned",
    "partition_key",
]
