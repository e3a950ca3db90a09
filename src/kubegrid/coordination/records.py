"""What is said about members and about the grid: the lookup service's records, and the coordinator's record of a grid.

None of this decides anything in the replication protocol: a record may be a lease old.
"""

from typing import Any

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member, Position


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One member, as it describes itself with each renewal of its lease."""

    name: str
    incarnation: str
    partition: int
    ordinal: int
    role: str
    """`primary`, `backup`, `joining` or `idle`."""
    serving: bool = False
    epoch: int = 0
    """Epoch of the configuration it follows."""
    commit: int = 0
    """Sequence number of its commit point."""
    last_epoch: int = 0
    last_seq: int = 0
    """Position of its log's end."""
    complete: bool = False
    """Its memory is a whole state of the partition as of that position: neither empty nor in the middle of a snapshot."""
    address: str
    """Where clients and other members reach it."""
    resp_port: int
    http_port: int
    replication_port: int
    flight_port: int | None = None
    """None: not open yet; 0: it could not be opened."""
    host: str = ""
    """The machine, for placement and for people."""
    zone: str | None = None
    pid: int = 0
    memory_bytes: int = 0
    started_at: float = 0.0
    """Unix seconds."""
    catalog_adopted: int = 0
    """Version of the catalog of tables that its store is at."""
    catalog_known: int = 0
    """The highest version that it has heard of, from the managers or from its partition's log."""

    @property
    def member(self) -> Member:
        return Member(self.name, self.incarnation)

    @property
    def position(self) -> Position:
        return Position(self.last_epoch, self.last_seq)


VISIBLE = [
    *("role", "serving", "epoch", "complete", "partition", "ordinal", "host", "zone"),
    *("address", "resp_port", "http_port", "replication_port", "flight_port"),
]
"""Fields whose change others have to be told at once."""
URGENT = [*VISIBLE, "incarnation", "catalog_adopted", "catalog_known"]
"""Fields whose change the managers have to be told at once."""


def visibly_different(old: MemberRecord | None, new: MemberRecord) -> bool:
    """Whether others have to be told at once; commit points and memory go with the next renewal."""
    return old is None or any(getattr(old, name) != getattr(new, name) for name in VISIBLE)


def urgently_different(old: MemberRecord, new: MemberRecord) -> bool:
    """Whether the managers have to be told at once."""
    return any(getattr(old, name) != getattr(new, name) for name in URGENT)


class TopologySnapshot(msgspec.Struct, frozen=True):
    """Who is where, as one manager knows it: a hint, like everything that the lookup service says."""

    grid: str
    number: int
    """Rises with every snapshot of one manager process."""
    partitions: dict[int, Configuration]
    members: list[MemberRecord]
    closing: bool = False
    """An orderly down was begun: whoever is told to stop need not wait for anybody to take over."""


class GridRecord(msgspec.Struct, frozen=True):
    """The coordinator's record of the grid, made once (R20)."""

    id: str
    name: str
    partitions: int
    copies: int
    spec: dict[str, Any]


class Closing(msgspec.Struct, frozen=True):
    """An orderly down was begun: memory without durable storage ends with it (R20).

    It covers the incarnations that were known then, and no later one.
    """

    at: float
    members: list[Member]


class Death(msgspec.Struct, frozen=True):
    """Proof that one incarnation is dead: its process was reaped, or somebody vouched for it."""

    name: str
    incarnation: str
    at: float
    how: str

    @property
    def member(self) -> Member:
        return Member(self.name, self.incarnation)


def encode(value: object) -> bytes:
    """As the coordinator stores it: JSON, so that a person with `sqlite3` can read it."""
    return msgspec.json.encode(value)


_configurations = msgspec.json.Decoder(Configuration)


def decode_configuration(value: bytes) -> Configuration:
    """Raises msgspec.MsgspecError when it is none."""
    return _configurations.decode(value)
