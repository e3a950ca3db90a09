"""What the commands of a client may ask of the member that they run in.

`NodeContext` is a plain set of references and counters, filled once by `pod`; the commands in `session_*` read it. Also
here: `Session`, the part of a connection that commands see, so that they can be driven without a socket.

Not here: any decision about replication, and the loop. Next on the path of the data: `dispatch`.
"""

import time
from typing import Any, Protocol

from kubegrid import __version__
from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Position
from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.replication import Role
from kubegrid.store import Keyspace
from kubegrid.wire.command_table import COMMANDS

REDIS_VERSION = "7.0.15"
"""The version whose behaviour clients may expect."""


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


class WritingMember(Protocol):
    """What the turn's member tells about writing (`turn.Replicator`)."""

    @property
    def writable(self) -> bool: ...


class CurrentTurn(Protocol):
    """The turn of the loop that a command runs in (`turn.Turn`)."""

    open_gate: bool

    @property
    def member(self) -> WritingMember: ...


class Session(Protocol):
    """A client's connection as commands see it (`connection.Connection`)."""

    id: int
    resp: int
    authenticated: bool
    name: bytes
    lib_name: bytes
    lib_ver: bytes
    readonly: bool
    multi: list[Any] | None
    multi_failed: bool
    multi_bytes: int
    watching: set[bytes] | None
    dirty: bool
    reply_mode: str
    close_after_reply: bool
    no_evict: bool
    no_touch: bool
    db: int
    last_command: bytes
    created_ms: int
    active_ms: int
    peer: str
    laddr: str

    @property
    def node(self) -> "NodeContext": ...
    @property
    def turn(self) -> CurrentTurn: ...
    @property
    def reader(self) -> Any: ...
    def close(self) -> None: ...


class NodeContext:
    """One member's view for its clients. `sessions` holds every open connection by its number."""

    def __init__(
        self,
        *,
        keyspace: Keyspace,
        replica: ReplicaView,
        topology: Topology,
        name: str,
        grid: str,
        run_id: str,
        secret: bytes | None,
        memory_bytes: int,
        client_settings: ClientSettings,
        store_settings: StoreSettings,
    ) -> None:
        self.keyspace = keyspace
        self.replica = replica
        self.topology = topology
        self.name = name
        self.grid = grid
        self.run_id = run_id
        """40 hexadecimal digits; the same as the node's id in CLUSTER NODES."""
        self.secret = secret
        self.memory_bytes = memory_bytes
        self.client_settings = client_settings
        self.store_settings = store_settings
        self.key_bytes_max = store_settings.key_bytes_max
        self.version = __version__
        self.sessions: dict[int, Any] = {}
        self.started_at = time.time()
        self.operations: dict[str, int] = {}
        """Commands executed since the last CONFIG RESETSTAT, by name."""
        self.hits = 0
        self.misses = 0
        self.cluster_replies: dict[tuple[str, int], tuple[int, bytes]] = {}
        """Encoded answers of CLUSTER, by subcommand and protocol, with the topology's `changes` that they show."""
        self.errors: dict[str, int] = {}
        """Errors that commands answered, by their code."""
        self.reset_statistics()

    def count(self, name: str, number: int) -> None:
        """`number` more commands `name` were executed."""
        self.operations[name] += number

    def count_hits(self, hits: int, misses: int) -> None:
        """Reads of keys that were there, and of keys that were not."""
        self.hits += hits
        self.misses += misses

    def count_error(self, reply: bytes) -> None:
        """A command answered with this error."""
        code = reply[1:].split(b" ", 1)[0].decode("ascii", "replace").strip()
        errors = self.errors
        errors[code] = errors.get(code, 0) + 1

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT: every counter of INFO begins again."""
        self.operations.clear()
        for command in COMMANDS.values():
            self.operations[command.name] = 0
            for subcommand in command.subcommands.values():
                self.operations[subcommand.name] = 0
        self.hits = self.misses = 0
        self.errors.clear()

    def forget_watches(self, session: Session) -> None:
        """The session watches nothing any more (EXEC, DISCARD, UNWATCH, RESET, or it is gone)."""
        if session.watching is not None:
            watched = self.keyspace.watched
            for key in session.watching:
                watchers = watched.get(key)
                if watchers is not None:
                    watchers.discard(session)
                    if not watchers:
                        del watched[key]
            session.watching = None
        session.dirty = False

    def forget_session(self, session: Session) -> None:
        """The connection is gone: nothing may refer to it any more."""
        self.forget_watches(session)

    def role_changed(self) -> None:
        """What was watched may have changed while another member was the primary: every watch is void."""
        for watchers in self.keyspace.watched.values():
            for session in watchers:
                session.dirty = True
