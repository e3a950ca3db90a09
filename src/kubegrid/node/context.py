"""What the commands of a client may ask of the member that they run in.

`NodeContext` is a plain set of references and counters, filled once by `pod`; the commands in `session_*` read it. Also
here: `Session`, the part of a connection that commands see, so that they can be driven without a socket.

Not here: any decision about replication, and the loop. Next on the path of the data: `dispatch`.
"""

import importlib.metadata
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.node.session_rates import Rates
from kubegrid.node.session_statistics import Statistics
from kubegrid.node.session_views import CurrentTurn, ReplicaView, Topology
from kubegrid.node.slow_log import SAMPLE_MASK, SlowLog
from kubegrid.store import Keyspace
from kubegrid.wire.command_table import COMMANDS

REDIS_VERSION = "7.0.15"
"""The version whose behaviour clients may expect."""


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
    watching: dict[bytes, bool] | None
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
    waiting: str

    @property
    def node(self) -> "NodeContext": ...
    @property
    def turn(self) -> CurrentTurn: ...
    @property
    def reader(self) -> Any: ...
    def close(self) -> None: ...
    def held_bytes(self) -> int: ...
    def unexecuted_bytes(self) -> int: ...
    def unsent_bytes(self) -> int: ...


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
        self.version = importlib.metadata.version("kubegrid")
        self.sessions: dict[int, Any] = {}
        self.started_at = time.time()
        self.operations: dict[str, int] = {}
        """Commands executed since the last CONFIG RESETSTAT, by name."""
        self.statistics: dict[str, Statistics] = {}
        """More about commands, by name; only of those about which there is more."""
        self.refusals = 0
        """Requests that were refused, ever: whoever executes one through `dispatch` sees whether that happened."""
        self.connections_accepted = 0
        self.connections_refused = 0
        self.blocked: dict[int, Callable[[bool], None]] = {}
        """Clients that wait (WAIT, KG.TAKE … BLOCK) by number, and how to end that: as after its time, or with an error."""
        self.held_back: set[int] = set()
        """Numbers of the clients whose write waits for the end of CLIENT PAUSE … WRITE."""
        self.writes_paused_until_ms = 0
        """Unix time at which CLIENT PAUSE … WRITE ends; 0: no pause."""
        self.takers: Any = None
        """Clients that wait for records (`session_take.Takers`); set by `server`."""
        self.waiters: dict[int, Any] = {}
        """Those clients by number, in the order of their coming."""
        self.catalog: Any = None
        """Who carries a change of the tables to the managers; set by `pod`."""
        self.flight: Any = None
        """The Arrow Flight port (`flight_port.FlightPort`), to be opened if need be; set by `pod`."""
        self.left: list[Callable[[Any], None]] = []
        """Called with each session that is gone."""
        self.demoted: list[Callable[[], None]] = []
        """Called when this member became the primary, or ceased to be it."""
        self.hits = 0
        self.misses = 0
        self.cluster_replies: dict[tuple[str, int], tuple[int, bytes]] = {}
        """Encoded answers of CLUSTER, by subcommand and protocol, with the topology's `changes` that they show."""
        self.errors: dict[str, int] = {}
        """Errors that commands answered, by their code."""
        self.rates = Rates()
        self.slow_log = SlowLog()
        self.clock_mask = SAMPLE_MASK
        """Which calls of a short command are measured: those whose number has none of these bits."""
        self.when_each: Callable[[bool], None] = lambda each: None
        """Told whether every command has to be measured from now on; set by `server`."""
        self.reset_statistics()

    def look_at_rates(self) -> None:
        """At each interval of housekeeping."""
        self.rates.look(self.keyspace.used_bytes, sum(self.operations.values()))

    def count(self, name: str, number: int) -> None:
        """`number` more commands `name` were executed."""
        self.operations[name] += number

    def count_hits(self, hits: int, misses: int) -> None:
        """Reads of keys that were there, and of keys that were not."""
        self.hits += hits
        self.misses += misses

    def count_lookups(self, slot: int, keys: Sequence[bytes]) -> None:
        """A command has just read these keys of the slot; those whose time was over are gone by that."""
        held: Mapping[bytes, Any] = self.keyspace.slots[slot] or {}
        found = sum(map(held.__contains__, keys))
        self.count_hits(found, len(keys) - found)

    def log_slower_than(self, microseconds: int) -> None:
        """Which commands get into SLOWLOG; negative: none."""
        self.slow_log.set_slower_than(microseconds)
        each = self.slow_log.wants_each
        self.clock_mask = 0 if each else SAMPLE_MASK
        self.when_each(each)

    def sample(self, name: str, seconds: float) -> None:
        """One call of the command took so long."""
        statistics = self.statistics_of(name)
        statistics.sampled += 1
        statistics.sampled_us += seconds * 1e6

    def count_failure(self, name: str, reply: bytes) -> None:
        """A command was executed and answered with this error."""
        self.statistics_of(name).failed += 1
        self.count_error(reply)

    def statistics_of(self, name: str) -> Statistics:
        known = self.statistics.get(name)
        if known is None:
            known = self.statistics[name] = Statistics()
        return known

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
        self.connections_accepted = self.connections_refused = 0
        self.keyspace.expired = 0
        self.errors.clear()
        self.statistics.clear()

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
        self.blocked.pop(session.id, None)
        for forget in self.left:
            forget(session)

    def role_changed(self) -> None:
        """What was watched may have changed while another member was the primary: every watch is void."""
        for watchers in self.keyspace.watched.values():
            for session in watchers:
                session.dirty = True
        for tell in self.demoted:
            tell()
