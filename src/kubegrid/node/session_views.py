"""What commands see of the grid, of replication and of the turn: names and types only, so that they can be driven without.

Next on the path of the data: `context`, which holds one of each.
"""

from collections.abc import Callable
from typing import Any, Protocol

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Position
from kubegrid.replication import Role


class MemberView(Protocol):
    """One member as clients see it (`topology.MemberView`)."""

    @property
    def name(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def replication(self) -> int: ...
    @property
    def role(self) -> str: ...
    @property
    def commit(self) -> int: ...
    @property
    def flight(self) -> int | None: ...


class PartitionView(Protocol):
    """One partition as clients see it (`topology.PartitionView`)."""

    @property
    def id(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def slots(self) -> list[tuple[int, int]]: ...
    @property
    def primary(self) -> MemberView | None: ...
    @property
    def backups(self) -> Any: ...
    @property
    def joining(self) -> Any: ...


class Topology(Protocol):
    """What is known of the grid (`topology.Topology`)."""

    @property
    def changes(self) -> int: ...
    @property
    def heard(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def me(self) -> MemberView: ...
    @property
    def partitions(self) -> Any: ...
    def partition_of(self, slot: int) -> PartitionView: ...


class ReplicaView(Protocol):
    """What commands read of the replication state machine."""

    @property
    def role(self) -> Role: ...
    @property
    def epoch(self) -> int: ...
    @property
    def last_seq(self) -> int: ...
    @property
    def commit(self) -> Position: ...
    @property
    def configuration(self) -> Configuration | None: ...


class CurrentTurn(Protocol):
    """The turn of the loop that a command runs in (`turn.Turn`)."""

    open_gate: bool
    paused_until_ms: int
    units_left: int
    loop: Any

    @property
    def member(self) -> Any:
        """The member that drives replication: `writable`, `now_ms()`, `staleness_ms(now)` are asked of it."""

    def work(self, function: Callable[[], None]) -> None: ...
